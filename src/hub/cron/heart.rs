//! Turns the gateway takes by itself: heartbeats by `agents.*.heartbeat`, and turns that news wakes an agent for.
//!
//! A heartbeat is a job of the gateway's own, one per agent that has an interval; off unless the configuration sets one.
//! Every one of these turns passes the [`super::brake`]: news that comes too soon after the last turn waits for the
//! floor and is then told in one piece.
//!
//! Invariant: a heartbeat that would speak to nobody, or in a session where something is going on, asks no model.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::job::{Job, signed};
use super::outlet::{Route, Wanted};
use super::schedule;
use super::settle::{SILENT, came_of};
use crate::config::Config;
use crate::config::agents::{ActiveHours, HeartbeatConfig};
use crate::hub::run::{Input, NewRun, Outcome, RunId, Starter, Status};
use crate::hub::timers::Due;
use crate::hub::wakes::Queued;
use crate::hub::{Now, State, main_key};
use crate::sys::random;
use crate::wire::cron::*;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::frame::cut;
use crate::wire::session;

/// What an agent is asked unless `heartbeat.prompt` says otherwise.
pub const PROMPT: &str = "This is a heartbeat. If something you were asked to keep an eye on needs attention now, say so \
                          briefly. Do not take up old tasks by yourself. If nothing needs attention, reply NO_REPLY.";
/// An acknowledgement with no more around it is not delivered (`heartbeat.ackMaxChars`).
pub const ACK_CHARS: u32 = 300;
/// Where it goes unless `heartbeat.target` says otherwise.
pub const TARGET: &str = "owner";
/// A heartbeat may take as long as its interval, and at most this.
const LONGEST: Duration = Duration::from_secs(600);
const MINUTE: Duration = Duration::from_secs(60);
/// Sessions whose news waits for the floor.
const HELD: usize = 256;

/// What is known of heartbeats and wakes. Owned by the state thread.
pub struct Heart {
    /// `set-heartbeats`: holds until the process ends.
    pub enabled: bool,
    pub last: Option<HeartbeatEvent>,
    turns: HashMap<RunId, Turn>,
    held: HashSet<String>,
}

struct Turn {
    session_key: Arc<str>,
    begun: Instant,
    /// None: news woke the agent; its answer stays in the session.
    beat: Option<Beat>,
}

struct Beat {
    agent_id: Arc<str>,
    route: Option<Route>,
}

impl Default for Heart {
    fn default() -> Heart {
        Heart { enabled: true, last: None, turns: HashMap::new(), held: HashSet::new() }
    }
}

/// The heartbeat of an agent, if it has one: its own settings over the defaults. When any agent has settings of its own,
/// only those agents have a heartbeat.
pub fn of_agent(config: &Config, agent_id: &str) -> Option<(HeartbeatConfig, Duration)> {
    let shared = &config.agents.defaults.heartbeat;
    let own = config.agent(agent_id).and_then(|agent| agent.heartbeat.clone());
    if own.is_none() && config.agents.list.iter().any(|agent| agent.heartbeat.is_some()) {
        return None;
    }
    let own = own.unwrap_or_default();
    let merged = HeartbeatConfig {
        every: own.every.or_else(|| shared.every.clone()),
        model: own.model.or_else(|| shared.model.clone()),
        session: own.session.or_else(|| shared.session.clone()),
        prompt: own.prompt.or_else(|| shared.prompt.clone()),
        target: own.target.or_else(|| shared.target.clone()),
        to: own.to.or_else(|| shared.to.clone()),
        account_id: own.account_id.or_else(|| shared.account_id.clone()),
        ack_max_chars: own.ack_max_chars.or(shared.ack_max_chars),
        active_hours: own.active_hours.or_else(|| shared.active_hours.clone()),
        light_context: own.light_context || shared.light_context,
        isolated_session: own.isolated_session || shared.isolated_session,
    };
    let every = interval(merged.every.as_deref()?)?;
    (!every.is_zero()).then_some((merged, every))
}

/// `90s`, `30m`, `2h`, `1d`, `1h30m`; a bare number is minutes.
pub fn interval(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(minutes) = text.parse::<u32>() {
        return Some(MINUTE * minutes);
    }
    let (mut sum, mut digits) = (Duration::ZERO, String::new());
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let count: u32 = std::mem::take(&mut digits).parse().ok()?;
        let unit = match c {
            'm' if letters.peek() == Some(&'s') => {
                letters.next();
                Duration::from_millis(1)
            }
            's' => Duration::from_secs(1),
            'm' => MINUTE,
            'h' => MINUTE * 60,
            'd' => MINUTE * 60 * 24,
            'w' => MINUTE * 60 * 24 * 7,
            _ => return None,
        };
        sum = sum.checked_add(unit.checked_mul(count)?)?;
    }
    (digits.is_empty() && !text.is_empty()).then_some(sum)
}

/// Whether a moment lies within the active hours. Hours that cannot be read, or that are empty, are never.
pub fn is_awake(hours: Option<&ActiveHours>, shared_zone: Option<&str>, now_ms: u64) -> bool {
    let Some(hours) = hours else { return true };
    let clock = |text: Option<&str>, none: i32| -> Option<i32> {
        let Some(text) = text else { return Some(none) };
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute) = (hour.parse::<i32>().ok()?, minute.parse::<i32>().ok()?);
        ((0..=24).contains(&hour) && (0..60).contains(&minute) && hour * 60 + minute <= 1440)
            .then_some(hour * 60 + minute)
    };
    let (Some(start), Some(end)) = (clock(hours.start.as_deref(), 0), clock(hours.end.as_deref(), 1440)) else {
        return false;
    };
    let named = hours.timezone.as_deref().filter(|zone| !matches!(*zone, "user" | "local"));
    let Ok(zone) = schedule::zone(named.or(shared_zone.filter(|_| hours.timezone.as_deref() != Some("local")))) else {
        return false;
    };
    let Ok(now) = Timestamp::from_millisecond(signed(now_ms)) else { return false };
    let now = zone.to_datetime(now);
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    if start <= end { (start..end).contains(&minute) } else { minute >= start || minute < end }
}

/// What an agent said at a heartbeat without its acknowledgement; None: there was nothing else.
fn without_ack(text: &str, most: u32) -> Option<&str> {
    let text = text.trim();
    for word in SILENT {
        let rest = text.strip_prefix(word).or_else(|| text.strip_suffix(word));
        if let Some(rest) = rest {
            let rest = rest.trim();
            return (rest.chars().count() > most as usize).then_some(rest);
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

impl State {
    /// Makes the heartbeats what the configuration says.
    pub(super) fn sync_heartbeats(&mut self, now: Now) {
        let config = self.shared.config.get();
        let mut wanted = HashMap::new();
        for agent in config.agent_ids() {
            if let Some((_, every)) = of_agent(&config, agent) {
                wanted.insert(format!("heartbeat-{agent}"), (agent.to_string(), every));
            }
        }
        let old: Vec<String> =
            self.cron.jobs.values().filter(|job| job.is_heartbeat()).map(|j| j.id().into()).collect();
        for id in old {
            if !wanted.contains_key(&id) {
                self.remove_job(&id, None, now);
            }
        }
        for (id, (agent, every)) in wanted {
            let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
            let old = self.cron.jobs.get(&id);
            let same = old.is_some_and(
                |job| matches!(job.spec().schedule, CronSchedule::Every { every_ms: e, .. } if e == every_ms),
            );
            if same {
                continue;
            }
            let spec = spec_of(&agent, every_ms, now.ms);
            let made = match old {
                Some(old) => old.rewrite(spec, now.ms),
                None => Job::new(id.clone(), spec, now.ms),
            };
            if let Ok(job) = made {
                self.cron.jobs.insert(id.clone(), job);
                self.save_job(&id);
            }
        }
    }

    /// The slot of a heartbeat has come.
    pub(super) fn beat(&mut self, job_id: &str, slot: i64, next: Option<i64>, held: Option<String>, now: Now) {
        let config = self.shared.config.get();
        let Some(job) = self.cron.jobs.get_mut(job_id) else { return };
        job.record.used_slot_ms = Some(slot);
        job.record.state.last_run_at_ms = Some(now.ms);
        job.set_next(next);
        self.cron.begun.insert(job_id.to_string(), now.at);
        let agent_id: Arc<str> = job.spec().agent_id.as_deref().unwrap_or_default().into();
        self.save_job(job_id);
        let Some((settings, every)) = of_agent(&config, &agent_id) else { return };
        let own = settings.session.as_deref().filter(|key| !key.is_empty()).unwrap_or("main");
        let base = session::canonical(own, &agent_id, main_key(&config));
        let zone = config.agents.defaults.user_timezone.as_deref();
        let target = settings.target.as_deref().unwrap_or(TARGET);
        let route = self.cron.outlet.route(&Wanted {
            agent_id: &agent_id,
            session_key: &base,
            channel: Some(target),
            to: settings.to.as_deref(),
            account_id: settings.account_id.as_deref(),
            thread_id: None,
        });
        let silent = target == "none";
        let skip = if !self.cron.heart.enabled {
            Some(("disabled", "Heartbeats are switched off.".to_string()))
        } else if let Some(why) = held {
            Some(("spending-stop", why))
        } else if !is_awake(settings.active_hours.as_ref(), zone, now.ms) {
            Some(("quiet-hours", "Outside the active hours.".into()))
        } else if self.cron.brake.pause(&agent_id, now.at).is_some() {
            Some(("rate-limited", "Too soon after the last automatic turn.".into()))
        } else if !self.runs.is_quiet(&base) {
            Some(("requests-in-flight", "The session is busy.".into()))
        } else {
            let why = route.as_ref().err().filter(|_| !silent);
            why.map(|why| ("no-route", format!("Heartbeat has no delivery route yet: {why}. Set heartbeat.target.")))
        };
        if let Some((reason, message)) = skip {
            let event = HeartbeatEvent { message: Some(message), ..happened("skipped", Some(reason), now) };
            return self.tell_heartbeat(event);
        }
        let key: Arc<str> = match settings.isolated_session {
            true => format!("agent:{agent_id}:cron:{job_id}:run:{}", random::uuid()).into(),
            false => base.into(),
        };
        let limit = config.agents.defaults.timeout_seconds.filter(|s| *s > 0).map(Duration::from_secs);
        let run_id: RunId = format!("heartbeat:{agent_id}:{slot}").into();
        let input = Input {
            text: settings.prompt.map_or_else(|| PROMPT.into(), Into::into),
            model: settings.model,
            light: settings.light_context,
            unattended: true,
            created_via: "cron",
            ..Input::default()
        };
        let new = NewRun {
            run_id: run_id.clone(),
            session_key: key.clone(),
            agent_id: agent_id.clone(),
            input,
            starter: Starter::Inbox,
            conn: 0,
            timeout: Some(limit.unwrap_or(every.min(LONGEST))),
            received: now.at,
        };
        self.cron.brake.begins(&agent_id, now.at);
        let beat = Beat { agent_id, route: route.ok().filter(|_| !silent) };
        self.cron.heart.turns.insert(run_id.clone(), Turn { session_key: key, begun: now.at, beat: Some(beat) });
        if let Err(error) = self.begin_own(new, now) {
            self.cron.heart.turns.remove(&run_id);
            let event = HeartbeatEvent { message: Some(error.message), ..happened("failed", Some("refused"), now) };
            self.tell_heartbeat(event);
        }
    }

    /// Whether the run was a heartbeat or a wake; then its end is taken care of.
    pub(super) fn heartbeat_ended(&mut self, run_id: &RunId, outcome: &Outcome, now: Now) -> bool {
        let Some(turn) = self.cron.heart.turns.remove(run_id) else { return false };
        let came = came_of(outcome, &turn.session_key);
        self.count_automatic(false, outcome.status, came.error_reason.as_deref(), outcome.usage.total_tokens, now);
        let Some(beat) = turn.beat else { return true };
        let took = u64::try_from(now.at.saturating_duration_since(turn.begun).as_millis()).ok();
        let config = self.shared.config.get();
        let settings = of_agent(&config, &beat.agent_id).map(|(settings, _)| settings).unwrap_or_default();
        let said = without_ack(&outcome.text, settings.ack_max_chars.unwrap_or(ACK_CHARS));
        let preview = said.map(|text| cut(text, 200).to_string());
        let event = match (outcome.status, said, beat.route) {
            (Status::Ok, None, _) => {
                let word = if outcome.text.trim().is_empty() { "ok-empty" } else { "ok-token" };
                HeartbeatEvent { duration_ms: took, ..happened(word, None, now) }
            }
            (Status::Ok, Some(_), None) => {
                HeartbeatEvent { duration_ms: took, preview, ..happened("skipped", Some("target-none"), now) }
            }
            (Status::Ok, Some(text), Some(route)) => {
                let (hub, text, shown) = (self.hub.clone(), text.to_string(), route.clone());
                let done = Box::new(move |result: Result<(), String>| {
                    // The gateway is stopping: nobody is left to be told.
                    let _ = hub.tell("heartbeat delivered", move |state, now| {
                        let (word, why) = match result {
                            Ok(()) => ("sent", None),
                            Err(why) => ("failed", Some(why)),
                        };
                        let event = HeartbeatEvent {
                            duration_ms: took,
                            preview,
                            message: why,
                            channel: Some(shown.channel),
                            to: Some(shown.to),
                            ..happened(word, None, now)
                        };
                        state.tell_heartbeat(event);
                    });
                });
                self.cron.outlet.send(route, text, done);
                return true;
            }
            (_, _, _) => HeartbeatEvent {
                duration_ms: took,
                message: came.error,
                ..happened("failed", came.error_reason.as_deref(), now)
            },
        };
        self.tell_heartbeat(event);
        true
    }

    fn tell_heartbeat(&mut self, event: HeartbeatEvent) {
        log::debug!(target: "heartbeat", "{} {}", event.status, event.reason.as_deref().unwrap_or(""));
        self.peers.broadcast(&kinds::HEARTBEAT, &event, None, |_| true);
        self.cron.heart.last = Some(event);
    }

    /// News for an agent: with its next turn, or in a turn of its own as soon as the brake lets it.
    pub fn wake(
        &mut self,
        agent_id: &str,
        session_key: &str,
        text: String,
        mode: WakeMode,
        now: Now,
    ) -> Result<Queued, RpcError> {
        if self.is_stopping() {
            return Err(RpcError::unavailable("gateway stopping; retry shortly").retry_after(1500));
        }
        let queued = self.wakes.put(session_key, text);
        if mode == WakeMode::Now && queued != Queued::Full {
            self.rouse(agent_id, session_key, now);
        }
        Ok(queued)
    }

    /// Begins the turn that tells an agent its news, or sees to it that it begins later.
    pub(in crate::hub) fn rouse(&mut self, agent_id: &str, session_key: &str, now: Now) {
        self.cron.heart.held.remove(session_key);
        let config = self.shared.config.get();
        if let Some(why) = self.cron.brake.stopped(config.cron.max_tokens_per_day, now.ms) {
            log::warn!("news for {} waits for its next turn: {why}", cut(session_key, 128));
            return;
        }
        if let Some(pause) = self.cron.brake.pause(agent_id, now.at) {
            if self.cron.heart.held.len() < HELD && self.cron.heart.held.insert(session_key.to_string()) {
                self.timers.at(now.at + pause, Due::Wake(agent_id.into(), session_key.into()));
            }
            return;
        }
        let waiting = self.wakes.take(session_key);
        if waiting.is_empty() {
            return;
        }
        let said: Vec<String> = waiting.iter().map(|news| format!("System: {news}")).collect();
        let run_id: RunId = format!("wake-{}", random::uuid()).into();
        let key: Arc<str> = session_key.into();
        let new = NewRun {
            run_id: run_id.clone(),
            session_key: key.clone(),
            agent_id: agent_id.into(),
            input: Input { text: said.join("\n").into(), unattended: true, created_via: "hook", ..Input::default() },
            starter: Starter::Inbox,
            conn: 0,
            timeout: config.agents.defaults.timeout_seconds.filter(|s| *s > 0).map(Duration::from_secs),
            received: now.at,
        };
        self.cron.brake.begins(agent_id, now.at);
        self.cron.heart.turns.insert(run_id.clone(), Turn { session_key: key, begun: now.at, beat: None });
        if let Err(error) = self.begin_own(new, now) {
            self.cron.heart.turns.remove(&run_id);
            log::warn!("news for {} could not begin a turn: {}", cut(session_key, 128), error.message);
            for news in waiting {
                self.wakes.put(session_key, news);
            }
        }
    }
}

fn happened(status: &'static str, reason: Option<&str>, now: Now) -> HeartbeatEvent {
    HeartbeatEvent {
        ts: now.ms,
        status,
        reason: reason.map(str::to_string),
        duration_ms: None,
        message: None,
        preview: None,
        channel: None,
        to: None,
    }
}

fn spec_of(agent_id: &str, every_ms: u64, now_ms: u64) -> CronSpec {
    CronSpec {
        name: format!("heartbeat-{agent_id}"),
        declaration_key: Some(format!("heartbeat:{agent_id}")),
        display_name: Some(format!("Heartbeat ({agent_id})")),
        owner: None,
        agent_id: Some(agent_id.into()),
        session_key: None,
        description: None,
        enabled: true,
        delete_after_run: None,
        schedule: CronSchedule::Every { every_ms, anchor_ms: Some(now_ms) },
        pacing: None,
        trigger: None,
        session_target: "main".into(),
        wake_mode: WakeMode::NextHeartbeat,
        payload: CronPayload::Heartbeat,
        delivery: None,
        failure_alert: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::Record;
    use super::super::schedule::Schedule;
    use super::*;

    #[test]
    fn intervals_are_read() {
        let s = Duration::from_secs;
        for (text, read) in [
            ("30m", Some(s(1800))),
            ("2h", Some(s(7200))),
            ("1h30m", Some(s(5400))),
            ("45", Some(s(2700))),
            ("500ms", Some(Duration::from_millis(500))),
            ("0m", Some(s(0))),
            ("", None),
            ("h", None),
            ("10x", None),
            ("1h30", None),
            ("99999999999h", None),
        ] {
            assert_eq!(interval(text), read, "{text:?}");
        }
    }

    #[test]
    fn active_hours_follow_their_zone_over_midnight_too() {
        let hours = |start: &str, end: &str, zone: &str| ActiveHours {
            start: Some(start.into()),
            end: Some(end.into()),
            timezone: Some(zone.into()),
        };
        // 2026-11-22 is winter time: 12:00 UTC is 13:00 in Berlin and 07:00 in New York.
        let noon = 1_795_348_800_000;
        let awake = |hours: &ActiveHours| is_awake(Some(hours), None, noon);
        assert!(is_awake(None, None, noon));
        assert!(awake(&hours("13:00", "22:00", "Europe/Berlin")) && !awake(&hours("09:00", "13:00", "Europe/Berlin")));
        assert!(!awake(&hours("09:00", "22:00", "America/New_York")));
        assert!(awake(&hours("22:00", "08:00", "America/New_York")), "over midnight");
        assert!(awake(&hours("00:00", "24:00", "utc")) && !awake(&hours("08:00", "08:00", "utc")));
        assert!(!awake(&hours("25:00", "26:00", "utc")) && !awake(&hours("00:00", "24:00", "Mars/Olympus")));
    }

    #[test]
    fn acknowledgements_are_not_delivered_and_words_are() {
        assert_eq!(without_ack("NO_REPLY", 300), None);
        assert_eq!(without_ack(" HEARTBEAT_OK all quiet ", 300), None);
        assert_eq!(without_ack("all quiet HEARTBEAT_OK", 5), Some("all quiet"));
        assert_eq!(
            without_ack("The oven is on. NO_REPLY is a word.", 300),
            Some("The oven is on. NO_REPLY is a word.")
        );
        assert_eq!(without_ack("", 300), None);
    }

    #[test]
    fn only_agents_with_a_heartbeat_of_their_own_have_one_if_any_has() {
        let config = |text: &str| {
            let agents = serde_json::from_str(text).expect("agents");
            Config { agents, ..Config::default() }
        };
        let none = config(r#"{"defaults":{}}"#);
        assert!(of_agent(&none, "main").is_none(), "off unless an interval is set");
        let shared = config(r#"{"defaults":{"heartbeat":{"every":"30m"}},"entries":{"a":{},"b":{}}}"#);
        assert!(of_agent(&shared, "a").is_some() && of_agent(&shared, "b").is_some());
        let own = config(
            r#"{"defaults":{"heartbeat":{"every":"30m","target":"last"}},"entries":{"a":{},"b":{"heartbeat":{"every":"1h"}}}}"#,
        );
        assert!(of_agent(&own, "a").is_none());
        let (settings, every) = of_agent(&own, "b").expect("b has one");
        assert_eq!((every.as_secs(), settings.target.as_deref()), (3600, Some("last")));
        assert!(of_agent(&config(r#"{"defaults":{"heartbeat":{"every":"0m"}}}"#), "main").is_none());
        assert!(of_agent(&config(r#"{"defaults":{"heartbeat":{"every":"soon"}}}"#), "main").is_none());
    }

    #[test]
    fn the_job_of_a_heartbeat_is_stored_like_any_other() {
        let job = Job::new("heartbeat-main".into(), spec_of("main", 60_000, 1), 1).expect("a job");
        let text = serde_json::to_string(&job.record).expect("writes");
        let record: Record = serde_json::from_str(&text).expect("reads");
        let job = Job::of(record).expect("a job");
        assert!(job.is_heartbeat() && matches!(job.schedule, Schedule::Every { .. }));
    }
}

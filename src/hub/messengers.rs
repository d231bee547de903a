//! The messengers' accounts: which run, what is known of each, and the way from a message that is safe to its run.
//!
//! Owned by the state thread. An account's own threads are [`crate::channels::supervisor`]'s; here are only handles, and
//! nothing here waits: starting an account starts its threads, stopping it drops the handle.
//!
//! Invariants: an account has at most one life at a time, and news of an older life change nothing; a message that was
//! admitted has a run, waits in `held` or `backlog`, or lies in the inbox for the next start.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::run::{Input, NewRun, RunId, Starter, Waiting};
use super::ticket::Ticket;
use super::timers::Due;
use super::{Now, State};
use crate::channels::supervisor::{self, Preview, Running};
use crate::channels::{Account, AccountKey, Admitted, ChannelEvent, Host, Outbound, Target, inbound};
use crate::config::Config;
use crate::store::outbox;
use crate::sys::order;
use crate::wire::channels::SendResult;
use crate::wire::error::RpcError;
use crate::wire::misfit;
use crate::wire::sorted::Sorted;

/// Between two looks at a run whose answer is shown while it is made.
const PREVIEW: Duration = Duration::from_millis(1200);
/// Services show "typing" for about five seconds.
const TYPING_EVERY: u32 = 4;
/// A draft with less to read is not worth a message.
const DRAFT_LEAST: usize = 24;
/// A caller of `send` hears by then what became of it.
const SEND_WAIT: Duration = Duration::from_secs(30);
/// A text this long may be one piece of a longer one: the rest is waited for.
const LONG_PIECE: usize = 3_500;
const LONG_WAIT: Duration = Duration::from_millis(1500);

/// All accounts, and messages on their way to a run.
#[derive(Default)]
pub struct Messengers {
    host: Option<Host>,
    accounts: Sorted<AccountKey, Entry>,
    /// Lives are numbered; a number is never used twice.
    lives: u64,
    /// Text that may go on, by session and sender.
    held: HashMap<String, Vec<Admitted>>,
    /// Messages for which there was no room.
    backlog: VecDeque<Admitted>,
    /// Who waits for a message to go out, by its key.
    waiting: HashMap<String, Vec<Ticket>>,
}

struct Entry {
    account: Arc<Account>,
    running: Option<Running>,
    /// Stopped by hand: a change of the configuration does not start it.
    halted: bool,
    facts: Facts,
}

/// What is known of an account.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub connected: bool,
    pub identity: String,
    /// Tries since it last worked.
    pub attempts: u32,
    pub last_error: Option<String>,
    /// Somebody has to do something.
    pub ended: bool,
    pub started_ms: Option<u64>,
    pub stopped_ms: Option<u64>,
    pub connected_ms: Option<u64>,
    pub inbound_ms: Option<u64>,
    pub outbound_ms: Option<u64>,
    /// The service was heard, whether or not anybody wrote.
    pub alive_ms: Option<u64>,
    pub retry_at_ms: Option<u64>,
}

/// One account as `channels.status` needs it.
#[derive(Clone)]
pub struct Look {
    pub account: Arc<Account>,
    pub facts: Facts,
    pub running: bool,
    pub channel: Option<Arc<dyn crate::channels::Channel>>,
}

impl Messengers {
    pub fn new(host: Host) -> Messengers {
        Messengers { host: Some(host), ..Messengers::default() }
    }

    /// All accounts, in the order of the table.
    pub fn looks(&self) -> Vec<Look> {
        let mut looks: Vec<Look> = self.accounts.values().map(Entry::look).collect();
        let place = |look: &Look| crate::channels::CHANNELS.iter().position(|spec| spec.id == look.account.spec.id);
        order::by_key(&mut looks, |look| (place(look), look.account.key.account.clone()));
        looks
    }

    pub fn look(&self, channel: &str, account: &str) -> Option<Look> {
        self.entry(channel, account).map(Entry::look)
    }

    /// Where an HTTP request for an account goes.
    pub fn receiver(
        &self,
        channel: &str,
        account: &str,
    ) -> Option<(Arc<dyn crate::channels::Channel>, Arc<crate::channels::Inbound>)> {
        let running = self.entry(channel, account)?.running.as_ref()?;
        Some((running.channel.clone(), running.inbound.clone()))
    }

    /// The outbox of a target's account has something new.
    pub fn poke(&self, to: &Target) {
        if let Some(running) = self.entry(&to.channel, &to.account).and_then(|entry| entry.running.as_ref()) {
            running.poke();
        }
    }

    fn entry(&self, channel: &str, account: &str) -> Option<&Entry> {
        self.accounts.iter().find(|(key, _)| key.channel == channel && &*key.account == account).map(|(_, entry)| entry)
    }

    /// Makes the accounts what the configuration says; those that did not change go on undisturbed.
    fn apply(&mut self, config: &Config) {
        let wanted = crate::channels::accounts(config);
        self.accounts.retain(|key, _| wanted.iter().any(|account| account.key == *key));
        for account in wanted {
            let (key, account) = (account.key.clone(), Arc::new(account));
            let halted = match self.accounts.get_mut(&key) {
                Some(entry) if !entry.account.needs_restart(&account) => {
                    entry.account = account;
                    continue;
                }
                Some(entry) => entry.halted,
                None => false,
            };
            self.begin(account, halted);
        }
    }

    /// Begins a new life of an account; an older one ends first.
    fn begin(&mut self, account: Arc<Account>, halted: bool) {
        let key = account.key.clone();
        let before = self.accounts.remove(&key).and_then(|entry| entry.running);
        let ended = before.as_ref().map(Running::ended);
        drop(before);
        let mut entry = Entry { account: account.clone(), running: None, halted, facts: Facts::default() };
        if account.enabled
            && !halted
            && let Some(host) = &self.host
        {
            self.lives += 1;
            match supervisor::start(host, account, self.lives, ended) {
                Ok(running) => {
                    log::info!("{key}: started ({})", running.channel.mode());
                    entry.running = Some(running);
                }
                Err(error) => {
                    log::error!("{key}: {error}");
                    entry.facts.ended = true;
                    entry.facts.last_error = Some(error.to_string());
                }
            }
        }
        self.accounts.insert(key, entry);
    }

    /// Ends every account: the gateway stops.
    pub fn end(&mut self) {
        self.accounts.clear();
    }
}

impl Entry {
    fn look(&self) -> Look {
        Look {
            account: self.account.clone(),
            facts: self.facts.clone(),
            running: self.running.is_some() && !self.facts.ended,
            channel: self.running.as_ref().map(|running| running.channel.clone()),
        }
    }
}

impl State {
    /// Starts, stops and restarts accounts as the configuration says.
    pub fn apply_channels(&mut self) {
        let config = self.shared.config.get();
        self.messengers.apply(&config);
        self.forget_health();
    }

    /// Starts accounts of a messenger by hand; `None`: all of them. Answers how many there are.
    pub fn start_channel(&mut self, channel: &str, account: Option<&str>) -> usize {
        let keys = self.channel_keys(channel, account);
        for key in &keys {
            let Some(entry) = self.messengers.accounts.get(key) else { continue };
            if entry.running.is_none() || entry.facts.ended {
                let account = entry.account.clone();
                self.messengers.begin(account, false);
            }
        }
        self.forget_health();
        keys.len()
    }

    /// Stops accounts of a messenger until they are started by hand or the gateway starts again.
    pub fn stop_channel(&mut self, channel: &str, account: Option<&str>, now: Now) -> usize {
        let keys = self.channel_keys(channel, account);
        for key in &keys {
            if let Some(entry) = self.messengers.accounts.get_mut(key) {
                entry.halted = true;
                if entry.running.take().is_some() {
                    entry.facts.connected = false;
                    entry.facts.stopped_ms = Some(now.ms);
                    log::info!("{key}: stopped");
                }
            }
        }
        self.forget_health();
        keys.len()
    }

    fn channel_keys(&self, channel: &str, account: Option<&str>) -> Vec<AccountKey> {
        let wanted = |key: &&AccountKey| key.channel == channel && account.is_none_or(|id| id == &*key.account);
        self.messengers.accounts.keys().filter(wanted).cloned().collect()
    }

    pub(super) fn on_channel(&mut self, key: &AccountKey, life: u64, event: ChannelEvent, now: Now) {
        // What is safe is safe, whoever took it in.
        match event {
            ChannelEvent::Arrived(admitted) => {
                for _ in &admitted {
                    self.recorder.message("message.received", key.channel, None, now);
                }
                return self.arrived(admitted, now);
            }
            ChannelEvent::Delivered { key: ref message, ref id } => {
                self.recorder.message("message.delivery.completed", key.channel, Some("completed"), now);
                self.sent(message, Ok(id));
            }
            ChannelEvent::Dropped { key: ref message, ref error } => {
                self.recorder.message("message.delivery.error", key.channel, Some("error"), now);
                self.sent(message, Err(error));
            }
            _ => {}
        }
        let Some(entry) = self.messengers.accounts.get_mut(key) else { return };
        if entry.running.as_ref().is_none_or(|running| running.life != life) {
            return;
        }
        let facts = &mut entry.facts;
        let before = (facts.connected, facts.ended);
        match event {
            ChannelEvent::Started => {
                facts.started_ms = Some(now.ms);
                facts.retry_at_ms = None;
            }
            ChannelEvent::Connected { identity } => {
                log::info!("{key}: connected as {}", identity.escape_debug());
                facts.identity = identity;
                facts.connected = true;
                facts.connected_ms = Some(now.ms);
                facts.alive_ms = Some(now.ms);
                facts.last_error = None;
            }
            ChannelEvent::Alive => {
                facts.alive_ms = Some(now.ms);
                facts.attempts = 0;
            }
            ChannelEvent::Down { error, attempts, retry_at_ms } => {
                facts.connected = false;
                facts.attempts = attempts;
                facts.last_error = Some(error);
                facts.retry_at_ms = Some(retry_at_ms);
            }
            ChannelEvent::Ended { error } => {
                facts.connected = false;
                facts.ended = true;
                facts.last_error = Some(error);
                facts.stopped_ms = Some(now.ms);
            }
            ChannelEvent::Stopped => {
                facts.connected = false;
                facts.stopped_ms = Some(now.ms);
            }
            ChannelEvent::Delivered { .. } => facts.outbound_ms = Some(now.ms),
            ChannelEvent::NotDelivered { error } | ChannelEvent::Dropped { error, .. } => {
                facts.last_error = Some(error)
            }
            ChannelEvent::Arrived(_) => {}
        }
        if before != (facts.connected, facts.ended) {
            self.forget_health();
        }
    }

    /// Messages that are safe become runs.
    fn arrived(&mut self, admitted: Vec<Admitted>, now: Now) {
        for message in admitted {
            self.messengers.note_inbound(&message.target, now);
            self.note_talk(&message.agent_id, &message.session_key, &message.target);
            if message.run_id.is_empty() {
                self.messengers.poke(&message.target);
                continue;
            }
            if matches!(message.text.trim(), "/stop" | "/abort") && self.shared.config.get().commands.text {
                self.stop_by_message(&message, now);
                continue;
            }
            if self.shared.config.get().commands.text && self.approve_by_message(&message, now) {
                continue;
            }
            let name = format!("{}\u{1f}{}\u{1f}{}", message.session_key, message.target.place(), message.sender);
            let wait = self.debounce(&message);
            if message.plain && !wait.is_zero() {
                let held = self.messengers.held.entry(name.clone()).or_default();
                held.push(message);
                self.timers.at(now.at + wait, Due::Held(name, held.len()));
                continue;
            }
            // What is no plain text ends what it follows.
            self.release(&name, now);
            self.begin_admitted(vec![message], now);
        }
    }

    fn debounce(&self, message: &Admitted) -> Duration {
        let config = self.shared.config.get();
        let own = crate::channels::find(&message.target.channel).map_or(0, |spec| spec.debounce_ms);
        let inbound = &config.messages.inbound;
        let set = inbound.by_channel.get(&message.target.channel).copied().or(inbound.debounce_ms);
        let wait = Duration::from_millis(set.unwrap_or(own).min(60_000));
        if own > 0 && message.text.len() >= LONG_PIECE { wait.max(LONG_WAIT) } else { wait }
    }

    /// Nothing more came: what was held becomes one run. `count`: how many there were when the timer was set.
    pub(super) fn held_is_due(&mut self, name: &str, count: usize, now: Now) {
        if self.messengers.held.get(name).is_some_and(|held| held.len() == count) {
            self.release(name, now);
        }
    }

    fn release(&mut self, name: &str, now: Now) {
        if let Some(held) = self.messengers.held.remove(name) {
            self.begin_admitted(held, now);
        }
    }

    /// One run of one message, or of several that belong together; the last one is answered.
    fn begin_admitted(&mut self, mut messages: Vec<Admitted>, now: Now) {
        let Some(last) = messages.pop() else { return };
        if self.is_stopping() {
            // It lies in the inbox for the next start.
            return;
        }
        if !self.runs.has_room(&last.session_key) {
            log::warn!("{} messages of session {} wait for room", messages.len() + 1, last.session_key);
            messages.push(last);
            self.messengers.backlog.extend(messages);
            return;
        }
        let input = |message: &Admitted| misfit::read::<Waiting>(&message.payload).map(Waiting::into_input);
        let Ok(mut own) = input(&last) else {
            log::error!("a stored message cannot be read and is left in the inbox");
            return;
        };
        let mut text = String::new();
        for message in &messages {
            if let Ok(Input { text: before, parts, .. }) = input(message) {
                text.push_str(&before);
                text.push('\n');
                own.parts.splice(0..0, parts);
            }
            own.absorbed.push(RunId::from(message.run_id.as_str()));
        }
        own.text = format!("{text}{}", own.text.as_str()).into();
        own.queue = Some(self.runs.queue_mode(&last.session_key, None));
        let config = self.shared.config.get();
        let limit = config.agents.defaults.timeout_seconds.filter(|s| *s > 0).unwrap_or(48 * 3600);
        let run = NewRun {
            run_id: last.run_id.as_str().into(),
            session_key: last.session_key.into(),
            agent_id: last.agent_id.into(),
            input: own,
            starter: Starter::Inbox,
            conn: 0,
            timeout: Some(Duration::from_secs(limit)),
            received: now.at,
        };
        self.begin_run(run, now);
    }

    /// A run ended: messages for which there was no room may have it now.
    pub(super) fn resume_backlog(&mut self, now: Now) {
        for _ in 0..self.messengers.backlog.len() {
            let Some(message) = self.messengers.backlog.pop_front() else { return };
            // One without room goes to the end again.
            self.begin_admitted(vec![message], now);
        }
    }

    /// `/stop` does not wait behind what it stops.
    fn stop_by_message(&mut self, message: &Admitted, now: Now) {
        let stopped = self.abort_runs(&message.session_key, None, now).len();
        let text = match stopped {
            0 => "Nothing is running here.",
            _ => "Stopped.",
        };
        self.answer_message(message, text, now);
    }

    /// Puts a message into the outbox and answers `ticket` when the service has taken it.
    pub fn send_message(&mut self, key: &str, outs: Vec<Outbound>, ticket: Ticket, now: Now) {
        let Some(first) = outs.first() else {
            ticket.answer(Err(RpcError::invalid("there is nothing to send")));
            return;
        };
        let to = first.to.clone();
        let ms = i64::try_from(now.ms).unwrap_or(i64::MAX);
        let rows: Vec<_> = outs.iter().enumerate().map(|(at, out)| inbound::row(key, at, out, ms)).collect();
        let last = rows.last().map(|row| row.key.clone()).unwrap_or_default();
        let (hub, name) = (self.hub.clone(), last.clone());
        self.messengers.waiting.entry(last.clone()).or_default().push(ticket);
        self.timers.at(now.at + SEND_WAIT, Due::SendDeadline(last.clone()));
        self.store.submit(
            "put a message into the outbox",
            move |conn| {
                for row in &rows {
                    outbox::put(conn, row)?;
                }
                outbox::sent(conn, &last)
            },
            move |result| {
                let told = hub.tell("message stored", move |state, _| match result {
                    // It went out before, in whatever life.
                    Ok(Some(id)) if !id.is_empty() => state.sent(&name, Ok(&id)),
                    Ok(_) => state.messengers.poke(&to),
                    Err(error) => state.sent(&name, Err(&error.to_string())),
                });
                // The gateway is stopping: the ticket answers when it is dropped.
                let _ = told;
            },
        );
    }

    /// Tells those who wait what became of a message.
    fn sent(&mut self, key: &str, result: Result<&str, &str>) {
        self.part_delivered(key, result);
        for ticket in self.messengers.waiting.remove(key).into_iter().flatten() {
            ticket.answer_with(match result {
                Ok(id) => Ok(SendResult::of(key, id)),
                Err(why) => Err(RpcError::unavailable(format!("the message was not sent: {why}"))),
            });
        }
    }

    pub(super) fn send_deadline(&mut self, key: &str) {
        self.sent(key, Err("it is still waiting; it goes out when the messenger takes it within 10 minutes"));
    }

    /// Shows of a run that is answered in a messenger what there is, and looks again.
    pub(super) fn preview(&mut self, run_id: &RunId, turn: u32, now: Now) {
        let Some(run) = self.runs.get_mut(run_id).filter(|run| !run.closed) else { return };
        let Some(to) = run.reply.clone() else { return };
        run.collect();
        let text = run.text.trim();
        let entry = self.messengers.entry(&to.channel, &to.account);
        let Some((entry, running)) = entry.and_then(|entry| Some((entry, entry.running.as_ref()?))) else { return };
        let drafts = entry.account.spec.drafts && streams(&entry.account);
        if drafts && text.len() >= DRAFT_LEAST && run.previewed != text.len() && !text.starts_with("NO_REPLY") {
            let draft = Preview::Draft { run: run_id.to_string(), to: (*to).clone(), text: text.to_owned() };
            running.show(draft);
            run.previewed = text.len();
        } else if turn.is_multiple_of(TYPING_EVERY) {
            running.show(Preview::Typing((*to).clone()));
        }
        self.timers.at(now.at + PREVIEW, Due::Preview(run_id.clone(), turn.wrapping_add(1)));
    }
}

impl Messengers {
    fn note_inbound(&mut self, target: &Target, now: Now) {
        let entry =
            self.accounts.iter_mut().find(|(key, _)| key.channel == target.channel && *key.account == *target.account);
        if let Some((_, entry)) = entry {
            entry.facts.inbound_ms = Some(now.ms);
        }
    }
}

/// `streaming`: a word, an object with `mode`, or a boolean; without it as is usual with the messenger.
fn streams(account: &Account) -> bool {
    match account.settings.get("streaming") {
        Some(serde_json::Value::Bool(on)) => *on,
        Some(serde_json::Value::String(word)) => word != "off",
        Some(serde_json::Value::Object(section)) if section.contains_key("mode") => section["mode"] != "off",
        _ => account.spec.streams,
    }
}

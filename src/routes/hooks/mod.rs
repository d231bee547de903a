//! Webhooks: `wake`, `agent` and mapped paths below `hooks.path`, with a token of their own.
//!
//! What a sender says is data from outside: an agent is shown it wrapped, unless the configuration trusts it. Nothing
//! runs scripts. A repeated idempotency key finds its run again through the run's own id, so there is no replay memory to
//! grow. A run whose answer goes into a messenger lies in the inbox until the answer is in the outbox, as a message that
//! came through one does.

mod guard;
mod mapping;
pub mod policy;
mod template;

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use serde::Deserialize;
use serde_json::Value;

use self::guard::Guard;
use self::mapping::{Action, AgentAction, Failed, Place};
use self::policy::Chosen;
use self::template::Scene;
use super::{HttpError, Visit, json_of, table, untrusted};
use crate::channels::{self, Target};
use crate::config::Config;
use crate::hub::announce::Announce;
use crate::hub::run::{Input, NewRun, Starter, Waiting};
use crate::hub::wakes::Queued;
use crate::hub::{Ticket, main_key, outgoing};
use crate::net::{Exchange, Reply, Waited};
use crate::rpc::run_limit;
use crate::store::inbox::{self, InboxRow};
use crate::store::runs;
use crate::sys::{clock, random};
use crate::wire::cron;
use crate::wire::frame::cut;
use crate::wire::hooks::*;
use crate::wire::misfit;

/// Longest idempotency key that counts; a longer one is as good as none.
const KEY_LENGTH: usize = 256;
/// Longest wait for the end of a run on behalf of a sender.
const COMPLETION: Duration = Duration::from_secs(24 * 3600);

/// What connection threads share about webhooks.
#[derive(Default)]
pub struct Hooks {
    guard: Guard,
}

/// A request below `hooks.path`.
pub fn receive(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    authenticate(visit, exchange)?;
    let path = visit.rest.trim_matches('/').to_string();
    if path.is_empty() {
        return Err(HttpError::not_found());
    }
    let body = visit.body(exchange).map_err(|error| match error.status() {
        413 => HttpError::hook(413, "payload too large").and_close(),
        408 => HttpError::hook(408, "request body timeout").and_close(),
        _ => error,
    })?;
    let payload: Value = match body.trim_ascii().is_empty() {
        true => Value::Object(serde_json::Map::new()),
        false => misfit::read_bytes(&body)
            .map_err(|misfit| HttpError::hook(400, format!("Invalid JSON: {}", misfit.sentence())))?,
    };
    match path.as_str() {
        "wake" => wake(visit, &payload),
        "agent" => agent(visit, exchange, &payload),
        path => mapped(visit, exchange, path, &payload),
    }
}

/// The hook token, in a header. In the query it would end up in logs, so it is refused there even when right.
fn authenticate(visit: &Visit<'_>, exchange: &Exchange<'_>) -> Result<(), HttpError> {
    if exchange.query().split('&').any(|pair| pair == "token" || pair.starts_with("token=")) {
        let text = "Hook token must be provided via Authorization: Bearer <token> or X-OpenClaw-Token header (query \
                    parameters are not allowed).";
        return Err(HttpError::plain(400, text));
    }
    let bearer = exchange.header("authorization").and_then(|header| {
        let (scheme, value) = header.trim().split_once(' ')?;
        let value = value.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !value.is_empty()).then_some(value)
    });
    let offered = bearer.or_else(|| exchange.header("x-openclaw-token").map(str::trim)).unwrap_or_default();
    let right = visit.config.hooks.token.as_ref().is_some_and(|token| !offered.is_empty() && token.matches(offered));
    let guard = &visit.site.hooks.guard;
    match (right, visit.peer.ip) {
        (true, ip) => {
            if let Some(ip) = ip {
                guard.succeeded(ip);
            }
            Ok(())
        }
        (false, Some(ip)) => match guard.failed(ip, Instant::now()) {
            Some(wait) => Err(HttpError::plain(429, "Too Many Requests").retry_after(wait.as_secs().max(1))),
            None => Err(HttpError::plain(401, "Unauthorized")),
        },
        (false, None) => Err(HttpError::plain(401, "Unauthorized")),
    }
}

fn bad(message: impl Into<String>) -> HttpError {
    HttpError::hook(400, message)
}

/// A string of the payload without its edges; empty counts as absent.
fn text<'a>(payload: &'a Value, name: &str) -> Option<&'a str> {
    payload[name].as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The same for a field that must be right when it is there.
fn given<'a>(payload: &'a Value, name: &str) -> Result<Option<&'a str>, HttpError> {
    match (payload.get(name), text(payload, name)) {
        (Some(_), None) => Err(bad(format!("{name} must be a non-empty string"))),
        (_, text) => Ok(text),
    }
}

fn wake(visit: &Visit<'_>, payload: &Value) -> Result<Reply, HttpError> {
    let news = text(payload, "text").ok_or_else(|| bad("text required"))?;
    let mode = if payload["mode"] == "next-heartbeat" { WakeMode::NextHeartbeat } else { WakeMode::Now };
    let agent_id = policy::agent(&visit.config, given(payload, "agentId")?, true).map_err(bad)?;
    let key = given(payload, "sessionKey")?;
    if mode == WakeMode::NextHeartbeat && key.is_some() {
        return Err(bad("sessionKey requires mode=now"));
    }
    let outcome = rouse(visit, news.to_string(), mode, &agent_id, key, Chosen::Outside)?;
    json_of(200, &HookTaken { ok: true, mode: Some(mode), event_outcome: Some(outcome), ..HookTaken::default() })
}

/// Puts news before an agent, now or with its next turn.
fn rouse(
    visit: &Visit<'_>,
    news: String,
    mode: WakeMode,
    agent_id: &str,
    key: Option<&str>,
    chosen: Chosen,
) -> Result<&'static str, HttpError> {
    let key = key.map(|key| policy::requested(&visit.config.hooks, key, chosen)).transpose().map_err(bad)?;
    let key = policy::scoped(key.as_deref().unwrap_or("main"), agent_id, main_key(&visit.config));
    let agent_id = agent_id.to_string();
    let mode = moment(mode);
    let asked = visit.site.desk.hub.ask("hook wake", move |state, now| state.wake(&agent_id, &key, news, mode, now));
    let outcome = asked.map_err(|gone| HttpError::hook(503, gone.to_string()))?;
    match outcome.map_err(|error: crate::wire::error::RpcError| HttpError::hook(503, error.message))? {
        Queued::Queued => Ok("queued"),
        Queued::Coalesced => Ok("coalesced"),
        Queued::Full => Err(HttpError::hook(503, "too many sessions have events waiting")),
    }
}

fn moment(mode: WakeMode) -> cron::WakeMode {
    match mode {
        WakeMode::Now => cron::WakeMode::Now,
        WakeMode::NextHeartbeat => cron::WakeMode::NextHeartbeat,
    }
}

fn own_run(run_id: String, session_key: String, agent_id: String, limit: Duration) -> NewRun {
    NewRun {
        run_id: run_id.into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input { created_via: "hook", ..Input::default() },
        starter: Starter::Inbox,
        conn: 0,
        timeout: Some(limit),
        received: Instant::now(),
    }
}

fn agent(visit: &Visit<'_>, exchange: &mut Exchange<'_>, payload: &Value) -> Result<Reply, HttpError> {
    let message = text(payload, "message").ok_or_else(|| bad("message required"))?;
    let mode = match payload.get("sessionMode").map(Value::as_str) {
        None | Some(Some("isolated")) => SessionMode::Isolated,
        Some(Some("persistent")) => SessionMode::Persistent,
        Some(_) => return Err(bad("sessionMode must be isolated or persistent")),
    };
    let place = match payload["deliver"] == false {
        true => None,
        false => destination(payload)?,
    };
    if payload.get("model").is_some() && text(payload, "model").is_none() {
        return Err(bad("model required"));
    }
    let action = AgentAction {
        message: message.to_string(),
        name: text(payload, "name").unwrap_or("Hook").to_string(),
        agent_id: given(payload, "agentId")?.map(str::to_string),
        session_key: text(payload, "sessionKey").map(str::to_string),
        templated: true,
        mode,
        model: text(payload, "model").map(str::to_string),
        thinking: text(payload, "thinking").map(str::to_string),
        timeout_seconds: payload["timeoutSeconds"].as_f64().map(|s| s.floor() as u64).filter(|s| *s > 0),
        trusted: false,
        place,
        last: None,
        deliver: payload["deliver"] != false,
        wake: if payload["wakeMode"] == "next-heartbeat" { WakeMode::NextHeartbeat } else { WakeMode::Now },
    };
    if mode == SessionMode::Persistent
        && !(action.session_key.is_some()
            && visit.config.hooks.allow_request_session_key
            && policy::limits_keys(&visit.config.hooks))
    {
        return Err(bad("sessionMode persistent requires sessionKey, hooks.allowRequestSessionKey=true and \
                        hooks.allowedSessionKeyPrefixes"));
    }
    let agent_id = policy::agent(&visit.config, action.agent_id.as_deref(), true).map_err(bad)?;
    let key = idempotency_key(exchange, payload);
    let run_id = dispatch(visit, "agent", &action, &agent_id, key.as_deref())?;
    let completion = match payload["waitForCompletion"] == true {
        true => Some(completion(visit, exchange, &run_id)?),
        false => None,
    };
    json_of(200, &HookTaken { ok: true, run_id: Some(run_id), completion, ..HookTaken::default() })
}

/// Where a sender wants the answer to go: nowhere, or a messenger and a recipient.
fn destination(payload: &Value) -> Result<Option<Place>, HttpError> {
    let (channel, to) = (payload.get("channel"), payload.get("to"));
    let account = given(payload, "accountId")?.map(str::to_owned);
    if channel.is_none() && to.is_none() && account.is_none() {
        return Ok(None);
    }
    let known = |id: &Value| id == "last" || id.as_str().is_some_and(|id| channels::find(id.trim()).is_some());
    if channel.is_some_and(|id| !known(id)) {
        let ids: Vec<&str> = channels::CHANNELS.iter().map(|spec| spec.id).collect();
        return Err(bad(format!("channel must be last|{}", ids.join("|"))));
    }
    if to.is_some() && text(payload, "to").is_none() {
        return Err(bad("to must be a non-empty string for hook delivery"));
    }
    let (Some(channel), Some(to)) = (text(payload, "channel"), text(payload, "to")) else {
        return Err(bad("channel and to must be set together for hook delivery"));
    };
    if channel == "last" {
        return Err(bad("channel must name a concrete channel for hook delivery"));
    }
    Ok(Some(Place { channel: Some(channel.trim().to_owned()), to: to.to_owned(), account }))
}

/// The conversation an answer goes to, if it can go there.
fn target(config: &Config, place: &Place) -> Result<Target, HttpError> {
    let (channel, account) = (place.channel.as_deref(), place.account.as_deref());
    let wanted = outgoing::Wanted { channel, account, to: &place.to, thread: None, reply_to: None };
    outgoing::open_target(config, &wanted).map_err(|error| bad(error.message))
}

fn idempotency_key(exchange: &Exchange<'_>, payload: &Value) -> Option<String> {
    let fit = |key: &str| {
        let key = key.trim();
        (!key.is_empty() && key.len() <= KEY_LENGTH).then(|| key.to_string())
    };
    let header = |name| exchange.header(name).and_then(fit);
    header("idempotency-key")
        .or_else(|| header("x-openclaw-idempotency-key"))
        .or_else(|| payload["idempotencyKey"].as_str().and_then(fit))
}

/// Starts the run of an action and gives its id. With a key the id follows from what is asked: the same request finds
/// the same run.
fn dispatch(
    visit: &Visit<'_>,
    path: &str,
    action: &AgentAction,
    agent_id: &str,
    key: Option<&str>,
) -> Result<String, HttpError> {
    let hooks = &visit.config.hooks;
    let chosen = if action.templated { Chosen::Outside } else { Chosen::Inside };
    let asked = action.session_key.as_deref();
    let logical = policy::session_key(hooks, asked, chosen).map_err(bad)?;
    let model = action.model.as_deref().map(|name| model(visit, agent_id, name)).transpose()?;
    let run_id = match key {
        Some(key) => run_id(&[
            path,
            key,
            &action.message,
            agent_id,
            asked.unwrap_or_default(),
            model.as_deref().unwrap_or_default(),
        ]),
        None => random::uuid(),
    };
    let session_key = match action.mode {
        SessionMode::Persistent => policy::scoped(&logical, agent_id, main_key(&visit.config)),
        SessionMode::Isolated => {
            let logical = if asked.is_none() && hooks.default_session_key.is_none() { "hook" } else { &logical };
            format!("{}:{run_id}", policy::scoped(logical, agent_id, main_key(&visit.config)))
        }
    };
    let limit = action.timeout_seconds.map_or_else(|| run_limit(&visit.config), Duration::from_secs);
    let mut run = own_run(run_id.clone(), session_key, agent_id.to_string(), limit);
    run.input.text = match action.trusted {
        true => action.message.as_str().into(),
        false => format!("[{}]\n{}", cut(&action.name, 128), untrusted::wrapped(&action.message, "Webhook")).into(),
    };
    run.input.model = model;
    run.input.thinking = action.thinking.clone();
    let mut kept = false;
    let to = match (&action.place, &action.last) {
        (Some(place), _) => Some(target(&visit.config, place)?),
        (None, Some(channel)) => visit.site.desk.shared.talks.of(agent_id, channel.as_deref()),
        (None, None) => None,
    };
    match to {
        Some(to) => {
            run.input.reply = Some(Box::new(to));
            kept = keep(visit, &run)?;
        }
        None => {
            let (name, failures_only) = (action.name.clone(), !action.deliver);
            let (mode, foreign) = (moment(action.wake), !action.trusted);
            run.input.announce = Some(Box::new(Announce { name, mode, failures_only, foreign }));
        }
    }
    let id = run.run_id.to_string();
    let admitted = visit.site.desk.hub.ask("hook agent", move |state, now| state.begin_own(run, now));
    admitted.map_err(|gone| HttpError::hook(503, gone.to_string()))?.map_err(|error| {
        if kept {
            // It was not begun: the sender is told, and the next start must not begin it.
            visit.site.engine.store.submit("drop a hook", move |conn| inbox::remove(conn, &id), |_| {});
        }
        HttpError::hook(503, error.message)
    })?;
    Ok(run_id)
}

/// Puts a run into the inbox. False: it was made before, or is there already.
fn keep(visit: &Visit<'_>, run: &NewRun) -> Result<bool, HttpError> {
    let row = InboxRow {
        n: 0,
        run_id: run.run_id.to_string(),
        session_key: run.session_key.to_string(),
        agent_id: run.agent_id.to_string(),
        created_at_ms: i64::try_from(clock::now_ms()).unwrap_or(i64::MAX),
        attempts: 0,
        payload: Waiting::of(&run.input).to_json(),
    };
    let kept = visit.site.engine.store.write_sized("keep a hook", row.payload.len(), move |conn| {
        match runs::get(conn, &row.run_id)? {
            Some(_) => Ok(false),
            None => inbox::put(conn, &row),
        }
    });
    kept.map_err(|error| HttpError::hook(503, error.to_string()))
}

/// An id that follows from its parts.
fn run_id(parts: &[&str]) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        // With its length in front: no two lists of parts look the same.
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let digest = digest.finish();
    format!("hook-{}", random::to_hex(&digest.as_ref()[..16]))
}

fn model(visit: &Visit<'_>, agent_id: &str, name: &str) -> Result<String, HttpError> {
    let named = visit.config.model_for_alias(agent_id, name).unwrap_or(name);
    let policy = visit.config.model_policy(agent_id);
    match visit.site.engine.registry.get().find(named) {
        Ok(model) if policy.allows(&model.provider, &model.model) => Ok(name.to_string()),
        Ok(model) => Err(bad(policy.refusal(&model.to_string()))),
        Err(error) => Err(bad(format!("model: {error}"))),
    }
}

/// Waits for the end of a run; of the answer only its kind is told.
fn completion(visit: &Visit<'_>, exchange: &mut Exchange<'_>, run_id: &str) -> Result<HookCompletion, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ended {
        status: String,
        terminal_reply: Option<Terminal>,
    }
    #[derive(Deserialize)]
    struct Terminal {
        text: String,
    }
    let (answer, answered) = bounded(1);
    let ticket = Ticket::waited_for(answer, "hook completion", Instant::now());
    let (run_id, limit) = (run_id.to_string(), u64::try_from(COMPLETION.as_millis()).unwrap_or(u64::MAX));
    visit
        .site
        .desk
        .hub
        .tell("hook completion", move |state, now| state.wait_for_run(&run_id, limit, ticket, now))
        .map_err(|gone| HttpError::hook(503, gone.to_string()))?;
    let ended = match exchange.wait(&answered, None) {
        Waited::Got(Ok(payload)) => misfit::read::<Ended>(&payload.0).map_err(|_| HttpError::internal())?,
        Waited::Got(Err(error)) => return Err(HttpError::hook(503, error.message)),
        Waited::PeerGone => return Err(HttpError::hook(503, "the client left")),
        Waited::Ended | Waited::TimedOut => return Err(HttpError::hook(503, "the gateway is stopping")),
    };
    let said = ended.terminal_reply.is_some_and(|reply| !reply.text.trim().is_empty());
    Ok(HookCompletion {
        status: if ended.status == "ok" { "ok" } else { "error" },
        reply_disposition: if said { "visible" } else { "empty" },
    })
}

fn mapped(visit: &Visit<'_>, exchange: &Exchange<'_>, path: &str, payload: &Value) -> Result<Reply, HttpError> {
    let headers: Vec<(String, String)> =
        exchange.headers().map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
    let query = table::query(exchange.query());
    let now = clock::iso_now();
    let scene = Scene { payload, headers: &headers, query: &query, path, now: &now };
    let actions = mapping::apply(&visit.config.hooks, &scene).ok_or_else(HttpError::not_found)?;
    let actions = actions.map_err(|failed| match failed {
        Failed::Payload(words) => bad(words),
        Failed::Mapping(words) => {
            log::error!("webhook /{}: {words}", cut(path, 64));
            HttpError::hook(500, "hook mapping failed")
        }
    })?;
    if actions.is_empty() {
        return Ok(Reply::full(tiny_http::Response::empty(204)));
    }
    let key = idempotency_key(exchange, payload);
    let (mut taken, fan_out) = (HookTaken { ok: true, ..HookTaken::default() }, actions.len() > 1);
    for action in &actions {
        match action {
            Action::Wake { text, mode, agent_id, session_key, templated } => {
                let agent_id = policy::agent(&visit.config, agent_id.as_deref(), false).map_err(bad)?;
                let chosen = if *templated { Chosen::Outside } else { Chosen::Inside };
                let outcome = rouse(visit, text.clone(), *mode, &agent_id, session_key.as_deref(), chosen)?;
                taken.mode = (!fan_out).then_some(*mode);
                // Queued if any was.
                taken.event_outcome = taken.event_outcome.filter(|before| *before == "queued").or(Some(outcome));
            }
            Action::Agent(action) => {
                let agent_id = policy::agent(&visit.config, action.agent_id.as_deref(), false).map_err(bad)?;
                // Each item of a batch is told apart by what it says, with or without a key.
                let key = key.as_deref().or(fan_out.then_some("batch"));
                taken.run_ids.push(dispatch(visit, path, action, &agent_id, key)?);
            }
        }
    }
    taken.run_id = taken.run_ids.first().cloned();
    match fan_out {
        true => taken.dispatched = Some(actions.len()),
        false => taken.run_ids.clear(),
    }
    json_of(200, &taken)
}

//! `chat.send`, `chat.history`, `chat.abort`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::RawValue;

use super::delivery::{self, Place, filled};
use crate::auth::Caller;
use crate::config::Config;
use crate::hub::ground::{Ground, Reason};
use crate::hub::rows::session_row;
use crate::hub::run::{Input, NewRun, Starter};
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext, Ticket, main_key};
use crate::providers::Part;
use crate::store::sessions::SessionRow;
use crate::store::transcript::{self, Entry};
use crate::store::{StoreError, inbox, sessions};
use crate::wire::chat::*;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::scope::Scope;
use crate::wire::session;

/// Messages of one page when the caller names no limit.
const PAGE: u64 = 200;
/// Bytes of one page: a client on a phone asks for more when it wants more.
pub const PAGE_BYTES: usize = 2 << 20;
/// Waiting messages shown at once.
const PENDING: usize = 64;
/// Messages of which a caller asks at once whether they were taken up.
const INPUTS: usize = 50;
/// Bytes of one message in a page before it is cut.
const PAGE_CHARS: u64 = 500_000;

pub fn send(state: &mut State, who: &Arc<Caller>, params: ChatSendParams, ticket: Ticket, now: Now) {
    let prepared = match params {
        ChatSendParams::NoTarget => Err(no_target("chat.send")),
        ChatSendParams::Send(params) => prepare(state, who, *params),
    };
    match prepared {
        Ok(Sent::Stop { session_key, run_id }) => {
            state.abort_runs(&session_key, None, now);
            ticket.answer_with(Ok(ChatSendResult { run_id, status: "ok", server_timing: None }));
        }
        Ok(Sent::Run(run, None)) => begin(state, *run, ticket, now),
        Ok(Sent::Run(mut run, Some(Place::Named(target)))) => {
            run.input.reply = Some(target);
            begin(state, *run, ticket, now);
        }
        Ok(Sent::Run(mut run, Some(place))) => {
            let key = run.session_key.clone();
            state.change_session(
                ticket,
                "find a session",
                move |conn| Ok(Ok(sessions::get(conn, &key)?)),
                move |state, ticket, row, now| {
                    // A session nobody wrote to through a messenger is answered where it is.
                    let found = place.find(state, &run.agent_id, &run.session_key, row.as_ref());
                    run.input.reply = found.ok().map(Box::new);
                    begin(state, *run, ticket, now);
                },
            );
        }
        Err(error) => ticket.answer(Err(error)),
    }
}

fn begin(state: &mut State, run: NewRun, ticket: Ticket, now: Now) {
    let received = ticket.received;
    state.begin_delivered(NewRun { starter: Starter::Chat(ticket), received, ..run }, now);
}

enum Sent {
    /// With where the answer goes too.
    Run(Box<NewRun>, Option<Place>),
    /// `/stop` must not wait behind what it stops.
    Stop { session_key: String, run_id: String },
}

fn prepare(state: &State, who: &Arc<Caller>, params: ChatSend) -> Result<Sent, RpcError> {
    let config = state.shared.config.get();
    let admin = who.scopes.allows(Scope::Admin);
    let (session_key, agent_id) = target(&config, &params.session_key, params.agent_id.as_deref())?;
    still_holds(&config, &params)?;
    let place = origin(&config, &params, admin)?;
    let parts = attachments(&params.attachments, state.shared.boot.attachments())?;
    let mut text = params.message;
    let images = fold(parts, &mut text);
    if text.trim().is_empty() && images.is_empty() {
        return Err(RpcError::invalid("message or attachment required"));
    }
    let commands = params.suppress_command_interpretation != Some(true);
    if commands && matches!(text.trim(), "/stop" | "/abort") {
        return Ok(Sent::Stop { session_key, run_id: params.idempotency_key.0 });
    }
    let queue = state.runs.queue_mode(&session_key, params.queue_mode);
    let limit = params.timeout_ms.map(|ms| ms.0).filter(|ms| *ms > 0).map(Duration::from_millis);
    // What steers a run is said into the middle of it: the last message is another one by then.
    let leaf = params.expected_leaf_entry_id.0.filter(|_| params.queue_mode != Some(QueueMode::Steer));
    let ground = leaf
        .map(|leaf| Box::new(Ground { session_id: params.session_id.map(|id| id.0), leaf: Some(leaf.map(|id| id.0)) }));
    let run = NewRun {
        run_id: params.idempotency_key.0.as_str().into(),
        session_key: session_key.into(),
        agent_id: agent_id.into(),
        input: Input {
            text: text.into(),
            parts: images,
            thinking: params.thinking,
            commands,
            admin,
            created_via: "operator",
            queue: Some(queue),
            ground,
            answers: params.reply_to_id.map(|id| id.0),
            ..Input::default()
        },
        starter: Starter::Inbox,
        conn: who.conn,
        timeout: Some(limit.unwrap_or_else(|| run_limit(&config))),
        received: std::time::Instant::now(),
    };
    Ok(Sent::Run(Box::new(run), place))
}

/// What of a sender's view can be judged without the session: declines what it does not fit any more, and what this
/// gateway could not do.
fn still_holds(config: &Config, params: &ChatSend) -> Result<(), RpcError> {
    let declined = |words: &str, reason| Err(RpcError::invalid(words).details(&Reason { reason }));
    if params.intent.is_some() {
        return Err(RpcError::invalid("intent is not supported: sessions have no goals here; send the message alone"));
    }
    if params.tool_bindings.as_ref().is_some_and(|bindings| !bindings.is_empty()) {
        return Err(RpcError::invalid("toolBindings are not supported here; send the message without them"));
    }
    let routing = format!("per-sender|{}|{}", main_key(config), config.default_agent_id());
    if params.expected_session_routing_contract.as_deref().is_some_and(|known| known.trim().to_lowercase() != routing) {
        return declined("session routing changed; review and retry", "session-routing-changed");
    }
    let overrides = params.expected_tool_overrides.0.as_ref().and_then(Option::as_ref);
    let mode = params.expected_permission_mode.0.as_ref().and_then(Option::as_ref);
    if mode.is_some() || overrides.is_some_and(|known| !known.is_empty()) {
        return declined("Session settings changed before send. Retry.", "session-settings-changed");
    }
    Ok(())
}

/// Where an answer goes that does not only go to who follows the session.
fn origin(config: &Config, params: &ChatSend, admin: bool) -> Result<Option<Place>, RpcError> {
    let system = params.system_input_provenance.is_some() || params.system_provenance_receipt.is_some();
    if (system || params.suppress_command_interpretation == Some(true)) && !admin {
        return Err(RpcError::invalid("system provenance fields require admin scope"));
    }
    let (channel, to) = (filled(params.originating_channel.as_deref()), filled(params.originating_to.as_deref()));
    let account = filled(params.originating_account_id.as_deref());
    let thread = filled(params.originating_thread_id.as_deref());
    if channel.or(to).or(account).or(thread).is_none() {
        return Ok((params.deliver == Some(true)).then_some(Place::Last(None)));
    }
    if channel.is_none() {
        return Err(RpcError::invalid("originatingChannel is required when using originating route fields"));
    }
    if to.is_none() {
        return Err(RpcError::invalid("originatingTo is required when using originating route fields"));
    }
    if !admin {
        return Err(RpcError::invalid("originating route fields require admin scope"));
    }
    // A page's own conversation has no messenger.
    if channel.is_some_and(|channel| channel.eq_ignore_ascii_case("webchat")) {
        return Ok(None);
    }
    delivery::Asked { channel, account, to, thread }.place(config).map(Some)
}

/// How long a run may take: `agents.defaults.timeoutSeconds`; the reference's default is 48 hours.
pub fn run_limit(config: &Config) -> Duration {
    Duration::from_secs(config.agents.defaults.timeout_seconds.filter(|s| *s > 0).unwrap_or(48 * 3600))
}

/// The session a message is for, and its agent, which must exist.
pub fn target(config: &Config, key: &str, agent_id: Option<&str>) -> Result<(String, String), RpcError> {
    let default = config.default_agent_id().to_string();
    let wanted = agent_id.map_or(default.clone(), |id| id.trim().to_ascii_lowercase());
    let key = session::canonical(key, &wanted, main_key(config));
    let agent = session::agent_of(&key).map_or(default, |(agent, _)| agent.to_string());
    if !config.agent_ids().contains(&agent.as_str()) {
        return Err(RpcError::invalid(format!("unknown agent id \"{}\"", cut(&agent, 64))));
    }
    if agent_id.is_some() && agent != wanted {
        return Err(RpcError::invalid(format!(
            "agentId \"{}\" does not own session \"{}\"",
            cut(&wanted, 64),
            cut(&key, 128)
        )));
    }
    Ok((key, agent))
}

pub fn no_target(method: &str) -> RpcError {
    #[derive(Serialize)]
    struct Details<'a> {
        code: &'static str,
        method: &'a str,
    }
    RpcError::invalid("session mutation target is unavailable")
        .details(&Details { code: "SESSION_MUTATION_TARGET_REQUIRED", method })
}

/// Files that came with a message: images for the model to see, text for it to read.
pub enum File {
    Image(Part),
    Text { name: String, text: String },
}

pub fn attachments(list: &[Attachment], (max_bytes, max_image): (u64, u64)) -> Result<Vec<File>, RpcError> {
    let mut files = Vec::new();
    for (at, attachment) in list.iter().enumerate() {
        let name = attachment.file_name.clone().unwrap_or_else(|| format!("attachment {}", at + 1));
        let bad = |why: String| RpcError::invalid(format!("attachment \"{}\": {why}", cut(&name, 128)));
        let content = attachment.content.as_deref().ok_or_else(|| bad("content is missing".into()))?;
        let (mime, data) = match content.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((mime, data)) => (mime.to_string(), data),
            None => (attachment.mime_type.clone().unwrap_or_default(), content),
        };
        let image = mime.starts_with("image/");
        let limit = if image { max_image } else { max_bytes };
        // The size is judged before anything is decoded.
        if (data.len() as u64) / 4 * 3 > limit {
            return Err(bad(format!("larger than the limit of {limit} bytes")));
        }
        let bytes = STANDARD.decode(data.trim()).map_err(|_| bad("content is not base64".into()))?;
        if image {
            files.push(File::Image(Part::Image { mime, data: data.trim().into() }));
            continue;
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            bad(format!("{} is neither an image nor text", if mime.is_empty() { "this file" } else { &mime }))
        })?;
        files.push(File::Text { name, text });
    }
    Ok(files)
}

/// Puts text files behind the message; what remains are images.
pub fn fold(files: Vec<File>, text: &mut String) -> Vec<Part> {
    let mut images = Vec::new();
    for file in files {
        match file {
            File::Image(part) => images.push(part),
            File::Text { name, text: content } => {
                text.push_str(&format!("\n\n[File: {name}]\n{content}"));
            }
        }
    }
    images
}

pub fn abort(
    state: &mut State,
    _: &Arc<Caller>,
    params: ChatAbortParams,
    now: Now,
) -> Result<ChatAbortResult, RpcError> {
    let config = state.shared.config.get();
    let (key, _) = target(&config, &params.session_key, params.agent_id.as_deref())?;
    let ids = state.abort_runs(&key, params.run_id.as_deref(), now);
    Ok(ChatAbortResult { ok: true, aborted: !ids.is_empty(), run_ids: ids.iter().map(|id| id.to_string()).collect() })
}

pub fn history(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChatHistoryParams,
) -> Result<ChatHistoryAnswer, RpcError> {
    let anchored = params.message_id.is_some();
    if anchored && params.offset.is_some() {
        return Err(RpcError::invalid("offset and messageId cannot be used together"));
    }
    if params.cursor.is_some() {
        if anchored || params.offset.is_some() {
            return Err(RpcError::invalid("cursor cannot be used with offset or messageId"));
        }
        return Ok(ChatHistoryAnswer::Reset { kind: "reset" });
    }
    if params.input_run_ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > INPUTS) {
        return Err(RpcError::invalid(format!("inputRunIds: 1 to {INPUTS} ids")));
    }
    let page = page(
        context,
        Page {
            key: params.session_key.0,
            agent_id: params.agent_id.map(|id| id.0),
            session_id: params.session_id.map(|id| id.0),
            limit: params.limit.map_or(PAGE, |n| n.0),
            offset: params.offset.map_or(0, |n| n.0),
            around: params.message_id.map(|id| id.0),
            pending_before: params.pending_before.map(|n| n.0),
            inputs: params.input_run_ids.map(|ids| ids.into_iter().map(|id| id.0).collect()),
            max_chars: params.max_chars.map_or(PAGE_CHARS, |n| n.0),
            max_bytes: params.max_bytes.map_or(PAGE_BYTES, |n| PAGE_BYTES.min(n.0 as usize)),
        },
    )?;
    Ok(ChatHistoryAnswer::Page(Box::new(page)))
}

/// Which part of a transcript is wanted.
#[derive(Default)]
pub struct Page {
    pub key: String,
    pub agent_id: Option<String>,
    /// An earlier transcript of the same session, if not the present one.
    pub session_id: Option<String>,
    pub limit: u64,
    pub offset: u64,
    /// Instead of the offset: an entry that is to be in the middle.
    pub around: Option<String>,
    /// Waiting messages that were accepted before this one.
    pub pending_before: Option<u64>,
    /// Messages of which is told whether they were taken up.
    pub inputs: Option<Vec<String>>,
    pub max_chars: u64,
    pub max_bytes: usize,
}

/// What a page is made of.
struct Found {
    row: SessionRow,
    session_id: String,
    total: u64,
    entries: Vec<Entry>,
    pending: PendingInputs,
    consumed: Option<Vec<InputConsumption>>,
}

/// One page, newest last.
pub fn page(context: &TaskContext, wanted: Page) -> Result<ChatHistoryResult, RpcError> {
    let (asked, agent) = (wanted.key.clone(), wanted.agent_id.clone());
    let (shared, key, runs, in_flight_run) = super::ask(context, "chat.history", move |state| {
        let config = state.shared.config.get();
        let key = target(&config, &asked, agent.as_deref())?.0;
        let runs = state.runs.of_session(&key);
        let in_flight = runs.first().and_then(|id| {
            let run = state.runs.get_mut(id).filter(|run| run.launched && !run.closed)?;
            run.collect();
            Some(InFlightRun { run_id: id.to_string(), text: run.text.clone() })
        });
        Ok((state.shared.clone(), key, runs.iter().map(|id| id.to_string()).collect::<Vec<_>>(), in_flight))
    })?;
    let max_chars = usize::try_from(wanted.max_chars).unwrap_or(usize::MAX);
    let found = context.store.read("read a session's messages", |conn| wanted.find(conn, &key));
    let found = found.map_err(stored)?.transpose()?;
    let (catalogue, config) = (shared.catalogue.get(), shared.config.get());
    let mut result = ChatHistoryResult {
        session_key: key,
        session_id: None,
        messages: Vec::new(),
        pending_inputs: PendingInputs::default(),
        input_consumptions: None,
        next_offset: None,
        has_more: false,
        total_messages: 0,
        defaults: catalogue.defaults(),
        session_info: None,
        in_flight_run,
        thinking_level: "off".into(),
    };
    let Some(found) = found else { return Ok(result) };
    let first = found.entries.first().map_or(1, |first| first.seq);
    result.has_more = first > 1;
    result.next_offset = result.has_more.then(|| found.total.saturating_sub(first) + 1);
    result.total_messages = found.total;
    result.messages = found.entries.iter().filter_map(|entry| message(entry, max_chars)).collect();
    result.pending_inputs = found.pending;
    result.input_consumptions = found.consumed;
    if let Some(level) = &found.row.thinking_level {
        result.thinking_level.clone_from(level);
    }
    result.session_id = Some(found.session_id);
    result.session_info = Some(session_row(&found.row, &catalogue, main_key(&config), runs));
    Ok(result)
}

impl Page {
    fn find(&self, conn: &Connection, key: &str) -> Result<Option<Result<Found, RpcError>>, StoreError> {
        let Some(row) = sessions::get(conn, key)? else { return Ok(None) };
        let session_id = match &self.session_id {
            Some(id) if *id != row.session_id => {
                if !sessions::past(conn, key)?.iter().any(|past| past.session_id == *id) {
                    return Ok(Some(Err(RpcError::invalid("sessionId does not belong to sessionKey"))));
                }
                id.clone()
            }
            _ => row.session_id.clone(),
        };
        let total = transcript::count(conn, &session_id)?;
        let limit = self.limit as usize;
        let read = |end: u64| transcript::page(conn, &session_id, Some(end.min(total) + 1), limit, self.max_bytes);
        let anchor = match &self.around {
            None => None,
            Some(id) => Some(transcript::find_in(conn, &session_id, id)?.map_or(0, |entry| entry.seq)),
        };
        let entries = match anchor {
            None => read(total.saturating_sub(self.offset))?,
            // Nobody knows that entry: there is nothing around it.
            Some(0) => Vec::new(),
            Some(seq) => {
                let entries = read(seq + self.limit / 2)?;
                // What follows it may fill the page alone.
                if entries.first().is_some_and(|first| first.seq > seq) { read(seq)? } else { entries }
            }
        };
        let before = self.pending_before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
        let (waiting, waiting_total) = inbox::of_session(conn, key, before, PENDING, PAGE_BYTES)?;
        let oldest = waiting.first().map_or(0, |first| first.n);
        let more = !inbox::of_session(conn, key, oldest, 1, 1)?.0.is_empty();
        let pending = PendingInputs {
            total: waiting_total,
            next_before: u64::try_from(oldest).ok().filter(|_| more),
            items: waiting
                .into_iter()
                .map(|row| PendingInput {
                    text: waiting_text(&row.payload),
                    run_id: row.run_id,
                    created_at: u64::try_from(row.created_at_ms).unwrap_or(0),
                })
                .collect(),
        };
        let consumed = self.inputs.as_ref().map(|ids| {
            let taken = |run_id: &String| -> Result<Option<InputConsumption>, StoreError> {
                let entry = transcript::find_by_idempotency(conn, &session_id, &format!("{run_id}:user"))?;
                Ok(entry.map(|entry| InputConsumption { run_id: run_id.clone(), consumed_by_event_id: entry.id }))
            };
            ids.iter().filter_map(|id| taken(id).transpose()).collect::<Result<Vec<_>, _>>()
        });
        Ok(Some(Ok(Found { row, session_id, total, entries, pending, consumed: consumed.transpose()? })))
    }
}

fn waiting_text(payload: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Text {
        text: String,
    }
    misfit::read::<Text>(payload).map_or_else(|_| String::new(), |t| t.text)
}

/// A stored message with what the gateway knows of it under `__openclaw`. Messages over `max_chars` become a notice.
pub fn message(entry: &Entry, max_chars: usize) -> Option<Box<RawValue>> {
    if entry.role == transcript::COMPACTION {
        return None;
    }
    let truncated = entry.message.len() > max_chars;
    let known = Known {
        run_id: entry.run_id.as_deref().filter(|_| entry.role != "user"),
        id: &entry.id,
        idempotency_key: entry.idempotency_key.as_deref(),
        record_timestamp_ms: entry.ts_ms,
        seq: entry.seq,
        truncated,
    };
    if !truncated {
        return known.beside(&entry.message);
    }
    known.beside(&format!(
        r#"{{"role":"{}","content":[{{"type":"text","text":"[this message of {} bytes is too long for one page]"}}],"timestamp":{}}}"#,
        entry.role,
        entry.message.len(),
        entry.ts_ms
    ))
}

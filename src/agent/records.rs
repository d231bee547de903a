//! What a run writes: its input first, every message after, its end last.
//!
//! Writes of one run go to the store thread in order. Those in the middle are not waited for: the last one is, and when
//! that is on disk so is everything before it.

use std::sync::Arc;

use super::Engine;
use super::expiry::Expiry;
use crate::channels::{ChatKind, Target};
use crate::hub::event::Event;
use crate::hub::ground::Ground;
use crate::hub::run::{Accepted, Outcome, RunEvent, RunId, Status, Stored};
use crate::providers::registry::ModelRef;
use crate::providers::{Cost, Usage};
use crate::store::outbox::OutboxRow;
use crate::store::sessions::{self, SessionRow};
use crate::store::transcript::{self, Appended, NewEntry};
use crate::store::usage::{self, Spent};
use crate::store::{StoreError, inbox, outbox, runs};
use crate::wire::chat::Known;

/// Longest preview of a message in a list of sessions, in bytes.
const PREVIEW: usize = 160;

/// One message to be written.
#[derive(Debug, Clone)]
pub struct Line {
    pub role: &'static str,
    pub key: Option<String>,
    pub ts_ms: i64,
    pub message: String,
}

/// The first write of a run.
pub struct Opening {
    pub run_id: RunId,
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    pub created_via: &'static str,
    pub lines: Vec<Line>,
    pub preview: String,
    pub now_ms: i64,
    /// The input lies in the inbox.
    pub queued: bool,
    /// When the session was to start over.
    pub expiry: Expiry,
    /// Inputs of other runs that are part of this one.
    pub absorbed: Vec<RunId>,
    /// It came through a messenger: see [`Closing::taken`].
    pub kept: bool,
    /// The messenger's conversation it came from.
    pub from: Option<Target>,
    /// The label of a session that this message makes.
    pub label: Option<String>,
    /// What its sender took for granted.
    pub ground: Option<Box<Ground>>,
}

/// What the first write found and made.
#[derive(Clone)]
pub struct Opened {
    pub row: SessionRow,
    pub created: bool,
    pub appended: Vec<Appended>,
    /// The same run was made before, in an earlier life of the gateway.
    pub known: Option<runs::RunRow>,
}

impl Opening {
    /// Makes the session if there is none, takes the input out of the inbox, puts it into the transcript. One
    /// transaction: after a crash the input is in exactly one of the two.
    fn write(&self, conn: &rusqlite::Connection) -> Result<Opened, StoreError> {
        // What was made before stands on its own ground.
        if let Some(ground) = &self.ground
            && runs::get(conn, &self.run_id)?.is_none()
        {
            ground.check(conn, &self.session_key)?;
        }
        let (mut row, created) =
            sessions::ensure(conn, &self.session_key, &self.agent_id, self.now_ms, Some(self.created_via))?;
        if created && let Some(label) = &self.label {
            row.label = Some(label.clone());
        }
        if !created
            && self.ground.is_none()
            && self.expiry.ended(&row)
            && transcript::find_by_idempotency(conn, &row.session_id, &format!("{}:user", self.run_id))?.is_none()
            && let Some(fresh) = sessions::reset(conn, &self.session_key, &sessions::fresh_session_id(), self.now_ms)?
        {
            row = fresh;
        }
        if self.kept {
            // It leaves the inbox with its answer; until then a crash begins it anew.
            inbox::bump_attempts(conn, &self.run_id)?;
        } else {
            if self.queued {
                inbox::remove(conn, &self.run_id)?;
            }
            for run_id in &self.absorbed {
                inbox::remove(conn, run_id)?;
            }
        }
        let appended = append_all(conn, &row.session_id, &self.run_id, &self.lines)?;
        if appended.first().is_some_and(|a| a.duplicate)
            && let Some(known) = runs::get(conn, &self.run_id)?
        {
            inbox::remove(conn, &self.run_id)?;
            return Ok(Opened { row, created, appended, known: Some(known) });
        }
        row.wake();
        if let Some(from) = &self.from {
            come_from(&mut row, from);
        }
        row.updated_at_ms = self.now_ms;
        row.last_interaction_at_ms = Some(self.now_ms);
        row.last_run_id = Some(self.run_id.to_string());
        row.last_status = Some("running".into());
        row.last_run_started_ms = Some(self.now_ms);
        row.last_run_ended_ms = None;
        row.message_count += appended.iter().filter(|a| !a.duplicate).count() as u64;
        if !self.preview.is_empty() {
            row.last_message_preview = Some(preview(&self.preview));
        }
        sessions::update(conn, &row)?;
        Ok(Opened { row, created, appended, known: None })
    }
}

/// Notes through which messenger a session is spoken to, and where exactly an answer goes.
fn come_from(row: &mut SessionRow, from: &Target) {
    let place = Target { reply_to: None, tools: None, limit: 0, ..from.clone() };
    let route = serde_json::to_string(&place).ok();
    let mut facts = row.facts();
    if facts.route != route {
        facts.route = route;
        row.set_facts(&facts);
    }
    row.channel = Some(from.channel.clone());
    // A main session that groups share stays what it is.
    if from.kind != ChatKind::Direct && row.key.contains(&format!(":{}:", from.kind.as_str())) {
        row.chat_type = Some(from.kind.as_str().into());
        row.kind = "group".into();
    }
}

fn append_all(
    conn: &rusqlite::Connection,
    session_id: &str,
    run_id: &str,
    lines: &[Line],
) -> Result<Vec<Appended>, StoreError> {
    lines
        .iter()
        .map(|line| {
            transcript::append(
                conn,
                session_id,
                &NewEntry {
                    role: line.role,
                    run_id: Some(run_id),
                    idempotency_key: line.key.as_deref(),
                    ts_ms: line.ts_ms,
                    message: &line.message,
                },
            )
        })
        .collect()
}

/// What one call of a model took, at the model's price.
pub fn spent_on(usage: &Usage, price: Option<&Cost>) -> Spent {
    let cost = |tokens: u64, per_million: f64| tokens as f64 * per_million / 1e6;
    let price_of = price.copied().unwrap_or_default();
    Spent {
        calls: 1,
        input: usage.input,
        output: usage.output,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
        cost_input: cost(usage.input, price_of.input),
        cost_output: cost(usage.output, price_of.output),
        cost_cache_read: cost(usage.cache_read, price_of.cache_read),
        cost_cache_write: cost(usage.cache_write, price_of.cache_write),
        missing_cost: u64::from(price.is_none()),
    }
}

/// How a run leaves its session behind.
pub struct Closing {
    pub run_id: RunId,
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    pub lines: Vec<Line>,
    pub preview: String,
    pub now_ms: i64,
    /// What each model of the run used.
    pub spent: Vec<(ModelRef, Spent)>,
    /// Usage is also counted for this session, not only for the agent.
    pub per_session: bool,
    pub context_tokens: u64,
    /// Tokens of the last model call: how full the context is.
    pub last_call: Usage,
    /// Inputs of messengers that leave the inbox now: in the same transaction the answer enters the outbox.
    pub taken: Vec<RunId>,
    pub replies: Vec<OutboxRow>,
}

impl Closing {
    fn write(&self, conn: &rusqlite::Connection, outcome: &Outcome) -> Result<(SessionRow, Vec<Appended>), StoreError> {
        let (mut row, _) = sessions::ensure(conn, &self.session_key, &self.agent_id, self.now_ms, None)?;
        let appended = append_all(conn, &row.session_id, &self.run_id, &self.lines)?;
        row.updated_at_ms = self.now_ms;
        row.last_interaction_at_ms = Some(self.now_ms);
        row.last_run_ended_ms = Some(self.now_ms);
        row.last_status = Some(
            match outcome.status {
                Status::Ok => "done",
                Status::Error => "failed",
                Status::Aborted => "killed",
                Status::TimedOut => "timeout",
            }
            .into(),
        );
        row.message_count += appended.iter().filter(|a| !a.duplicate).count() as u64;
        if !outcome.model.is_empty() {
            row.model_provider = Some(outcome.provider.clone());
            row.model = Some(outcome.model.clone());
        }
        let spent = &outcome.usage;
        if spent.total_tokens > 0 {
            row.input_tokens += spent.input;
            row.output_tokens += spent.output;
            row.cache_read_tokens += spent.cache_read;
            row.cache_write_tokens += spent.cache_write;
            row.total_tokens = self.last_call.total_tokens;
            row.cost_usd += self.spent.iter().map(|(_, spent)| spent.total_cost()).sum::<f64>();
        }
        if self.context_tokens > 0 {
            row.context_tokens = self.context_tokens;
        }
        if !self.preview.is_empty() {
            row.last_message_preview = Some(preview(&self.preview));
        }
        sessions::update(conn, &row)?;
        for run_id in &self.taken {
            inbox::remove(conn, run_id)?;
        }
        for reply in &self.replies {
            outbox::put(conn, reply)?;
        }
        for (model, spent) in &self.spent {
            let account = usage::Account {
                slot: usage::slot(self.now_ms),
                agent_id: &self.agent_id,
                session_key: self.per_session.then_some(&*self.session_key),
                provider: &model.provider,
                model: &model.model,
            };
            usage::add(conn, &account, spent)?;
        }
        runs::put(
            conn,
            &runs::RunRow {
                run_id: self.run_id.to_string(),
                session_key: self.session_key.to_string(),
                status: row.last_status.clone().unwrap_or_default(),
                started_ms: i64::try_from(outcome.started_ms).unwrap_or(0),
                ended_ms: self.now_ms,
                result: "{}".into(),
            },
        )?;
        Ok((row, appended))
    }
}

/// The beginning of a text, on one line.
pub fn preview(text: &str) -> String {
    let text = crate::wire::frame::cut(text, 4 * PREVIEW);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    crate::wire::frame::cut(&line, PREVIEW).to_string()
}

impl Engine {
    /// Writes the input and waits for the disk, then reports it.
    pub(super) fn open(&self, opening: Opening) -> Result<Opened, StoreError> {
        let (run_id, lines) = (opening.run_id.clone(), opening.lines.clone());
        let opened = self.store.write("store a message", move |conn| opening.write(conn))?;
        self.report(&run_id, accepted(&run_id, &opened, lines));
        Ok(opened)
    }

    /// Writes the input without waiting: the sender of a request is answered after the last write anyway.
    pub(super) fn open_later(&self, opening: Opening) {
        let (hub, run_id, lines) = (self.hub.clone(), opening.run_id.clone(), opening.lines.clone());
        self.store.submit(
            "store a request",
            move |conn| opening.write(conn),
            move |result| match result {
                // The state thread is gone only when the gateway stops.
                Ok(opened) => {
                    let told = accepted(&run_id, &opened, lines);
                    let _ = hub.post(Event::Run(run_id, told));
                }
                Err(error) => log::error!("{error}"),
            },
        );
    }

    /// Writes messages in the middle of a run; clients hear of them when they are on disk.
    pub(super) fn note(&self, session_id: &str, run_id: &RunId, lines: Vec<Line>) {
        let (hub, run_id, session_id) = (self.hub.clone(), run_id.clone(), session_id.to_string());
        let (told, writer) = (lines.clone(), run_id.clone());
        self.store.submit(
            "store a step of a run",
            move |conn| append_all(conn, &session_id, &writer, &lines),
            move |result| match result {
                Ok(appended) => {
                    for stored in stored(&run_id, &appended, told) {
                        // As above.
                        let _ = hub.post(Event::Run(run_id.clone(), RunEvent::Stored(Box::new(stored))));
                    }
                }
                Err(error) => log::error!("{error}"),
            },
        );
    }

    /// Writes messages that steer a run behind what it has written so far, and takes them out of the inbox. Waits for the
    /// disk: the model must not see what a crash could forget.
    pub(super) fn join(
        &self,
        session_id: &str,
        run_id: &RunId,
        lines: Vec<(RunId, bool, Line)>,
    ) -> Result<(), StoreError> {
        let (session_id, written) = (session_id.to_string(), lines.clone());
        let appended = self.store.write("store messages for a run", move |conn| {
            let mut all = Vec::new();
            for (from, kept, line) in &written {
                if !kept {
                    inbox::remove(conn, from)?;
                }
                all.extend(append_all(conn, &session_id, from, std::slice::from_ref(line))?);
            }
            Ok(all)
        })?;
        let (ids, lines): (Vec<RunId>, Vec<Line>) = lines.into_iter().map(|(id, _, line)| (id, line)).unzip();
        for stored in stored(run_id, &appended, lines) {
            self.report(run_id, RunEvent::Stored(Box::new(stored)));
        }
        self.report(run_id, RunEvent::Joined(ids));
        Ok(())
    }

    /// The same for a run whose session was not looked up: the first write made it, in the same queue.
    pub(super) fn note_by_key(&self, session_key: &str, run_id: &RunId, lines: Vec<Line>) {
        let (key, run_id) = (session_key.to_string(), run_id.clone());
        self.store.submit(
            "store a step of a request",
            move |conn| match sessions::get(conn, &key)? {
                Some(row) => append_all(conn, &row.session_id, &run_id, &lines).map(drop),
                None => Ok(()),
            },
            |result| {
                if let Err(error) = result {
                    log::error!("{error}");
                }
            },
        );
    }

    /// Writes the end of a run and waits for the disk.
    pub(super) fn close(&self, closing: Closing, outcome: &Outcome) -> Result<SessionRow, StoreError> {
        let (run_id, lines, ended) = (closing.run_id.clone(), closing.lines.clone(), outcome.clone());
        let (row, appended) = self.store.write("store the end of a run", move |conn| closing.write(conn, &ended))?;
        for stored in stored(&run_id, &appended, lines) {
            self.report(&run_id, RunEvent::Stored(Box::new(stored)));
        }
        let hub = self.hub.clone();
        self.upkeep.begin(&self.store, &self.shared.config.get(), row.updated_at_ms, move |_| {
            // Gone only when the gateway stops.
            let _ = hub.tell("sessions.cleanup", |state, now| state.tell_sessions_changed("cleanup", now));
        });
        Ok(row)
    }
}

fn accepted(run_id: &str, opened: &Opened, lines: Vec<Line>) -> RunEvent {
    RunEvent::Accepted(Box::new(Accepted {
        session_id: opened.row.session_id.as_str().into(),
        row: opened.row.clone(),
        created: opened.created,
        stored: stored(run_id, &opened.appended, lines).pop(),
    }))
}

fn stored(run_id: &str, appended: &[Appended], lines: Vec<Line>) -> Vec<Stored> {
    let rows = appended.iter().zip(lines).filter(|(appended, _)| !appended.duplicate);
    rows.filter_map(|(appended, line)| {
        let known = Known {
            run_id: (line.role != "user").then_some(run_id),
            id: &appended.id,
            idempotency_key: line.key.as_deref(),
            record_timestamp_ms: line.ts_ms,
            seq: appended.seq,
            truncated: false,
        };
        Some(Stored {
            message: known.beside(&line.message)?,
            id: appended.id.clone(),
            seq: appended.seq,
            announce: line.role != "toolResult",
            from_user: line.role == "user",
        })
    })
    .collect()
}

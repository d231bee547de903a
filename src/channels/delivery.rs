//! The way out: an account's rows of the outbox, one after the other, until the service has taken each.
//!
//! A row is counted before the service hears of it and removed after the service has answered; what was in between when
//! the process ended is told again, with the same idempotency key where the service has such a thing. Rows of one place
//! keep their order; a place that must wait holds up no other. A row that is too old or was tried too often is dropped
//! with a line in the log: an answer hours late is worse than none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use super::inbound::Inbound;
use super::message::{ChannelError, Outbound};
use super::supervisor::{Preview, Stop, jittered};
use super::{Channel, ChannelEvent};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{StoreError, kv};
use crate::sys::clock;
use crate::wire::misfit;

/// A reply that waits longer is not sent any more (milliseconds).
pub const TTL_MS: i64 = 10 * 60 * 1000;
/// Times a message is handed over without a clear answer.
pub const ATTEMPTS: u32 = 3;
/// Rows looked at together.
const ROWS: usize = 64;
/// Waits after a failed try.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// After an error of the database.
const STORE_RETRY: Duration = Duration::from_secs(5);

pub(super) struct Outbox {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) inbound: Arc<Inbound>,
    pub(super) stop: Stop,
    pub(super) poked: Receiver<()>,
    pub(super) shown: Receiver<Preview>,
}

/// What to do next.
enum Step {
    Again,
    Wait(Option<Duration>),
}

impl Outbox {
    pub(super) fn run(self) {
        let mut failures: u32 = 0;
        let mut quiet_until = Instant::now();
        while !self.stop.fired() {
            let step = self.deliver_next(&mut failures).unwrap_or_else(|error| {
                log::error!("{}: {error}", self.inbound.account.key);
                Step::Wait(Some(STORE_RETRY))
            });
            let Step::Wait(limit) = step else { continue };
            let due = limit.map_or_else(never, crossbeam_channel::after);
            select! {
                recv(self.poked) -> poked => if poked.is_err() { return },
                recv(self.shown) -> shown => match shown {
                    Ok(preview) => self.show(preview, &mut quiet_until),
                    Err(_) => return,
                },
                recv(self.stop.receiver()) -> _ => return,
                recv(due) -> _ => {}
            }
        }
    }

    fn deliver_next(&self, failures: &mut u32) -> Result<Step, StoreError> {
        let key = &self.inbound.account.key;
        let store = &self.inbound.host.store;
        let rows = store.read("read the outbox", |conn| outbox::list(conn, key.channel, &key.account, ROWS))?;
        let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
        let mut held: Vec<&str> = Vec::new();
        let mut next: Option<i64> = None;
        for row in &rows {
            if now.saturating_sub(row.created_at_ms) > TTL_MS || row.attempts >= ATTEMPTS {
                let why = if row.attempts >= ATTEMPTS { "it was tried too often" } else { "it is too old" };
                self.drop_row(row, why)?;
                return Ok(Step::Again);
            }
            if held.contains(&row.place.as_str()) {
                continue;
            }
            if row.not_before_ms > now {
                held.push(&row.place);
                next = Some(next.map_or(row.not_before_ms, |least: i64| least.min(row.not_before_ms)));
                continue;
            }
            self.deliver(row, now, failures)?;
            return Ok(Step::Again);
        }
        Ok(Step::Wait(next.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0) + 1))))
    }

    fn deliver(&self, row: &OutboxRow, now: i64, failures: &mut u32) -> Result<(), StoreError> {
        let key = &self.inbound.account.key;
        let store = &self.inbound.host.store;
        let Ok(mut out) = misfit::read::<Outbound>(&row.body) else {
            return self.drop_row(row, "it cannot be read");
        };
        out.key.clone_from(&row.key);
        out.tried = row.attempts > 0;
        let drafts = drafts_scope(&self.inbound);
        if let Some(run) = &out.run {
            out.draft = store.read("look a draft up", |conn| kv::get(conn, &drafts, run))?;
        }
        let n = row.n;
        if !store.write("begin a delivery", move |conn| outbox::begin(conn, n))? {
            return Ok(());
        }
        let result = self.channel.deliver(&out);
        match result {
            Ok(receipt) => {
                *failures = 0;
                let (id, run) = (receipt.id.clone(), out.run.clone());
                store.write("end a delivery", move |conn| {
                    if let Some(run) = &run {
                        kv::delete(conn, &drafts, run)?;
                    }
                    outbox::remove(conn, n, if id.is_empty() { "-" } else { &id })
                })?;
                self.inbound.report(ChannelEvent::Delivered { key: row.key.clone(), id: receipt.id });
            }
            Err(ChannelError::Refused(why)) => self.drop_row(row, &why)?,
            Err(error) => {
                let (wait, uncounted) = match &error {
                    ChannelError::Later(_, wait) => (*wait, true),
                    ChannelError::Unreached(_) | ChannelError::Terminal(..) => (self.pause(failures), true),
                    _ => (self.pause(failures), false),
                };
                log::warn!("{key}: a message could not be delivered: {error}; again in {:.1} s", wait.as_secs_f64());
                let until = now + i64::try_from(wait.as_millis()).unwrap_or(0);
                store.write("postpone a delivery", move |conn| outbox::postpone(conn, n, until, uncounted))?;
                self.inbound.report(ChannelEvent::NotDelivered { error: error.to_string() });
            }
        }
        Ok(())
    }

    fn pause(&self, failures: &mut u32) -> Duration {
        *failures = (*failures + 1).min(8);
        jittered((RETRY * 2_u32.pow(*failures - 1)).min(RETRY_LAST))
    }

    fn drop_row(&self, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
        let n = row.n;
        log::error!("{}: a message for {} is dropped: {why}", self.inbound.account.key, row.place.escape_debug());
        self.inbound.host.store.write("drop a message", move |conn| outbox::remove(conn, n, ""))?;
        self.inbound.report(ChannelEvent::Dropped { key: row.key.clone(), error: why.to_owned() });
        Ok(())
    }

    /// Shows that we are at it. Never worth an error: the answer itself comes by the outbox.
    fn show(&self, preview: Preview, quiet_until: &mut Instant) {
        if Instant::now() < *quiet_until {
            return;
        }
        let result = match preview {
            Preview::Typing(to) => self.channel.typing(&to),
            Preview::Draft { run, to, text } => self.draft(&run, &to, &text),
        };
        if let Err(error) = result {
            log::debug!("{}: a preview was not shown: {error}", self.inbound.account.key);
            let wait = if let ChannelError::Later(_, wait) = error { wait } else { Duration::from_secs(5) };
            *quiet_until = Instant::now() + wait;
        }
    }

    fn draft(&self, run: &str, to: &super::message::Target, text: &str) -> Result<(), ChannelError> {
        let (store, scope) = (&self.inbound.host.store, drafts_scope(&self.inbound));
        let known = store.read("look a draft up", |conn| kv::get(conn, &scope, run)).ok().flatten();
        let Some(id) = self.channel.draft(to, text, known.as_deref())? else { return Ok(()) };
        if known.is_none() {
            let (scope, run) = (scope.clone(), run.to_owned());
            // On disk before anything else happens to it, so that a later life finishes this message and no second one.
            if let Err(error) = store.write("remember a draft", move |conn| kv::set(conn, &scope, &run, &id)) {
                log::warn!("{}: {error}", self.inbound.account.key);
            }
        }
        Ok(())
    }
}

fn drafts_scope(inbound: &Inbound) -> String {
    format!("channel.drafts.{}.{}", inbound.account.key.channel, inbound.account.key.account)
}

//! The answer of a run on its way back to the messenger its message came through.
//!
//! The rows are made here and written with the end of the run, in one transaction: a run that ended has its answer in the
//! outbox, and a run that did not is made again.

use crate::channels::{Outbound, chunks, inbound};
use crate::config::Config;
use crate::hub::run::{Order, Outcome, RunId, Status};
use crate::store::outbox::OutboxRow;

/// What a model says when it has nothing to say.
const SILENT: &str = "NO_REPLY";

/// Inputs that leave the inbox with this run, and what enters the outbox.
pub(super) fn of(order: &Order, config: &Config, outcome: &Outcome) -> (Vec<RunId>, Vec<OutboxRow>) {
    let mut taken = order.link.kept();
    let Some(to) = order.input.reply.as_deref() else { return (taken, Vec::new()) };
    taken.push(order.run_id.clone());
    taken.extend(order.absorbed.iter().cloned());
    let mut text = said(outcome);
    if let Some(prefix) = config.messages.response_prefix.as_deref().filter(|prefix| !prefix.is_empty())
        && !text.is_empty()
    {
        text.insert_str(0, &format!("{prefix} "));
    }
    let now = i64::try_from(outcome.ended_ms).unwrap_or(i64::MAX);
    let parts = chunks(to, &text);
    let rows = parts.into_iter().enumerate().map(|(at, text)| {
        let mut to = to.clone();
        if at > 0 {
            to.go_on();
        }
        let run = (at == 0).then(|| order.run_id.to_string());
        inbound::row(&order.run_id, at, &Outbound { to, text, run, ..Outbound::default() }, now)
    });
    (taken, rows.collect())
}

/// What is told of an outcome; empty: nothing.
fn said(outcome: &Outcome) -> String {
    let text = outcome.text.trim();
    let text = if text == SILENT { "" } else { text };
    match outcome.status {
        Status::Ok => text.to_owned(),
        // Whoever stopped it knows.
        Status::Aborted => String::new(),
        Status::TimedOut => format!("{text}\n\n⚠️ This took too long and was stopped.").trim().to_owned(),
        Status::Error => {
            let why = outcome.failure.as_ref().map_or("it failed", |failure| failure.message.as_str());
            format!("{text}\n\n⚠️ {why}").trim().to_owned()
        }
    }
}

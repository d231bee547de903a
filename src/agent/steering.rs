//! Messages that come while a run is made and are meant for it: taken in between two model calls.
//!
//! The state thread keeps them in the session's lane, stored, until this run asks. A message nobody asks for any more
//! becomes a turn of its own, so nothing is lost when a run ends first.

use super::Engine;
use super::messages;
use super::records::Line;
use crate::hub::run::Order;
use crate::providers::{Message, Part};
use crate::store::StoreError;
use crate::sys::clock;

/// What the model is told of a call that was not begun.
pub(super) const SKIPPED: &str = "Skipped to process an incoming message.";

/// Whether something waits for this run.
pub(super) fn waits(engine: &Engine, order: &Order) -> bool {
    let run_id = order.run_id.clone();
    // A gateway that stops has no more messages.
    engine.hub.ask("steering", move |state, _| state.runs.is_steered(&run_id)).unwrap_or(false)
}

/// Takes what waits into the transcript, and gives it as the model is to see it.
pub(super) fn take(engine: &Engine, order: &Order, session_id: &str) -> Result<Vec<Message>, StoreError> {
    let run_id = order.run_id.clone();
    let Ok(taken) = engine.hub.ask("take steering", move |state, _| state.runs.take_steering(&run_id)) else {
        return Ok(Vec::new());
    };
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let now = clock::now_ms();
    let (mut lines, mut said) = (Vec::new(), Vec::new());
    for steered in taken {
        let key = format!("{}:user", steered.run_id);
        let message = messages::user(&steered.text, &steered.parts, &key, now);
        let ts_ms = i64::try_from(now).unwrap_or(i64::MAX);
        if steered.kept {
            order.link.keep(steered.run_id.clone());
        }
        lines.push((steered.run_id, steered.kept, Line { role: "user", key: Some(key), ts_ms, message }));
        let mut parts = vec![Part::Text(steered.text)];
        parts.extend(steered.parts);
        said.push(Message::User(parts));
    }
    engine.join(session_id, &order.run_id, lines)?;
    Ok(said)
}

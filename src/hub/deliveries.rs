//! Answers that go into a messenger because a caller of `agent` wants it, and who hears what became of them.
//!
//! The answer itself is in the outbox, like every other; here is only who waits. Invariant: whoever waits is answered
//! when the last message of an answer has gone out or failed, or at a deadline, and is never answered twice.

use std::sync::Arc;
use std::time::Duration;

use super::run::{Delivery, Outcome, RunId};
use super::run_start::agent_result;
use super::ticket::Ticket;
use super::timers::Due;
use super::{Now, State};
use crate::store::outbox;
use crate::wire::agent::DeliveryStatus;

/// How long a caller waits for a messenger after its answer is there; what goes out later goes out without it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs whose callers wait at once, and the bytes of their answers; over it nobody waits.
const CALLERS: usize = 64;
const HELD_BYTES: usize = 4 << 20;

/// Callers that wait for answers to go out.
#[derive(Default)]
pub struct Deliveries(Vec<Waiting>);

struct Waiting {
    run_id: RunId,
    outcome: Arc<Outcome>,
    tickets: Vec<Ticket>,
    /// Keys of messages that are on their way.
    open: Vec<String>,
    sent: usize,
    failed: Option<String>,
}

impl State {
    /// Answers the callers of `agent` at the end of a run, or when its answer was delivered.
    pub(super) fn answer_finals(
        &mut self,
        run_id: &RunId,
        outcome: &Arc<Outcome>,
        delivery: Option<Delivery>,
        tickets: Vec<Ticket>,
        now: Now,
    ) {
        let status = match delivery {
            None => None,
            Some(Delivery::Impossible(reason)) => Some(DeliveryStatus::impossible(reason)),
            Some(Delivery::Wanted) if outcome.parts == 0 => Some(DeliveryStatus::nothing_to_say()),
            Some(Delivery::Wanted) if tickets.is_empty() => return,
            Some(Delivery::Wanted) => {
                let keys = (0..outcome.parts).map(|at| format!("{run_id}:{at}")).collect();
                return self.wait_for_delivery(run_id, outcome, tickets, keys, now);
            }
        };
        for ticket in tickets {
            ticket.answer(agent_result(run_id, outcome, status.as_ref()));
        }
    }

    fn wait_for_delivery(
        &mut self,
        run_id: &RunId,
        outcome: &Arc<Outcome>,
        tickets: Vec<Ticket>,
        open: Vec<String>,
        now: Now,
    ) {
        let keys = open.clone();
        let mut waiting =
            Waiting { run_id: run_id.clone(), outcome: outcome.clone(), tickets, open, sent: 0, failed: None };
        let held: usize = self.deliveries.0.iter().map(|waiting| waiting.outcome.text.len()).sum();
        if self.deliveries.0.len() >= CALLERS || held + outcome.text.len() > HELD_BYTES && held > 0 {
            waiting.failed = Some("it is on its way; too many wait to hear what becomes of theirs".into());
            return waiting.answer();
        }
        self.deliveries.0.push(waiting);
        self.timers.at(now.at + PATIENCE, Due::DeliveryDeadline(run_id.clone()));
        let hub = self.hub.clone();
        // Some may have gone out before anybody waited.
        self.store.submit(
            "look for messages that went out",
            move |conn| {
                let mut gone = Vec::new();
                for key in keys {
                    if let Some(id) = outbox::sent(conn, &key)?.filter(|id| !id.is_empty()) {
                        gone.push((key, id));
                    }
                }
                Ok(gone)
            },
            move |gone| {
                // Without an answer of the store the deadline answers; without a state thread the ticket itself does.
                let _ = hub.tell("messages that went out", move |state, _| {
                    for (key, id) in gone.unwrap_or_default() {
                        state.part_delivered(&key, Ok(&id));
                    }
                });
            },
        );
    }

    /// One message went out, or will not.
    pub(super) fn part_delivered(&mut self, key: &str, result: Result<&str, &str>) {
        let part = |waiting: &Waiting| waiting.open.iter().position(|open| open == key);
        let found = self.deliveries.0.iter().enumerate().find_map(|(at, waiting)| Some((at, part(waiting)?)));
        let Some((at, part)) = found else { return };
        let waiting = &mut self.deliveries.0[at];
        waiting.open.swap_remove(part);
        match result {
            Ok(_) => waiting.sent += 1,
            Err(why) => waiting.failed = Some(why.to_owned()),
        }
        if waiting.open.is_empty() {
            let waiting = self.deliveries.0.swap_remove(at);
            waiting.answer();
        }
    }

    pub(super) fn delivery_deadline(&mut self, run_id: &RunId) {
        let Some(at) = self.deliveries.0.iter().position(|waiting| waiting.run_id == *run_id) else { return };
        let mut waiting = self.deliveries.0.swap_remove(at);
        let late = "it is still waiting; it goes out when the messenger takes it within 10 minutes";
        waiting.failed.get_or_insert_with(|| late.into());
        waiting.answer();
    }
}

impl Waiting {
    fn answer(self) {
        let status = DeliveryStatus::of(self.sent, self.failed);
        for ticket in self.tickets {
            ticket.answer(agent_result(&self.run_id, &self.outcome, Some(&status)));
        }
    }
}

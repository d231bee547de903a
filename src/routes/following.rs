//! A run followed by the HTTP request that asked for it.
//!
//! The handler hears of its run through a channel; a client that leaves stops the run, and with it the call upstream.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::HttpError;
use super::asking::Must;
use crate::hub::Hub;
use crate::hub::run::{Emission, Input, NewRun, Outcome, RunId, Starter, Status};
use crate::net::{Exchange, Sse, Waited};

/// Pieces of text that may wait for a client; then its run waits.
const PIECES: usize = 64;

/// A run on its way, seen from its request.
pub struct Following {
    pub run_id: RunId,
    hub: Hub,
    events: Receiver<Emission>,
}

/// What is to be run where.
pub struct Begin {
    pub run_id: String,
    pub session_key: String,
    pub agent_id: String,
    pub input: Input,
    pub timeout: Duration,
}

impl Following {
    pub fn begin(hub: &Hub, begin: Begin) -> Result<Following, HttpError> {
        let run_id: RunId = begin.run_id.into();
        let (sink, events) = bounded(PIECES);
        let run = NewRun {
            run_id: run_id.clone(),
            session_key: begin.session_key.into(),
            agent_id: begin.agent_id.into(),
            input: begin.input,
            starter: Starter::Http(sink),
            conn: 0,
            timeout: Some(begin.timeout),
            received: Instant::now(),
        };
        hub.tell("http run", move |state, now| state.begin_run(run, now))
            .map_err(|gone| HttpError::unavailable(gone.to_string()))?;
        Ok(Following { run_id, hub: hub.clone(), events })
    }

    /// Waits for the end. A client that leaves meanwhile ends the run.
    pub fn whole(&self, exchange: &mut Exchange<'_>) -> Result<Arc<Outcome>, HttpError> {
        loop {
            match exchange.wait(&self.events, None) {
                Waited::Got(Emission::Text(_)) => {}
                Waited::Got(Emission::Done(outcome)) => return Ok(outcome),
                Waited::Got(Emission::Refused(error)) => return Err(HttpError::unavailable(error.message)),
                Waited::PeerGone => {
                    self.leave();
                    return Err(HttpError::unavailable("the client left"));
                }
                Waited::Ended | Waited::TimedOut => return Err(HttpError::unavailable("the gateway is stopping")),
            }
        }
    }

    /// Hands every piece of text to `say`, then gives the end. `None`: the client left, nobody wants the rest.
    pub fn stream(
        &self,
        sse: &mut Sse<'_>,
        mut say: impl FnMut(&mut Sse<'_>, String) -> io::Result<()>,
    ) -> io::Result<Option<Result<Arc<Outcome>, HttpError>>> {
        let mut follow = || {
            loop {
                match sse.next(&self.events)? {
                    Waited::Got(Emission::Text(text)) => say(sse, text)?,
                    Waited::Got(Emission::Done(outcome)) => return Ok(Some(Ok(outcome))),
                    Waited::Got(Emission::Refused(error)) => {
                        return Ok(Some(Err(HttpError::unavailable(error.message))));
                    }
                    Waited::PeerGone => {
                        self.leave();
                        return Ok(None);
                    }
                    Waited::Ended | Waited::TimedOut => {
                        return Ok(Some(Err(HttpError::unavailable("the gateway is stopping"))));
                    }
                }
            }
        };
        let told = follow();
        if told.is_err() {
            self.leave();
        }
        told
    }

    /// Nobody waits for this run any more.
    pub fn leave(&self) {
        let run_id = self.run_id.clone();
        // The state thread is gone only when the gateway stops, and then the run ends too.
        let _ = self.hub.tell("http client left", move |state, now| state.abort_run(&run_id, now));
    }
}

/// An end that is no answer, as an error.
pub fn check(outcome: &Outcome, must: &Must) -> Result<(), HttpError> {
    if let Some(failure) = &outcome.failure {
        return Err(HttpError::run(failure.http_status, &failure.message));
    }
    match outcome.status {
        Status::TimedOut => Err(HttpError::run(504, "the run took longer than agents.defaults.timeoutSeconds allows")),
        Status::Aborted => Err(HttpError::run(503, "the run was stopped")),
        _ => match must.unmet(&outcome.tool_calls) {
            Some(what) => Err(HttpError::run(502, &what)),
            None => Ok(()),
        },
    }
}

/// Arguments as JSON text; models leave them out when there are none.
pub fn arguments(call: &crate::providers::ToolCall) -> &str {
    if call.arguments.trim().is_empty() { "{}" } else { &call.arguments }
}

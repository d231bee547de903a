//! Agent runs: one thread takes one order from the first write to the last event.
//!
//! A run reads its session from the store, builds the prompt, calls the model, makes the tool calls the model asks for,
//! and writes every message before anybody is told that it is there. It speaks to the state thread by events only, and
//! is stopped through its `Abort` alone.
//!
//! Invariants: the answer is committed before `Finished` is sent; `Finished` is sent exactly once, whatever happens, a
//! panic included.

mod commands;
mod compaction;
pub mod direct;
mod expiry;
mod failure;
mod messages;
mod messaging;
mod node_calls;
mod people;
mod permission;
mod records;
mod replies;
mod session_tools;
mod steering;
mod tooling;
pub mod tools;
mod turn;
pub mod workspace;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::hub::compaction::Request;
use crate::hub::event::Event;
use crate::hub::run::{Emission, Failure, Launch, Order, Outcome, RunEvent, RunId, Status, ToolAsk};
use crate::hub::upkeep::Upkeep;
use crate::hub::{Hub, Shared};
use crate::providers::registry::Registry;
use crate::store::Store;
use crate::sys::clock;
use crate::sys::swap::Swap;

/// A run reads files, parses JSON and calls a provider; TLS wants the most.
const STACK: usize = crate::sys::stack(512 << 10);

/// What runs need; shared by all of them.
pub struct Engine {
    pub hub: Hub,
    pub store: Store,
    pub shared: Arc<Shared>,
    pub registry: Swap<Registry>,
    compacting: compaction::Places,
    upkeep: Upkeep,
    /// Tools at work that clients called.
    calling: AtomicUsize,
}

/// Gives every order a thread.
pub struct Launcher(pub Arc<Engine>);

impl Launch for Launcher {
    fn launch(&self, order: Order) {
        let engine = self.0.clone();
        let run_id = order.run_id.clone();
        let name = format!("run {}", crate::wire::frame::cut(&run_id, 8));
        let spawned = std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || engine.make(order));
        if let Err(error) = spawned {
            log::error!("start a thread for a run: {error}");
            // The state thread is calling: it must not wait for its own inbox.
            // The store thread has time.
            let hub = self.0.hub.clone();
            self.0.store.submit(
                "report a run that could not start",
                |_| Ok(()),
                move |_| {
                    let text = format!("the gateway could not start a thread: {error}");
                    let outcome = Outcome::failed(text, "server_error", 503);
                    // The state thread is gone only when the gateway stops.
                    let _ = hub.post(Event::Run(run_id, RunEvent::Finished(Box::new(outcome))));
                },
            );
        }
    }

    fn compact(&self, request: Request) {
        let engine = self.0.clone();
        let thread = std::thread::Builder::new().name("compact".into()).stack_size(STACK);
        // Without a thread the request is dropped, and its ticket says that the gateway could not.
        if let Err(error) = thread.spawn(move || engine.compact_for(request)) {
            log::error!("start a thread for a summary: {error}");
        }
    }

    fn call_tool(&self, asked: ToolAsk) {
        let engine = self.0.clone();
        let thread = std::thread::Builder::new().name("tool".into()).stack_size(direct::STACK);
        // Without a thread the request is dropped, and its ticket says that the gateway could not.
        if let Err(error) = thread.spawn(move || engine.answer_tool(asked)) {
            log::error!("start a thread for a tool: {error}");
        }
    }
}

impl Engine {
    /// What is made of the parts of a gateway.
    pub fn new(hub: Hub, store: Store, shared: Arc<Shared>, registry: Registry) -> Engine {
        Engine {
            hub,
            store,
            shared,
            registry: Swap::new(registry),
            compacting: compaction::Places::default(),
            upkeep: Upkeep::default(),
            calling: AtomicUsize::new(0),
        }
    }

    fn make(&self, order: Order) {
        let (run_id, sink) = (order.run_id.clone(), order.sink.clone());
        let outcome = catch_unwind(AssertUnwindSafe(|| turn::Turning::new(self, order).make())).unwrap_or_else(|_| {
            log::error!("a run failed inside the gateway; it was answered with an error");
            Outcome::failed(
                "internal error: the run failed inside the gateway; see the log".into(),
                "server_error",
                500,
            )
        });
        if let Some(sink) = sink {
            // The handler may have left; its run is over anyway.
            let _ = sink.send(Emission::Done(Arc::new(outcome.clone())));
        }
        self.report(&run_id, RunEvent::Finished(Box::new(outcome)));
    }

    /// Tells the state thread. When that is gone the gateway is stopping, and nobody is left to be told.
    fn report(&self, run_id: &RunId, event: RunEvent) {
        let _ = self.hub.post(Event::Run(run_id.clone(), event));
    }
}

impl Outcome {
    /// A run that ended with an error.
    pub fn failed(message: String, reason: &str, http_status: u16) -> Outcome {
        Outcome {
            status: Status::Error,
            stop_reason: "error",
            failure: Some(Failure { message, reason: reason.into(), http_status }),
            ended_ms: clock::now_ms(),
            ..Outcome::default()
        }
    }
}

//! How other threads speak to the state thread.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::State;
use super::event::{Ask, Event, Now};
use crate::sys::answer;

/// Events that may wait. A full inbox makes senders wait, which is back-pressure onto their sockets.
const INBOX: usize = 1024;

/// A cloneable way to the state thread.
#[derive(Clone)]
pub struct Hub(Sender<Event>);

/// The state thread is gone: the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Hub {
    pub fn new() -> (Hub, Receiver<Event>) {
        let (sender, receiver) = bounded(INBOX);
        (Hub(sender), receiver)
    }

    /// Puts an event into the inbox; waits while it is full.
    pub fn post(&self, event: Event) -> Result<(), Gone> {
        self.0.send(event).map_err(|_| Gone)
    }

    /// Asks a question and waits for the answer. `name` is what the log calls it. Never call it on the state thread.
    pub fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        f: impl FnOnce(&mut State, Now) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, wait) = answer::pair();
        let ask = Ask { name, f: Box::new(move |state, now| answer.give(f(state, now))) };
        self.post(Event::Ask(ask))?;
        wait.wait().ok_or(Gone)
    }

    /// Tells without waiting for an answer.
    pub fn tell(&self, name: &'static str, f: impl FnOnce(&mut State, Now) + Send + 'static) -> Result<(), Gone> {
        self.post(Event::Ask(Ask { name, f: Box::new(f) }))
    }
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the gateway is stopping")
    }
}

impl std::error::Error for Gone {}

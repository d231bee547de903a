//! One value on its way from one thread to another that waits for it.
//!
//! The value lies in a place of its own; a channel of nothing says when it is there. A channel of values would be made
//! anew for every type, 5 KB each.
//!
//! Invariant: the waiting end wakes when the giving end is gone, with or without a value.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// The end that gives; dropped without a value it is an answer, too.
pub struct Giver<T> {
    place: Arc<Mutex<Option<T>>>,
    _alive: Sender<()>,
}

/// The end that waits.
pub struct Taker<T> {
    place: Arc<Mutex<Option<T>>>,
    gone: Receiver<()>,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It did not come in time.
    Late,
    /// It will never come.
    Lost,
}

pub fn pair<T>() -> (Giver<T>, Taker<T>) {
    let (alive, gone) = bounded(0);
    let place = Arc::new(Mutex::new(None));
    (Giver { place: place.clone(), _alive: alive }, Taker { place, gone })
}

impl<T> Giver<T> {
    /// Whoever waited may have given up; then the value goes with the place.
    pub fn give(self, value: T) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl<T> Taker<T> {
    /// Waits as long as the giver lives.
    pub fn wait(self) -> Option<T> {
        // Nothing is ever sent: the end of the channel is the message.
        let _ = self.gone.recv();
        self.taken()
    }

    pub fn wait_for(self, time: Duration) -> Result<T, NoAnswer> {
        match self.gone.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Err(NoAnswer::Late),
            _ => self.taken().ok_or(NoAnswer::Lost),
        }
    }

    fn taken(&self) -> Option<T> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_wakes_the_one_that_waits() {
        let (giver, taker) = pair();
        let waiting = std::thread::spawn(move || taker.wait());
        giver.give(7);
        assert_eq!(waiting.join().expect("ends"), Some(7));
        let (giver, taker) = pair();
        giver.give("there already");
        assert_eq!(taker.wait_for(Duration::ZERO), Ok("there already"));
    }

    #[test]
    fn nobody_waits_for_what_will_never_come() {
        let (giver, taker) = pair::<u8>();
        let waiting = std::thread::spawn(move || taker.wait());
        drop(giver);
        assert_eq!(waiting.join().expect("ends"), None);
        let (giver, taker) = pair::<u8>();
        assert_eq!(taker.wait_for(Duration::from_millis(1)), Err(NoAnswer::Late));
        giver.give(1);
        let (giver, taker) = pair::<u8>();
        drop(giver);
        assert_eq!(taker.wait_for(Duration::from_secs(60)), Err(NoAnswer::Lost));
    }
}

//! HTTP clients that follow one session: each is told that there is something new, and reads it from the store itself.
//!
//! A follower's channel holds one word: however much happens while it reads, it is told once. It is forgotten when its
//! receiver is gone.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Followers at once; each holds a connection and its thread.
const FOLLOWERS: usize = 64;

/// Who follows what. Owned by the state thread.
#[derive(Default)]
pub struct Followers(Vec<(String, Sender<()>)>);

impl Followers {
    /// Starts to follow; `None` when there are too many.
    pub fn follow(&mut self, session_key: &str) -> Option<Receiver<()>> {
        if self.0.len() >= FOLLOWERS {
            // A follower of a silent session is noticed to be gone only when it is told something.
            self.0.retain(|(_, tell)| !matches!(tell.try_send(()), Err(TrySendError::Disconnected(()))));
        }
        if self.0.len() >= FOLLOWERS {
            return None;
        }
        let (tell, told) = bounded(1);
        self.0.push((session_key.to_string(), tell));
        Some(told)
    }

    /// The transcript of a session grew.
    pub fn tell(&mut self, session_key: &str) {
        self.0.retain(|(key, tell)| {
            key != session_key || !matches!(tell.try_send(()), Err(TrySendError::Disconnected(())))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_told_once_however_much_happens() {
        let mut followers = Followers::default();
        let told = followers.follow("a").expect("there is room");
        followers.tell("a");
        followers.tell("a");
        followers.tell("b");
        assert_eq!((told.try_recv(), told.try_recv().is_err()), (Ok(()), true));
    }

    #[test]
    fn those_who_left_make_room() {
        let mut followers = Followers::default();
        let gone: Vec<_> = (0..FOLLOWERS).map(|_| followers.follow("a").expect("there is room")).collect();
        assert!(followers.follow("a").is_none());
        drop(gone);
        assert!(followers.follow("a").is_some());
        assert_eq!(followers.0.len(), 1);
    }
}

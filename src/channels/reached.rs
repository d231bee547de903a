//! What a plug remembers of conversations: the last message that was taken in each, where reading up begins after we were
//! away; and the threads in which we have said something, where we are meant without our name.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Conversations that are remembered; the one that was quiet longest goes first.
const MOST: usize = 64;

/// Conversations and their last messages, the latest last. Kept in a channel's mark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reached(Vec<(String, String)>);

impl Reached {
    /// A message was taken.
    pub fn note(&mut self, chat: &str, message: &str) {
        self.0.retain(|(known, _)| known != chat);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((chat.to_owned(), message.to_owned()));
    }

    /// All of them, as they are now.
    pub fn list(&self) -> Vec<(String, String)> {
        self.0.clone()
    }
}

/// Threads that are remembered.
const THREADS: usize = 512;

/// Conversations and threads of theirs in which we have said something, the oldest first.
#[derive(Debug, Default)]
pub struct TookPart(VecDeque<(String, String)>);

impl TookPart {
    pub fn note(&mut self, chat: &str, thread: &str) {
        if !self.has(chat, thread) {
            if self.0.len() >= THREADS {
                self.0.pop_front();
            }
            self.0.push_back((chat.to_owned(), thread.to_owned()));
        }
    }

    pub fn has(&self, chat: &str, thread: &str) -> bool {
        self.0.iter().any(|place| place.0 == chat && place.1 == thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_conversation_is_forgotten_first() {
        let mut reached = Reached::default();
        for n in 0..MOST + 2 {
            reached.note(&n.to_string(), "1");
        }
        reached.note("5", "2");
        let again: Reached = serde_json::from_str(&serde_json::to_string(&reached).expect("JSON")).expect("read");
        assert_eq!(again, reached);
        assert_eq!(again.0.len(), MOST);
        assert_eq!(again.0.last(), Some(&("5".to_owned(), "2".to_owned())));
        assert!(!again.0.iter().any(|(chat, _)| chat == "1"));
    }
}

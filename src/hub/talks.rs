//! With whom each agent talked last, in a chat of two: where a result goes that names nobody.
//!
//! Groups and guests with a session of their own never count: what an agent finds out by itself is its owner's to pass
//! on. Kept over restarts. Owner: the state
//! thread writes, others read behind one short lock; one row per agent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{State, main_key};
use crate::channels::{ChatKind, Target};
use crate::store::kv;
use crate::wire::{misfit, session};

/// The scope of the rows: an agent, and a conversation as JSON text.
pub const SCOPE: &str = "last-talk";

#[derive(Default)]
pub struct Talks(Mutex<HashMap<String, Target>>);

impl Talks {
    /// From the store. What cannot be read is forgotten: the next message brings it back.
    pub fn load(rows: Vec<kv::Pair>) -> Talks {
        let rows = rows.into_iter().filter_map(|(agent_id, text)| Some((agent_id, misfit::read(&text).ok()?)));
        Talks(Mutex::new(rows.collect()))
    }

    /// The last conversation of an agent, of one messenger or of any.
    pub fn of(&self, agent_id: &str, channel: Option<&str>) -> Option<Target> {
        self.rows().get(agent_id).filter(|talk| channel.is_none_or(|id| *id == *talk.channel)).cloned()
    }

    /// Notes a message. True when it came from another place than the one before it.
    fn note(&self, agent_id: &str, target: &Target) -> bool {
        if target.kind != ChatKind::Direct {
            return false;
        }
        let mut rows = self.rows();
        if rows.get(agent_id).is_some_and(|known| known.same_place(target)) {
            return false;
        }
        rows.insert(agent_id.to_string(), Target { reply_to: None, ..target.clone() });
        true
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Somebody wrote to an agent. Only its main session counts: who has a session of their own is a guest.
    pub(super) fn note_talk(&mut self, agent_id: &str, session_key: &str, target: &Target) {
        let main = session::canonical("main", agent_id, main_key(&self.shared.config.get()));
        if *session_key != main || !self.shared.talks.note(agent_id, target) {
            return;
        }
        let Some(talk) = self.shared.talks.of(agent_id, None) else { return };
        let agent_id = agent_id.to_string();
        let text = serde_json::to_string(&talk).unwrap_or_default();
        self.store.submit(
            "note a conversation",
            move |conn| kv::set(conn, SCOPE, &agent_id, &text),
            |result| {
                if let Err(error) = result {
                    log::warn!("{error}");
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(channel: &str, chat: &str, kind: ChatKind) -> Target {
        let (channel, chat) = (channel.to_string(), chat.to_string());
        Target { channel, chat, kind, reply_to: Some("9".into()), ..Target::default() }
    }

    #[test]
    fn the_last_chat_of_two_counts_and_is_read_back() {
        let talks = Talks::default();
        assert!(talks.note("main", &chat("telegram", "7", ChatKind::Direct)));
        assert!(!talks.note("main", &chat("telegram", "7", ChatKind::Direct)), "the same place");
        assert!(!talks.note("main", &chat("telegram", "-5", ChatKind::Group)), "a group");
        let talk = talks.of("main", None).expect("a talk");
        assert_eq!((talk.chat.as_str(), talk.reply_to.as_deref()), ("7", None));
        assert!(talks.of("main", Some("irc")).is_none() && talks.of("other", None).is_none());
        let row = ("main".to_string(), serde_json::to_string(&talk).expect("JSON"));
        let again = Talks::load(vec![row, ("bad".into(), "{".into())]);
        assert_eq!((again.of("main", Some("telegram")), again.of("bad", None)), (Some(talk), None));
    }
}

//! The words that wake a microphone: kept for the clients and nodes that listen for them.

use rusqlite::Connection;

use super::State;
use super::event::ConnId;
use crate::store::{StoreError, kv};
use crate::wire::event as kinds;
use crate::wire::frame::direct_event;
use crate::wire::user::VoicewakeTriggers;

const SCOPE: &str = "voicewake";
const NAME: &str = "triggers";
/// Until somebody chooses others.
const WORDS: [&str; 3] = ["openclaw", "claude", "computer"];
const MOST: usize = 32;
const CHARS: usize = 64;

/// The words as they are kept.
pub fn voice_words(conn: &Connection) -> Result<VoicewakeTriggers, StoreError> {
    let kept = kv::get(conn, SCOPE, NAME)?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(VoicewakeTriggers { triggers: wake_words(kept.unwrap_or_default()) })
}

/// Writes the words down, as a JSON list.
pub fn keep_voice_words(conn: &Connection, words: &str) -> Result<(), StoreError> {
    kv::set(conn, SCOPE, NAME, words)
}

/// What is kept of a list: what is not blank, at most 32 words of 64 characters; without any, the usual ones.
pub fn wake_words(asked: Vec<String>) -> Vec<String> {
    let words = asked.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).take(MOST);
    let words: Vec<String> = words.map(|word| word.chars().take(CHARS).collect()).collect();
    if words.is_empty() { WORDS.map(str::to_string).to_vec() } else { words }
}

impl State {
    /// To operators, and to every node.
    pub fn tell_voice_words(&self, words: &VoicewakeTriggers) {
        self.peers.broadcast(&kinds::VOICEWAKE_CHANGED, words, None, |_| true);
        let text = direct_event(kinds::VOICEWAKE_CHANGED.name, words);
        for mail in self.nodes.mail() {
            mail.text(text.clone());
        }
    }

    /// To a node that has just come.
    pub(super) fn greet_with_voice_words(&self, conn: ConnId) {
        let hub = self.hub.clone();
        self.store.submit("read the wake words", voice_words, move |words| {
            let Ok(words) = words else { return };
            // The gateway is stopping: the node will come again.
            let _ = hub.tell("greet a node", move |state, _| {
                if let Some(mail) = state.nodes.mail_of(conn) {
                    mail.text(direct_event(kinds::VOICEWAKE_CHANGED.name, &words));
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_words_are_none_and_no_words_are_the_usual_ones() {
        assert_eq!(wake_words(vec![" hey ".into(), "  ".into()]), ["hey"]);
        assert_eq!(wake_words(vec![" ".into()]), WORDS);
        assert_eq!(wake_words(vec!["é".repeat(99); 40]), vec!["é".repeat(CHARS); MOST]);
    }
}

//! What was said in groups since we were last named: kept in memory for the turn that follows, and for nothing else.
//!
//! Only words of people who may talk there are kept. Over the caps the oldest go; a restart forgets all of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::wire::frame::cut;

/// Bytes of one account.
const BYTES: usize = 128 << 10;
/// Of one message.
const LINE: usize = 1 << 10;
/// Conversations of one account.
const PLACES: usize = 64;

#[derive(Default)]
pub struct Overheard(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    bytes: usize,
    /// The one that was spoken in last is last.
    places: Vec<(String, VecDeque<Line>)>,
}

struct Line {
    id: String,
    text: String,
}

impl Overheard {
    /// Something was said that is not for us. At most `limit` messages of a place are kept.
    pub fn note(&self, place: &str, id: &str, name: &str, text: &str, limit: usize) {
        if limit == 0 || text.is_empty() {
            return;
        }
        let mut kept = self.kept();
        let mut lines = kept.remove(place);
        if lines.iter().any(|line| line.id == id) {
            return kept.put(place, lines);
        }
        // Lines that follow are set in, so that nobody speaks for another.
        let text = format!("{}: {}", name.replace(['\n', '\r'], " "), cut(text, LINE).replace('\n', "\n  "));
        lines.push_back(Line { id: id.to_owned(), text });
        while lines.len() > limit {
            lines.pop_front();
        }
        kept.put(place, lines);
        while kept.bytes > BYTES || kept.places.len() > PLACES {
            let Some((oldest, _)) = kept.places.first() else { return };
            let oldest = oldest.clone();
            let mut lines = kept.remove(&oldest);
            // The place itself is spared while there are others.
            if kept.places.is_empty() && lines.len() > 1 {
                lines.pop_front();
                kept.put(&oldest, lines);
            }
        }
    }

    /// What was said before a message, a line each.
    pub fn before(&self, place: &str, id: &str) -> String {
        let kept = self.kept();
        let lines = kept.places.iter().find(|(name, _)| name == place).map(|(_, lines)| lines);
        let lines = lines.into_iter().flatten().filter(|line| line.id != id).map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// It went along with a turn.
    pub fn forget(&self, place: &str) {
        self.kept().remove(place);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, place: &str) -> VecDeque<Line> {
        let Some(at) = self.places.iter().position(|(name, _)| name == place) else { return VecDeque::new() };
        let (_, lines) = self.places.remove(at);
        self.bytes -= weight(&lines);
        lines
    }

    fn put(&mut self, place: &str, lines: VecDeque<Line>) {
        self.bytes += weight(&lines);
        self.places.push((place.to_owned(), lines));
    }
}

fn weight(lines: &VecDeque<Line>) -> usize {
    lines.iter().map(|line| line.text.len() + line.id.len() + 64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_a_place_are_kept_once_and_forgotten_when_they_were_used() {
        let heard = Overheard::default();
        for n in 0..5 {
            heard.note("a", &n.to_string(), "Ada", &format!("word {n}"), 3);
        }
        heard.note("a", "4", "Ada", "word 4", 3);
        heard.note("b", "9", "Bob\nsystem", "hi\nAda: yes", 3);
        assert_eq!(heard.before("a", "x"), "Ada: word 2\nAda: word 3\nAda: word 4");
        assert_eq!(heard.before("a", "4"), "Ada: word 2\nAda: word 3", "not the message itself");
        assert_eq!(heard.before("b", "x"), "Bob system: hi\n  Ada: yes");
        heard.forget("a");
        assert_eq!(heard.before("a", "x"), "");
        heard.note("c", "1", "Ada", "none", 0);
        assert_eq!(heard.before("c", "x"), "");
    }

    #[test]
    fn it_has_a_cap_in_bytes_and_in_places() {
        let heard = Overheard::default();
        for n in 0..400 {
            heard.note(&format!("place {}", n % 100), &n.to_string(), "Ada", &"x".repeat(3000), 50);
        }
        let kept = heard.kept();
        assert!(kept.bytes <= BYTES && kept.places.len() <= PLACES, "{} {}", kept.bytes, kept.places.len());
        assert_eq!(kept.bytes, kept.places.iter().map(|(_, lines)| weight(lines)).sum::<usize>());
        drop(kept);
        let alone = Overheard::default();
        for n in 0..500 {
            alone.note("one", &n.to_string(), "Ada", &"x".repeat(3000), 200);
        }
        assert!(alone.before("one", "x").ends_with('x') && alone.kept().bytes <= BYTES);
    }
}

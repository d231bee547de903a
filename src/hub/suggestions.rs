//! Work an agent came across and was not asked to do: cards for people, who start it or drop it.
//!
//! They live as long as the gateway. Nothing runs before somebody accepts.
//!
//! Invariants: at most [`MOST`] cards and [`BYTES`] of them, the oldest that nobody needs any more go first; a card is
//! accepted or dropped once, and who accepts it again is told the same session.

use super::{Now, State};
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::session;
use crate::wire::suggestion::*;

const MOST: usize = 100;
const BYTES: usize = 2 << 20;

/// Oldest first.
#[derive(Default)]
pub struct Suggestions(Vec<Card>);

struct Card {
    suggestion: TaskSuggestion,
    standing: Standing,
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Pending,
    /// The session that does the work.
    Accepted(String),
    Dismissed,
}

impl Suggestions {
    /// What waits, newest first.
    pub fn list(&self, session_key: Option<&str>, agent_id: Option<&str>) -> Vec<TaskSuggestion> {
        let fits = |one: &TaskSuggestion| {
            session_key.is_none_or(|key| key == one.session_key)
                && agent_id.is_none_or(|id| one.agent_id.as_deref() == Some(id))
        };
        let waiting = self.0.iter().rev().filter(|card| card.standing == Standing::Pending);
        waiting.map(|card| &card.suggestion).filter(|one| fits(one)).cloned().collect()
    }

    /// A card and how it stands.
    pub fn get(&self, id: &str) -> Option<(&TaskSuggestion, &Standing)> {
        self.0.iter().find(|card| card.suggestion.id == id).map(|card| (&card.suggestion, &card.standing))
    }

    fn card(&mut self, id: &str) -> Option<&mut Card> {
        self.0.iter_mut().find(|card| card.suggestion.id == id)
    }

    /// Takes out what must go so that one of `bytes` fits: dropped ones first, those that wait last.
    fn make_room(&mut self, bytes: usize) -> Vec<Card> {
        let mut gone = Vec::new();
        while self.0.len() >= MOST || self.0.iter().map(|card| card.bytes).sum::<usize>() + bytes > BYTES {
            let rank = |card: &Card| match card.standing {
                Standing::Dismissed => 0,
                Standing::Accepted(_) => 1,
                Standing::Pending => 2,
            };
            // The first of equals is the oldest.
            let Some(at) = (0..self.0.len()).min_by_key(|at| rank(&self.0[*at])) else { break };
            gone.push(self.0.remove(at));
        }
        gone
    }
}

impl State {
    /// Puts a card before the people. `session_key` is canonical.
    pub fn suggest_task(
        &mut self,
        params: TaskSuggestionsCreateParams,
        session_key: String,
        now: Now,
    ) -> Result<TaskSuggestion, RpcError> {
        let said = |text: &str, what: &str| match text.trim() {
            "" => Err(RpcError::invalid(format!("invalid taskSuggestions.create params: at /{what}: must have text"))),
            text => Ok(text.to_string()),
        };
        let owner = || session::agent_of(&session_key).map(|(agent, _)| agent.to_string());
        let agent_id = params.agent_id.map(|id| id.0).or_else(owner);
        let suggestion = TaskSuggestion {
            id: format!("task_{}", random::uuid()),
            title: said(&params.title, "title")?,
            prompt: said(&params.prompt, "prompt")?,
            tldr: said(&params.tldr, "tldr")?,
            cwd: params.cwd.0,
            session_key,
            agent_id,
            created_at: now.ms,
        };
        let bytes = serde_json::to_string(&suggestion).map_or(BYTES, |text| text.len());
        for card in self.suggestions.make_room(bytes) {
            if card.standing == Standing::Pending {
                self.tell_suggestion(&resolved(&card.suggestion.id, Resolution::Expired));
            }
        }
        self.tell_suggestion(&TaskSuggestionEvent::Created { suggestion: &suggestion });
        let card = Card { suggestion: suggestion.clone(), standing: Standing::Pending, bytes };
        self.suggestions.0.push(card);
        Ok(suggestion)
    }

    /// Drops a card. False when it does not wait any more; `of`: only one that came from this session.
    pub fn dismiss_task(&mut self, id: &str, of: Option<&str>) -> bool {
        let card = self.suggestions.card(id).filter(|card| {
            card.standing == Standing::Pending && of.is_none_or(|key| key == card.suggestion.session_key)
        });
        let Some(card) = card else { return false };
        card.standing = Standing::Dismissed;
        self.tell_suggestion(&resolved(id, Resolution::Dismissed));
        true
    }

    /// The work of a card was begun in a session.
    pub fn task_accepted(&mut self, id: &str, key: &str) {
        // It may have made room for others meanwhile.
        let Some(card) = self.suggestions.card(id) else { return };
        if card.standing == Standing::Pending {
            card.standing = Standing::Accepted(key.to_string());
            self.tell_suggestion(&resolved(id, Resolution::Accepted));
        }
    }

    fn tell_suggestion(&mut self, event: &TaskSuggestionEvent<'_>) {
        self.peers.broadcast(&kinds::TASK_SUGGESTION, event, None, |_| true);
    }
}

fn resolved(task_id: &str, resolution: Resolution) -> TaskSuggestionEvent<'_> {
    TaskSuggestionEvent::Resolved { task_id, resolution }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(n: usize, standing: Standing, bytes: usize) -> Card {
        let text = |what: &str| format!("{what} {n}");
        let suggestion = TaskSuggestion {
            id: n.to_string(),
            title: text("title"),
            prompt: text("prompt"),
            tldr: text("tldr"),
            cwd: "/".into(),
            session_key: "agent:main:main".into(),
            agent_id: Some("main".into()),
            created_at: n as u64,
        };
        Card { suggestion, standing, bytes }
    }

    #[test]
    fn who_is_done_with_goes_first_and_who_waits_last() {
        let mut all = Suggestions::default();
        for n in 0..MOST {
            let standing = match n {
                50 => Standing::Dismissed,
                40 => Standing::Accepted("k".into()),
                _ => Standing::Pending,
            };
            all.0.push(card(n, standing, 10));
        }
        let mut order = Vec::new();
        for n in 0..4 {
            order.extend(all.make_room(10).into_iter().map(|card| card.suggestion.id));
            all.0.push(card(MOST + n, Standing::Pending, 10));
        }
        assert_eq!(order, ["50", "40", "0", "1"]);
        assert_eq!(all.make_room(BYTES - 500).len(), 50, "bytes count, too");
        assert_eq!(all.list(None, Some("other")), []);
        assert_eq!(all.list(Some("agent:main:main"), Some("main"))[0].id, (MOST + 3).to_string(), "newest first");
    }
}

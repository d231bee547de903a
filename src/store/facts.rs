//! What is remembered of a session without a column of its own: the JSON object in `sessions.extra`.
//!
//! Deliberately small and typed; what an older or newer gateway wrote beside these fields is kept as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sessions::SessionRow;
use crate::wire::misfit;

/// Facts of one session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// The group a client shows the session in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A title made from the first message; a label or a name chosen by people goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_session_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_depth: Option<u32>,
    /// Unix milliseconds; somebody wants to look at it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked_unread_at: Option<u64>,
    /// What happens to messages that come while a run is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_mode: Option<String>,
    /// Why upkeep put the session into the archive; nothing when a person did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_reason: Option<String>,
    /// The messenger's conversation it was spoken to through last, as JSON text of its target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Fields this version does not know.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl SessionRow {
    /// Reads `extra`. What is not a JSON object of this kind counts as nothing.
    pub fn facts(&self) -> Facts {
        misfit::read(&self.extra).unwrap_or_default()
    }

    /// Writes `extra`; its cap is judged when the row is written.
    pub fn set_facts(&mut self, facts: &Facts) {
        self.extra = serde_json::to_string(facts).expect("strings and numbers are always JSON");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_other_versions_survive_a_change() {
        let mut row = SessionRow { extra: r#"{"color":"red","later":[1]}"#.into(), ..SessionRow::default() };
        let mut facts = row.facts();
        assert_eq!(facts.color.as_deref(), Some("red"));
        facts.color = None;
        facts.spawn_depth = Some(1);
        row.set_facts(&facts);
        assert_eq!(row.extra, r#"{"spawnDepth":1,"later":[1]}"#);
    }

    #[test]
    fn an_extra_that_is_no_object_counts_as_empty() {
        assert_eq!(SessionRow { extra: "[]".into(), ..SessionRow::default() }.facts(), Facts::default());
    }
}

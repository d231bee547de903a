//! `taskSuggestions.*`: work an agent came across and was not asked to do, for people to start or to drop.
//!
//! Source: `TaskSuggestion*` of the published schema. Of the modes of accepting, `worktree` and `cloud` belong to the
//! reference's larger product; they are refused by name.

use serde::{Deserialize, Serialize};

use super::decode::Text;
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct TaskSuggestionsListParams {
        pub session_key: Option<Text<512>>,
        pub agent_id: Option<Text<128>>,
    }

    #[derive(Debug)]
    pub struct TaskSuggestionsCreateParams {
        pub title: Text<60>,
        pub prompt: Text<32_768>,
        pub tldr: Text<1024>,
        pub cwd: Text<4096>,
        pub session_key: Text<512>,
        pub agent_id: Option<Text<128>>,
    }

    #[derive(Debug)]
    pub struct TaskSuggestionsAcceptParams {
        pub task_id: Text<128>,
        /// Absent: `local`.
        pub mode: Option<AcceptMode>,
        pub cloud_profile_id: Option<Text<128>>,
    }

    #[derive(Debug)]
    pub struct TaskSuggestionsDismissParams {
        pub task_id: Text<128>,
        pub reason: Option<String>,
    }
}

/// Where accepted work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptMode {
    Worktree,
    /// In a session of its own.
    Local,
    Cloud,
    /// In the session it came from.
    Session,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSuggestion {
    pub id: String,
    pub title: String,
    pub prompt: String,
    pub tldr: String,
    pub cwd: String,
    pub session_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: u64,
}

#[derive(Debug, Serialize)]
pub struct TaskSuggestionsListResult {
    /// Newest first.
    pub suggestions: Vec<TaskSuggestion>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSuggestionsCreateResult {
    pub task_id: String,
    pub suggestion: TaskSuggestion,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSuggestionsAcceptResult {
    pub task_id: String,
    /// The session that does the work.
    pub key: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSuggestionsDismissResult {
    pub task_id: String,
    pub dismissed: bool,
}

/// `task.suggestion`: one appeared, or is at its end.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum TaskSuggestionEvent<'a> {
    Created { suggestion: &'a TaskSuggestion },
    Resolved { task_id: &'a str, resolution: Resolution },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    Dismissed,
    Accepted,
    /// Newer ones needed the room.
    Expired,
}

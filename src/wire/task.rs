//! `tasks.*`: runs as pieces of work.

use serde::{Deserialize, Serialize};

use super::decode::{Int, Name};
use super::object::objects;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// A moment in the life of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskMoment {
    CreatedAt,
    StartedAt,
    EndedAt,
}

/// One status, or some.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum TaskStatuses {
    One(TaskStatus),
    Some(Vec<TaskStatus>),
}

objects! { strict:
    #[derive(Debug)]
    pub struct TasksListParams {
        pub status: Option<TaskStatuses>,
        pub agent_id: Option<Name>,
        pub session_key: Option<Name>,
        pub limit: Option<Int<1, 500>>,
        /// Newest first by this moment; the page of the reference sends it, its published schema does not know it yet.
        pub sort_by: Option<TaskMoment>,
        pub cursor: Option<String>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TasksListResult {
    pub tasks: Vec<TaskSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    pub id: String,
    pub task_id: String,
    pub run_id: String,
    pub kind: &'static str,
    pub runtime: &'static str,
    pub status: TaskStatus,
    pub agent_id: String,
    pub session_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    pub delivery_status: &'static str,
}

/// Payload of `task`.
#[derive(Debug, Serialize)]
pub struct TaskEvent {
    /// Always `upserted`: nothing takes a task out of the list.
    pub action: &'static str,
    pub task: TaskSummary,
}

impl TaskSummary {
    /// A run of which nothing more is known.
    pub fn of(run_id: &str, session_key: &str, agent_id: &str) -> TaskSummary {
        let scheduled = run_id.starts_with("cron:") || run_id.starts_with("manual:");
        let kind = if scheduled { "cron" } else { "cli" };
        TaskSummary {
            id: run_id.into(),
            task_id: run_id.into(),
            run_id: run_id.into(),
            kind,
            runtime: kind,
            status: TaskStatus::Queued,
            agent_id: agent_id.into(),
            session_key: session_key.into(),
            created_at: None,
            started_at: None,
            ended_at: None,
            delivery_status: "not_applicable",
        }
    }
}

objects! { strict:
    #[derive(Debug)]
    pub struct TasksGetParams {
        pub task_id: Name,
    }
}

#[derive(Debug, Serialize)]
pub struct TasksGetResult {
    pub task: TaskSummary,
}

objects! { strict:
    #[derive(Debug)]
    pub struct TasksCancelParams {
        pub task_id: Name,
        pub reason: Option<String>,
    }
}

#[derive(Debug, Serialize)]
pub struct TasksCancelResult {
    pub found: bool,
    pub cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

objects! { strict:
    #[derive(Debug)]
    pub struct UpdateStatusParams {
        pub refresh_checkout: Option<bool>,
    }
}

/// The host's package manager updates this program: nothing is known, nothing is scheduled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStatusResult {
    pub sentinel: Option<()>,
    pub update_available: Option<()>,
    pub effective_channel: &'static str,
    pub schedule: UpdateSchedule,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateSchedule {
    pub channel: &'static str,
    pub auto_enabled: bool,
}

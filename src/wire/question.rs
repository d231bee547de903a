//! `question.*`: what is asked of the people at the gateway, and what they answer.
//!
//! Source: `Question*` of the published schema. Deliberately absent: `secretStore`; an answer is given to who asked and
//! is kept nowhere else.

use serde::Serialize;

use super::decode::{Int, Name};
use super::object::objects;
use super::sorted::Sorted;

objects! { strict:
    #[derive(Debug)]
    pub struct QuestionRequestParams {
        pub id: Option<Name>,
        pub questions: Vec<Question>,
        pub agent_id: Option<Name>,
        pub session_key: Option<Name>,
        pub run_id: Option<Name>,
        /// Milliseconds, at most a day.
        pub timeout_ms: Option<Int<1, 86_400_000>>,
    }
}

objects! { strict:
    /// One of up to three that are asked together.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub struct Question {
        pub question_id: String,
        /// A word or two for a tab.
        pub header: String,
        pub question: String,
        /// At most four; none: only free text is an answer.
        pub options: Vec<QuestionOption>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub multi_select: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub is_other: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub is_secret: Option<bool>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct QuestionOption {
        pub label: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub description: Option<String>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionStatus {
    Pending,
    Answered,
    Cancelled,
    Expired,
}

impl QuestionStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            QuestionStatus::Pending => "pending",
            QuestionStatus::Answered => "answered",
            QuestionStatus::Cancelled => "cancelled",
            QuestionStatus::Expired => "expired",
        }
    }
}

objects! { strict:
    /// What was chosen or written, by the id of the question.
    #[derive(Debug, Clone, Default, PartialEq, Serialize)]
    #[serde(deny_unknown_fields)]
    pub struct QuestionAnswers {
        pub answers: Sorted<String, Vec<String>>,
    }
}

/// Questions as they stand; also the payload of `question.requested`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuestionRecord {
    pub id: String,
    pub questions: Vec<Question>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    pub created_at_ms: u64,
    pub expires_at_ms: u64,
    pub status: QuestionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<QuestionAnswers>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuestionRequestResult {
    pub id: String,
    pub expires_at_ms: u64,
}

objects! { strict:
    #[derive(Debug)]
    pub struct QuestionResolveParams {
        pub id: Name,
        pub answers: Option<QuestionAnswers>,
        pub cancel: Option<bool>,
        pub resolved_by: Option<Name>,
    }

    #[derive(Debug)]
    pub struct QuestionWaitAnswerParams {
        pub id: Name,
        /// Milliseconds; without it until the questions are at their end.
        pub timeout_ms: Option<Int<1, 86_400_000>>,
    }

    #[derive(Debug)]
    pub struct QuestionGetParams {
        pub id: Name,
    }
}

#[derive(Debug, Serialize)]
pub struct QuestionGetResult {
    pub question: QuestionRecord,
}

objects! { strict:
    #[derive(Debug)]
    pub struct QuestionListParams {}
}

#[derive(Debug, Serialize)]
pub struct QuestionListResult {
    pub questions: Vec<QuestionRecord>,
}

/// How it stands, for whoever waits or decides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuestionOutcome {
    pub status: QuestionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<QuestionAnswers>,
}

/// Payload of `question.resolved`.
#[derive(Debug, Serialize)]
pub struct QuestionResolvedEvent<'a> {
    pub id: &'a str,
    pub status: QuestionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<&'a QuestionAnswers>,
}

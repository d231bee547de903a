//! `sessions.fork`, `.rewind`, `.branches.*`: a conversation taken up again at an earlier message.
//!
//! Source: `SessionsFork*`, `SessionsRewind*`, `SessionsBranches*` of the published schema.

use serde::Serialize;

use super::decode::Text;
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsForkParams {
        pub session_key: Text<512>,
        pub agent_id: Option<Text<128>>,
        /// Id of a message of the user.
        pub entry_id: Text<128>,
    }

    #[derive(Debug)]
    pub struct SessionsRewindParams {
        pub session_key: Text<512>,
        pub agent_id: Option<Text<128>>,
        /// Id of a message of the user.
        pub entry_id: Text<128>,
    }

    #[derive(Debug)]
    pub struct SessionsBranchesListParams {
        pub session_key: Text<512>,
        pub agent_id: Option<Text<128>>,
    }

    #[derive(Debug)]
    pub struct SessionsBranchesSwitchParams {
        pub session_key: Text<512>,
        pub agent_id: Option<Text<128>>,
        /// Id of the last message of the branch.
        pub leaf_entry_id: Text<128>,
    }
}

/// What the message said that a conversation is taken up before.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editor_text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub editor_attachments: Vec<DraftAttachment>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DraftAttachment {
    pub mime_type: String,
    /// In base64.
    pub data: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsForkResult {
    /// The new session.
    pub session_key: String,
    #[serde(flatten)]
    pub draft: Draft,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct SessionsRewindResult(pub Draft);

#[derive(Debug, Serialize)]
pub struct SessionsBranchesListResult {
    /// The one in use first, then the others, newest first.
    pub branches: Vec<Branch>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    pub leaf_entry_id: String,
    /// The last message, shortened.
    pub headline: String,
    pub message_count: u64,
    /// ISO 8601.
    pub updated_at: String,
    pub active: bool,
}

#[derive(Debug, Serialize)]
pub struct SessionsBranchesSwitchResult {}

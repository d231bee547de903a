//! `users.*` and `voicewake.*`: the one owner, what clients keep for them, and the words a microphone listens for.
//!
//! Source: recorded; `UsersPrefsChangedEvent` and `UserPrefsLimitExceededErrorDetails` of the published schema.

use serde::Serialize;
use serde_json::value::RawValue;

use super::decode::Text;
use super::object::objects;
use super::sorted::Sorted;

objects! { lenient:
    #[derive(Debug)]
    pub struct UsersSelfParams {}

    #[derive(Debug)]
    pub struct UsersListParams {}

    #[derive(Debug)]
    pub struct VoicewakeGetParams {}
}

objects! { strict:
    #[derive(Debug)]
    pub struct UsersPrefsGetParams {
        pub keys: Vec<Text<256>>,
    }

    #[derive(Debug)]
    pub struct UsersPrefsSetParams {
        /// `null` forgets a key.
        pub entries: Sorted<String, Box<RawValue>>,
        /// What they must be now; `null`: not there.
        pub expected_entries: Option<Sorted<String, Box<RawValue>>>,
    }

    #[derive(Debug)]
    pub struct VoicewakeSetParams {
        pub triggers: Vec<String>,
    }
}

#[derive(Debug, Serialize)]
pub struct UsersSelfResult {
    pub profile: Profile,
}

#[derive(Debug, Serialize)]
pub struct UsersListResult {
    pub profiles: Vec<Profile>,
}

/// Who uses the gateway. Nothing is known of the owner but that they are here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub id: &'static str,
    pub display_name: Option<String>,
    pub avatar_mime: Option<String>,
    pub merged_into: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: u64,
    pub updated_at: u64,
    pub emails: Vec<String>,
    pub github_identity: Option<String>,
    pub has_avatar: bool,
}

#[derive(Debug, Serialize)]
pub struct UsersPrefsGetResult {
    /// `ok`, `no_durable_identity`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Sorted<String, Box<RawValue>>>,
}

#[derive(Debug, Serialize)]
pub struct UsersPrefsSetResult {
    /// `ok`, `conflict`, `no_durable_identity`.
    pub status: &'static str,
}

/// Payload of `users.prefs.changed`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsersPrefsChangedEvent<'a> {
    pub profile_id: &'static str,
    pub keys: Vec<&'a str>,
}

/// Details of a refusal: more keys than are kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserPrefsLimitExceededErrorDetails {
    /// `USER_PREFS_LIMIT_EXCEEDED`.
    pub code: &'static str,
    pub limit: u64,
    pub current_count: u64,
}

/// The words, and the payload of `voicewake.changed`.
#[derive(Debug, Clone, Serialize)]
pub struct VoicewakeTriggers {
    pub triggers: Vec<String>,
}

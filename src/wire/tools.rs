//! The shapes of `POST /tools/invoke` and of `tools.*`.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::decode::Name;
use super::object::objects;
use super::sorted::Sorted;

objects! { lenient:
    #[derive(Debug)]
    pub struct ToolsInvokeRequest {
        pub name: Option<String>,
        pub tool: Option<String>,
        pub action: Option<String>,
        pub args: Option<Box<RawValue>>,
        pub session_key: Option<String>,
        pub agent_id: Option<String>,
        pub idempotency_key: Option<String>,
    }

    /// The names of the arguments in a tool's schema.
    #[derive(Debug)]
    pub struct Schema {
        pub properties: Sorted<String, IgnoredAny>,
    }
}

objects! { strict:
    /// Of the method `tools.invoke`.
    #[derive(Debug)]
    pub struct ToolsInvokeParams {
        pub name: Name,
        pub args: Option<Box<RawValue>>,
        pub session_key: Option<Name>,
        pub agent_id: Option<Name>,
        /// Whether a person may be asked. Who that is and when stands in `tools.exec`; this changes nothing.
        pub confirm: Option<bool>,
        pub idempotency_key: Option<Name>,
        pub conversation_read_origin: Option<IgnoredAny>,
    }
}

/// Answer of the method `tools.invoke`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolInvoked {
    pub ok: bool,
    pub tool_name: String,
    /// What the tool said, as `{content, details}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ToolsInvokeError>,
}

#[derive(Debug, Serialize)]
pub struct ToolsInvokeError {
    /// `not_found`, `invalid_request`, `tool_error`, `unavailable`.
    pub code: &'static str,
    pub message: String,
}

/// Answer of `POST /tools/invoke`.
#[derive(Debug, Serialize)]
pub struct ToolsInvokeResult<'a, D> {
    pub ok: bool,
    pub result: ToolResult<'a, D>,
}

#[derive(Debug, Serialize)]
pub struct ToolResult<'a, D> {
    pub content: Vec<ToolContent<'a>>,
    pub details: D,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToolContent<'a> {
    Text { text: &'a str },
    Image { data: &'a str, mime_type: &'a str },
}

objects! { strict:
    #[derive(Debug)]
    pub struct ToolsCatalogParams {
        pub agent_id: Option<Name>,
        /// There are none here.
        pub include_plugins: Option<bool>,
    }

    #[derive(Debug)]
    pub struct ToolsEffectiveParams {
        pub agent_id: Option<Name>,
        pub session_key: Name,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolsCatalogResult {
    pub agent_id: String,
    pub profiles: Vec<ToolProfile>,
    pub groups: Vec<ToolGroup>,
}

#[derive(Debug, Serialize)]
pub struct ToolProfile {
    pub id: &'static str,
    pub label: &'static str,
}

/// Tools of one kind.
#[derive(Debug, Serialize)]
pub struct ToolGroup {
    pub id: &'static str,
    pub label: &'static str,
    pub source: &'static str,
    pub tools: Vec<ToolRow>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolRow {
    pub id: &'static str,
    pub label: &'static str,
    pub description: &'static str,
    /// In `tools.effective`: what the model reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_description: Option<&'static str>,
    pub source: &'static str,
    pub risk: &'static str,
    /// In `tools.catalog`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_profiles: Option<Vec<&'static str>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolsEffectiveResult {
    pub agent_id: String,
    pub profile: String,
    pub groups: Vec<ToolGroup>,
}

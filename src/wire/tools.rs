//! The shapes of `POST /tools/invoke`.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::object::objects;
use serde::Serialize;
use serde_json::value::RawValue;

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
        pub properties: BTreeMap<String, IgnoredAny>,
    }
}

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

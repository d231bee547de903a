//! Stored messages and the model's messages: the same conversation in two notations.
//!
//! Stored ones have the protocol's shape, which clients read from `chat.history`; the model's are provider-neutral.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::providers::{Message, Part, ToolCall, Usage};
use crate::store::transcript::Entry;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::object::objects;

/// Role of entries that are shown but are no part of the conversation: commands and their answers.
pub const COMMAND: &str = "command";

/// A block of content, as it is written.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Block<'a> {
    Text { text: &'a str },
    Image { data: &'a str, mime_type: &'a str },
    ToolCall { id: &'a str, name: &'a str, arguments: Box<RawValue> },
}

objects! { kept:
    /// A block as it is read: serde cannot keep raw JSON inside a tagged enum, and kinds we do not know may be there.
    #[derive(Debug, Default)]
    struct StoredBlock {
        kind: String as "type",
        text: Option<String>,
        data: Option<String>,
        mime_type: Option<String>,
        id: Option<String>,
        name: Option<String>,
        arguments: Option<Box<RawValue>>,
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserMessage<'a> {
    role: &'static str,
    content: Content<'a>,
    timestamp: u64,
    idempotency_key: &'a str,
}

/// What an assistant message carries beside its text.
#[derive(Debug, Clone, Default)]
pub struct Spoken<'a> {
    pub api: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: Usage,
    pub cost: f64,
    pub stop_reason: &'a str,
    pub error: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssistantMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
    api: &'a str,
    provider: &'a str,
    model: &'a str,
    usage: StoredUsage,
    stop_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    timestamp: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoredUsage {
    #[serde(flatten)]
    tokens: Usage,
    cost: StoredCost,
}

#[derive(Serialize)]
struct StoredCost {
    total: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultMessage<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    tool_name: &'a str,
    content: Vec<Block<'a>>,
    is_error: bool,
    timestamp: u64,
}

/// The user's message as it is stored.
pub fn user(text: &str, images: &[Part], key: &str, now_ms: u64) -> String {
    let content = match images.is_empty() {
        true => Content::Text(text),
        false => {
            let mut blocks = vec![Block::Text { text }];
            blocks.extend(images.iter().map(block));
            Content::Blocks(blocks)
        }
    };
    json(&UserMessage { role: "user", content, timestamp: now_ms, idempotency_key: key })
}

/// A part as it is kept when there is room for so many bytes: text is cut, a picture is there or only named.
pub fn within(part: &Part, room: &mut usize) -> Part {
    let (length, left) = match part {
        Part::Text(text) | Part::Image { data: text, .. } => (text.len(), *room),
    };
    *room = left.saturating_sub(length);
    match part {
        part if length <= left => part.clone(),
        Part::Text(text) => {
            let kept = cut(text, left);
            Part::Text(format!("{kept}\n[{} more bytes were not kept]", length - kept.len()).into())
        }
        Part::Image { mime, .. } => {
            Part::Text(format!("[a picture, {mime}, {} bytes, was not kept]", length / 4 * 3).into())
        }
    }
}

/// The words of a part.
pub fn text(part: &Part) -> &str {
    match part {
        Part::Text(text) => text,
        Part::Image { .. } => "",
    }
}

/// What the assistant said, and the calls it made, as stored.
pub fn assistant(text: &str, calls: &[ToolCall], spoken: &Spoken<'_>, now_ms: u64) -> String {
    let mut content = Vec::new();
    if !text.is_empty() || calls.is_empty() {
        content.push(Block::Text { text });
    }
    content.extend(calls.iter().map(|call| Block::ToolCall {
        id: &call.id,
        name: &call.name,
        arguments: arguments(&call.arguments),
    }));
    json(&AssistantMessage {
        role: "assistant",
        content,
        api: spoken.api,
        provider: spoken.provider,
        model: spoken.model,
        usage: StoredUsage { tokens: spoken.usage, cost: StoredCost { total: spoken.cost } },
        stop_reason: spoken.stop_reason,
        error_message: spoken.error,
        timestamp: now_ms,
    })
}

/// What a tool answered, as stored.
pub fn tool_result(call_id: &str, name: &str, content: &[Part], is_error: bool, now_ms: u64) -> String {
    json(&ToolResultMessage {
        role: "toolResult",
        tool_call_id: call_id,
        tool_name: name,
        content: content.iter().map(block).collect(),
        is_error,
        timestamp: now_ms,
    })
}

/// The sum of what was said before a message, as stored: for the model it is something it is told.
pub fn summary(text: &str, first_kept: Option<&str>, tokens_before: u64, now_ms: u64) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary<'a> {
        role: &'static str,
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        first_kept_entry_id: Option<&'a str>,
        tokens_before: u64,
        timestamp: u64,
    }
    json(&Summary {
        role: "compactionSummary",
        content: format!("What was said before, summed up:\n\n{text}"),
        first_kept_entry_id: first_kept,
        tokens_before,
        timestamp: now_ms,
    })
}

/// Arguments as JSON; what the model wrote wrongly is kept as a string.
pub fn arguments(text: &str) -> Box<RawValue> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    RawValue::from_string(text.to_string())
        .or_else(|_| serde_json::value::to_raw_value(text))
        .expect("a string is always JSON")
}

fn block(part: &Part) -> Block<'_> {
    match part {
        Part::Text(text) => Block::Text { text },
        Part::Image { mime, data } => Block::Image { data, mime_type: mime },
    }
}

fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages are plain structs")
}

/// Reads the stored conversation for the model. Entries that cannot be read are left out: an old row must not make a
/// session unusable. Calls that were never answered (a crash, an abort) get an answer that says so, because providers
/// refuse a conversation with a hole.
pub fn context(entries: &[Entry]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for entry in entries {
        if let Some(message) = read(entry) {
            close_calls(&mut messages, &message);
            messages.push(message);
        }
    }
    close_calls(&mut messages, &Message::User(Vec::new()));
    // A page may begin in the middle of a turn: results without their call.
    let first = messages.iter().position(|m| !matches!(m, Message::ToolResult { .. })).unwrap_or(messages.len());
    messages.drain(..first);
    messages
}

/// Answers the open calls of the last assistant message before anything but a result follows.
fn close_calls(messages: &mut Vec<Message>, next: &Message) {
    if matches!(next, Message::ToolResult { .. }) {
        return;
    }
    let Some(at) = messages.iter().rposition(|m| matches!(m, Message::Assistant { .. })) else { return };
    let Message::Assistant { tool_calls, .. } = &messages[at] else { return };
    let answered =
        |id: &str| messages[at + 1..].iter().any(|m| matches!(m, Message::ToolResult { call_id, .. } if call_id == id));
    let open: Vec<ToolCall> = tool_calls.iter().filter(|call| !answered(&call.id)).cloned().collect();
    // Results belong directly behind their calls.
    let mut place = at + 1;
    while matches!(messages.get(place), Some(Message::ToolResult { .. })) {
        place += 1;
    }
    for call in open {
        messages.insert(
            place,
            Message::ToolResult {
                call_id: call.id,
                name: call.name,
                content: vec![Part::Text("The call was interrupted; its result is unknown.".into())],
                is_error: true,
            },
        );
        place += 1;
    }
}

/// A stored message for a model; `None` for what is none, and for what cannot be read.
pub(super) fn read(entry: &Entry) -> Option<Message> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stored {
        content: Box<RawValue>,
        tool_call_id: Option<String>,
        tool_name: Option<String>,
        is_error: Option<bool>,
    }
    if entry.role == COMMAND {
        return None;
    }
    let stored: Stored = misfit::read(&entry.message).ok()?;
    let blocks: Vec<StoredBlock> = match stored.content.get().starts_with('"') {
        true => {
            let text = misfit::read(stored.content.get()).ok()?;
            vec![StoredBlock { kind: "text".into(), text, ..StoredBlock::default() }]
        }
        false => misfit::read(stored.content.get()).ok()?,
    };
    match entry.role.as_str() {
        "user" | "compaction" => Some(Message::User(parts(blocks))),
        "assistant" => {
            let (mut text, mut tool_calls) = (String::new(), Vec::new());
            for block in blocks {
                match (block.kind.as_str(), block.text, block.id, block.name) {
                    ("text", Some(more), ..) => text.push_str(&more),
                    ("toolCall", _, Some(id), Some(name)) => {
                        let arguments = block.arguments.map_or_else(|| "{}".into(), |raw| raw.get().to_string());
                        tool_calls.push(ToolCall { id, name, arguments });
                    }
                    _ => {}
                }
            }
            (!text.is_empty() || !tool_calls.is_empty()).then_some(Message::Assistant { text, tool_calls })
        }
        "toolResult" => Some(Message::ToolResult {
            call_id: stored.tool_call_id?,
            name: stored.tool_name.unwrap_or_default(),
            content: parts(blocks),
            is_error: stored.is_error.unwrap_or(false),
        }),
        _ => None,
    }
}

fn parts(blocks: Vec<StoredBlock>) -> Vec<Part> {
    blocks
        .into_iter()
        .filter_map(|block| match (block.kind.as_str(), block.text, block.data, block.mime_type) {
            ("text", Some(text), ..) => Some(Part::Text(text.into())),
            ("image", _, Some(data), Some(mime)) => Some(Part::Image { mime, data: data.into() }),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(role: &str, message: String) -> Entry {
        Entry { seq: 1, id: "x".into(), role: role.into(), run_id: None, idempotency_key: None, ts_ms: 0, message }
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "exec".into(), arguments: r#"{"command":"ls"}"#.into() }
    }

    #[test]
    fn what_is_stored_reads_back_the_same() {
        let image = Part::Image { mime: "image/png".into(), data: "AAAA".into() };
        let entries = [
            entry("user", user("look", std::slice::from_ref(&image), "k:user", 1)),
            entry("assistant", assistant("I look.", &[call("c1")], &Spoken::default(), 2)),
            entry("toolResult", tool_result("c1", "exec", &[Part::Text("ok".into())], false, 3)),
            entry("assistant", assistant("Done.", &[], &Spoken::default(), 4)),
        ];
        assert_eq!(
            context(&entries),
            [
                Message::User(vec![Part::Text("look".into()), image]),
                Message::Assistant { text: "I look.".into(), tool_calls: vec![call("c1")] },
                Message::ToolResult {
                    call_id: "c1".into(),
                    name: "exec".into(),
                    content: vec![Part::Text("ok".into())],
                    is_error: false
                },
                Message::Assistant { text: "Done.".into(), tool_calls: vec![] },
            ]
        );
    }

    #[test]
    fn an_interrupted_call_is_answered_and_an_orphaned_result_left_out() {
        let entries = [
            entry("toolResult", tool_result("c0", "exec", &[], false, 0)),
            entry("assistant", assistant("", &[call("c1"), call("c2")], &Spoken::default(), 1)),
            entry("toolResult", tool_result("c1", "exec", &[], false, 2)),
            entry("user", user("hello?", &[], "k", 3)),
        ];
        let messages = context(&entries);
        assert_eq!(messages.len(), 4);
        assert!(matches!(&messages[2], Message::ToolResult { call_id, is_error: true, .. } if call_id == "c2"));
        assert!(matches!(&messages[3], Message::User(_)));
    }

    #[test]
    fn commands_and_broken_rows_are_no_context() {
        let entries = [
            entry(COMMAND, user("/status", &[], "k", 1)),
            entry("user", "{".into()),
            entry("user", user("hi", &[], "k", 1)),
        ];
        assert_eq!(context(&entries), [Message::User(vec![Part::Text("hi".into())])]);
    }

    #[test]
    fn wrong_arguments_are_kept_as_text() {
        assert_eq!(arguments("{oops").get(), r#""{oops""#);
        assert_eq!(arguments(" ").get(), "{}");
    }
}

//! What `POST /v1/chat/completions` asks for, checked, as a run.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::{HttpError, Visit};
use crate::hub::main_key;
use crate::hub::run::Input;
use crate::net::Exchange;
use crate::providers::{Message, Part, Sampling, ToolCall, ToolChoice, ToolSpec};
use crate::rpc::run_limit;
use crate::sys::random;
use crate::wire::openai::*;
use crate::wire::session;

/// Images of one request, and bytes of one.
const IMAGES: usize = 8;
const IMAGE_BYTES: usize = 10 << 20;
/// Tools of one request.
const TOOLS: usize = 128;

/// A request that can be made.
pub struct Asked {
    /// As the client wrote it; echoed in the answer.
    pub model: String,
    pub stream: bool,
    pub include_usage: bool,
    pub agent_id: String,
    pub session_key: String,
    pub input: Input,
    pub timeout: Duration,
    /// A tool had to be called.
    pub must_call: bool,
}

/// Checks a request against what is documented, in the documented words.
pub fn read(visit: &Visit<'_>, exchange: &Exchange<'_>, body: &[u8]) -> Result<Asked, HttpError> {
    let request = parse(body)?;
    let config = &visit.config;
    let model = request.model.clone().filter(|m| !m.trim().is_empty()).unwrap_or_else(|| "openclaw".into());
    let agent_id = agent(visit, exchange.header("x-openclaw-agent-id"), &model)?;
    let sampling = sampling(&request)?;
    let client_tools = tools(request.tools)?;
    let (tool_choice, must_call) = choice(request.tool_choice, &client_tools)?;
    let conversation = conversation(request.messages)?;
    let (session_key, stable) = session_key(exchange, request.user.as_deref(), &agent_id, main_key(config))?;
    let model_override = match exchange.header("x-openclaw-model").map(str::trim).filter(|m| !m.is_empty()) {
        Some(name) => Some(backend(visit, name)?),
        None => None,
    };
    let mut history = conversation.messages;
    let (mut text, mut parts, mut tool_results) = (String::new(), Vec::new(), Vec::new());
    // The last user message is what is said now; results of tools instead continue the turn before.
    while matches!(history.last(), Some(Message::ToolResult { .. })) {
        tool_results.extend(history.pop());
    }
    tool_results.reverse();
    if tool_results.is_empty() {
        let at = history.iter().rposition(|m| matches!(m, Message::User(_)));
        let Some(at) = at else { return Err(HttpError::invalid("Missing user message in `messages`.")) };
        // What follows the last user message (an assistant's beginning) stays where it was, before it.
        if let Message::User(said) = history.remove(at) {
            for part in said {
                match part {
                    Part::Text(piece) if text.is_empty() => text = piece,
                    Part::Text(piece) => text = format!("{text}\n{piece}"),
                    image => parts.push(image),
                }
            }
        }
    } else if !history.iter().any(|m| matches!(m, Message::User(_))) {
        return Err(HttpError::invalid("Missing user message in `messages`."));
    }
    if stable {
        // The session remembers: only what it cannot know yet goes with the request.
        let known = history.iter().rposition(|m| matches!(m, Message::Assistant { .. })).map_or(0, |at| at + 1);
        history.drain(..if tool_results.is_empty() { known } else { 0 });
    }
    Ok(Asked {
        stream: request.stream.unwrap_or(false),
        include_usage: request.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
        input: Input {
            text,
            parts,
            history,
            stateless: !stable || !tool_results.is_empty(),
            tool_results,
            extra_system: conversation.system,
            model: model_override,
            thinking: sampling.thinking.clone(),
            sampling,
            client_tools,
            tool_choice,
            commands: false,
            admin: true,
            created_via: "http",
            queue: None,
        },
        timeout: run_limit(config),
        model,
        agent_id,
        session_key,
        must_call,
    })
}

fn parse(body: &[u8]) -> Result<ChatRequest, HttpError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        return Err(HttpError::invalid(": Invalid input: expected object, received array"));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let text = match inner.is_data() && path != "." {
            true => format!("{path}: {}", plain(&inner.to_string())),
            false => format!("Invalid JSON: {inner}"),
        };
        HttpError::invalid(text)
    })?;
    from.end().map_err(|error| HttpError::invalid(format!("Invalid JSON: {error}")))?;
    Ok(request)
}

/// `invalid type: string "x", expected a sequence` -> the words of the documentation.
fn plain(inner: &str) -> String {
    let inner = inner.rsplit_once(" at line ").map_or(inner, |(text, _)| text);
    let word = |text: &str| match text.split([' ', '`']).find(|w| !matches!(*w, "a" | "an" | "")).unwrap_or("") {
        "sequence" => "array".to_string(),
        "map" | "struct" => "object".to_string(),
        "integer" | "floating" | "f64" | "i64" | "u64" => "number".to_string(),
        other => other.to_string(),
    };
    match inner.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some((got, expected)) => format!("Invalid input: expected {}, received {}", word(expected), word(got)),
        None => inner.to_string(),
    }
}

fn agent(visit: &Visit<'_>, header: Option<&str>, model: &str) -> Result<String, HttpError> {
    let config = &visit.config;
    let named = match model {
        "openclaw" | "openclaw/default" => None,
        other => Some(
            ["openclaw/", "openclaw:", "agent:"]
                .iter()
                .find_map(|prefix| other.strip_prefix(prefix))
                .filter(|id| !id.is_empty())
                .ok_or_else(|| HttpError::invalid("Invalid `model`. Use `openclaw` or `openclaw/<agentId>`."))?,
        ),
    };
    let id = header.map(str::trim).filter(|id| !id.is_empty()).or(named).unwrap_or(config.default_agent_id());
    let id = id.to_ascii_lowercase();
    match config.agent_ids().contains(&id.as_str()) {
        true => Ok(id),
        false => Err(HttpError::invalid(format!("Unknown agent '{}'.", crate::wire::frame::cut(&id, 64)))),
    }
}

/// `x-openclaw-model`: must be in the catalogue, or name a provider that is.
fn backend(visit: &Visit<'_>, name: &str) -> Result<String, HttpError> {
    let catalogue = visit.site.desk.shared.catalogue.get();
    let provider = name.split_once('/').map(|(provider, _)| provider);
    let known = catalogue.rows.iter().any(|row| row.id == name || provider == Some(&row.provider));
    match known {
        true => Ok(name.to_string()),
        false => {
            let name = crate::wire::frame::cut(name, 128);
            Err(HttpError::run(
                404,
                &format!("Unknown model: {name}. Run `openclaw models list` to see the models there are."),
            ))
        }
    }
}

fn sampling(request: &ChatRequest) -> Result<Sampling, HttpError> {
    let within = |name: &str, value: Option<f64>, low: f64, high: f64| match value {
        Some(v) if !(low..=high).contains(&v) => {
            Err(HttpError::invalid(format!("`{name}` must be between {low} and {high}.")))
        }
        other => Ok(other),
    };
    let positive = |name: &str, value: Option<i64>| match value {
        Some(v) if v <= 0 => Err(HttpError::invalid(format!("{name}: Too small: expected number to be >0"))),
        Some(v) => Ok(Some(u32::try_from(v).unwrap_or(u32::MAX))),
        None => Ok(None),
    };
    if request.n.is_some_and(|n| n != 1) {
        return Err(HttpError::invalid("`n` must be 1: an agent gives one answer."));
    }
    let stop = match &request.stop {
        Some(Stop::One(word)) => vec![word.clone()],
        Some(Stop::Many(words)) if words.len() > 4 => {
            return Err(HttpError::invalid("`stop` takes at most 4 sequences."));
        }
        Some(Stop::Many(words)) => words.clone(),
        None => Vec::new(),
    };
    Ok(Sampling {
        temperature: within("temperature", request.temperature, 0.0, 2.0)?,
        top_p: within("top_p", request.top_p, 0.0, 1.0)?,
        max_tokens: positive("max_completion_tokens", request.max_completion_tokens)?
            .or(positive("max_tokens", request.max_tokens)?),
        stop,
        seed: request.seed,
        frequency_penalty: within("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: within("presence_penalty", request.presence_penalty, -2.0, 2.0)?,
        thinking: request.reasoning_effort.clone(),
        response_format: request.response_format.clone(),
    })
}

fn tools(list: Option<Vec<RequestTool>>) -> Result<Vec<ToolSpec>, HttpError> {
    let list = list.unwrap_or_default();
    if list.len() > TOOLS {
        return Err(HttpError::invalid(format!("Invalid tools/tool_choice: at most {TOOLS} tools")));
    }
    list.into_iter()
        .map(|tool| {
            let kind = tool.kind.as_deref().unwrap_or("function");
            if kind != "function" {
                return Err(HttpError::invalid(format!(
                    "Invalid tools/tool_choice: tool type {kind} is not supported"
                )));
            }
            let (name, description, parameters) = match (tool.function, tool.flat.name) {
                (Some(f), _) => (f.name, f.description, f.parameters),
                (None, Some(name)) => (name, tool.flat.description, tool.flat.parameters),
                (None, None) => return Err(HttpError::invalid("Invalid tools/tool_choice: a tool has no name")),
            };
            let parameters = match parameters {
                Some(value) => serde_json::value::to_raw_value(&value).map_err(|_| HttpError::internal())?,
                None => RawValue::from_string(r#"{"type":"object","properties":{}}"#.into()).expect("valid JSON"),
            };
            Ok(ToolSpec { name, description: description.unwrap_or_default(), parameters })
        })
        .collect()
}

fn choice(choice: Option<RequestToolChoice>, tools: &[ToolSpec]) -> Result<(ToolChoice, bool), HttpError> {
    let bad = |what: &str| HttpError::invalid(format!("Invalid tools/tool_choice: {what}"));
    match choice {
        None => Ok((ToolChoice::Auto, false)),
        Some(RequestToolChoice::Word(word)) => match word.as_str() {
            "auto" => Ok((ToolChoice::Auto, false)),
            "none" => Ok((ToolChoice::None, false)),
            "required" if tools.is_empty() => Err(bad("tool_choice required needs tools")),
            "required" => Ok((ToolChoice::Required, true)),
            other => Err(bad(&format!("tool_choice {other} is not supported"))),
        },
        Some(RequestToolChoice::Named { function, name }) => {
            let name = function.map(|f| f.name).or(name).ok_or_else(|| bad("tool_choice custom is not supported"))?;
            match tools.iter().any(|tool| tool.name == name) {
                true => Ok((ToolChoice::Named(name), true)),
                false => Err(bad(&format!("tool_choice names the unknown tool {name}"))),
            }
        }
    }
}

struct Conversation {
    system: Option<String>,
    messages: Vec<Message>,
}

fn conversation(list: Vec<RequestMessage>) -> Result<Conversation, HttpError> {
    let (mut system, mut messages, mut images) = (Vec::new(), Vec::new(), 0);
    for message in list {
        match message.role.as_str() {
            "system" | "developer" => system.push(text_of(message.content)?),
            "user" => messages.push(Message::User(parts(message.content, &mut images)?)),
            "assistant" => {
                let tool_calls = message.tool_calls.unwrap_or_default();
                let tool_calls = tool_calls.into_iter().map(|call| ToolCall {
                    id: call.id.unwrap_or_default(),
                    name: call.function.name,
                    arguments: call.function.arguments,
                });
                messages.push(Message::Assistant { text: text_of(message.content)?, tool_calls: tool_calls.collect() });
            }
            "tool" | "function" => {
                let call_id = message.tool_call_id.or(message.name.clone()).unwrap_or_default();
                let name = message.name.unwrap_or_else(|| called(&messages, &call_id));
                let content = vec![Part::Text(text_of(message.content)?)];
                messages.push(Message::ToolResult { call_id, name, content, is_error: false });
            }
            other => {
                let role = crate::wire::frame::cut(other, 32);
                return Err(HttpError::invalid(format!("Invalid role `{role}` in `messages`.")));
            }
        }
    }
    if messages.is_empty() {
        return Err(HttpError::invalid("Missing user message in `messages`."));
    }
    let system = system.join("\n\n");
    Ok(Conversation { system: (!system.trim().is_empty()).then_some(system), messages })
}

/// The tool that a result belongs to.
fn called(messages: &[Message], id: &str) -> String {
    let calls = messages.iter().rev().filter_map(|m| match m {
        Message::Assistant { tool_calls, .. } => Some(tool_calls),
        _ => None,
    });
    calls.flatten().find(|call| call.id == id).map_or_else(String::new, |call| call.name.clone())
}

fn text_of(content: Option<Content>) -> Result<String, HttpError> {
    let mut none = IMAGES;
    let parts = parts(content, &mut none)?;
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Image { .. } => None,
    });
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

fn parts(content: Option<Content>, images: &mut usize) -> Result<Vec<Part>, HttpError> {
    let list = match content {
        None => return Ok(vec![Part::Text(String::new())]),
        Some(Content::Text(text)) => return Ok(vec![Part::Text(text)]),
        Some(Content::Parts(list)) => list,
    };
    list.into_iter()
        .map(|part| match part.kind.as_str() {
            "text" | "input_text" | "output_text" => Ok(Part::Text(part.text.unwrap_or_default())),
            "image_url" => {
                *images += 1;
                if *images > IMAGES {
                    return Err(HttpError::invalid(format!("At most {IMAGES} images in `messages`.")));
                }
                let invalid = || HttpError::invalid("Invalid image_url content in `messages`.");
                // Addresses are not fetched: only what the request itself carries is shown to a model.
                image(part.image_url.as_ref().ok_or_else(invalid)?.url()).ok_or_else(invalid)
            }
            other => {
                let kind = crate::wire::frame::cut(other, 32);
                Err(HttpError::invalid(format!("Content of type `{kind}` in `messages` is not supported.")))
            }
        })
        .collect()
}

fn image(url: &str) -> Option<Part> {
    let (mime, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    let known = ["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&mime);
    // The size is judged before anything is decoded.
    if !known || data.len() / 4 * 3 > IMAGE_BYTES || STANDARD.decode(data.trim()).is_err() {
        return None;
    }
    Some(Part::Image { mime: mime.into(), data: data.trim().into() })
}

/// The session of a request, and whether it outlives it.
fn session_key(
    exchange: &Exchange<'_>,
    user: Option<&str>,
    agent_id: &str,
    main_key: &str,
) -> Result<(String, bool), HttpError> {
    if let Some(key) = exchange.header("x-openclaw-session-key").map(str::trim).filter(|key| !key.is_empty()) {
        if session::is_reserved(key) {
            return Err(HttpError::invalid(
                "`x-openclaw-session-key` cannot use reserved internal session namespaces.",
            ));
        }
        if key.len() > crate::wire::chat::SESSION_KEY_LIMIT {
            return Err(HttpError::invalid("`x-openclaw-session-key` is longer than 512 characters."));
        }
        let key = session::canonical(key, agent_id, main_key);
        if session::agent_of(&key).is_some_and(|(owner, _)| owner != agent_id) {
            return Err(HttpError::invalid("`x-openclaw-session-key` belongs to another agent."));
        }
        return Ok((key, true));
    }
    match user.map(str::trim).filter(|user| !user.is_empty()) {
        Some(user) if user.len() <= 256 => Ok((format!("agent:{agent_id}:openai-user:{user}"), true)),
        Some(_) => Err(HttpError::invalid("`user` is longer than 256 characters.")),
        None => Ok((format!("agent:{agent_id}:openai:{}", random::uuid()), false)),
    }
}

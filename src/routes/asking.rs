//! What every OpenAI-compatible request has in common: which agent, which session, which model, which tools.
//!
//! Checks in the documented words; knows nothing of the shape a particular endpoint wraps around it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{HttpError, Visit};
use crate::config::gateway::UrlInput;
use crate::hub::main_key;
use crate::hub::run::Input;
use crate::net::Exchange;
use crate::providers::{Part, Sampling, ToolChoice, ToolSpec};
use crate::sys::random;
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::models::ModelChoice;
use crate::wire::openai::*;
use crate::wire::scope::Scope;
use crate::wire::session;

/// What models can look at.
const IMAGE_MIMES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Tools of one request.
const TOOLS: usize = 128;
/// Sequences `stop` may name.
const STOPS: usize = 4;
/// The largest number every reader of JSON agrees on.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// A request that can be made.
pub struct Asked {
    /// As the client wrote it; echoed in the answer.
    pub model: String,
    pub stream: bool,
    pub agent_id: String,
    pub session_key: String,
    pub input: Input,
    pub timeout: Duration,
    pub must: Must,
}

/// What the answer has to hold to count as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Must {
    #[default]
    Nothing,
    /// A call of one of the client's tools.
    Call,
    /// A call of this one.
    CallOf(String),
}

impl Must {
    /// Says what is missing, or nothing.
    pub fn unmet(&self, called: &[crate::providers::ToolCall]) -> Option<String> {
        match self {
            Must::Call if called.is_empty() => {
                Some("tool_choice=required was not satisfied by the agent response".into())
            }
            Must::CallOf(name) if called.iter().all(|call| call.name != *name) => {
                Some(format!("tool_choice required a {name} tool call, but the agent did not produce one"))
            }
            _ => None,
        }
    }
}

/// Decodes a body; an empty one is an empty object.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    if let Some(kind) = foreign(body) {
        return Err(HttpError::invalid(format!(": Invalid input: expected object, received {kind}")));
    }
    misfit::read_bytes(body).map_err(|misfit| {
        HttpError::invalid(match misfit.path.is_empty() {
            false => format!("{}: {}", misfit.joined("."), plain(&misfit.reason)),
            true => format!("Invalid JSON: {}", misfit.sentence()),
        })
    })
}

/// A long string where none is read.
pub fn too_long(field: &str) -> HttpError {
    HttpError::invalid(format!("{field}: a string of more than 64 KiB cannot stand here"))
}

/// What a JSON text is when it is no object. serde would also read a struct from an array.
fn foreign(body: &[u8]) -> Option<&'static str> {
    let kind = match body.iter().find(|byte| !byte.is_ascii_whitespace())? {
        b'[' => "array",
        b'"' => "string",
        b'0'..=b'9' | b'-' => "number",
        b't' | b'f' => "boolean",
        b'n' => "null",
        _ => return None,
    };
    misfit::read_bytes::<serde::de::IgnoredAny>(body).is_ok().then_some(kind)
}

/// `invalid type: string "x", expected a sequence` -> the words of the documentation.
fn plain(inner: &str) -> String {
    let word = |text: &str| match text.split([' ', '`']).find(|w| !matches!(*w, "a" | "an" | "")).unwrap_or("") {
        "sequence" => "array".to_string(),
        "map" | "struct" => "object".to_string(),
        "integer" | "floating" | "f64" | "i64" | "u64" => "number".to_string(),
        other => other.to_string(),
    };
    if inner.starts_with("data did not match any variant") {
        return "Invalid input".into();
    }
    match inner.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some((got, expected)) => format!("Invalid input: expected {}, received {}", word(expected), word(got)),
        None => inner.to_string(),
    }
}

/// What stands in front of an agent's id where OpenAI's clients name a model.
pub const AGENT_PREFIXES: [&str; 3] = ["openclaw/", "openclaw:", "agent:"];

/// The agent that a `model` or the header names.
pub fn agent(visit: &Visit<'_>, header: Option<&str>, model: &str) -> Result<String, HttpError> {
    let config = &visit.config;
    let named = match model {
        "openclaw" | "openclaw/default" => None,
        other => Some(
            AGENT_PREFIXES
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
        false => Err(HttpError::invalid(format!("Unknown agent '{}'.", cut(&id, 64)))),
    }
}

/// `x-openclaw-model`, for owners: must be in the catalogue, or name a provider that is.
pub fn backend(visit: &Visit<'_>, exchange: &Exchange<'_>, agent_id: &str) -> Result<Option<String>, HttpError> {
    let Some(name) = exchange.header("x-openclaw-model").map(str::trim).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    visit.needs(Scope::Admin)?;
    let catalogue = visit.site.desk.shared.catalogue.get();
    let full = visit.config.model_for_alias(agent_id, name).unwrap_or(name);
    let provider = full.split_once('/').map(|(provider, _)| provider);
    let row = catalogue.rows.iter().find(|row| row.id == full || provider == Some(&row.provider));
    let policy = visit.config.model_policy(agent_id);
    let allowed = |row: &ModelChoice| {
        let model = full.strip_prefix(row.provider.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(full);
        policy.allows(&row.provider, model)
    };
    match row {
        Some(row) if allowed(row) => Ok(Some(name.to_string())),
        Some(_) => Err(HttpError::invalid(policy.refusal(cut(full, 128)))),
        None => {
            let name = cut(name, 128);
            let text = format!("Unknown model: {name}. Run `openclaw models list` to see the models there are.");
            Err(HttpError::run(404, &text))
        }
    }
}

/// Where a request is answered.
pub struct Place {
    pub session_key: String,
    /// The session outlives the request.
    pub stable: bool,
}

/// The session of a request: the header's, the user's, or a new one. `family` names sessions of this endpoint.
pub fn place(
    visit: &Visit<'_>,
    exchange: &Exchange<'_>,
    family: &str,
    user: Option<&str>,
    agent_id: &str,
) -> Result<Place, HttpError> {
    if let Some(session_key) = chosen_session(visit, exchange, agent_id)? {
        return Ok(Place { session_key, stable: true });
    }
    match user.map(str::trim).filter(|user| !user.is_empty()) {
        Some(user) if user.len() <= 256 => {
            Ok(Place { session_key: format!("agent:{agent_id}:{family}-user:{user}"), stable: true })
        }
        Some(_) => Err(HttpError::invalid("`user` is longer than 256 characters.")),
        None => Ok(Place { session_key: format!("agent:{agent_id}:{family}:{}", random::uuid()), stable: false }),
    }
}

/// `x-openclaw-message-channel`: the messenger this client stands for. The prompt names it, so it is a name and no text.
pub fn channel(exchange: &Exchange<'_>) -> Result<Option<String>, HttpError> {
    const LONGEST: usize = 64;
    let Some(name) = exchange.header("x-openclaw-message-channel").map(str::trim).filter(|name| !name.is_empty())
    else {
        return Ok(None);
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.len() > LONGEST || !name.bytes().all(plain) {
        return Err(HttpError::invalid("`x-openclaw-message-channel` must be the id of a channel, like `telegram`."));
    }
    Ok(Some(name.to_ascii_lowercase()))
}

/// `x-openclaw-session-key`.
pub fn chosen_session(visit: &Visit<'_>, exchange: &Exchange<'_>, agent_id: &str) -> Result<Option<String>, HttpError> {
    let Some(key) = exchange.header("x-openclaw-session-key").map(str::trim).filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    if session::is_reserved(key) {
        return Err(HttpError::invalid("`x-openclaw-session-key` cannot use reserved internal session namespaces."));
    }
    if key.len() > crate::wire::chat::SESSION_KEY_LIMIT {
        return Err(HttpError::invalid("`x-openclaw-session-key` is longer than 512 characters."));
    }
    let key = session::canonical(key, agent_id, main_key(&visit.config));
    if session::agent_of(&key).is_some_and(|(owner, _)| owner != agent_id) {
        return Err(HttpError::invalid("`x-openclaw-session-key` belongs to another agent."));
    }
    Ok(Some(key))
}

/// A number within its documented range.
pub fn within(name: &str, value: Option<f64>, low: f64, high: f64) -> Result<Option<f64>, HttpError> {
    match value {
        Some(v) if !(low..=high).contains(&v) => {
            let bounds = if low < 0.0 { format!("{low:.1} and {high:.1}") } else { format!("{low} and {high}") };
            Err(HttpError::invalid(format!("`{name}` must be between {bounds}.")))
        }
        other => Ok(other),
    }
}

/// A whole number above 0.
pub fn positive(name: &str, value: Option<f64>) -> Result<Option<u32>, HttpError> {
    let Some(value) = value else { return Ok(None) };
    if value.fract() != 0.0 {
        return Err(HttpError::invalid(format!("{name}: Invalid input: expected int, received number")));
    }
    if value <= 0.0 {
        return Err(HttpError::invalid(format!("{name}: Too small: expected number to be >0")));
    }
    if value > SAFE {
        return Err(HttpError::invalid(format!("{name}: Too big: expected int to be <=9007199254740991")));
    }
    // Saturates: no model answers with four thousand million tokens.
    Ok(Some(value as u32))
}

pub fn sampling(request: &ChatRequest) -> Result<Sampling, HttpError> {
    let seed = match request.seed {
        Some(seed) if seed.fract() != 0.0 || seed.abs() > SAFE => {
            return Err(HttpError::invalid("`seed` must be an integer."));
        }
        seed => seed.map(|seed| seed as i64),
    };
    let legacy = positive("max_tokens", request.max_tokens)?;
    Ok(Sampling {
        temperature: within("temperature", request.temperature, 0.0, 2.0)?,
        top_p: within("top_p", request.top_p, 0.0, 1.0)?,
        max_tokens: positive("max_completion_tokens", request.max_completion_tokens)?.or(legacy),
        stop: stop(request.stop.as_ref())?,
        seed,
        frequency_penalty: within("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: within("presence_penalty", request.presence_penalty, -2.0, 2.0)?,
        thinking: request.reasoning_effort.clone(),
        response_format: response_format(request.response_format.as_deref())?,
        ..Sampling::default()
    })
}

fn stop(stop: Option<&Stop>) -> Result<Vec<String>, HttpError> {
    let words = match stop {
        None => return Ok(Vec::new()),
        Some(Stop::One(word)) => vec![word.clone()],
        Some(Stop::Many(words)) => words.clone(),
        Some(Stop::Other(_)) => {
            return Err(HttpError::invalid("Invalid stop: stop must be a string or array of strings"));
        }
    };
    if words.len() > STOPS {
        return Err(HttpError::invalid(format!("Invalid stop: stop supports at most {STOPS} sequences")));
    }
    if words.iter().any(String::is_empty) {
        return Err(HttpError::invalid("Invalid stop: stop entries must be non-empty strings"));
    }
    Ok(words)
}

/// Passed on as it came; `text` is what everybody answers with anyway.
fn response_format(raw: Option<&RawValue>) -> Result<Option<Box<RawValue>>, HttpError> {
    #[derive(Deserialize)]
    struct Format {
        #[serde(rename = "type", default)]
        kind: String,
    }
    let Some(raw) = raw else { return Ok(None) };
    let bad = |what: &str| HttpError::invalid(format!("Invalid response_format: {what}"));
    if !raw.get().starts_with('{') {
        return Err(bad("response_format must be an object"));
    }
    match misfit::read::<Format>(raw.get()).map(|format| format.kind).as_deref() {
        Ok("text") => Ok(None),
        Ok("json_object" | "json_schema") => Ok(Some(raw.to_owned())),
        _ => Err(bad("response_format.type must be text, json_object, or json_schema")),
    }
}

/// The client's tools as a model is offered them, in both shapes in use.
pub fn tools(list: Option<Vec<RequestTool>>) -> Result<Vec<ToolSpec>, HttpError> {
    let list = list.unwrap_or_default();
    let bad = |what: &str| HttpError::invalid(format!("Invalid tools/tool_choice: {what}"));
    if list.len() > TOOLS {
        return Err(bad(&format!("at most {TOOLS} tools are supported")));
    }
    let mut specs: Vec<ToolSpec> = Vec::with_capacity(list.len());
    for tool in list {
        if tool.kind.as_deref() != Some("function") {
            return Err(bad("only function tools are supported"));
        }
        let function = tool.function.unwrap_or(tool.flat);
        let name = function.name.as_deref().map(str::trim).unwrap_or_default();
        if name.is_empty() {
            return Err(bad("tool.function.name is required"));
        }
        if specs.iter().any(|known| known.name == name) {
            return Err(bad(&format!("the tool {} is given twice", cut(name, 64))));
        }
        let parameters = match function.parameters.filter(|raw| raw.get().starts_with('{')) {
            Some(raw) => raw,
            None => RawValue::from_string(r#"{"type":"object","properties":{}}"#.into()).expect("valid JSON"),
        };
        let name = name.to_string();
        specs.push(ToolSpec { name, description: function.description.unwrap_or_default(), parameters });
    }
    Ok(specs)
}

/// Which of the client's tools may and must be called. It narrows the list; the agent's own tools are not its matter.
pub fn choice(
    choice: Option<RequestToolChoice>,
    mut tools: Vec<ToolSpec>,
) -> Result<(Vec<ToolSpec>, ToolChoice, Must), HttpError> {
    let bad = |what: &str| HttpError::invalid(format!("Invalid tools/tool_choice: {what}"));
    match choice {
        None => Ok((tools, ToolChoice::Auto, Must::Nothing)),
        Some(RequestToolChoice::Word(word)) => match word.as_str() {
            "auto" => Ok((tools, ToolChoice::Auto, Must::Nothing)),
            "none" => Ok((Vec::new(), ToolChoice::Auto, Must::Nothing)),
            "required" if tools.is_empty() => Err(bad("tool_choice=required but no tools were provided")),
            "required" => Ok((tools, ToolChoice::Required, Must::Call)),
            other => Err(bad(&format!("tool_choice {} is not supported", cut(other, 64)))),
        },
        Some(RequestToolChoice::Named(named)) => {
            match named.kind.as_deref() {
                Some("function") => {}
                Some(kind) => return Err(bad(&format!("tool_choice {} is not supported", cut(kind, 64)))),
                None => return Err(bad("unsupported tool_choice type")),
            }
            let name = named.function.and_then(|f| f.name).or(named.name);
            let name = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| bad("tool_choice.function.name is required"))?.to_string();
            tools.retain(|tool| tool.name == name);
            if tools.is_empty() {
                return Err(bad(&format!("tool_choice requested unknown tool: {}", cut(&name, 64))));
            }
            Ok((tools, ToolChoice::Named(name.clone()), Must::CallOf(name)))
        }
        Some(RequestToolChoice::Other(_)) => Err(bad("tool_choice must be a string or object")),
    }
}

/// An image, in base64. `None`: not an image a model is shown here.
pub fn image(mime: &str, mut data: String, rules: &UrlInput) -> Option<Part> {
    let mime = mime.to_ascii_lowercase();
    data.truncate(data.trim_end().len());
    data.drain(..data.len() - data.trim_start().len());
    let wanted = rules.allowed_mimes.is_empty() || rules.allowed_mimes.iter().any(|m| m.eq_ignore_ascii_case(&mime));
    // The size is judged before anything is decoded.
    let padding = data.bytes().rev().take(2).filter(|byte| *byte == b'=').count() as u64;
    let fits = (data.len() as u64 / 4 * 3).saturating_sub(padding)
        <= rules.max_bytes.unwrap_or(super::url_inputs::IMAGE_BYTES);
    let known = IMAGE_MIMES.contains(&mime.as_str());
    (known && wanted && fits && !data.is_empty() && is_base64(&data)).then(|| Part::Image { mime, data: data.into() })
}

/// Decodes piece by piece; nothing of it is kept.
fn is_base64(data: &str) -> bool {
    const PIECE: usize = 4 << 10;
    let mut decoded = [0; PIECE / 4 * 3];
    let pieces = data.len().div_ceil(PIECE);
    data.as_bytes().chunks(PIECE).enumerate().all(|(at, piece)| {
        let padded = piece.ends_with(b"=");
        (!padded || at + 1 == pieces) && STANDARD.decode_slice(piece, &mut decoded).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> ToolSpec {
        let parameters = RawValue::from_string("{}".into()).expect("valid JSON");
        ToolSpec { name: name.into(), description: String::new(), parameters }
    }

    fn message(error: HttpError) -> String {
        serde_json::from_str::<serde_json::Value>(&error.body()).expect("JSON")["error"]["message"]
            .as_str()
            .expect("a message")
            .to_string()
    }

    #[test]
    fn a_choice_narrows_the_client_s_tools() {
        let names = |text: &str| {
            let wanted = serde_json::from_str(text).expect("a choice");
            choice(Some(wanted), vec![spec("a"), spec("b")])
                .map(|(tools, _, must)| (tools.into_iter().map(|t| t.name).collect::<Vec<_>>().join(","), must))
                .map_err(message)
        };
        assert_eq!(names(r#""auto""#), Ok(("a,b".into(), Must::Nothing)));
        assert_eq!(names(r#""none""#), Ok((String::new(), Must::Nothing)));
        assert_eq!(names(r#""required""#), Ok(("a,b".into(), Must::Call)));
        let pinned = Ok(("b".into(), Must::CallOf("b".into())));
        assert_eq!(names(r#"{"type":"function","function":{"name":"b"}}"#), pinned);
        assert_eq!(names(r#"{"type":"function","name":"b"}"#), pinned);
        let unknown = "Invalid tools/tool_choice: tool_choice requested unknown tool: c";
        assert_eq!(names(r#"{"type":"function","name":"c"}"#), Err(unknown.into()));
        for kind in ["custom", "allowed_tools"] {
            let words = format!("Invalid tools/tool_choice: tool_choice {kind} is not supported");
            assert_eq!(names(&format!(r#"{{"type":"{kind}"}}"#)), Err(words));
        }
        assert_eq!(names("3"), Err("Invalid tools/tool_choice: tool_choice must be a string or object".into()));
    }

    #[test]
    fn what_had_to_be_called_and_was_not_is_named() {
        let call = crate::providers::ToolCall { id: "1".into(), name: "a".into(), arguments: "{}".into() };
        assert_eq!(Must::Call.unmet(std::slice::from_ref(&call)), None);
        assert!(Must::Call.unmet(&[]).is_some_and(|words| words.starts_with("tool_choice=required")));
        assert!(Must::CallOf("b".into()).unmet(&[call]).is_some_and(|words| words.contains("required a b tool call")));
    }

    #[test]
    fn bodies_that_do_not_fit_are_told_where() {
        let told = |body: &str| parse::<ChatRequest>(body.as_bytes()).map(drop).map_err(message);
        assert_eq!(told(""), Ok(()));
        assert_eq!(told("[]"), Err(": Invalid input: expected object, received array".into()));
        assert_eq!(told("\"x\""), Err(": Invalid input: expected object, received string".into()));
        assert_eq!(told(r#"{"tools":"x"}"#), Err("tools: Invalid input: expected array, received string".into()));
        assert_eq!(
            told(r#"{"messages":[{"role":"user","content":3}]}"#),
            Err("messages.0.content: Invalid input".into())
        );
        assert!(told("{bad").is_err_and(|words| words.starts_with("Invalid JSON: ")));
    }

    #[test]
    fn images_are_judged_by_type_size_and_content() {
        let rules = UrlInput { max_bytes: Some(6), ..UrlInput::default() };
        assert!(image("image/PNG", " aGFsbG8=\n".into(), &rules).is_some());
        for (mime, data) in [
            ("image/png", "aGFsbG8hISEhISE="),
            ("image/png", "!!"),
            ("image/heic", "aGFsbG8="),
            ("text/html", "aGFsbG8="),
            ("image/png", ""),
        ] {
            assert!(image(mime, data.into(), &rules).is_none(), "{mime} {data}");
        }
        let rules = UrlInput { allowed_mimes: vec!["image/gif".into()], ..rules };
        assert!(image("image/png", "aGFsbG8=".into(), &rules).is_none());
    }
}

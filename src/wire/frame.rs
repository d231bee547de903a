//! Frames: one JSON text each. Requests come in, responses and events go out.
//!
//! A request is read without copying its params: they stay raw until the method's own type decodes them. Outgoing
//! frames are assembled as text; an event is written once for all its receivers, with a gap where each connection puts
//! its own sequence number.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::RpcError;

/// A valid `req` frame. Borrows from the text it was read from.
#[derive(Debug)]
pub struct Request<'a> {
    pub id: String,
    pub method: String,
    pub params: Option<&'a RawValue>,
}

/// Why a text is no request.
#[derive(Debug, PartialEq)]
pub enum BadFrame {
    /// Not JSON at all.
    NotJson,
    /// JSON, but not a request; what is wrong, in the words of the protocol, and the id if there was one.
    NotRequest { id: Option<String>, why: String },
}

/// Longest id a client may choose, in bytes: it is echoed, so it must not be a way to make us store things.
const ID_LIMIT: usize = 512;
/// Longest method name worth looking up, in bytes.
const METHOD_LIMIT: usize = 128;

impl<'a> Request<'a> {
    /// Reads one frame. Unknown top-level properties are refused: frames are closed objects.
    pub fn parse(text: &'a str) -> Result<Request<'a>, BadFrame> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            id: String,
            method: String,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
            #[serde(default)]
            traceparent: Option<String>,
            #[serde(default, rename = "expectedProfileId")]
            expected_profile_id: Option<String>,
        }
        // serde would also read a struct from an array, field by field.
        if !text.trim_start().starts_with('{') {
            return Err(explain(text));
        }
        let raw: Raw<'a> = match serde_json::from_str(text) {
            Ok(raw) => raw,
            Err(_) => return Err(explain(text)),
        };
        let bad = raw.kind != "req"
            || raw.id.is_empty()
            || raw.id.len() > ID_LIMIT
            || raw.method.is_empty()
            || raw.method.len() > METHOD_LIMIT
            || raw.traceparent.is_some_and(|t| t.len() > 128)
            || raw.expected_profile_id.is_some_and(|p| p.is_empty());
        if bad {
            return Err(explain(text));
        }
        Ok(Request { id: raw.id, method: raw.method, params: raw.params.filter(|p| p.get() != "null") })
    }
}

/// The slow path: says what is wrong with a frame, all of it at once, as the reference does.
fn explain(text: &str) -> BadFrame {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return BadFrame::NotJson };
    let Some(object) = value.as_object() else {
        return BadFrame::NotRequest { id: None, why: "must be object".into() };
    };
    let mut why = Vec::new();
    // Only the first that is missing is named, as the reference does.
    if let Some(name) = ["type", "id", "method"].into_iter().find(|name| !object.contains_key(*name)) {
        why.push(format!("must have required property '{name}'"));
    }
    const KNOWN: [&str; 6] = ["type", "id", "method", "params", "traceparent", "expectedProfileId"];
    why.extend(
        object
            .keys()
            .filter(|k| !KNOWN.contains(&k.as_str()))
            .map(|k| format!("at root: unexpected property '{}'", cut(k, 64))),
    );
    if let Some(kind) = object.get("type")
        && kind.as_str() != Some("req")
    {
        why.push("at /type: must be equal to constant".into());
    }
    for (name, limit) in [("id", ID_LIMIT), ("method", METHOD_LIMIT)] {
        match object.get(name).map(|v| v.as_str()) {
            Some(None) => why.push(format!("at /{name}: must be string")),
            Some(Some("")) => why.push(format!("at /{name}: must not have fewer than 1 characters")),
            Some(Some(s)) if s.len() > limit => {
                why.push(format!("at /{name}: must not have more than {limit} characters"))
            }
            _ => {}
        }
    }
    if why.is_empty() {
        why.push("must match the request schema".into());
    }
    let id =
        object.get("id").and_then(|v| v.as_str()).filter(|s| !s.is_empty() && s.len() <= ID_LIMIT).map(String::from);
    BadFrame::NotRequest { id, why: why.join("; ") }
}

/// Cuts at a character boundary so that at most `limit` bytes remain.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A payload already written as JSON.
#[derive(Debug, Clone)]
pub struct Payload(pub String);

impl Payload {
    /// Writes a value; what cannot be written (a map with odd keys) becomes an error the caller can answer with.
    pub fn of(value: &impl Serialize) -> Result<Payload, RpcError> {
        serde_json::to_string(value).map(Payload).map_err(not_written)
    }
}

#[inline(never)] // the same for every type
fn not_written(error: serde_json::Error) -> RpcError {
    RpcError::unavailable(format!("encode the answer: {error}"))
}

/// A `res` frame.
pub fn response(id: &str, result: &Result<Payload, RpcError>) -> String {
    let mut out = String::with_capacity(64 + id.len() + result.as_ref().map_or(160, |p| p.0.len()));
    out.push_str(r#"{"type":"res","id":"#);
    push_json_string(&mut out, id);
    match result {
        Ok(payload) => {
            out.push_str(r#","ok":true,"payload":"#);
            out.push_str(&payload.0);
        }
        Err(error) => {
            out.push_str(r#","ok":false,"error":"#);
            out.push_str(&serde_json::to_string(error).expect("an RpcError holds only strings and raw JSON"));
        }
    }
    out.push('}');
    out
}

/// One event, written once; `before` ends where the sequence number goes.
#[derive(Debug, Clone)]
pub struct EventText {
    pub before: Arc<str>,
    /// For connections that carry no `recipientProfileId`.
    pub after: Arc<str>,
    /// For those that do (shared-secret UI and TUI clients).
    pub after_owner: Arc<str>,
}

/// The profile every shared-secret operator is: there is one owner.
pub const OWNER_PROFILE: &str = "gateway-owner";

/// Key order on the wire: type, event, payload, seq, stateVersion, recipientProfileId.
pub fn event(name: &str, payload: &impl Serialize, state_version: Option<StateVersion>) -> EventText {
    let before = format!("{},\"seq\":", event_head(name, payload));
    let after = match state_version {
        Some(v) => format!(",\"stateVersion\":{{\"presence\":{},\"health\":{}}}}}", v.presence, v.health),
        None => "}".into(),
    };
    let after_owner = format!("{},\"recipientProfileId\":\"{OWNER_PROFILE}\"}}", &after[..after.len() - 1]);
    EventText { before: before.into(), after: after.into(), after_owner: after_owner.into() }
}

/// An event for one connection, outside the numbering (`connect.challenge`, `node.invoke.request`).
pub fn direct_event(name: &str, payload: &impl Serialize) -> String {
    let mut text = event_head(name, payload);
    text.push('}');
    text
}

fn event_head(name: &str, payload: &impl Serialize) -> String {
    let payload = serde_json::to_string(payload).expect("event payloads are plain structs");
    format!("{{\"type\":\"event\",\"event\":\"{name}\",\"payload\":{payload}")
}

/// Versions of the two snapshots clients keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StateVersion {
    pub presence: u64,
    pub health: u64,
}

fn push_json_string(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a string is always JSON"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        match Request::parse(text) {
            Err(BadFrame::NotRequest { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_keeps_its_params_raw() {
        let request =
            Request::parse(r#"{"type":"req","id":"a\"1","method":"health","params":{"probe": true}}"#).expect("valid");
        assert_eq!((request.id.as_str(), request.method.as_str()), ("a\"1", "health"));
        assert_eq!(request.params.map(|p| p.get()), Some(r#"{"probe": true}"#));
        assert!(
            Request::parse(r#"{"type":"req","id":"1","method":"health","params":null}"#)
                .expect("valid")
                .params
                .is_none()
        );
    }

    #[test]
    fn a_bad_frame_says_everything_that_is_wrong() {
        assert_eq!(why(r#"{"type":"req","id":"1"}"#), "must have required property 'method'");
        assert_eq!(
            why(r#"{"type":"event","event":"x","method":"m"}"#),
            "must have required property 'id'; at root: unexpected property 'event'; at /type: must be equal to constant"
        );
        assert_eq!(why(r#"["req","1","health"]"#), "must be object");
        assert_eq!(why(r#"{"type":"req","id":1,"method":"m"}"#), "at /id: must be string");
        assert_eq!(Request::parse("hello").expect_err("no JSON"), BadFrame::NotJson);
        assert_eq!(Request::parse("").expect_err("no JSON"), BadFrame::NotJson);
    }

    #[test]
    fn an_event_has_the_recorded_key_order() {
        #[derive(Serialize)]
        struct Tick {
            ts: u64,
        }
        let text = event("tick", &Tick { ts: 5 }, Some(StateVersion { presence: 3, health: 7 }));
        assert_eq!(
            format!("{}{}{}", text.before, 9, text.after_owner),
            r#"{"type":"event","event":"tick","payload":{"ts":5},"seq":9,"stateVersion":{"presence":3,"health":7},"recipientProfileId":"gateway-owner"}"#
        );
        let plain = event("tick", &Tick { ts: 5 }, None);
        assert_eq!(
            format!("{}{}{}", plain.before, 9, plain.after),
            r#"{"type":"event","event":"tick","payload":{"ts":5},"seq":9}"#
        );
    }

    #[test]
    fn a_response_echoes_any_id() {
        let text = response("q\"\n", &Ok(Payload("null".into())));
        assert_eq!(text, r#"{"type":"res","id":"q\"\n","ok":true,"payload":null}"#);
        assert_eq!(
            response("1", &Err(RpcError::invalid("unknown method: x"))),
            r#"{"type":"res","id":"1","ok":false,"error":{"code":"INVALID_REQUEST","message":"unknown method: x"}}"#
        );
    }

    #[test]
    fn cutting_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("abc", 5), "abc");
    }
}

//! What a client says about itself, and the shapes it reads from the wire.
//!
//! Reads defensively: an unknown field is ignored, a missing one has a neutral value. Does no I/O.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::device::DeviceKey;
use super::error::RpcFailure;
use crate::sys::secret::Secret;
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::tree::json;
use crate::wire::{MINIMUM_PROBE_PROTOCOL, PROTOCOL};

/// Who connects, as what, and with which credential.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `client.id`, such as `cli`.
    pub id: String,
    /// `client.mode`, such as `cli`, `backend` or `probe`.
    pub mode: String,
    /// `client.displayName`.
    pub name: Option<String>,
    /// `client.version`.
    pub version: String,
    pub protocol: (u32, u32),
    pub role: String,
    pub scopes: Vec<String>,
    pub caps: Vec<String>,
    pub token: Option<Secret>,
    pub password: Option<Secret>,
    /// Proves which installation this is, where a gateway wants to know.
    pub device: Option<Arc<DeviceKey>>,
    /// Further top-level fields of the `connect` params (`device`, `locale`, ...), taken as they are.
    pub extra: Map<String, Value>,
}

impl Identity {
    /// An operator with the given id, mode and scopes and no credential.
    pub fn new(id: &str, mode: &str, scopes: &[&str]) -> Identity {
        Identity {
            id: id.into(),
            mode: mode.into(),
            name: None,
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: (PROTOCOL, PROTOCOL),
            role: "operator".into(),
            scopes: scopes.iter().map(|scope| scope.to_string()).collect(),
            caps: Vec::new(),
            token: None,
            password: None,
            device: None,
            extra: Map::new(),
        }
    }

    /// The command line acting for a person.
    pub fn cli(scopes: &[&str]) -> Identity {
        Identity::new("cli", "cli", scopes)
    }

    /// The command line fetching something by itself, named after the method.
    pub fn backend(method: &str, scopes: &[&str]) -> Identity {
        Identity { name: Some(format!("gateway:{method}")), ..Identity::new("gateway-client", "backend", scopes) }
    }

    /// Only asks whether somebody is there; accepts the older protocol too.
    pub fn probe() -> Identity {
        Identity { protocol: (MINIMUM_PROBE_PROTOCOL, PROTOCOL), ..Identity::new("cli", "probe", &["operator.read"]) }
    }

    pub fn with_token(mut self, token: Option<Secret>) -> Identity {
        self.token = token.filter(|secret| !secret.is_empty());
        self
    }

    pub fn with_password(mut self, password: Option<Secret>) -> Identity {
        self.password = password.filter(|secret| !secret.is_empty());
        self
    }

    /// The params of `connect`, as an answer to this challenge. This is the one place where the credential leaves its
    /// wrapper.
    pub(super) fn params(&self, challenge: &Value) -> Value {
        let mut client = json!({
            "id": self.id, "version": self.version, "platform": std::env::consts::OS, "mode": self.mode,
        });
        if let Some(name) = &self.name {
            client["displayName"] = name.as_str().into();
        }
        let mut params = json!({
            "minProtocol": self.protocol.0, "maxProtocol": self.protocol.1, "client": client,
            "caps": self.caps, "role": self.role, "scopes": self.scopes,
        });
        let mut auth = Map::new();
        for (field, secret) in [("token", &self.token), ("password", &self.password)] {
            if let Some(secret) = secret {
                auth.insert(field.into(), secret.expose().into());
            }
        }
        if !auth.is_empty() {
            params["auth"] = auth.into();
        }
        for (field, value) in &self.extra {
            params[field.as_str()] = value.clone();
        }
        if let Some(device) = &self.device {
            params["device"] = device.proof(&params, challenge);
        }
        params
    }
}

/// The payload of `hello-ok`, with the parts a caller asks for most.
#[derive(Debug, Clone)]
pub struct Hello(pub Value);

impl Hello {
    /// The gateway's version, when it says one.
    pub fn version(&self) -> Option<&str> {
        self.0.pointer("/server/version")?.as_str()
    }

    pub fn role(&self) -> Option<&str> {
        self.0.pointer("/auth/role")?.as_str()
    }

    /// The scopes that were granted, which may be fewer than asked for.
    pub fn scopes(&self) -> Vec<&str> {
        let granted = self.0.pointer("/auth/scopes").and_then(Value::as_array);
        granted.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    pub fn has_method(&self, method: &str) -> bool {
        self.lists("/features/methods", method)
    }

    pub fn has_capability(&self, capability: &str) -> bool {
        self.lists("/features/capabilities", capability)
    }

    fn lists(&self, place: &str, wanted: &str) -> bool {
        let list = self.0.pointer(place).and_then(Value::as_array);
        list.into_iter().flatten().any(|entry| entry.as_str() == Some(wanted))
    }
}

/// One event from the gateway.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub payload: Value,
    /// Absent on frames that are not broadcast.
    pub seq: Option<u64>,
    /// Length of the frame's text on the wire.
    pub bytes: usize,
}

/// One answer to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub id: String,
    pub result: Result<Value, RpcFailure>,
}

impl Answer {
    /// The first of two answers: the work has begun, the result follows under the same id.
    pub fn is_only_accepted(&self) -> bool {
        self.result.as_ref().is_ok_and(|payload| payload.get("status").and_then(Value::as_str) == Some("accepted"))
    }
}

/// What a text frame turned out to be.
pub(super) enum Incoming {
    Event(Event),
    Answer(Answer),
}

impl Incoming {
    pub(super) fn read(text: &str) -> Result<Incoming, String> {
        let frame: AnyFrame = misfit::read(text).map_err(|bad| format!("a frame that is not JSON ({bad})"))?;
        match (frame.kind.as_str(), frame.event, frame.id) {
            ("event", Some(name), _) => {
                Ok(Incoming::Event(Event { name, payload: frame.payload, seq: frame.seq, bytes: text.len() }))
            }
            ("res", _, Some(id)) => {
                let result = if frame.ok { Ok(frame.payload) } else { Err(frame.error.unwrap_or_default()) };
                Ok(Incoming::Answer(Answer { id, result }))
            }
            (kind, ..) => Err(format!("an incomplete frame of type {kind:?}")),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Request<'a, P: Serialize> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'a str,
    pub method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<P>,
}

objects! { lenient:
    struct AnyFrame {
        kind: String as "type" = default,
        event: Option<String>,
        id: Option<String>,
        ok: bool = default,
        payload: Value = default,
        error: Option<RpcFailure>,
        seq: Option<u64>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_params_carry_only_what_is_known() {
        let probe = Identity::probe().params(&Value::Null);
        assert_eq!(probe["minProtocol"], 3);
        assert!(probe.get("auth").is_none());
        let named =
            Identity::backend("logs.tail", &["operator.read"]).with_token(Some(Secret::new("t"))).params(&Value::Null);
        assert_eq!(named["client"]["displayName"], "gateway:logs.tail");
        assert_eq!(named["auth"], json!({"token": "t"}));
    }

    #[test]
    fn an_answer_without_an_error_object_is_still_a_failure() {
        let Ok(Incoming::Answer(answer)) = Incoming::read(r#"{"type":"res","id":"1","ok":false}"#) else {
            panic!("an answer")
        };
        assert_eq!(answer.result, Err(RpcFailure::default()));
        assert!(Incoming::read("[]").is_err());
        assert!(Incoming::read(r#"{"type":"req","id":"1"}"#).is_err());
    }
}

//! How a conversation with a gateway fails, with everything a person needs to repair it.
//!
//! Does not decide about exit codes or texts for the terminal: that is the command line's. Never holds a credential.

use std::time::Duration;
use std::{fmt, io};

use serde::Deserialize;
use serde_json::Value;

/// Why a call to a gateway did not give what was asked for.
#[derive(Debug)]
pub enum ClientError {
    /// The address cannot be used: not a ws:// or wss:// URL, no host, a bad fingerprint.
    Address(String),
    /// No TCP connection came about.
    Unreachable { address: String, source: io::Error },
    /// TLS failed: unknown authority, wrong fingerprint, no TLS on the other side.
    Tls(String),
    /// The peer speaks HTTP but did not upgrade; the body is cut to [`BODY_SHOWN`] bytes.
    Upgrade { status: u16, body: String },
    /// `connect` was answered with an error.
    Refused { error: Box<RpcFailure>, close: Option<Closed> },
    /// A request was answered with an error; the connection lives on.
    Rpc(Box<RpcFailure>),
    /// The connection ended; code 1006 means without a close frame.
    Closed(Closed),
    /// Nothing came within the deadline.
    Timeout { doing: String, within: Duration },
    /// The peer sent what the protocol does not allow.
    Protocol(String),
    /// Reading or writing failed in another way.
    Io(io::Error),
}

/// How much of an HTTP refusal is kept: a sentence, not a page.
pub const BODY_SHOWN: usize = 400;

/// The error object of an answer, as it was received.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RpcFailure {
    pub code: String,
    pub message: String,
    pub details: Option<Value>,
    pub retryable: Option<bool>,
    /// Milliseconds.
    #[serde(rename = "retryAfterMs")]
    pub retry_after_ms: Option<f64>,
}

impl RpcFailure {
    /// The finer code in `details.code`, such as `AUTH_TOKEN_MISMATCH`.
    pub fn detail_code(&self) -> Option<&str> {
        self.details.as_ref()?.get("code")?.as_str()
    }
}

/// How the peer closed the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}

impl Closed {
    /// No close frame was received: the process died or the network did.
    pub fn abnormal() -> Closed {
        Closed { code: 1006, reason: String::new() }
    }

    /// The name of the code; empty for a code nobody has named.
    pub fn name(&self) -> &'static str {
        match self.code {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1005 => "no status",
            1006 => "abnormal closure (no close frame)",
            1007 => "invalid payload",
            1008 => "policy violation",
            1009 => "message too big",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            4000 => "tick timeout",
            4001 => "client invalidated",
            _ => "",
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() { "no close reason" } else { &self.reason };
        match self.name() {
            "" => write!(f, "gateway closed ({}): {reason}", self.code),
            name => write!(f, "gateway closed ({} {name}): {reason}", self.code),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Address(what) => f.write_str(what),
            ClientError::Unreachable { address, .. } => write!(f, "connect to {address}"),
            ClientError::Tls(what) => write!(f, "TLS: {what}"),
            ClientError::Upgrade { status, body } if body.is_empty() => {
                write!(f, "the server answered HTTP {status} instead of a WebSocket")
            }
            ClientError::Upgrade { status, body } => {
                write!(f, "the server answered HTTP {status} instead of a WebSocket: {body}")
            }
            ClientError::Refused { error, .. } | ClientError::Rpc(error) => f.write_str(&error.message),
            ClientError::Closed(closed) => closed.fmt(f),
            ClientError::Timeout { doing, within } => {
                write!(f, "no answer to {doing} within {} ms", within.as_millis())
            }
            ClientError::Protocol(what) => write!(f, "not the gateway protocol: {what}"),
            ClientError::Io(_) => f.write_str("talk to the gateway"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Unreachable { source, .. } | ClientError::Io(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_names_its_code_and_says_when_there_is_no_reason() {
        let restart = Closed { code: 1012, reason: "service restart".into() };
        assert_eq!(restart.to_string(), "gateway closed (1012 service restart): service restart");
        assert_eq!(
            Closed::abnormal().to_string(),
            "gateway closed (1006 abnormal closure (no close frame)): no close reason"
        );
        assert_eq!(Closed { code: 4321, reason: "x".into() }.to_string(), "gateway closed (4321): x");
    }
}

//! The upgrade: is one wanted, is it valid, what is the answer.
//!
//! No subprotocol and no extension is ever agreed to; the 101 has the three headers it must have and no other, because
//! that is what clients of this protocol have always seen.

use tiny_http::Method;
use tungstenite::handshake::derive_accept_key;

use crate::net::Fault;
use crate::net::h1::Head;

/// A valid wish to go on as a WebSocket.
pub(in crate::net) struct Upgrade {
    accept: String,
}

/// Whether this request is an upgrade; an error when it is one that cannot be served.
pub(in crate::net) fn wanted(head: &Head) -> Result<Option<Upgrade>, Fault> {
    // The cheap look first: nearly every request has no such field.
    if head.header("upgrade").is_none()
        || *head.method() != Method::Get
        || !head.has_token("upgrade", "websocket")
        || !head.has_token("connection", "upgrade")
    {
        return Ok(None);
    }
    if !head.is_plain_1_1() {
        return Err(Fault::Malformed("A WebSocket begins with a HTTP/1.1 request without a body"));
    }
    if head.header("sec-websocket-version") != Some("13") {
        return Err(Fault::Unsupported(426, "Only WebSocket version 13 is spoken here"));
    }
    match head.header("sec-websocket-key") {
        Some(key) if is_key(key) && head.header_count("sec-websocket-key") == 1 => {
            Ok(Some(Upgrade { accept: derive_accept_key(key.as_bytes()) }))
        }
        _ => Err(Fault::Malformed("Sec-WebSocket-Key is not 16 bytes in base64")),
    }
}

/// Sixteen bytes in base64: 22 letters and two signs of padding.
fn is_key(key: &str) -> bool {
    key.len() == 24
        && key.ends_with("==")
        && key.as_bytes()[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

impl Upgrade {
    /// The 101.
    pub(super) fn answer(&self) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            self.accept
        )
        .into_bytes()
    }
}

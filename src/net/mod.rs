//! Sockets: accepts connections and speaks HTTP/1.1, server-sent events and WebSocket with them.
//!
//! One thread per connection, two per WebSocket. An [`App`] says what is served; [`Limits`] says how long and how much.
//! tiny_http gives the vocabulary (methods, status codes, headers, responses), httparse the head, tungstenite the
//! WebSocket protocol, rustls TLS; the sockets, deadlines and framing are here.
//!
//! [`mdns`] is how services of a local network find each other. [`dial`], [`fetch`] and [`duplex`] are the other
//! direction: how bytes reach another server, the one way to get what a URL points at that somebody else chose, and the
//! client's end of a WebSocket.
//!
//! Deliberately not here: anything of OpenClaw. No routes, no credentials, no JSON.
//!
//! Invariants: every wait has a deadline and every buffer a cap, all from [`Limits`]; one connection is one descriptor;
//! one connection's failure, panic included, is its own; whatever is refused is told so before it is closed.

pub mod dial;
pub mod dns;
pub mod duplex;
mod fault;
pub mod fetch;
mod gate;
mod h1;
mod limits;
mod listen;
pub mod mdns;
mod pipe;
pub mod self_signed;
mod sock;
mod tls;
mod ws;

#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use h1::{Exchange, Head, Reply, Sse, StreamHead, Streamer, Waited};
pub use limits::Limits;
pub use listen::{Legacy, Server};
pub use tls::{TlsConfig, TlsError, leaf};
pub use ws::{CloseReason, Mailbox, Next, Opening, Outbox, Sent, Talk, Verdict};

/// What a server serves.
pub trait App: Send + Sync + 'static {
    /// One HTTP request. Runs on the connection's thread and may block there; a panic becomes a 500.
    fn http(&self, exchange: &mut Exchange<'_>) -> Reply;

    /// A valid WebSocket upgrade arrived, and there was a place for it.
    fn socket(&self, opening: Opening) -> Verdict;

    /// Headers that go with every response, also with those the app is not asked about. Read once, at the start.
    fn headers(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

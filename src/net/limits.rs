//! Every deadline and every cap of the layer, in one place.
//!
//! Does not decide: it is read once by [`Server::start`](super::Server::start) and never changes while the server runs.
//! Invariant: nothing in `net` waits or grows without a number from here.

use std::time::Duration;

/// The numbers a server lives by. [`Limits::default`] has the protocol's; tests shorten the waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of any kind at one time. Below the usual 1,024 descriptors, so that the database can still open a
    /// file when all are taken.
    pub connections: usize,
    /// Connections from one address. Generous, because behind a reverse proxy everybody has the same one.
    pub per_address: usize,
    /// WebSockets from one address that were not admitted yet; the next upgrade is answered 503.
    pub unauthenticated: usize,

    /// Bytes of a request head, request line included; more is answered 431.
    pub head_bytes: usize,
    /// The whole head, not one read: a client sending one byte a second must not live for hours.
    pub head_time: Duration,
    /// Silence between two requests on one connection.
    pub idle_time: Duration,
    /// The whole body, not one read: 20 MiB at 350 KB/s, the slowest uplink we know people to send pictures through.
    pub body_time: Duration,
    /// Requests served on one connection before it is closed; high, because its only use is to end a stuck client.
    pub requests: u32,

    /// The whole TLS handshake.
    pub tls_time: Duration,
    /// A write in which the peer takes nothing for this long is the last one.
    pub write_time: Duration,
    /// How long an ended connection is read to its end, so that our last words are not lost in a reset.
    pub drain_time: Duration,
    /// Bytes of it at most: more than the biggest body, whose sender is still busy when it is refused.
    pub drain_bytes: u64,

    /// Bytes of one message of an admitted WebSocket.
    pub max_payload: usize,
    /// Bytes of one message before admission.
    pub preauth_frame: usize,
    /// Bytes waiting for one WebSocket; over it droppable events are skipped and anything else closes it.
    pub max_buffered: usize,
    /// From the upgrade to admission, in all.
    pub handshake_time: Duration,
    /// Between two pings of ours.
    pub ping_every: Duration,
    /// How long after a ping the peer may stay silent. Together with `ping_every` it is the lethal read timeout.
    pub pong_time: Duration,
    /// A frame above this many bytes makes the reader start over with fresh buffers after its message, instead of
    /// keeping the big one for the life of the connection. Starting over costs one small allocation.
    pub keep_buffer: usize,

    /// Silence in an event stream after which a comment is sent: proxies cut streams that say nothing.
    pub sse_ping: Duration,
    /// How often somebody who waits on behalf of an HTTP client looks whether it is still there.
    pub look_every: Duration,

    /// Stack of a connection thread: handlers decode nested JSON on it. Only touched pages cost memory.
    pub connection_stack: usize,
    /// Stack of a writer thread: it encodes and encrypts, nothing deeper.
    pub writer_stack: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 800,
            per_address: 512,
            unauthenticated: 32,
            head_bytes: 16 << 10,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(5),
            body_time: Duration::from_secs(60),
            requests: 1_000_000,
            tls_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(1),
            drain_bytes: 32 << 20,
            max_payload: 25 << 20,
            preauth_frame: 64 << 10,
            max_buffered: 50 << 20,
            handshake_time: Duration::from_secs(15),
            ping_every: Duration::from_secs(25),
            pong_time: Duration::from_secs(25),
            keep_buffer: 32 << 10,
            sse_ping: Duration::from_secs(15),
            look_every: Duration::from_millis(500),
            connection_stack: crate::sys::stack(512 << 10),
            writer_stack: 128 << 10,
        }
    }
}

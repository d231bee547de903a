//! The client's end of a WebSocket, over whatever carries bytes: made once for all who connect.

use std::io::{Read, Write};
use std::time::Instant;

use tungstenite::handshake::client::Request;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{ClientHandshake, HandshakeError, WebSocket};

/// A byte stream whose reads and writes fail with `TimedOut` at a moment that can be set.
pub trait Duplex: Read + Write + Send {
    /// Sets the moment at which every later call gives up.
    fn until(&mut self, until: Instant);
}

/// A WebSocket over any stream.
pub type Socket = WebSocket<Box<dyn Duplex>>;

/// Why there is no WebSocket.
pub type NotUpgraded = HandshakeError<ClientHandshake<Box<dyn Duplex>>>;

/// Small: the engine clears the whole buffer before each read.
const READ_BUFFER: usize = 8 * 1024;

/// Asks for a WebSocket, until the moment that the stream was given. No message may be larger than `max` bytes.
pub fn upgrade(request: Request, stream: Box<dyn Duplex>, max: usize) -> Result<Socket, Box<NotUpgraded>> {
    let limits =
        WebSocketConfig::default().read_buffer_size(READ_BUFFER).max_message_size(Some(max)).max_frame_size(Some(max));
    tungstenite::client::client_with_config(request, stream, Some(limits)).map(|(socket, _)| socket).map_err(Box::new)
}

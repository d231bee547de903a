//! A TCP connection driven byte by byte, for clients that lie and for answers that must be exact.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::wait;

/// One connection. Every read has [`wait::LIMIT`], or the limit set with [`Raw::limit`].
pub struct Raw {
    stream: BufReader<TcpStream>,
}

/// A whole HTTP answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A WebSocket frame as it stood on the wire.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The mask of every frame we send; any value is as good.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

impl Raw {
    #[track_caller]
    pub fn open(addr: SocketAddr) -> Raw {
        let stream = TcpStream::connect(addr).expect("connect to the gateway");
        stream.set_nodelay(true).expect("set no delay");
        let mut raw = Raw { stream: BufReader::new(stream) };
        raw.limit(wait::LIMIT);
        raw
    }

    /// How long one read or write may block from now on.
    pub fn limit(&mut self, limit: Duration) {
        self.stream.get_ref().set_read_timeout(Some(limit)).expect("set the read deadline");
        self.stream.get_ref().set_write_timeout(Some(limit)).expect("set the write deadline");
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Raw {
        self.try_send(bytes).expect("send to the gateway");
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    pub fn shut(&mut self, how: Shutdown) {
        // Lost on purpose: the other side may have closed first.
        let _ = self.stream.get_ref().shutdown(how);
    }

    /// Reads a head and its body.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply(true).expect("read the gateway's answer")
    }

    /// Reads a head that has no body (HEAD, 101, or a stream read piece by piece afterwards).
    #[track_caller]
    pub fn head(&mut self) -> Reply {
        self.try_reply(false).expect("read the gateway's head")
    }

    pub fn try_reply(&mut self, with_body: bool) -> std::io::Result<Reply> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("not a status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| std::io::Error::other("not a header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if with_body {
            reply.body = match (reply.header("transfer-encoding"), reply.header("content-length")) {
                (Some("chunked"), _) => {
                    let mut body = Vec::new();
                    while let Some(chunk) = self.chunk()? {
                        body.extend(chunk);
                    }
                    body
                }
                (_, Some(length)) => {
                    let mut body = vec![0; length.parse().map_err(std::io::Error::other)?];
                    self.stream.read_exact(&mut body)?;
                    body
                }
                _ if status == 204 => Vec::new(),
                _ => return Err(std::io::Error::other(format!("an answer without a length: {reply:?}"))),
            };
        }
        Ok(reply)
    }

    /// The next chunk of a chunked body; `None` is the closing one. An end without it is an error.
    pub fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| std::io::Error::other(format!("not a chunk size: {line:?}")))?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// Waits for the end of the stream; what came before it is given back. A reset counts as an end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the gateway did not close: {error}, after {:?}", String::from_utf8_lossy(&rest)),
        }
    }

    /// Asks for a WebSocket and reads the 101.
    #[track_caller]
    pub fn upgrade(&mut self) -> &mut Raw {
        self.send(UPGRADE);
        let head = self.head();
        assert_eq!(head.status, 101, "the upgrade was refused: {head:?}");
        self
    }

    #[track_caller]
    pub fn send_frame(&mut self, opcode: u8, payload: &[u8]) -> &mut Raw {
        self.send(frame(opcode, payload, Some(MASK)))
    }

    /// The next frame. Fragments are not expected from this gateway.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        self.try_frame().expect("read a frame of the gateway")
    }

    pub fn try_frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        if head[0] & 0xf0 != 0x80 || head[1] & 0x80 != 0 {
            return Err(std::io::Error::other(format!("a fragment, an extension or a mask: {head:02x?}")));
        }
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.stream.read_exact(&mut long)?;
                u64::from(u16::from_be_bytes(long))
            }
            127 => {
                let mut long = [0; 8];
                self.stream.read_exact(&mut long)?;
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { opcode: head[0] & 0x0f, payload })
    }

    /// Reads on until the close frame, gives its code and reason and the text frames before it.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String, Vec<Value>) {
        let mut texts = Vec::new();
        loop {
            let frame = self.frame();
            match frame.opcode {
                TEXT => texts.push(frame.json()),
                CLOSE => {
                    let (code, reason) = frame.close();
                    return (code, reason, texts);
                }
                _ => {}
            }
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(std::io::Error::other)
    }
}

impl Frame {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("a text frame holds JSON")
    }

    /// Code and reason of a close frame; 1005 when it has none.
    pub fn close(&self) -> (u16, String) {
        match self.payload.split_at_checked(2) {
            Some((code, reason)) => {
                (u16::from_be_bytes([code[0], code[1]]), String::from_utf8_lossy(reason).into_owned())
            }
            None => (1005, String::new()),
        }
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }

    /// The `data:` lines of an event stream; comments are left out.
    pub fn sse(&self) -> Vec<String> {
        sse_data(&self.text())
    }
}

/// The `data:` lines of an event stream, in order.
pub fn sse_data(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// A frame in bytes, masked as a client must or not.
pub fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = frame_head(opcode, payload.len() as u64, mask);
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

/// Only the head of a frame that promises `length` bytes.
pub fn frame_head(opcode: u8, length: u64, mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match length {
        0..126 => bytes.push(masked | length as u8),
        126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(mask.unwrap_or_default().iter().filter(|_| mask.is_some()));
    bytes
}

/// The mask our own frames carry, for heads sent without their payload.
pub const fn mask() -> Option<[u8; 4]> {
    Some(MASK)
}

pub const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[track_caller]
pub fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
    request(addr, "GET", path, headers, b"")
}

#[track_caller]
pub fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut headers = headers.to_vec();
    headers.push(("Content-Type", "application/json"));
    request(addr, "POST", path, &headers, body.to_string().as_bytes())
}

/// One request on a connection of its own.
#[track_caller]
pub fn request(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut raw = Raw::open(addr);
    raw.send(request_bytes(method, path, headers, body));
    if method == "HEAD" { raw.head() } else { raw.reply() }
}

/// A request in bytes, with a length when there is a body.
pub fn request_bytes(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// A GET that may fail because nobody listens yet.
pub fn try_get(addr: SocketAddr, path: &str) -> Option<Reply> {
    let stream = TcpStream::connect(addr).ok()?;
    let mut raw = Raw { stream: BufReader::new(stream) };
    raw.limit(wait::LIMIT);
    raw.try_send(request_bytes("GET", path, &[], b"")).ok()?;
    raw.try_reply(true).ok()
}

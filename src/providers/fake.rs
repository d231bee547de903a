//! Fake upstreams for the tests of this module: byte-exact answers and byte-exact misbehaviour.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::settings::{Api, ProviderSettings, RetryPolicy, Timeouts};
use super::{Delta, Finish, Message, Part, Provider, ProviderError, Turn};
use crate::sys::abort::Abort;

/// A server on a loopback port that plays one script for each request, in order.
pub struct Fake {
    pub port: u16,
    pub accepted: Arc<AtomicUsize>,
    /// Every request as it arrived, head and body.
    pub requests: Receiver<String>,
    /// One message each time a script reached its silence, and one when the client then went away.
    pub silences: Receiver<&'static str>,
}

/// What happens after a request was read.
#[derive(Clone)]
pub enum Act {
    Send(Vec<u8>),
    /// Say nothing until the client goes away.
    Silence,
    /// Close the connection; without it the connection waits for the next request.
    Close,
}

impl Fake {
    pub fn start(scripts: Vec<Vec<Act>>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("bound").port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (requests_in, requests) = unbounded();
        let (silences_in, silences) = unbounded();
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        let count = accepted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (scripts, requests, silences) = (scripts.clone(), requests_in.clone(), silences_in.clone());
                std::thread::spawn(move || serve(&stream, &stream, &scripts, &requests, &silences));
            }
        });
        Fake { port, accepted, requests, silences }
    }

    pub fn settings(&self, api: Api) -> ProviderSettings {
        let mut settings = ProviderSettings::new("stub", format!("http://127.0.0.1:{}", self.port), api);
        settings.retry = RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() };
        settings
    }

    pub fn request(&self) -> String {
        self.requests.recv_timeout(LIMIT).expect("a request arrives")
    }

    /// Waits until a script is silent, or the client has gone.
    pub fn silence(&self) -> &'static str {
        self.silences.recv_timeout(LIMIT).expect("the script gets there")
    }
}

/// Plays scripts over one connection.
pub fn serve(
    input: impl Read,
    mut output: impl Write,
    scripts: &Mutex<VecDeque<Vec<Act>>>,
    requests: &Sender<String>,
    silences: &Sender<&'static str>,
) {
    let mut input = BufReader::new(input);
    while let Some(request) = read_request(&mut input) {
        // The test may have stopped listening.
        let _ = requests.send(request);
        let script = scripts.lock().expect("no panic inside").pop_front();
        let Some(script) = script else {
            return;
        };
        for act in script {
            match act {
                Act::Send(bytes) => {
                    if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                        return;
                    }
                }
                Act::Silence => {
                    let _ = silences.send("silent");
                    let _ = input.read(&mut [0; 64]);
                    let _ = silences.send("gone");
                    return;
                }
                Act::Close => return,
            }
        }
    }
}

fn read_request(input: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let start = head.len();
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = &head[start..];
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

/// Closes a listener's worth of trouble: a port where nobody listens.
pub fn dead_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("bound").port()
}

/// The head of a chunked event stream.
pub fn stream_head() -> Act {
    Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// One HTTP chunk.
pub fn chunk(bytes: &[u8]) -> Act {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    Act::Send(framed)
}

/// The end of a chunked body.
pub fn end() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A whole event stream, one chunk an event.
pub fn events(data: &[&str]) -> Vec<Act> {
    let chunks = data.iter().map(|data| chunk(format!("data: {data}\n\n").as_bytes()));
    [stream_head()].into_iter().chain(chunks).chain([end()]).collect()
}

/// A whole answer with a length.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<Act> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    vec![Act::Send(head.into_bytes())]
}

/// A JSON answer.
pub fn json(status: &str, body: &str) -> Vec<Act> {
    answer(status, "content-type: application/json\r\n", body)
}

/// A turn with one user message.
pub fn turn(text: &str) -> Turn {
    Turn { model: "m".into(), messages: vec![Message::User(vec![Part::Text(text.into())])], ..Turn::default() }
}

/// Runs a turn and keeps its deltas.
pub fn chat(provider: &dyn Provider, turn: &Turn) -> (Result<Finish, ProviderError>, Vec<Delta>) {
    let mut deltas = Vec::new();
    let result = provider.chat(turn, &Abort::new(), &mut |delta| {
        deltas.push(delta);
        ControlFlow::Continue(())
    });
    (result, deltas)
}

/// The text of all deltas.
pub fn text(deltas: &[Delta]) -> String {
    deltas.iter().filter_map(|delta| if let Delta::Text(text) = delta { Some(text.as_str()) } else { None }).collect()
}

/// Deadlines short enough for a test.
pub fn short() -> Timeouts {
    let moment = Duration::from_millis(120);
    Timeouts { connect: LIMIT, first_byte: moment, read: moment }
}

/// For a listener that plays no scripts.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().expect("a connection").0
}

/// Longer than anything here takes on a busy machine; a test that reaches it has failed.
pub const LIMIT: Duration = Duration::from_secs(10);

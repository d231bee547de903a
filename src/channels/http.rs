//! The one HTTP client of all messengers: each call has one hard limit, and another thread can end it.
//!
//! Redirects are never followed: credentials go where the configuration says. No text of an error holds a path or a query,
//! for both may hold a token.

use std::fmt::Write;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::Request;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};

use super::message::ChannelError;
use crate::net::dial::{Dial, Line, Lookup, Patience, Tls, client_config};
use crate::sys::random;

/// Per direction and connection.
const BUFFER: usize = 8 << 10;
/// An answer of a messenger's API.
pub const ANSWER_MAX: usize = 4 << 20;
/// What connecting may take; the call's own limit counts on.
const CONNECT: Duration = Duration::from_secs(10);
/// A kept connection is given up after this.
const IDLE: Duration = Duration::from_secs(50);

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The route was used up by this call: how long until it may be asked again (`X-RateLimit-Remaining: 0`).
    pub spent: Option<Duration>,
    pub body: Vec<u8>,
}

/// One call.
#[derive(Default)]
pub struct Call<'a> {
    pub method: &'static str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    /// Bytes of the answer; 0: [`ANSWER_MAX`].
    pub answer_max: usize,
}

/// Connections to one service.
pub struct Web {
    agent: Agent,
    line: Arc<Line>,
    /// Only one call at a time: shutting the agent down ends that call and no other.
    turn: Mutex<()>,
    ended: std::sync::atomic::AtomicBool,
}

impl Web {
    pub fn new() -> Web {
        let line = Line::new();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(ureq::Proxy::try_from_env())
            .user_agent(concat!("openclaw/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("")
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_response_header_size(16 << 10)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE)
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(Dial(line.clone())).chain(Tls(client_config));
        let agent = Agent::with_parts(config, connector, Lookup(line.clone()));
        Web { agent, line, turn: Mutex::default(), ended: std::sync::atomic::AtomicBool::new(false) }
    }

    /// Reads a stream line by line until it ends, until it is silent for longer than `silence`, or until `each` says
    /// false. A line over `max` bytes ends it.
    pub fn lines(
        &self,
        url: &str,
        kind: &str,
        silence: Duration,
        max: usize,
        each: &mut dyn FnMut(&str) -> Result<bool, ChannelError>,
    ) -> Result<(), ChannelError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let host = host(url);
        self.line.wait(Patience::Each(silence));
        let call = Call { method: "GET", url, headers: &[("accept", kind)], ..Call::default() };
        let response = self.run(&call, &host, silence)?;
        if response.status().as_u16() != 200 {
            return Err(ChannelError::Lost(format!("{host} answered HTTP {}", response.status().as_u16())));
        }
        let mut reader = response.into_body().into_reader();
        let (mut rest, mut chunk) = (Vec::new(), [0; BUFFER]);
        loop {
            let read = reader.read(&mut chunk);
            let read = read.map_err(|error| ChannelError::Lost(format!("the stream of {host} broke off: {error}")))?;
            if read == 0 {
                return Err(ChannelError::Lost(format!("{host} ended the stream")));
            }
            rest.extend_from_slice(&chunk[..read]);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
                rest.drain(..=end);
                if !each(&line)? {
                    return Ok(());
                }
            }
            if rest.len() > max {
                return Err(ChannelError::Lost(format!("{host} says more than {max} bytes in one line")));
            }
        }
    }

    /// Makes a call; all of it, the last byte of the answer included, within `limit`.
    pub fn call(&self, call: &Call<'_>, limit: Duration) -> Result<Answer, ChannelError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let end = Instant::now() + limit;
        let host = host(call.url);
        self.line.wait(Patience::Until(end));
        let response = self.run(call, &host, limit)?;
        let (head, body) = response.into_parts();
        let number = |name: &str| {
            let text = head.headers.get(name).and_then(|value| value.to_str().ok())?;
            text.trim().parse::<f64>().ok().filter(|s| (0.0..1e6).contains(s))
        };
        let wait = |name: &str| number(name).map(Duration::from_secs_f64);
        let retry_after = wait("retry-after");
        let spent = (number("x-ratelimit-remaining") == Some(0.0)).then(|| wait("x-ratelimit-reset-after")).flatten();
        let cap = if call.answer_max == 0 { ANSWER_MAX } else { call.answer_max };
        let mut bytes = Vec::new();
        let read = body.into_reader().take(cap as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| ChannelError::Lost(format!("the answer of {host} broke off: {error}")))?;
        if bytes.len() > cap {
            return Err(ChannelError::Refused(format!("the answer of {host} is larger than {cap} bytes")));
        }
        Ok(Answer { status: head.status.as_u16(), retry_after, spent, body: bytes })
    }

    /// Sends a request and reads the head of the answer.
    fn run(
        &self,
        call: &Call<'_>,
        host: &str,
        limit: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ChannelError> {
        if self.ended.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(ChannelError::Unreached("the account is being stopped".into()));
        }
        let mut request = Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(call.body).map_err(|_| ChannelError::Refused(format!("no valid request for {host}")))?;
        let config = self
            .agent
            .configure_request(request)
            .timeout_resolve(Some(CONNECT.min(limit)))
            .timeout_connect(Some(CONNECT.min(limit)))
            .timeout_per_write(Some(limit));
        self.agent.run(config.build()).map_err(|error| explain(&error, host))
    }

    /// Ends the call in progress, and all that follow.
    pub fn end(&self) {
        self.ended.store(true, std::sync::atomic::Ordering::SeqCst);
        self.line.cut();
        self.agent.clone().shutdown();
    }
}

impl Default for Web {
    fn default() -> Web {
        Web::new()
    }
}

/// What a failure means for the message that was on its way.
fn explain(error: &ureq::Error, host: &str) -> ChannelError {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotConnected};
    use ureq::{Error, Timeout};
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            ChannelError::Unreached(format!("no connection to {host} in time"))
        }
        Error::Timeout(_) => ChannelError::Lost(format!("{host} did not answer in time")),
        Error::HostNotFound => ChannelError::Unreached(format!("the host {host} is unknown")),
        Error::ConnectionFailed => ChannelError::Unreached(format!("no connection to {host}")),
        Error::Io(io)
            if matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NotConnected) =>
        {
            ChannelError::Unreached(format!("no connection to {host}: {io}"))
        }
        Error::Io(io) => ChannelError::Lost(format!("the connection to {host} broke: {io}")),
        Error::Rustls(tls) => ChannelError::Unreached(format!("TLS with {host}: {tls}")),
        other => ChannelError::Lost(format!("{host}: {}", crate::wire::frame::cut(&other.to_string(), 200))),
    }
}

/// A form with a file, as `multipart/form-data` (RFC 7578): its content type and its bytes.
pub fn form(fields: &[(&str, String)], (field, name, bytes): (&str, &str, &[u8])) -> (String, Vec<u8>) {
    let boundary = random::hex::<16>();
    let mut body = Vec::with_capacity(bytes.len() + 1024);
    for (name, value) in fields {
        body.extend(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    let shown: String = name.chars().map(|c| if c.is_control() || c == '"' { '_' } else { c }).collect();
    body.extend(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{shown}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .bytes(),
    );
    body.extend_from_slice(bytes);
    body.extend(format!("\r\n--{boundary}--\r\n").bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A part of a path or a value of a query: ids hold `!`, `:` and `/` (RFC 3986, section 2.1).
pub fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    out
}

/// Scheme and host of a URL.
fn host(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let rest = url[end..].split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    format!("{}{rest}", &url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        assert_eq!(host("https://api.telegram.org/bot1:token/getMe?x=1"), "https://api.telegram.org");
        assert_eq!(host("http://user:pass@h:1/x"), "http://h:1");
    }

    #[test]
    fn ids_stay_one_part_of_a_path() {
        assert_eq!(part("!a/b:x.org"), "%21a%2Fb%3Ax.org");
        assert_eq!(part("../ü?#"), "..%2F%C3%BC%3F%23");
    }

    #[test]
    fn a_call_that_nobody_answers_ends_at_its_limit() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!("http://{}/x", listener.local_addr().expect("bound"));
        let began = Instant::now();
        let call = Call { method: "GET", url: &url, ..Call::default() };
        let answer = Web::new().call(&call, Duration::from_millis(200));
        assert!(matches!(answer, Err(ChannelError::Lost(_))), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_call_in_progress_can_be_ended() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!("http://{}/x", listener.local_addr().expect("bound"));
        let web = Arc::new(Web::new());
        let caller = {
            let web = web.clone();
            std::thread::spawn(move || {
                web.call(&Call { method: "GET", url: &url, ..Call::default() }, Duration::from_secs(60))
            })
        };
        let _held = listener.accept().expect("the call arrives");
        let began = Instant::now();
        web.end();
        assert!(caller.join().expect("no panic").is_err());
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

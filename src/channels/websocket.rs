//! A WebSocket to a service, over a [`Link`]: one thread speaks and listens, any other may end it.
//!
//! Invariants: no call waits past its moment; a message larger than the cap ends the connection; pings are answered while
//! somebody listens.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue, Uri};
use tungstenite::{HandshakeError, Message, Utf8Bytes};

use super::message::ChannelError;
use super::socket::Link;
use crate::net::duplex::{self, Duplex};

/// What writing one message may take.
const WRITE: Duration = Duration::from_secs(20);
/// A sign of life is asked for so often, where the service's protocol has none of its own.
const PING: Duration = Duration::from_secs(15);
/// How long what may lie unread is looked for before a service is given up.
pub const UNREAD: Duration = Duration::from_secs(1);

/// A connection that works.
pub struct Socket {
    ws: duplex::Socket,
    host: String,
}

/// What came.
#[derive(Debug)]
pub enum Heard {
    Text(Utf8Bytes),
    /// The answer to a [`Socket::ping`].
    Pong,
    /// Nothing until the moment that was given.
    Nothing,
    /// The service says goodbye: its code (RFC 6455, section 7.4) and its words.
    Closed(u16, String),
}

/// When the next sign of life is asked for, and whether the last one came.
pub struct Pulse {
    ask_at: Instant,
    answered: bool,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { ask_at: Instant::now() + PING, answered: true }
    }
}

/// Where an account keeps its connection, so that another thread can end it.
#[derive(Default)]
pub struct Holder(Mutex<Held>);

#[derive(Default)]
struct Held {
    link: Option<Arc<Link>>,
    ended: bool,
}

impl Holder {
    /// Ends the connection there is, and every later one at once.
    pub fn end(&self) {
        let mut held = self.held();
        held.ended = true;
        if let Some(link) = held.link.take() {
            link.close();
        }
    }

    fn hold(&self, link: &Arc<Link>) -> Result<(), ChannelError> {
        let mut held = self.held();
        if held.ended {
            return Err(ChannelError::Unreached("the account is being stopped".into()));
        }
        held.link = Some(link.clone());
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    /// Connects to `ws://` or `wss://` and asks for a WebSocket, all within `limit`; no message may have more than `max`
    /// bytes. What a service answers instead of a WebSocket is `Refused` where it is about who we are, and `Lost` else.
    pub fn open(
        holder: &Holder,
        url: &str,
        headers: &[(&str, &str)],
        max: usize,
        limit: Duration,
    ) -> Result<Socket, ChannelError> {
        let until = Instant::now() + limit;
        // Paths and queries may hold tickets: they are never shown.
        let bad = |what: &str| ChannelError::Lost(format!("the service names an address that is {what}"));
        let uri: Uri = url.parse().map_err(|_| bad("no URL"))?;
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(bad("no WebSocket's")),
        };
        let host = uri.host().ok_or_else(|| bad("without a host"))?.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut request = uri.into_client_request().map_err(|_| bad("no URL"))?;
        for (name, value) in headers {
            let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let (name, value) = pair.ok_or_else(|| bad("to be asked with a header that is none"))?;
            request.headers_mut().insert(name, value);
        }
        let link = Link::connect(&host, port, secure, limit, limit)?;
        holder.hold(&link)?;
        let stream = Box::new(Until { link, until });
        let ws = duplex::upgrade(request, stream, max).map_err(|failed| not_upgraded(*failed, &host))?;
        Ok(Socket { ws, host })
    }

    /// Sends a text.
    pub fn say(&mut self, text: String) -> Result<(), ChannelError> {
        self.send(Message::text(text))
    }

    /// Asks for a sign of life.
    fn ping(&mut self) -> Result<(), ChannelError> {
        self.send(Message::Ping(Default::default()))
    }

    /// Waits for the next text or the end, at most until then, and asks for a sign of life in between: `alive` is told of
    /// each. A service that does not answer until the next question is lost.
    pub fn hear(&mut self, pulse: &mut Pulse, until: Option<Instant>, alive: &dyn Fn()) -> Result<Heard, ChannelError> {
        loop {
            let asking = Instant::now() >= pulse.ask_at;
            if asking && pulse.answered {
                *pulse = Pulse { ask_at: Instant::now() + PING, answered: false };
                self.ping()?;
            }
            // We may have been busy: the answer may lie unread.
            let late = asking && !pulse.answered && Instant::now() >= pulse.ask_at;
            let next = if late { Instant::now() + UNREAD } else { pulse.ask_at };
            match self.next(until.map_or(next, |until| until.min(next)))? {
                Heard::Nothing if late && Instant::now() >= next => {
                    return Err(ChannelError::Lost(format!("{} did not answer a ping", self.host)));
                }
                Heard::Pong => {
                    pulse.answered = true;
                    alive();
                }
                Heard::Nothing if until.is_none_or(|until| Instant::now() < until) => {}
                heard => return Ok(heard),
            }
        }
    }

    fn send(&mut self, message: Message) -> Result<(), ChannelError> {
        self.ws.get_mut().until(Instant::now() + WRITE);
        self.ws.send(message).map_err(|failed| self.broken(&failed))
    }

    /// Waits for the next message, at most until then.
    pub fn next(&mut self, until: Instant) -> Result<Heard, ChannelError> {
        self.ws.get_mut().until(until);
        loop {
            match self.ws.read() {
                Ok(Message::Text(text)) => return Ok(Heard::Text(text)),
                Ok(Message::Pong(_)) => return Ok(Heard::Pong),
                Ok(Message::Close(frame)) => {
                    let (code, words) =
                        frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    return Ok(Heard::Closed(code, words));
                }
                Ok(_) if Instant::now() < until => {}
                Ok(_) => return Ok(Heard::Nothing),
                Err(tungstenite::Error::Io(late)) if late.kind() == io::ErrorKind::TimedOut => {
                    return Ok(Heard::Nothing);
                }
                Err(failed) => return Err(self.broken(&failed)),
            }
        }
    }

    fn broken(&self, failed: &tungstenite::Error) -> ChannelError {
        ChannelError::Lost(match failed {
            tungstenite::Error::Capacity(_) => format!("{} sent a message larger than we take", self.host),
            failed => format!("the connection to {} broke: {failed}", self.host),
        })
    }
}

fn not_upgraded(failed: duplex::NotUpgraded, host: &str) -> ChannelError {
    match failed {
        HandshakeError::Failure(tungstenite::Error::Http(answer)) => {
            let words = format!("{host} answered HTTP {} instead of a WebSocket", answer.status().as_u16());
            match answer.status().as_u16() {
                401 | 403 => ChannelError::Refused(words),
                429 => ChannelError::Later(words, Duration::from_secs(30)),
                _ => ChannelError::Lost(words),
            }
        }
        HandshakeError::Failure(other) => ChannelError::Lost(format!("no WebSocket with {host}: {other}")),
        HandshakeError::Interrupted(_) => ChannelError::Lost(format!("{host} did not answer in time")),
    }
}

/// A link whose reads end at a moment.
struct Until {
    link: Arc<Link>,
    until: Instant,
}

impl Duplex for Until {
    fn until(&mut self, until: Instant) {
        self.until = until;
    }
}

impl Read for Until {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.link.patience(left)?;
        // "Would block" is what the engine takes for "ask again".
        self.link.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn served(script: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let url = format!("ws://{}/way?ticket=secret", listener.local_addr().expect("bound"));
        std::thread::spawn(move || script(listener.accept().expect("a caller").0));
        url
    }

    #[test]
    fn silence_a_message_and_a_goodbye_are_heard() {
        let url = served(|tcp| {
            let mut ws = tungstenite::accept(tcp).expect("an upgrade");
            assert_eq!(ws.read().expect("a message").to_text().expect("text"), "now");
            ws.send(Message::text("hello")).expect("sent");
            ws.close(Some(tungstenite::protocol::CloseFrame { code: 4004.into(), reason: "no".into() })).expect("said");
            while ws.read().is_ok() {}
        });
        let mut socket = Socket::open(&Holder::default(), &url, &[], 1 << 10, SOON).expect("a socket");
        let waited = socket.next(Instant::now() + Duration::from_millis(30)).expect("nothing wrong");
        assert!(matches!(waited, Heard::Nothing), "{waited:?}");
        socket.say("now".into()).expect("said");
        let heard = socket.next(Instant::now() + SOON).expect("a message");
        assert!(matches!(&heard, Heard::Text(text) if text.as_str() == "hello"), "{heard:?}");
        let heard = socket.next(Instant::now() + SOON).expect("a goodbye");
        assert!(matches!(&heard, Heard::Closed(4004, words) if words == "no"), "{heard:?}");
    }

    #[test]
    fn what_is_no_websocket_is_named_without_its_ticket() {
        let url = served(|mut tcp| {
            let _ = tcp.read(&mut [0; 1024]);
            tcp.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").expect("written");
        });
        let failed = Socket::open(&Holder::default(), &url, &[], 1 << 10, SOON).err().expect("refused");
        assert!(matches!(&failed, ChannelError::Refused(words) if words.contains("403")), "{failed:?}");
        assert!(!failed.to_string().contains("secret"));
        let failed = Socket::open(&Holder::default(), "https://x/y", &[], 1, SOON).err().expect("no scheme of ours");
        assert!(matches!(failed, ChannelError::Lost(_)), "{failed:?}");
    }

    #[test]
    fn a_ping_is_answered_or_the_service_is_lost() {
        let url = served(|tcp| {
            let mut ws = tungstenite::accept(tcp).expect("an upgrade");
            while ws.read().is_ok() {}
        });
        let mut socket = Socket::open(&Holder::default(), &url, &[], 1 << 10, SOON).expect("a socket");
        let (now, heard) = (Instant::now(), std::cell::Cell::new(0));
        let mut pulse = Pulse { ask_at: now, answered: true };
        let until = now + Duration::from_millis(500);
        let waited = socket.hear(&mut pulse, Some(until), &|| heard.set(heard.get() + 1)).expect("nothing wrong");
        assert!(matches!(waited, Heard::Nothing) && pulse.answered && heard.get() == 1, "{waited:?} {}", heard.get());
        let mut pulse = Pulse { ask_at: now, answered: false };
        let failed = socket.hear(&mut pulse, None, &|| {}).expect_err("the last one was not answered");
        assert!(failed.to_string().contains("did not answer a ping"), "{failed}");
    }

    #[test]
    fn a_message_over_the_cap_ends_it_and_so_does_the_holder() {
        let big = |tcp| {
            let mut ws = tungstenite::accept(tcp).expect("an upgrade");
            ws.send(Message::text("x".repeat(4 << 10))).expect("sent");
            while ws.read().is_ok() {}
        };
        let mut socket = Socket::open(&Holder::default(), &served(big), &[], 1 << 10, SOON).expect("a socket");
        let failed = socket.next(Instant::now() + SOON).expect_err("too large");
        assert!(failed.to_string().contains("larger than we take"), "{failed}");
        let (holder, url) = (Arc::new(Holder::default()), served(big));
        let mut socket = Socket::open(&holder, &url, &[], 1 << 20, SOON).expect("a socket");
        assert!(matches!(socket.next(Instant::now() + SOON), Ok(Heard::Text(_))));
        let ending = holder.clone();
        std::thread::spawn(move || ending.end());
        assert!(socket.next(Instant::now() + SOON).is_err(), "ended long before its moment");
        assert!(Socket::open(&holder, &served(big), &[], 1, SOON).is_err(), "and for good");
    }
}

//! Printing a response: tiny_http's value, our bytes.
//!
//! Every response says `Connection`, `Date` and its length; small ones leave in one write. Does not compress and does
//! not choose a status.
//!
//! Invariant: nothing from outside can start a new header line: a field with control characters is left out.

use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tiny_http::{Header, Response, ResponseBox, StatusCode};

use super::sse::Sse;
use crate::net::Fault;
use crate::net::pipe::Pipe;

/// Bodies up to this size leave in one write with their head; bigger ones in pieces of this size.
const PIECE: usize = 64 << 10;

/// The answer to one request.
pub enum Reply {
    /// A complete response; the connection goes on if it can.
    Full(ResponseBox),
    /// A complete response, after which the connection is closed.
    Last(ResponseBox),
    /// A head now and events as they come; the function writes them. Its error, or its panic, ends the connection
    /// without the final chunk, so that the client can tell that something is missing.
    Stream(StreamHead, Box<Streamer>),
}

/// What writes an event stream. Runs on the connection thread and may block there.
pub type Streamer = dyn FnOnce(&mut Sse<'_>) -> io::Result<()> + Send;

impl Reply {
    /// Any response of tiny_http's.
    pub fn full<R: Read + Send + 'static>(response: Response<R>) -> Reply {
        Reply::Full(response.boxed())
    }

    /// The same, and then the connection is closed.
    pub fn last<R: Read + Send + 'static>(response: Response<R>) -> Reply {
        Reply::Last(response.boxed())
    }

    /// One line of plain text.
    pub fn text(status: u16, text: &str) -> Reply {
        Reply::full(plain(status, text))
    }

    /// An event stream with status 200.
    pub fn events(stream: impl FnOnce(&mut Sse<'_>) -> io::Result<()> + Send + 'static) -> Reply {
        let head = StreamHead {
            status: StatusCode(200),
            headers: vec![
                field("Content-Type", "text/event-stream; charset=utf-8"),
                field("Cache-Control", "no-cache"),
                field("X-Accel-Buffering", "no"),
            ],
        };
        Reply::Stream(head, Box::new(stream))
    }

    /// What a fault is answered with when nobody dresses it: plain text, and the connection is closed.
    pub fn fault(fault: &Fault) -> Reply {
        Reply::last(plain(fault.status(), fault.explain()))
    }
}

/// Status and headers of a stream.
pub struct StreamHead {
    pub status: StatusCode,
    pub headers: Vec<Header>,
}

fn plain(status: u16, text: &str) -> Response<io::Cursor<Vec<u8>>> {
    Response::from_data(text.as_bytes())
        .with_status_code(status)
        .with_header(field("Content-Type", "text/plain; charset=utf-8"))
}

fn field(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("fields written here are ASCII")
}

/// Whether the connection goes on after this response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Stay,
    Close,
}

/// Whether the client asked for the body or only for the head that would go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Body,
    HeadOnly,
}

/// What a connection keeps to print responses: a reused buffer, the date line of this second, the app's own headers.
pub(super) struct Printer<'s> {
    out: Vec<u8>,
    date: DateLine,
    /// Header lines that go with every response, rendered.
    extra: &'s str,
    keep_alive: String,
}

impl<'s> Printer<'s> {
    pub(super) fn new(extra: &'s str, idle: std::time::Duration) -> Printer<'s> {
        let keep_alive = format!("Connection: keep-alive\r\nKeep-Alive: timeout={}\r\n", idle.as_secs().max(1));
        Printer { out: Vec::new(), date: DateLine::default(), extra, keep_alive }
    }

    /// Prints a complete response. `chunks` says whether the client understands them, for a body of unknown length.
    pub(super) fn full(
        &mut self,
        pipe: &mut Pipe,
        response: ResponseBox,
        after: After,
        wants: Wants,
    ) -> io::Result<After> {
        let (status, length) = (response.status_code().0, response.data_length());
        let bodiless = status < 200 || status == 204 || status == 304;
        // Without a length the end of the connection is the end of the body: simple, and no response of ours needs more.
        let after = if length.is_none() && !bodiless { After::Close } else { after };
        self.out.clear();
        self.head(status, response.headers(), after);
        if let Some(length) = length.filter(|_| status != 204 && status >= 200) {
            // Writing to a vector cannot fail.
            let _ = write!(self.out, "Content-Length: {length}\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        if bodiless || wants == Wants::HeadOnly {
            pipe.send(&self.out)?;
            return Ok(after);
        }
        self.body(pipe, response.into_reader(), length)?;
        Ok(after)
    }

    fn body(&mut self, pipe: &mut Pipe, mut body: Box<dyn Read + Send>, length: Option<usize>) -> io::Result<()> {
        let mut left = length.unwrap_or(usize::MAX);
        loop {
            let have = self.out.len();
            self.out.resize(have + left.min(PIECE), 0);
            let read = fill(&mut body, &mut self.out[have..])?;
            self.out.truncate(have + read);
            left -= read;
            pipe.send(&self.out)?;
            self.out.clear();
            if left == 0 {
                break;
            }
            if read == 0 {
                match length {
                    None => break,
                    // The length is said already; only an early end can show that it was wrong.
                    Some(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
        if self.out.capacity() > 2 * PIECE {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// The head of a stream, to be sent with the first event.
    pub(super) fn stream(&mut self, head: &StreamHead, after: After, chunked: bool) -> Vec<u8> {
        self.out.clear();
        self.head(head.status.0, &head.headers, after);
        if chunked {
            self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        std::mem::take(&mut self.out)
    }

    fn head(&mut self, status: u16, headers: &[Header], after: After) {
        let phrase = StatusCode(status).default_reason_phrase();
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "HTTP/1.1 {status} {phrase}\r\n");
        for header in headers {
            let (name, value) = (header.field.as_str().as_str(), header.value.as_str());
            if ["Connection", "Date", "Content-Length", "Transfer-Encoding"]
                .iter()
                .any(|h| h.eq_ignore_ascii_case(name))
            {
                continue;
            }
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                log::error!("response header {name} has a control character and is left out");
                continue;
            }
            for part in [name, ": ", value, "\r\n"] {
                self.out.extend_from_slice(part.as_bytes());
            }
        }
        self.out.extend_from_slice(self.extra.as_bytes());
        self.out.extend_from_slice(self.date.now().as_bytes());
        match after {
            After::Stay => self.out.extend_from_slice(self.keep_alive.as_bytes()),
            After::Close => self.out.extend_from_slice(b"Connection: close\r\n"),
        }
    }
}

/// Reads until `into` is full or the body ends.
fn fill(body: &mut Box<dyn Read + Send>, into: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match body.read(&mut into[have..]) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// Renders headers that go with every response. A field with control characters is left out.
pub(in crate::net) fn render(headers: &[(&str, String)]) -> String {
    headers
        .iter()
        .filter(|(name, value)| !name.bytes().chain(value.bytes()).any(|byte| byte.is_ascii_control()))
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// The `Date` line, made anew once a second.
#[derive(Default)]
struct DateLine {
    second: u64,
    line: String,
}

impl DateLine {
    fn now(&mut self) -> &str {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.line.is_empty() {
            self.second = second;
            self.line = date_line(second);
        }
        &self.line
    }
}

/// `Date: Sun, 06 Nov 1994 08:49:37 GMT`, from seconds since 1970.
fn date_line(second: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, clock) = (second / 86_400, second % 86_400);
    // Years begin in March, so that the leap day is the last of its year; 719,468 days lie before 1970.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    format!(
        "Date: {}, {day:02} {} {year} {:02}:{:02}:{:02} GMT\r\n",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        clock / 3_600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_new_years() {
        for (second, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00"),
        ] {
            assert_eq!(date_line(second), format!("Date: {date} GMT\r\n"));
        }
    }

    #[test]
    fn a_header_cannot_start_another_line() {
        assert_eq!(render(&[("A", "b".into()), ("C", "d\r\nE: f".into())]), "A: b\r\n");
        let mut printer = Printer::new("", std::time::Duration::from_secs(5));
        printer.head(200, &[Header::from_bytes("X", "a\r\nY: b").unwrap()], After::Close);
        let text = String::from_utf8(printer.out).unwrap();
        assert!(!text.contains("Y: b"), "{text}");
    }
}

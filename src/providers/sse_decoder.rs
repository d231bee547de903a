//! Server-sent events: bytes in, events out.
//!
//! Pure: no socket, no clock. It follows the WHATWG rules (CR, LF and CRLF, comments, several data lines, byte order
//! mark, replacement of bad UTF-8) except that an event left open at the end of the stream is delivered, because
//! several servers forget the last blank line. It does not interpret what an event carries.
//!
//! Invariants: the split of the input into pushes never changes the events; no event holds more than [`EVENT_CAP`]
//! bytes; after an error nothing more comes out.

use std::fmt;

/// One event, borrowed until the decoder is touched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event` field; empty when the stream named none.
    pub event: &'a str,
    /// The data lines, joined with LF.
    pub data: &'a str,
    /// The last `id` seen on the stream.
    pub id: &'a str,
    /// Milliseconds from a `retry` field of this event.
    pub retry: Option<u64>,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SseError {
    /// A single event (or line) passed [`EVENT_CAP`] bytes.
    TooLarge,
}

/// The decoder of one stream.
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// Input not yet consumed: complete lines, then perhaps half a line.
    input: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Up to here there is no line end, so a long line is not searched twice.
    searched: usize,
    /// The last line ended in CR; a LF that follows belongs to it.
    after_cr: bool,
    /// The byte order mark was looked for.
    begun: bool,
    /// Data of the event being built, each line followed by LF.
    data: Vec<u8>,
    event: String,
    id: String,
    retry: Option<u64>,
    /// The event was handed out and must be forgotten before going on.
    delivered: bool,
    failed: bool,
}

impl SseDecoder {
    pub fn new() -> SseDecoder {
        SseDecoder::default()
    }

    /// Takes bytes as they came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if self.start > 0 {
            self.input.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The stream is over: an open line and an open event count as finished.
    pub fn end(&mut self) {
        self.push(b"\n\n");
    }

    /// The next whole event, or `None` until more was pushed.
    pub fn next_event(&mut self) -> Option<Result<SseEvent<'_>, SseError>> {
        if self.failed {
            return Some(Err(SseError::TooLarge));
        }
        if self.delivered {
            self.delivered = false;
            self.forget();
        }
        if !self.begun && !self.begin() {
            return None;
        }
        loop {
            let Some(line) = self.next_line() else {
                if self.input.len() - self.start + self.data.len() > EVENT_CAP {
                    return Some(Err(self.fail()));
                }
                return None;
            };
            if line.is_empty() {
                if self.data.is_empty() {
                    // An event without data is none; its name must not stick to the next one.
                    self.forget();
                    continue;
                }
                return Some(Ok(self.deliver()));
            }
            if self.take_line(line) == Taken::TooLarge {
                return Some(Err(self.fail()));
            }
        }
    }

    /// Skips a byte order mark; false while too few bytes are there to tell.
    fn begin(&mut self) -> bool {
        let head = &self.input[..self.input.len().min(BOM.len())];
        if head.len() < BOM.len() && BOM.starts_with(head) {
            return false;
        }
        if head == BOM {
            self.start = BOM.len();
            self.searched = BOM.len();
        }
        self.begun = true;
        true
    }

    /// The range of the next complete line, without its end.
    fn next_line(&mut self) -> Option<std::ops::Range<usize>> {
        if self.after_cr && self.start < self.input.len() {
            self.after_cr = false;
            if self.input[self.start] == b'\n' {
                self.start += 1;
                self.searched = self.searched.max(self.start);
            }
        }
        let found = self.input[self.searched..].iter().position(|byte| *byte == b'\n' || *byte == b'\r');
        let Some(offset) = found else {
            self.searched = self.input.len();
            return None;
        };
        let end = self.searched + offset;
        let line = self.start..end;
        self.after_cr = self.input[end] == b'\r';
        self.start = end + 1;
        self.searched = self.start;
        Some(line)
    }

    fn take_line(&mut self, line: std::ops::Range<usize>) -> Taken {
        let line = &self.input[line];
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.data.len() + value.len() >= EVENT_CAP {
                    return Taken::TooLarge;
                }
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" | b"id" if value.len() > NAME_CAP => return Taken::TooLarge,
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = String::from_utf8_lossy(value).into_owned(),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            }
            // Comments (an empty name) and fields from the future.
            _ => {}
        }
        Taken::Fine
    }

    fn deliver(&mut self) -> SseEvent<'_> {
        self.delivered = true;
        self.data.pop();
        if std::str::from_utf8(&self.data).is_err() {
            self.data = String::from_utf8_lossy(&self.data).into_owned().into_bytes();
        }
        let data = std::str::from_utf8(&self.data).expect("made valid above");
        SseEvent { event: &self.event, data, id: &self.id, retry: self.retry }
    }

    fn forget(&mut self) {
        self.data.clear();
        self.event.clear();
        self.retry = None;
    }

    fn fail(&mut self) -> SseError {
        self.failed = true;
        self.input = Vec::new();
        self.data = Vec::new();
        self.start = 0;
        self.searched = 0;
        SseError::TooLarge
    }
}

#[derive(PartialEq)]
enum Taken {
    Fine,
    TooLarge,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one event is larger than {EVENT_CAP} bytes")
    }
}

impl std::error::Error for SseError {}

const BOM: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Bytes of one event. The largest honest one is a whole tool call in one piece; a megabyte of arguments is a fault.
pub const EVENT_CAP: usize = 1 << 20;

/// Bytes of an `event` or `id` value: names, not documents.
const NAME_CAP: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (String, String, String, Option<u64>);

    fn decode(pieces: &[&[u8]]) -> Vec<Owned> {
        let mut decoder = SseDecoder::new();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            collect(&mut decoder, &mut events);
        }
        decoder.end();
        collect(&mut decoder, &mut events);
        events
    }

    fn collect(decoder: &mut SseDecoder, events: &mut Vec<Owned>) {
        while let Some(event) = decoder.next_event() {
            let event = event.expect("recording is small");
            events.push((event.event.into(), event.data.into(), event.id.into(), event.retry));
        }
    }

    const RECORDING: &str = "\u{feff}: hello\r\nevent: ping\rdata: {\"a\":1}\r\n\r\ndata:two\ndata: lines\nid: 7\n\n\
        retry: 1500\ndata\n\nevent: lost\n\n: only a comment\n\ndata:  zwölf €\u{1F980}\r\rnonsense\ndata: x:y\n\ndata: open";

    #[test]
    fn a_recording_gives_the_same_events_however_it_is_split() {
        let whole = decode(&[RECORDING.as_bytes()]);
        let data: Vec<&str> = whole.iter().map(|event| event.1.as_str()).collect();
        assert_eq!(data, ["{\"a\":1}", "two\nlines", "", " zwölf €\u{1F980}", "x:y", "open"]);
        assert_eq!((whole[0].0.as_str(), whole[1].2.as_str(), whole[2].3), ("ping", "7", Some(1500)));
        assert_eq!((whole[3].0.as_str(), whole[3].2.as_str()), ("", "7"));
        for at in 0..=RECORDING.len() {
            let (left, right) = RECORDING.as_bytes().split_at(at);
            assert_eq!(decode(&[left, right]), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = RECORDING.as_bytes().chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }

    #[test]
    fn an_event_over_the_cap_is_an_error_and_the_last_word() {
        for piece in [&b"data: "[..], &b"data: x\n"[..], &b""[..]] {
            let mut decoder = SseDecoder::new();
            let mut fed = 0;
            decoder.push(piece);
            while fed <= EVENT_CAP {
                decoder.push(if piece.ends_with(b"\n") { b"data: 0123456789abcdef\n" } else { &[b'x'; 64 << 10] });
                fed += if piece.ends_with(b"\n") { 16 } else { 64 << 10 };
                if matches!(decoder.next_event(), Some(Err(_))) {
                    break;
                }
            }
            assert_eq!(decoder.next_event(), Some(Err(SseError::TooLarge)));
            decoder.push(b"\n\ndata: again\n\n");
            assert_eq!(decoder.next_event(), Some(Err(SseError::TooLarge)));
        }
    }

    #[test]
    fn bad_utf8_is_replaced_not_fatal() {
        assert_eq!(decode(&[b"data: a\xffb\n\n"])[0].1, "a\u{fffd}b");
    }

    #[test]
    fn hostile_bytes_never_panic_and_never_depend_on_the_split() {
        let mut seed = 0x9E37_79B9_7F4A_7C15u64;
        for round in 0..300 {
            let mut bytes = RECORDING.as_bytes().to_vec();
            for _ in 0..8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = seed as usize % bytes.len();
                bytes[at] = (seed >> 32) as u8;
            }
            let (left, right) = bytes.split_at(seed as usize % bytes.len());
            assert_eq!(decode(&[left, right]), decode(&[&bytes]), "round {round} {bytes:?}");
        }
    }
}

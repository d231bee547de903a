//! What the protocol engine reads from: the socket, one frame at a time.
//!
//! The engine keeps the buffer of the biggest message it ever read. To make it start over without losing a byte, it must
//! never hold one that belongs to the next frame; so this reader follows the frame headers and hands out nothing beyond
//! the end of a frame. When the engine has delivered a message, everything it was given is used up.
//!
//! Writing goes to the mailbox: the engine answers pings and closes, and the socket has one author, the writer.
//! Does not validate frames; the engine does.

use std::io::{self, Read, Write};

use super::mailbox::{Mail, Mailbox};
use crate::net::pipe::Source;
use crate::net::sock::Patience;

/// Read at once; bigger payloads go past this buffer. Small, because every idle client keeps one.
const BUFFER: usize = 2 << 10;

/// The engine's stream.
pub(super) struct Intake {
    source: Source,
    mail: Mailbox,
    buffer: Vec<u8>,
    from: usize,
    frame: Scan,
    patience: Patience,
    /// The biggest frame since this was last asked.
    biggest: u64,
}

impl Intake {
    /// `early` is what came with the upgrade request.
    pub(super) fn new(source: Source, mail: Mailbox, early: Vec<u8>, patience: Patience) -> Intake {
        Intake { source, mail, buffer: early, from: 0, frame: Scan::default(), patience, biggest: 0 }
    }

    /// How long reads wait from now on.
    pub(super) fn wait(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The payload size of the biggest frame since the last call.
    pub(super) fn biggest(&mut self) -> u64 {
        std::mem::take(&mut self.biggest)
    }

    pub(super) fn into_source(self) -> Source {
        self.source
    }

    fn fetch(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into, self.patience);
        if self.source.wants_flush() {
            self.mail.post(Mail::Flush);
        }
        read
    }
}

impl Read for Intake {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.from == self.buffer.len() {
            if self.frame.left >= BUFFER as u64 {
                let most = into.len().min(usize::try_from(self.frame.left).unwrap_or(usize::MAX));
                let read = self.fetch(&mut into[..most])?;
                self.frame.left -= read as u64;
                return Ok(read);
            }
            self.from = 0;
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER, 0);
            let read = self.fetch(&mut buffer);
            buffer.truncate(read.as_ref().copied().unwrap_or(0));
            self.buffer = buffer;
            if read? == 0 {
                return Ok(0);
            }
        }
        let here = &self.buffer[self.from..];
        let most = self.frame.advance(&here[..here.len().min(into.len())]);
        into[..most].copy_from_slice(&here[..most]);
        self.from += most;
        self.biggest = self.biggest.max(self.frame.size);
        Ok(most)
    }
}

impl Write for Intake {
    /// The engine offers whole frames only, so each call is one piece of mail.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.mail.control(frame);
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows frames through a byte stream.
#[derive(Default)]
struct Scan {
    head: [u8; 14],
    have: usize,
    /// Payload bytes of this frame still to come.
    left: u64,
    /// Payload bytes of this frame.
    size: u64,
}

impl Scan {
    /// How many of these bytes belong to the current frame, which is then followed by so much.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let piece = (bytes.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= piece as u64;
                at += piece;
            } else {
                self.head[self.have] = bytes[at];
                self.have += 1;
                at += 1;
                if !self.complete() {
                    continue;
                }
                self.have = 0;
            }
            if self.left == 0 {
                break;
            }
        }
        at
    }

    /// Whether the header is complete; then the payload's length is known.
    fn complete(&mut self) -> bool {
        if self.have < 2 {
            return false;
        }
        let short = self.head[1] & 0x7f;
        let extra = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        if self.have < 2 + extra + mask {
            return false;
        }
        let long = self.head[2..2 + extra].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.size = if extra == 0 { u64::from(short) } else { long };
        self.left = self.size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.resize(frame.len() + length, b'x');
        frame
    }

    #[test]
    fn the_end_of_every_frame_is_found_however_it_arrives() {
        let frames: Vec<_> = [0, 1, 125, 126, 300, 65_535, 65_536, 0, 5].into_iter().map(frame).collect();
        let stream = frames.concat();
        for step in [1, 2, 3, 7, 100, 4096, stream.len()] {
            let mut scan = Scan::default();
            let mut ends = Vec::new();
            let mut at = 0;
            while at < stream.len() {
                let n = scan.advance(&stream[at..stream.len().min(at + step)]);
                at += n;
                if scan.left == 0 && scan.have == 0 {
                    ends.push(at);
                }
            }
            let mut sum = 0;
            let expected: Vec<_> = frames.iter().map(|frame| (sum += frame.len(), sum).1).collect();
            assert_eq!(ends, expected, "step {step}");
        }
    }
}

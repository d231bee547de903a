//! Keeps the beginning and the end of a long output, and counts what was between.
//!
//! Invariant: never holds more than its cap in bytes, whatever is pushed.

use std::collections::VecDeque;

pub(super) struct HeadTail {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Bytes each half may hold.
    half: usize,
    dropped: u64,
}

impl HeadTail {
    pub(super) fn new(cap: usize) -> HeadTail {
        HeadTail { head: Vec::new(), tail: VecDeque::new(), half: cap / 2, dropped: 0 }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) {
        let room = self.half - self.head.len();
        let (first, rest) = chunk.split_at(room.min(chunk.len()));
        self.head.extend_from_slice(first);
        // Of a chunk larger than the tail only its end can stay.
        let skipped = rest.len().saturating_sub(self.half);
        let rest = &rest[skipped..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..excess);
        self.tail.extend(rest);
        self.dropped += (skipped + excess) as u64;
    }

    /// The last `bytes` bytes, as text.
    pub(super) fn end(&self, bytes: usize) -> String {
        let from_tail = bytes.min(self.tail.len());
        let from_head = if self.dropped > 0 { 0 } else { (bytes - from_tail).min(self.head.len()) };
        let mut end = self.head[self.head.len() - from_head..].to_vec();
        end.extend(self.tail.range(self.tail.len() - from_tail..));
        String::from_utf8_lossy(trim_start(&end)).into_owned()
    }

    /// All that was kept, with a note where something is missing. Bytes that are no UTF-8 are replaced.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.dropped == 0 {
            let whole = [self.head.as_slice(), &tail].concat();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        let head = String::from_utf8_lossy(&self.head);
        let head = head.trim_end_matches('\u{fffd}');
        let tail = String::from_utf8_lossy(trim_start(&tail)).into_owned();
        format!("{head}\n[... {} bytes left out ...]\n{tail}", self.dropped)
    }
}

/// Without the rest of a character whose beginning was dropped.
fn trim_start(bytes: &[u8]) -> &[u8] {
    let stray = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    &bytes[stray..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_whole() {
        let mut kept = HeadTail::new(10);
        kept.push(b"abcde");
        kept.push(b"fghij");
        assert_eq!(kept.text(), "abcdefghij");
        assert_eq!(kept.end(7), "defghij");
    }

    #[test]
    fn of_more_the_head_and_the_tail_stay_and_the_loss_is_counted() {
        let mut kept = HeadTail::new(6);
        for chunk in [&b"ab"[..], b"cdefghij", b"k"] {
            kept.push(chunk);
        }
        assert_eq!(kept.text(), "abc\n[... 5 bytes left out ...]\nijk");
        assert_eq!(kept.end(100), "ijk");
    }

    #[test]
    fn a_character_is_never_shown_in_half() {
        let mut kept = HeadTail::new(8);
        kept.push("aéééééééé".as_bytes());
        assert!(!kept.text().contains('\u{fffd}'), "{}", kept.text());
    }

    #[test]
    fn a_flood_never_takes_more_than_the_cap() {
        let mut kept = HeadTail::new(1000);
        for _ in 0..1000 {
            kept.push(&[b'x'; 4096]);
        }
        assert!(kept.head.len() + kept.tail.len() <= 1000);
        assert_eq!(kept.dropped, 4096 * 1000 - 1000);
    }
}

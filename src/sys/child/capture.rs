//! Keeps the beginning and the end of an output of any length.
//!
//! Memory: at most the cap, plus one chunk while it is being taken in.

use std::collections::VecDeque;

/// Output so far.
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_cap: usize,
    tail_cap: usize,
    left_out: u64,
}

impl Capture {
    /// Keeps `cap` bytes, half of them from the beginning.
    pub fn new(cap: usize) -> Capture {
        let head_cap = cap.div_ceil(2);
        Capture { head: Vec::new(), tail: VecDeque::new(), head_cap, tail_cap: cap - head_cap, left_out: 0 }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        let room = self.head_cap - self.head.len();
        let (first, rest) = chunk.split_at(room.min(chunk.len()));
        self.head.extend_from_slice(first);
        let skipped = rest.len().saturating_sub(self.tail_cap);
        let rest = &rest[skipped..];
        let pushed_out = (self.tail.len() + rest.len()).saturating_sub(self.tail_cap);
        self.tail.drain(..pushed_out);
        self.tail.extend(rest);
        self.left_out += (skipped + pushed_out) as u64;
    }

    /// The text and how many bytes of the middle are missing. Bytes that are not UTF-8 are replaced; a character cut in
    /// half by the gap is not shown.
    pub fn finish(self) -> (String, u64) {
        let tail = Vec::from(self.tail);
        if self.left_out == 0 {
            let whole = [self.head, tail].concat();
            return (String::from_utf8_lossy(&whole).into_owned(), 0);
        }
        let head = match self.head.utf8_chunks().last() {
            Some(last) if incomplete(last.invalid()) => &self.head[..self.head.len() - last.invalid().len()],
            _ => &self.head[..],
        };
        let tail_from = tail.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let mut text = String::from_utf8_lossy(head).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("[... {} bytes left out ...]\n", self.left_out));
        text.push_str(&String::from_utf8_lossy(&tail[tail_from..]));
        (text, self.left_out)
    }
}

/// The first bytes of a longer character, rather than rubbish.
fn incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(cap: usize, chunks: &[&[u8]]) -> (String, u64) {
        let mut capture = Capture::new(cap);
        chunks.iter().for_each(|chunk| capture.push(chunk));
        capture.finish()
    }

    #[test]
    fn short_output_is_kept_whole() {
        assert_eq!(captured(10, &[b"hello", b"world"]), ("helloworld".to_owned(), 0));
    }

    #[test]
    fn head_and_tail_of_long_output_are_kept_and_the_middle_is_counted() {
        let (text, left_out) = captured(6, &[b"abcdefgh", b"ij"]);
        assert_eq!(text, "abc\n[... 4 bytes left out ...]\nhij");
        assert_eq!(left_out, 4);
    }

    #[test]
    fn it_does_not_matter_how_output_is_cut_into_chunks() {
        let all: Vec<u8> = (0..=255u8).filter(u8::is_ascii_graphic).cycle().take(1000).collect();
        let whole = captured(64, &[&all]);
        for size in [1, 7, 31, 64, 333] {
            let chunks: Vec<&[u8]> = all.chunks(size).collect();
            assert_eq!(captured(64, &chunks), whole);
        }
    }

    #[test]
    fn a_character_cut_by_the_gap_is_not_shown() {
        let (text, _) = captured(6, &["aaé".as_bytes(), b"..........", "éb".as_bytes()]);
        assert!(!text.contains('\u{fffd}'), "{text}");
    }

    #[test]
    fn a_cap_of_nothing_keeps_nothing() {
        assert_eq!(captured(0, &[b"abc"]), ("[... 3 bytes left out ...]\n".to_owned(), 3));
    }
}

//! Splitting an answer into messages a service takes: between paragraphs if possible, else between lines, sentences or
//! words; never inside a character, and a code block that is cut is closed and opened again.

/// The least a chunk may have, so that a fence and its language always fit.
const LEAST: usize = 64;

/// Splits Markdown so that each part has at most `limit` units (`count` says how the service counts a character).
pub fn split(text: &str, limit: usize, count: fn(char) -> usize) -> Vec<String> {
    let limit = limit.max(LEAST);
    let (mut parts, mut rest) = (Vec::new(), text.trim_matches('\n').to_owned());
    while !rest.is_empty() {
        let Some(end) = overflow(&rest, limit, count) else {
            parts.push(rest);
            break;
        };
        // Room for closing a fence.
        let end = overflow(&rest, limit - 4, count).unwrap_or(end);
        let at = break_at(&rest, end);
        let (head, tail) = rest.split_at(at);
        let (mut part, mut next) = (head.trim_end().to_owned(), tail.trim_start_matches('\n').to_owned());
        if let Some(fence) = open_fence(head) {
            part.push_str("\n```");
            next.insert_str(0, &format!("{fence}\n"));
        } else {
            next = next.trim_start().to_owned();
        }
        if !part.trim().is_empty() {
            parts.push(part);
        }
        rest = next;
    }
    parts
}

/// The byte after the last character that still fits; `None`: all of it fits.
fn overflow(text: &str, limit: usize, count: fn(char) -> usize) -> Option<usize> {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += count(c);
        if used > limit {
            return Some(at);
        }
    }
    None
}

/// The best place to cut before `end`, in the second half of it.
fn break_at(text: &str, end: usize) -> usize {
    let window = &text[..end];
    let least = end / 2;
    for mark in ["\n\n", "\n", ". ", " "] {
        if let Some(at) = window.rfind(mark).filter(|at| *at > least) {
            return at + if mark == ". " { 2 } else { mark.len() };
        }
    }
    end
}

/// The opening line of a code block that is not closed in `text`.
fn open_fence(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            open = if open.is_some() { None } else { Some(crate::wire::frame::cut(line.trim(), 32)) };
        }
    }
    open
}

/// Most services count characters.
pub fn characters(_: char) -> usize {
    1
}

/// Telegram counts UTF-16 units.
pub fn utf16(c: char) -> usize {
    c.len_utf16()
}

/// IRC counts bytes.
pub fn bytes(c: char) -> usize {
    c.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_whole() {
        assert_eq!(split("a\n\nb", 100, characters), ["a\n\nb"]);
        assert!(split("\n\n", 100, characters).is_empty());
    }

    #[test]
    fn paragraphs_stay_together_where_they_can() {
        let (one, two) = ("x".repeat(60), "y".repeat(60));
        assert_eq!(split(&format!("{one}\n\n{two}"), 100, characters), [one, two]);
    }

    #[test]
    fn a_code_block_is_closed_and_opened_again() {
        let code: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let parts = split(&format!("```rust\n{code}```"), 100, characters);
        assert!(parts.len() > 2);
        for part in &parts {
            assert!(part.starts_with("```rust\n") && part.ends_with("\n```"), "{part}");
            assert!(part.chars().count() <= 100, "{}", part.len());
        }
    }

    #[test]
    fn nothing_is_lost_and_no_part_is_too_long_whatever_the_text() {
        let mut seed = 7_u64;
        for _ in 0..300 {
            let mut text = String::new();
            for _ in 0..400 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(['a', 'é', '😀', ' ', '\n', '.'][(seed >> 33) as usize % 6]);
            }
            let parts = split(&text, 70, utf16);
            let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(parts.iter().map(|part| plain(part)).collect::<String>(), plain(&text));
            assert!(parts.iter().all(|part| part.encode_utf16().count() <= 70));
        }
    }
}

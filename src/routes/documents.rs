//! Files inside a request, as text for a model.
//!
//! Text kinds, and what is text in a PDF; nothing is kept. A file that is no text is refused, not guessed at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{HttpError, untrusted};
use crate::config::gateway::UrlInput;
use crate::sys::abort::Abort;
use crate::sys::pdf;
use crate::wire::frame::cut;

/// Characters of a file's text, unless the configuration says otherwise.
const FILE_CHARS: usize = 60_000;
/// Pages of a PDF, unless the configuration says otherwise.
const PDF_PAGES: usize = 4;
/// Seconds after which who came at a bad moment may come again.
const RETRY: u64 = 5;
pub const PDF: &str = "application/pdf";
/// What is read.
const MIMES: [&str; 6] = ["text/plain", "text/markdown", "text/html", "text/csv", "application/json", PDF];

/// A file as a block for the prompt, from base64. The error is a sentence, for [`HttpError::about`].
pub fn block(name: &str, mime: &str, data: &str, rules: &UrlInput) -> Result<String, HttpError> {
    let bad = |why: String| HttpError::invalid(why);
    check(mime, rules).map_err(bad)?;
    let limit = rules.max_bytes.unwrap_or(super::url_inputs::FILE_BYTES);
    let data = data.trim();
    // The size is judged before anything is decoded.
    if data.len() as u64 / 4 * 3 > limit {
        return Err(bad(format!("The file is larger than {limit} bytes.")));
    }
    let bytes = STANDARD.decode(data).map_err(|_| bad("The file is not valid base64.".into()))?;
    block_of(name, mime, &bytes, rules)
}

/// The same from the file's bytes.
pub fn block_of(name: &str, mime: &str, bytes: &[u8], rules: &UrlInput) -> Result<String, HttpError> {
    let chars = rules.max_chars.unwrap_or(FILE_CHARS);
    let text = match check(mime, rules).map_err(HttpError::invalid)?.as_str() {
        PDF => pdf_text(bytes, chars, rules)?,
        _ => decoded(bytes, mime).ok_or_else(|| HttpError::invalid("The file is not text."))?,
    };
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    Ok(untrusted::file(name, &text[..end]))
}

/// The text of a PDF's first pages, and what is missing.
fn pdf_text(bytes: &[u8], chars: usize, rules: &UrlInput) -> Result<String, HttpError> {
    let wanted = pdf::Wanted { pages: rules.pdf.max_pages.unwrap_or(PDF_PAGES), chars };
    let found = pdf::text(bytes.to_vec(), wanted, &Abort::new()).map_err(|error| match error {
        pdf::PdfError::Busy => HttpError::unavailable(error.to_string()).retry_after(RETRY),
        pdf::PdfError::Start(_) => HttpError::unavailable(error.to_string()),
        _ => HttpError::invalid(error.to_string()),
    })?;
    Ok(found.with_note())
}

/// The type without its parameters, if such files are taken.
fn check(mime: &str, rules: &UrlInput) -> Result<String, String> {
    let essence = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let wanted = rules.allowed_mimes.is_empty() || rules.allowed_mimes.iter().any(|m| m.eq_ignore_ascii_case(&essence));
    match MIMES.contains(&essence.as_str()) && wanted {
        true => Ok(essence),
        false => Err(format!("Files of type {} are not supported.", cut(&essence, 64))),
    }
}

/// The type that a name's end stands for.
pub fn mime_by_name(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("md" | "markdown") => "text/markdown",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        _ => "text/plain",
    }
}

/// UTF-8, UTF-16 with its mark or so declared, or else Windows-1252, which every byte is. `None`: no text at all.
fn decoded(bytes: &[u8], mime: &str) -> Option<String> {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => return wide(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => return wide(rest, u16::from_be_bytes),
        _ => {}
    }
    let mime = mime.to_ascii_lowercase();
    match mime.split_once("charset=").map(|(_, charset)| charset.trim_matches(['"', ' '])) {
        Some("utf-16" | "utf-16le") => return wide(bytes, u16::from_le_bytes),
        Some("utf-16be") => return wide(bytes, u16::from_be_bytes),
        _ => {}
    }
    if bytes.contains(&0) {
        return None;
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_string()),
        Err(_) => Some(bytes.iter().map(|byte| windows_1252(*byte)).collect()),
    }
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}

/// 0x80 to 0x9F; the five that are undefined stay what they are.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_the_encodings_people_have() {
        assert_eq!(decoded("grün".as_bytes(), "text/plain").as_deref(), Some("grün"));
        assert_eq!(decoded(b"\xEF\xBB\xBFa", "text/plain").as_deref(), Some("a"));
        assert_eq!(decoded(b"\xFF\xFEa\0\xFC\0", "text/plain").as_deref(), Some("aü"));
        assert_eq!(decoded(b"\xFE\xFF\0a", "text/plain").as_deref(), Some("a"));
        assert_eq!(decoded(b"gr\xFCn \x80", "text/plain").as_deref(), Some("grün €"));
        assert_eq!(decoded(b"a\0", "text/plain; charset=UTF-16LE").as_deref(), Some("a"));
        assert_eq!(decoded(b"\x89PNG\0", "text/plain"), None);
    }

    #[test]
    fn a_file_is_judged_by_type_and_size_and_cut_to_its_limit() {
        let rules = UrlInput { max_bytes: Some(64), max_chars: Some(3), ..UrlInput::default() };
        let data = STANDARD.encode("äöüß");
        let text = block("a.txt", "text/plain; charset=utf-8", &data, &rules).expect("a text");
        assert!(text.contains("äöü\n") && !text.contains('ß'), "{text}");
        let refused =
            |mime: &str, data: &str| block("a", mime, data, &rules).expect_err("refused").parts().1.to_string();
        assert_eq!(refused("application/zip", &data), "Files of type application/zip are not supported.");
        assert_eq!(refused("application/pdf", &data), "The file is not a readable PDF.");
        assert_eq!(refused("text/plain", "!"), "The file is not valid base64.");
        assert_eq!(refused("text/plain", &STANDARD.encode([0; 9])), "The file is not text.");
        assert_eq!(refused("text/plain", &STANDARD.encode([65; 99])), "The file is larger than 64 bytes.");
        let rules = UrlInput { allowed_mimes: vec!["text/csv".into()], ..rules };
        assert!(block("a", "text/plain", &data, &rules).is_err());
    }
}

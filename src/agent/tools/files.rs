//! `read`: text in pages of lines, a PDF's text likewise, images as attachments.
//!
//! Memory stays bounded whatever the file's size: lines before the page are counted, not kept, and one line never takes
//! more than a page.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::{Details, FileDetails, Refusal, ToolContext, ToolLimits, ToolOutcome, cut, paths};
use crate::providers::Part;
use crate::sys::abort::Abort;
use crate::sys::pdf;

#[derive(Deserialize)]
pub(super) struct ReadArguments {
    #[serde(alias = "file_path")]
    path: String,
    #[serde(default, deserialize_with = "arguments::count")]
    offset: Option<usize>,
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
}

pub(super) fn read(wanted: Decoded<ReadArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let ReadArguments { path: raw, offset, limit } = wanted.known;
    let path = paths::resolve_to_read(&raw, context)?;
    let (mut file, about) = paths::open(&path, &raw)?;
    let mut head = Vec::new();
    let failed = |error| paths::cannot("read", &raw, &error);
    Read::by_ref(&mut file).take(SNIFFED).read_to_end(&mut head).map_err(failed)?;
    let mut details =
        FileDetails { path: path.display().to_string(), bytes: Some(about.len()), ..FileDetails::default() };

    if let Some(mime) = image_type(&head) {
        let image = attach(head, file, mime, &raw, context.limits)?;
        details.mime_type = Some(mime.to_owned());
        let note = Part::Text(format!("Read image file [{mime}]").into());
        return Ok(ToolOutcome { content: vec![note, image], is_error: false, details: Details::File(details) });
    }
    if head.starts_with(b"%PDF-") {
        details.mime_type = Some("application/pdf".to_owned());
        let text = pdf_text(head, file, &raw, context.abort)?;
        let page = page(text.as_bytes(), offset.unwrap_or(1).max(1), limit, context.limits).map_err(failed)?;
        details.next_offset = page.next;
        return Ok(ToolOutcome::said(page.text, Details::File(details)));
    }
    if head.contains(&0) {
        return Err(Refusal(format!(
            "{raw} is a binary file ({} bytes); read shows text, PDF files and png, jpg, gif, webp images. Use exec to examine it.",
            about.len()
        )));
    }
    let whole = BufReader::new(head.as_slice().chain(file.take(SCANNED)));
    let page = page(whole, offset.unwrap_or(1).max(1), limit, context.limits).map_err(failed)?;
    details.next_offset = page.next;
    Ok(ToolOutcome::said(page.text, Details::File(details)))
}

/// The kind of picture these bytes begin, by their signature, never by the file's name.
fn image_type(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn attach(mut bytes: Vec<u8>, rest: File, mime: &str, raw: &str, limits: &ToolLimits) -> Result<Part, Refusal> {
    // One byte more than allowed tells "just fits" from "too large", also for a file that grows while it is read.
    let most = limits.image_bytes;
    let more = (most + 1).saturating_sub(bytes.len() as u64);
    rest.take(more).read_to_end(&mut bytes).map_err(|error| paths::cannot("read", raw, &error))?;
    if bytes.len() as u64 > most {
        return Err(Refusal(format!(
            "{raw} is an image of more than {most} bytes; make a smaller copy and read that."
        )));
    }
    Ok(Part::Image { mime: mime.to_owned(), data: STANDARD.encode(bytes).into() })
}

/// All the text of a PDF, as far as [`PDF_WANTED`].
fn pdf_text(mut bytes: Vec<u8>, rest: File, raw: &str, abort: &Abort) -> Result<String, Refusal> {
    // One byte too many tells the reader of PDF files that it is one.
    let more = (pdf::FILE_BYTES + 1).saturating_sub(bytes.len()) as u64;
    rest.take(more).read_to_end(&mut bytes).map_err(|error| paths::cannot("read", raw, &error))?;
    let found = pdf::text(bytes, PDF_WANTED, abort).map_err(|error| Refusal(format!("{raw}: {error}")))?;
    Ok(found.with_note())
}

struct Page {
    text: String,
    next: Option<usize>,
}

/// The lines from `first` on, as many as asked and allowed, with a note about what is missing.
fn page(mut from: impl BufRead, first: usize, wanted: Option<usize>, limits: &ToolLimits) -> std::io::Result<Page> {
    let most = wanted.unwrap_or(limits.text_lines).clamp(1, limits.text_lines);
    let cap = limits.text_bytes;
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        let before = bytes.len();
        let Some(length) = next_line(&mut from, &mut bytes, cap)? else { break };
        number += 1;
        if number < first {
            bytes.clear();
            continue;
        }
        let shown = number - first;
        if shown == 0 && length > cap {
            let note =
                format!("\n[Line {first} has {length} bytes and was cut; the next line is offset={}.]", first + 1);
            return Ok(Page { text: text(&bytes, cap) + &note, next: Some(first + 1) });
        }
        if shown == most || before + length > cap {
            bytes.truncate(before);
            let note = format!("\n[Lines {first} to {}; continue with offset={number}.]", number - 1);
            return Ok(Page { text: text(&bytes, cap) + &note, next: Some(number) });
        }
    }
    if number < first && first > 1 {
        return Ok(Page { text: format!("[The file has {number} lines; there is no line {first}.]"), next: None });
    }
    Ok(Page { text: text(&bytes, cap), next: None })
}

/// Bytes that are not UTF-8 are shown as replacement characters, which may take more room.
fn text(bytes: &[u8], cap: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    cut(&text, cap).to_owned()
}

/// Appends the next line with its end, but no more than `cap` bytes of it. Its true length, or `None` at the end.
fn next_line(from: &mut impl BufRead, into: &mut Vec<u8>, cap: usize) -> std::io::Result<Option<usize>> {
    let mut length = 0;
    loop {
        let seen = from.fill_buf()?;
        if seen.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = seen.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(seen.len(), |at| at + 1);
        let kept = used.min(cap.saturating_sub(length));
        into.extend_from_slice(&seen[..kept]);
        length += used;
        from.consume(used);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

/// Enough for every signature, and for a NUL in what is not text.
const SNIFFED: u64 = 8 << 10;

/// Where the search for a line stops: a sparse file of a terabyte must not keep a run busy.
const SCANNED: u64 = 256 << 20;

/// A book; what of it is shown at once is the page's business.
const PDF_WANTED: pdf::Wanted = pdf::Wanted { pages: 500, chars: 1_000_000 };

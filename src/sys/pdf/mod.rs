//! The text of a PDF file, read by a process of its own.
//!
//! A PDF is a program in all but name, and its readers are where machines are taken over. So the gateway starts itself
//! with a hidden argument, hands the bytes over, and takes text back: the child has a limit of memory and of time, and
//! what it wrecks is itself. It keeps the gateway's rights; what reads there is safe Rust. One runs at a time, so that the
//! limit is one for the host.
//!
//! Text only: pages that are pictures are not recognised, forms and notes are not read, and what a protected file hides
//! behind a password stays there.

mod extract;
mod fonts;
mod glyphs;

use std::fmt;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};

use super::abort::Abort;
use super::child::ask::{self, AskError, Question};
use super::child::stub;
use extract::Reader;

/// The hidden first argument; what follows is [`Wanted`] in numbers.
pub const ARGUMENT: &str = "__pdf";

/// Memory of the child.
const MEMORY: u64 = 48 << 20;
/// From the start to the end of the child.
const TIME: Duration = Duration::from_secs(10);
/// How long a file waits for the one before it.
const TURN: Duration = Duration::from_secs(15);
/// A file that is larger is not handed over.
pub const FILE_BYTES: usize = 16 << 20;
/// UTF-8 takes at most so many bytes for a character.
const CHAR_BYTES: usize = 4;
/// The line in front of the text.
const HEAD_BYTES: usize = 64;

// What the child ends with, after sysexits(3).
const NOT_A_PDF: u8 = 65;
/// The limits could not be set.
const UNLIMITED: u8 = 71;
const PROTECTED: u8 = 77;

/// What is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Pages from the first.
    pub pages: usize,
    /// Characters of text.
    pub chars: usize,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub text: String,
    /// Pages that were read.
    pub read: usize,
    /// Pages it has.
    pub pages: usize,
}

impl Found {
    /// The text, with a line about the pages that were not read.
    pub fn with_note(mut self) -> String {
        if self.read < self.pages {
            self.text.push_str(&format!("\n\n[Pages 1 to {} of {}.]", self.read, self.pages));
        }
        self.text
    }
}

/// Why there is no text. `Display` is a sentence for whom sent the file.
#[derive(Debug)]
pub enum PdfError {
    NotPdf,
    Protected,
    /// Nothing on these pages is text, or nothing says which.
    NoText {
        read: usize,
        pages: usize,
    },
    TooLarge,
    /// The child took too much memory or time, or fell over.
    TooHard,
    /// Others were not done in time.
    Busy,
    /// Nobody wants to know any more.
    Aborted,
    Start(io::Error),
}

/// The text of a file. A fired `abort` ends the child at once.
pub fn text(file: Vec<u8>, wanted: Wanted, abort: &Abort) -> Result<Found, PdfError> {
    if file.len() > FILE_BYTES {
        return Err(PdfError::TooLarge);
    }
    // Not worth a process.
    if !is_pdf(&file) {
        return Err(PdfError::NotPdf);
    }
    let program = stub::own_program().map_err(PdfError::Start)?;
    let _turn = Turn::take(abort)?;
    let question = Question {
        program,
        args: vec![ARGUMENT.into(), wanted.pages.to_string(), wanted.chars.to_string()],
        env: Vec::new(),
        input: file,
        time_limit: TIME,
        quiet_limit: TIME,
        cap: wanted.chars.saturating_mul(CHAR_BYTES).saturating_add(HEAD_BYTES),
    };
    let said = ask::ask(question, abort).map_err(|error| match error {
        AskError::Start(error) => PdfError::Start(error),
        AskError::Failed(Some(code)) if code == i32::from(NOT_A_PDF) => PdfError::NotPdf,
        AskError::Failed(Some(code)) if code == i32::from(PROTECTED) => PdfError::Protected,
        AskError::Failed(Some(code)) if code == i32::from(UNLIMITED) => {
            PdfError::Start(io::Error::other("this system sets no limits for a process"))
        }
        AskError::Aborted => PdfError::Aborted,
        AskError::TimedOut(_) | AskError::Quiet(_) | AskError::TooMuch(_) | AskError::Failed(_) => PdfError::TooHard,
    })?;
    let found = told(&said).ok_or(PdfError::TooHard)?;
    match found.text.is_empty() {
        true => Err(PdfError::NoText { read: found.read, pages: found.pages }),
        false => Ok(found),
    }
}

/// Whether bytes begin as a PDF does: the mark may stand a little way in (PDF 32000-1, annex H.3.4.1).
pub fn is_pdf(file: &[u8]) -> bool {
    file[..file.len().min(1024)].windows(5).any(|five| five == b"%PDF-")
}

/// What the child said: a line of numbers, then the text.
fn told(said: &[u8]) -> Option<Found> {
    let (head, text) = std::str::from_utf8(said).ok()?.split_once('\n')?;
    let (read, pages) = head.split_once(' ')?;
    Some(Found { text: text.to_string(), read: read.parse().ok()?, pages: pages.parse().ok()? })
}

/// The right to be the one file that is read now.
struct Turn(&'static Turns);

struct Turns {
    give: crossbeam_channel::Sender<()>,
    take: Receiver<()>,
}

impl Turn {
    fn take(abort: &Abort) -> Result<Turn, PdfError> {
        static TURNS: OnceLock<Turns> = OnceLock::new();
        let turns = TURNS.get_or_init(|| {
            let (give, take) = bounded(1);
            // Its only message: there is room for one.
            let _ = give.try_send(());
            Turns { give, take }
        });
        let (stopped, _guard) = abort.heard();
        select! {
            recv(turns.take) -> _ => Ok(Turn(turns)),
            recv(stopped) -> _ => Err(PdfError::Aborted),
            default(TURN) => Err(PdfError::Busy),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // There is room: it was taken from there.
        let _ = self.0.give.try_send(());
    }
}

/// The child: reads a file from standard input and writes what [`told`] reads. `args` follow [`ARGUMENT`].
pub fn child(args: &[String]) -> ExitCode {
    let [pages, chars] = args else { return ExitCode::from(NOT_A_PDF) };
    let (Ok(pages), Ok(chars)) = (pages.parse(), chars.parse()) else { return ExitCode::from(NOT_A_PDF) };
    if let Err(error) = super::confine::confine(MEMORY, TIME) {
        eprintln!("openclaw: limits of the process: {error}");
        return ExitCode::from(UNLIMITED);
    }
    let mut file = Vec::new();
    if io::stdin().lock().take(FILE_BYTES as u64).read_to_end(&mut file).is_err() {
        return ExitCode::from(NOT_A_PDF);
    }
    match extracted(file, Wanted { pages, chars }) {
        Err(Unreadable::Protected) => ExitCode::from(PROTECTED),
        Err(Unreadable::Invalid) => ExitCode::from(NOT_A_PDF),
        Ok(found) => {
            let said = format!("{} {}\n{}", found.read, found.pages, found.text);
            match io::stdout().write_all(said.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Unreadable {
    Protected,
    Invalid,
}

/// The work itself. Only the child does it.
fn extracted(file: Vec<u8>, wanted: Wanted) -> Result<Found, Unreadable> {
    let pdf = Pdf::new(file).map_err(|error| match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => Unreadable::Protected,
        _ => Unreadable::Invalid,
    })?;
    let mut reader = Reader::new(wanted.chars);
    let pages = pdf.pages();
    let mut read = 0;
    for page in pages.iter().take(wanted.pages) {
        if reader.is_full() {
            break;
        }
        reader.line_ends(2);
        reader.page(page);
        read += 1;
    }
    reader.line_ends(0);
    Ok(Found { text: reader.out, read, pages: pages.len() })
}

impl fmt::Display for PdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PdfError::NotPdf => f.write_str("The file is not a readable PDF."),
            PdfError::Protected => f.write_str("The PDF is protected by a password; send a copy without one."),
            PdfError::NoText { read, pages } => write!(
                f,
                "The PDF has no text on the first {read} of its {pages} pages: they are pictures, or their fonts do not \
                 say what their signs mean. Send the pages as images."
            ),
            PdfError::TooLarge => write!(f, "A PDF of more than {} MB is not read.", FILE_BYTES >> 20),
            PdfError::TooHard => write!(
                f,
                "The PDF takes more than {} MB of memory or {} seconds to read.",
                MEMORY >> 20,
                TIME.as_secs()
            ),
            PdfError::Busy => f.write_str("Too many PDF files at once; send it again in a moment."),
            PdfError::Aborted => f.write_str("Reading the PDF was stopped."),
            PdfError::Start(error) => write!(f, "PDF files cannot be read now: {error}."),
        }
    }
}

impl std::error::Error for PdfError {}

#[cfg(test)]
mod tests;

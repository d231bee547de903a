//! Logging: lines for people on stderr, JSON lines in the day's file, nothing ever without an end.
//!
//! The file is for `logs.tail` and for looking back; it is rotated at a size, keeps [`ARCHIVES`] old ones, and begins
//! anew each day. Nothing is written when there is nothing to say. Control characters in messages are escaped, so that a
//! header of a stranger cannot forge a line (T10). What is said again and again is said once, and then how often
//! ([`super::log_repeats`]). Instead of the file the system's log can keep the lines ([`super::syslog`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::log_repeats::Repeats;
use super::syslog::{self, Syslog};
use crate::config::Config;
use crate::config::sections::ConsoleStyle;
use crate::sys::paths::Paths;
use crate::sys::{clock, log_dir};

/// Size at which the file is rotated when the configuration says nothing: with its archive 10 MB in all.
const FILE_BYTES: u64 = 5 << 20;
/// Old files kept beside the current one.
const ARCHIVES: u32 = 1;
/// Longest message in a line, in bytes.
const MESSAGE: usize = 8 << 10;
/// How often the date is looked at again (milliseconds): the name changes once a day.
const DATE_EVERY: u64 = 60_000;

/// Where log lines go. Cloning shares the file.
#[derive(Clone)]
pub struct LogFile(Arc<Log>);

struct Log {
    state: Mutex<State>,
    /// Least severe line of the file and of the console, as [`log::LevelFilter`] counts.
    to_file: AtomicUsize,
    shown: AtomicUsize,
    /// The console gets the lines of the file (`logging.consoleStyle: json`).
    json: AtomicBool,
    /// The console is the journal: its lines carry their priority.
    journal: bool,
    repeats: Mutex<Repeats>,
}

struct State {
    place: Place,
    syslog: Option<Syslog>,
    open: Option<File>,
    path: PathBuf,
    written: u64,
    looked: u64,
    cap: u64,
    /// Told once that the file cannot be written.
    complained: bool,
}

enum Place {
    /// A file per day in this directory.
    Daily { dir: PathBuf, profile: Option<String> },
    /// The file the configuration names.
    Fixed(PathBuf),
    /// `logging.file: off` or `stderr`: the service manager keeps the log. `syslog`: the system does.
    Nowhere,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    level: &'a str,
    subsystem: &'a str,
    message: &'a str,
    #[serde(rename = "_meta")]
    meta: Meta<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    log_level_name: &'a str,
    date: &'a str,
    name: &'a str,
}

/// What the start knows about the log to keep.
pub struct Wanted<'a> {
    pub paths: &'a Paths,
    pub config: &'a Config,
    pub verbose: bool,
    /// `--log-level`.
    pub level: Option<&'a str>,
}

/// Starts logging for this process. A second call changes nothing.
pub fn start(wanted: &Wanted<'_>) -> LogFile {
    let file = LogFile(Arc::new(Log {
        state: Mutex::new(State {
            place: Place::Nowhere,
            syslog: None,
            open: None,
            path: PathBuf::new(),
            written: 0,
            looked: 0,
            cap: FILE_BYTES,
            complained: false,
        }),
        to_file: AtomicUsize::new(0),
        shown: AtomicUsize::new(0),
        json: AtomicBool::new(false),
        journal: syslog::is_journal(),
        repeats: Mutex::default(),
    }));
    let sink = file.clone();
    let built = env_logger::Builder::new()
        // How much is wanted may change while the process runs: `set_max_level` decides, not this.
        .filter_level(log::LevelFilter::Trace)
        // Libraries speak up only when something is wrong.
        .filter_module("rustls", log::LevelFilter::Warn)
        .filter_module("ureq", log::LevelFilter::Warn)
        .filter_module("ureq_proto", log::LevelFilter::Warn)
        .filter_module("tungstenite", log::LevelFilter::Warn)
        .format(move |out, record| {
            let subsystem = record.target().strip_prefix("openclaw").map_or(record.target(), |_| "gateway");
            let message = escape(&record.args().to_string());
            let now = clock::now_ms();
            let said = sink.0.repeats.lock().unwrap_or_else(PoisonError::into_inner).note(
                record.level(),
                subsystem,
                &message,
                now,
            );
            if let Some((level, text)) = said.before {
                sink.tell(out, level, "gateway", &text, now)?;
            }
            match said.shown {
                true => sink.tell(out, record.level(), subsystem, &message, now),
                false => Ok(()),
            }
        })
        .try_init();
    file.follow(wanted, Files::MayMove);
    if built.is_err() {
        log::debug!("logging was started before");
    }
    file
}

/// Whether another file may be written from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// At a start.
    MayMove,
    /// In a running gateway: `logging.file` waits for a restart.
    Stay,
}

impl LogFile {
    /// Takes over what the configuration says about logging.
    pub fn follow(&self, wanted: &Wanted<'_>, files: Files) {
        let config = &wanted.config.logging;
        let to_file = config.level.map_or(log::LevelFilter::Info, |level| level.filter());
        let named = wanted.level.and_then(|name| name.parse::<log::LevelFilter>().ok());
        let shown = named.unwrap_or_else(|| match wanted.verbose {
            true => log::LevelFilter::Debug,
            false => config.console_level.map_or(log::LevelFilter::Info, |level| level.filter()),
        });
        self.0.to_file.store(to_file as usize, Ordering::Relaxed);
        self.0.shown.store(shown as usize, Ordering::Relaxed);
        self.0.json.store(config.console_style == Some(ConsoleStyle::Json), Ordering::Relaxed);
        log::set_max_level(to_file.max(shown));
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cap = config.max_file_bytes.filter(|bytes| *bytes >= 4096).unwrap_or(FILE_BYTES);
        if files == Files::Stay {
            return;
        }
        state.place = match config.file.as_deref().map(str::trim) {
            Some("off" | "stderr") => Place::Nowhere,
            Some(word) if is_syslog(word) => {
                let path = word.split_once(':').map_or(syslog::SOCKET, |(_, path)| path);
                state.syslog = Some(Syslog::at(path));
                Place::Nowhere
            }
            Some(path) if !path.is_empty() => Place::Fixed(wanted.config.expand(path)),
            _ => Place::Daily {
                dir: log_dir::log_dir(wanted.paths, &wanted.config.vars),
                profile: wanted.paths.profile.clone(),
            },
        };
        state.open = None;
        state.path = PathBuf::new();
    }

    /// Sends a line everywhere it goes.
    fn tell(
        &self,
        out: &mut impl Write,
        level: log::Level,
        subsystem: &str,
        message: &str,
        now: u64,
    ) -> io::Result<()> {
        let number = level as usize;
        if number <= self.0.to_file.load(Ordering::Relaxed) {
            self.keep(level, subsystem, message, now);
        }
        if number > self.0.shown.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.0.journal {
            write!(out, "<{}>", syslog::severity(level))?;
        }
        if self.0.json.load(Ordering::Relaxed) {
            return out.write_all(line(level, subsystem, message, now).as_bytes());
        }
        let mark = match level {
            log::Level::Error => "error: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        writeln!(out, "[{subsystem}] {mark}{message}")
    }

    fn keep(&self, level: log::Level, subsystem: &str, message: &str, now: u64) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(syslog) = &mut state.syslog else {
            return state.write(&line(level, subsystem, message, now), now);
        };
        if let Err(error) = syslog.write(level, subsystem, message, now) {
            eprintln!("[gateway] warning: write to the system's log {}: {error}", syslog.path().display());
        }
    }

    /// The file that is written now, if there is one.
    pub fn current(&self) -> Option<PathBuf> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.choose(clock::now_ms())
    }
}

/// `syslog`, or `syslog:/path/of/a/socket`.
fn is_syslog(word: &str) -> bool {
    word == "syslog" || word.strip_prefix("syslog:").is_some_and(|path| path.starts_with('/'))
}

/// One line of the file.
fn line(level: log::Level, subsystem: &str, message: &str, now: u64) -> String {
    let time = clock::iso(now);
    let name = format!("{{\"subsystem\":\"{subsystem}\"}}");
    let line = Line {
        time: &time,
        level: &level.as_str().to_ascii_lowercase(),
        subsystem,
        message,
        meta: Meta { log_level_name: level.as_str(), date: &time, name: &name },
    };
    let mut text = serde_json::to_string(&line).expect("strings always serialise");
    text.push('\n');
    text
}

impl State {
    /// The path for this moment.
    fn choose(&mut self, now: u64) -> Option<PathBuf> {
        if self.path.as_os_str().is_empty() || now.saturating_sub(self.looked) >= DATE_EVERY {
            self.looked = now;
            let path = match &self.place {
                Place::Nowhere => return None,
                Place::Fixed(path) => path.clone(),
                Place::Daily { dir, profile } => {
                    dir.join(log_dir::log_file_name(profile.as_deref(), &clock::local_date(now)))
                }
            };
            if path != self.path {
                self.open = None;
                self.path = path;
            }
        }
        (!self.path.as_os_str().is_empty()).then(|| self.path.clone())
    }

    fn write(&mut self, text: &str, now: u64) {
        let Some(path) = self.choose(now) else { return };
        let written = self.file(&path, text.len() as u64).and_then(|file| file.write_all(text.as_bytes()));
        match written {
            Ok(()) => {
                self.written += text.len() as u64;
                self.complained = false;
            }
            Err(error) => {
                self.open = None;
                if !std::mem::replace(&mut self.complained, true) {
                    eprintln!("[gateway] warning: write the log {}: {error}", path.display());
                }
            }
        }
    }

    fn file(&mut self, path: &Path, more: u64) -> io::Result<&mut File> {
        if self.open.is_some() && self.written + more > self.cap {
            self.open = None;
            rotate(path);
        }
        if self.open.is_none() {
            let file = open(path)?;
            self.written = file.metadata()?.len();
            self.open = Some(file);
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("the log is closed"))
    }
}

/// `x.log` becomes `x.log.1`; the oldest goes. What cannot be renamed is cut, so that the cap holds.
fn rotate(path: &Path) {
    let archive = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    for n in (1..ARCHIVES).rev() {
        // There may be none yet.
        let _ = std::fs::rename(archive(n), archive(n + 1));
    }
    if std::fs::rename(path, archive(1)).is_err() {
        // The disk may refuse this too; then the next write says so.
        let _ = OpenOptions::new().write(true).truncate(true).open(path);
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// One line, of bounded length, without control characters.
fn escape(message: &str) -> String {
    let message = crate::wire::frame::cut(message, MESSAGE);
    if !message.chars().any(char::is_control) {
        return message.to_string();
    }
    message.chars().fold(String::with_capacity(message.len() + 8), |mut out, c| {
        match c {
            // Our own messages of several lines keep them.
            '\n' => out.push_str("\n    "),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::scratch;

    fn log_in(dir: &Path, cap: u64) -> LogFile {
        let state = Mutex::new(State {
            place: Place::Fixed(dir.join("x.log")),
            syslog: None,
            open: None,
            path: PathBuf::new(),
            written: 0,
            looked: 0,
            cap,
            complained: false,
        });
        LogFile(Arc::new(Log {
            state,
            to_file: AtomicUsize::new(0),
            shown: AtomicUsize::new(0),
            json: AtomicBool::new(false),
            journal: false,
            repeats: Mutex::default(),
        }))
    }

    #[test]
    fn a_full_file_is_rotated_and_the_total_stays_bounded() {
        let dir = scratch::dir("log-rotate");
        let log = log_in(&dir, 4096);
        for n in 0..200 {
            log.keep(log::Level::Info, "test", &format!("message {n}"), 0);
        }
        let size = |name: &str| std::fs::metadata(dir.join(name)).expect("exists").len();
        assert!(size("x.log") <= 4096 && size("x.log.1") <= 4096);
        assert_eq!(std::fs::read_dir(&dir).expect("directory").count(), 2);
        let text = std::fs::read_to_string(dir.join("x.log")).expect("text");
        assert!(text.ends_with('\n') && text.contains("message 199"), "rotation loses nothing new");
        std::fs::remove_dir_all(dir).expect("was there");
    }

    #[test]
    fn a_stranger_cannot_forge_a_line() {
        assert_eq!(escape("a\r\u{1b}[31m"), "a\\r\\u{1b}[31m");
        assert_eq!(escape(&"x".repeat(MESSAGE + 10)).len(), MESSAGE);
    }
}

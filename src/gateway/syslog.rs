//! The system's own log: a datagram socket that syslogd, OpenWrt's logd and journald all read (RFC 3164, as syslog(3)
//! writes it).
//!
//! Nothing here waits: a log that takes no line loses it, counts it, and says so with the next one it takes.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::sys::clock;

/// Where that socket is.
pub const SOCKET: &str = "/dev/log";
/// The facility "daemon" (RFC 5424, 6.2.1).
const DAEMON: u8 = 3;
/// Between two tries to reach a log that is not there (milliseconds).
const RETRY: u64 = 1_000;
/// Between two looks at the time zone (milliseconds).
const ZONE: u64 = 600_000;

/// A way to the system's log.
pub struct Syslog {
    path: PathBuf,
    socket: Option<Socket>,
    tried_ms: Option<u64>,
    lost: u64,
    /// Reading it takes a file: it is looked at anew from time to time.
    zone: Option<(u64, TimeZone)>,
}

#[cfg(unix)]
type Socket = std::os::unix::net::UnixDatagram;
#[cfg(not(unix))]
type Socket = std::convert::Infallible;

/// How bad it is, as syslog counts: 3 is an error, 7 is for those who look for one.
pub fn severity(level: log::Level) -> u8 {
    match level {
        log::Level::Error => 3,
        log::Level::Warn => 4,
        log::Level::Info => 6,
        log::Level::Debug | log::Level::Trace => 7,
    }
}

impl Syslog {
    pub fn at(path: impl Into<PathBuf>) -> Syslog {
        Syslog { path: path.into(), socket: None, tried_ms: None, lost: 0, zone: None }
    }

    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Sends a line. An error is given once: when the first line is lost.
    pub fn write(&mut self, level: log::Level, subsystem: &str, message: &str, now_ms: u64) -> io::Result<()> {
        if self.lost > 0 {
            let lost = format!("{} lines were lost before this one", self.lost);
            if self.send(log::Level::Warn, "gateway", &lost, now_ms).is_ok() {
                self.lost = 0;
            }
        }
        let sent = self.send(level, subsystem, message, now_ms);
        if let Err(error) = sent {
            self.lost += 1;
            return if self.lost == 1 { Err(error) } else { Ok(()) };
        }
        Ok(())
    }

    #[cfg(unix)]
    fn send(&mut self, level: log::Level, subsystem: &str, message: &str, now_ms: u64) -> io::Result<()> {
        if self.socket.is_none() {
            if self.tried_ms.is_some_and(|tried| now_ms.abs_diff(tried) < RETRY) {
                return Err(io::ErrorKind::NotConnected.into());
            }
            self.tried_ms = Some(now_ms);
            let socket = Socket::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(&self.path)?;
            self.socket = Some(socket);
        }
        let old = self.zone.as_ref().is_none_or(|(read, _)| now_ms.abs_diff(*read) >= ZONE);
        if old {
            self.zone = Some((now_ms, clock::local_zone()));
        }
        let zone = self.zone.as_ref().map_or(TimeZone::UTC, |(_, zone)| zone.clone());
        let text = datagram(level, subsystem, message, now_ms, &zone);
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let sent = socket.send(text.as_bytes());
        if sent.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            // It was restarted: the next line looks for it anew.
            self.socket = None;
        }
        sent.map(drop)
    }

    #[cfg(not(unix))]
    fn send(&mut self, _: log::Level, _: &str, _: &str, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One line as syslog(3) sends it: `<30>Nov 29 12:00:00 openclaw[7]: [gateway] ready`.
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no such socket there"))]
fn datagram(level: log::Level, subsystem: &str, message: &str, now_ms: u64, zone: &TimeZone) -> String {
    let stamp = Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(0)).unwrap_or_default();
    let at = stamp.to_zoned(zone.clone());
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .get(usize::try_from(at.month() - 1).unwrap_or(0))
        .unwrap_or(&"Jan");
    let priority = DAEMON * 8 + severity(level);
    let (day, hour, minute, second) = (at.day(), at.hour(), at.minute(), at.second());
    let message = message.replace('\n', " ");
    format!(
        "<{priority}>{month} {day:>2} {hour:02}:{minute:02}:{second:02} openclaw[{}]: [{subsystem}] {message}",
        std::process::id()
    )
}

/// Whether standard error goes straight into systemd's journal, which reads a priority at the beginning of a line
/// (sd-daemon(3)): JOURNAL_STREAM names the very socket.
#[cfg(target_os = "linux")]
pub fn is_journal() -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(named) = std::env::var_os("JOURNAL_STREAM").and_then(|named| named.into_string().ok()) else {
        return false;
    };
    let own = std::fs::metadata("/proc/self/fd/2").map(|data| format!("{}:{}", data.dev(), data.ino()));
    own.is_ok_and(|own| own == named)
}

#[cfg(not(target_os = "linux"))]
pub fn is_journal() -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;
    use crate::sys::scratch;

    #[test]
    fn lines_reach_the_systems_log_and_lost_ones_are_counted() {
        let dir = scratch::dir("syslog");
        let path = dir.join("log");
        let mut out = Syslog::at(&path);
        let mut say = |level, text: &str, at| out.write(level, "gateway", text, at);
        assert!(say(log::Level::Info, "nobody listens", 0).is_err());
        assert!(say(log::Level::Info, "nor now", 10).is_ok(), "it is said once");
        let log = UnixDatagram::bind(&path).expect("a socket");
        log.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let mut buffer = [0; 512];
        let mut heard = |log: &UnixDatagram| {
            let amount = log.recv(&mut buffer).expect("a line");
            String::from_utf8_lossy(&buffer[..amount]).into_owned()
        };
        say(log::Level::Error, "two\n    lines", 2_000).expect("sent");
        let (lost, line) = (heard(&log), heard(&log));
        assert!(lost.starts_with("<28>") && lost.ends_with("2 lines were lost before this one"), "{lost}");
        assert!(line.starts_with("<27>") && line.ends_with(": [gateway] two     lines"), "{line}");
        // It is restarted.
        drop(log);
        std::fs::remove_file(&path).expect("was there");
        let log = UnixDatagram::bind(&path).expect("another socket");
        assert!(say(log::Level::Warn, "into the void", 3_000).is_err());
        say(log::Level::Warn, "back", 5_000).expect("sent");
        assert!(heard(&log).contains("1 lines were lost") && heard(&log).ends_with("back"));
        std::fs::remove_dir_all(dir).expect("was there");
    }

    #[test]
    fn a_line_is_what_syslog_writes() {
        let text = datagram(log::Level::Debug, "net", "x", 1_764_400_000_000, &TimeZone::UTC);
        assert_eq!(text, format!("<31>Nov 29 07:06:40 openclaw[{}]: [net] x", std::process::id()));
    }
}

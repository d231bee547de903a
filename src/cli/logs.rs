//! `openclaw logs`: the end of the gateway's log, and what is added to it.
//!
//! Follows by asking again with the cursor of the last answer, over one connection for as long as it lives. A lost
//! connection is tried again with growing pauses; a refusal is final. When nothing listens on this host, the file the
//! gateway last wrote is shown instead, unless following.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::args::Logs;
use super::calls::{Calls, explain, timeout};
use super::failure::{Failure, Kind};
use super::output::{Shell, clean, list_at, number_at, text_at};
use super::settings::Settings;
use super::target::Source;
use crate::client::{Client, ClientError, Identity};
use crate::wire::misfit;
use crate::wire::tree::json;

/// Prints the lines; with `--follow` until the reader leaves.
pub fn run(shell: &mut Shell, args: &Logs) -> Result<(), Failure> {
    if args.utc && args.local_time {
        return Err(Failure::usage("--utc and --local-time exclude each other"));
    }
    shell.colour &= !args.plain;
    let limit = number("--limit", args.limit.as_deref(), LINES, LINES_MAX)?;
    let max_bytes = args.max_bytes.unwrap_or(BYTES).clamp(1, BYTES_MAX);
    let interval = timeout(args.interval, INTERVAL).map_err(|_| Failure::usage("--interval must be at least 1"))?;
    let interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
    let settings = Settings::load(shell)?;
    let zone = if args.utc { TimeZone::UTC } else { TimeZone::system() };
    let mut view = View { json: args.json, zone, first: true };
    let mut tail = Tail { client: None, cursor: None, limit, max_bytes };
    let mut failures = 0;
    loop {
        let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
        match tail.more(&calls) {
            Ok(page) => {
                if failures > 0 {
                    view.notice(shell, "[logs] gateway reconnected")?;
                }
                failures = 0;
                view.page(shell, &page)?;
                shell.out.flush()?;
                if !args.follow {
                    return Ok(());
                }
                pause(interval);
            }
            Err(failed) => {
                tail.client = None;
                let failure = explain(&failed, "logs.tail", &calls.target);
                let nobody = failure.kind == Kind::Unreachable;
                if nobody && !args.follow && calls.target.source == Source::Local {
                    return from_file(shell, &mut view, &settings, &tail, failure);
                }
                if !args.follow || !nobody || failures == RETRIES {
                    return Err(failure);
                }
                failures += 1;
                let wait = (RETRY_FIRST * 2u32.pow(failures - 1)).min(RETRY_MOST);
                let first = failure.message.lines().next().unwrap_or_default().to_owned();
                let text = format!("[logs] {first}; again in {} s ({failures}/{RETRIES})", wait.as_secs());
                view.notice(shell, &text)?;
                pause(wait);
            }
        }
        if interval > CONNECTION_IDLE_MAX {
            tail.client = None;
        }
    }
}

/// The position in the log, and the connection while there is one.
struct Tail {
    client: Option<Client>,
    cursor: Option<u64>,
    limit: u64,
    max_bytes: u64,
}

impl Tail {
    /// The next page.
    fn more(&mut self, calls: &Calls) -> Result<Value, ClientError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => calls.try_connect(Identity::backend("logs.tail", &["operator.read"]))?,
        };
        let mut params = Map::new();
        params.insert("limit".into(), self.limit.into());
        params.insert("maxBytes".into(), self.max_bytes.into());
        if let Some(cursor) = self.cursor {
            params.insert("cursor".into(), cursor.into());
        }
        let page = client.request_within("logs.tail", params, calls.left())?;
        self.cursor = number_at(&page, "/cursor").or(self.cursor);
        self.client = Some(client);
        Ok(page)
    }
}

/// Without a gateway on this host, what it last wrote is the best there is. Never while following: an old file would
/// look like a quiet gateway.
fn from_file(
    shell: &mut Shell,
    view: &mut View,
    settings: &Settings,
    tail: &Tail,
    failure: Failure,
) -> Result<(), Failure> {
    let Some(path) = settings.log_file() else { return Err(failure) };
    let Ok((lines, size)) = last_lines(&path, tail.limit, tail.max_bytes) else { return Err(failure) };
    let first = failure.message.lines().next().unwrap_or_default();
    view.notice(shell, &format!("[logs] {first}; reading {}", path.display()))?;
    let page = json!({"file": path.display().to_string(), "cursor": size, "size": size, "lines": lines});
    view.page(shell, &page)
}

fn last_lines(path: &Path, limit: u64, max_bytes: u64) -> io::Result<(Vec<String>, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(max_bytes);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(max_bytes).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is only a rest when reading began inside the file.
    let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    let skip = lines.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((lines[skip..].iter().map(|line| (*line).to_owned()).collect(), size))
}

/// How pages become output.
struct View {
    json: bool,
    zone: TimeZone,
    first: bool,
}

impl View {
    fn page(&mut self, shell: &mut Shell, page: &Value) -> Result<(), Failure> {
        let flag = |name: &str| page.get(name).and_then(Value::as_bool) == Some(true);
        if self.json && self.first {
            let meta = json!({"type": "meta", "sourceKind": "file", "file": page["file"],
                "cursor": page["cursor"], "size": page["size"]});
            shell.json_line(&meta)?;
        }
        if flag("reset") && !self.first {
            self.notice(shell, "[logs] the log file was replaced; going on with the new one")?;
        } else if flag("truncated") && !self.first {
            self.notice(shell, "[logs] lines were left out: more was written than fits one answer")?;
        }
        self.first = false;
        for line in list_at(page, "/lines").iter().filter_map(Value::as_str) {
            let record = Record::read(line);
            if self.json {
                shell.json_line(&record.json(line))?;
            } else {
                shell.line(record.text(&self.zone))?;
            }
        }
        Ok(())
    }

    /// Something about the stream, not of it.
    fn notice(&self, shell: &mut Shell, text: &str) -> Result<(), Failure> {
        if self.json { shell.note(json!({"type": "notice", "message": text}).to_string()) } else { shell.note(text) }
    }
}

/// One line of the log, as far as it is in the known shape.
struct Record {
    time: Option<String>,
    level: Option<String>,
    subsystem: Option<String>,
    message: String,
    parsed: bool,
}

impl Record {
    fn read(line: &str) -> Record {
        let Ok(record @ Value::Object(_)) = misfit::read::<Value>(line) else {
            return Record { time: None, level: None, subsystem: None, message: clean(line), parsed: false };
        };
        let first = |places: &[&str]| places.iter().find_map(|place| text_at(&record, place));
        // The reference writes the subsystem as JSON in a string: {"subsystem":"gateway/ws"}.
        let name = first(&["/subsystem", "/target", "/_meta/name", "/0"]);
        let inner = name.as_deref().and_then(|name| misfit::read::<Value>(name).ok());
        let subsystem = inner
            .and_then(|inner| text_at(&inner, "/subsystem"))
            .or_else(|| first(&["/subsystem", "/target"]))
            .filter(|name| !name.is_empty());
        Record {
            time: first(&["/time", "/_meta/date", "/ts"]),
            level: first(&["/level", "/_meta/logLevelName"]).map(|level| level.to_ascii_lowercase()),
            subsystem,
            message: first(&["/message", "/msg", "/1", "/0"]).unwrap_or_default(),
            parsed: true,
        }
    }

    fn text(&self, zone: &TimeZone) -> String {
        if !self.parsed {
            return self.message.clone();
        }
        let time = self.time.as_deref().map(|time| match time.parse::<Timestamp>() {
            Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            Err(_) => time.to_owned(),
        });
        let level = self.level.as_deref().map(|level| format!("{level:<5}"));
        let subsystem = self.subsystem.as_deref().map(|name| format!("[{name}]"));
        let parts = [time, level, subsystem, Some(self.message.clone())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    fn json(&self, raw: &str) -> Value {
        if !self.parsed {
            return json!({"type": "raw", "raw": raw});
        }
        json!({"type": "log", "time": self.time, "level": self.level, "subsystem": self.subsystem,
            "message": self.message, "raw": raw})
    }
}

fn number(flag: &str, text: Option<&str>, usual: u64, most: u64) -> Result<u64, Failure> {
    let Some(text) = text.map(str::trim) else { return Ok(usual) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(std::cmp::min(number, most)),
        _ => Err(Failure::usage(format!("{flag} {text}: a number from 1"))),
    }
}

/// Nothing else happens in this process, and no event can shorten the wait.
fn pause(time: Duration) {
    std::thread::sleep(time);
}

const USUAL: Duration = Duration::from_secs(30);

/// What a person reads at once.
const LINES: u64 = 200;

/// The gateway gives no more in one answer.
const LINES_MAX: u64 = 5000;
const BYTES: u64 = 250_000;
const BYTES_MAX: u64 = 1_000_000;

/// Feels live and costs the gateway a stat of one file.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// The gateway pings every 25 seconds and a pause answers nothing: with longer pauses each question connects anew.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(15);

/// Pauses double from one second to half a minute; after eight the gateway is not coming back by itself.
const RETRIES: u32 = 8;
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_a_log_line_are_read() {
        let reference = r#"{"0":"{\"subsystem\":\"gateway/ws\"}","1":"res ok","_meta":{"date":"2026-11-22T08:35:31.094Z",
            "logLevelName":"INFO","name":"{\"subsystem\":\"gateway/ws\"}"},"time":"2026-11-22T08:35:31.094+00:00","message":"res ok"}"#;
        let shown = Record::read(reference).text(&TimeZone::UTC);
        assert_eq!(shown, "2026-11-22T08:35:31.094+00:00 info  [gateway/ws] res ok");
        let plain = r#"{"time":"2026-11-22T08:35:31Z","level":"WARN","subsystem":"config","message":"x\u001b[2J"}"#;
        assert_eq!(Record::read(plain).text(&TimeZone::UTC), "2026-11-22T08:35:31.000+00:00 warn  [config] x[2J");
        assert_eq!(Record::read("not json").text(&TimeZone::UTC), "not json");
        assert_eq!(Record::read("not json").json("not json")["type"], "raw");
    }

    #[test]
    fn numbers_out_of_range_are_refused_or_cut() {
        assert_eq!(number("--limit", None, 200, 5000).ok(), Some(200));
        assert_eq!(number("--limit", Some("999999"), 200, 5000).ok(), Some(5000));
        assert!(number("--limit", Some("0"), 200, 5000).is_err());
    }
}

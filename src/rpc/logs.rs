//! `logs.tail`: reads the log file from its end, or from where a client stopped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::wire::error::RpcError;
use crate::wire::logs::{LogsTailParams, LogsTailResult};

/// Lines and bytes of one answer when the caller names none.
const LIMIT: usize = 500;
const MAX_BYTES: u64 = 250_000;

pub fn tail(context: &TaskContext, _: &Arc<Caller>, params: LogsTailParams) -> Result<LogsTailResult, RpcError> {
    let Some(file) = (context.log_file)() else {
        return Err(RpcError::unavailable(
            "this gateway writes no log file (logging.file); ask its service manager for the log",
        ));
    };
    let limit = params.limit.map_or(LIMIT, |n| usize::try_from(n.0).unwrap_or(LIMIT));
    let max_bytes = params.max_bytes.map_or(MAX_BYTES, |n| n.0);
    read(&file, params.cursor.map(|c| c.0), limit, max_bytes)
        .map_err(|error| RpcError::unavailable(format!("read the log {}: {error}", file.display())))
}

fn read(path: &Path, cursor: Option<u64>, limit: usize, max_bytes: u64) -> std::io::Result<LogsTailResult> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let reset = cursor.is_some_and(|at| at > size);
    let cursor = cursor.filter(|_| !reset);
    let from = cursor.unwrap_or_else(|| size.saturating_sub(max_bytes));
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(max_bytes).read_to_end(&mut bytes)?;
    // Only whole lines: the last one may still be being written, the first may have begun before `from`.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    // A line longer than a page would stop the reader for ever: it is given in pieces.
    let end = if whole == 0 && bytes.len() as u64 == max_bytes { bytes.len() } else { whole };
    let mut start = 0;
    if cursor.is_none() && from > 0 {
        start = bytes[..end].iter().position(|b| *b == b'\n').map_or(end, |at| at + 1);
    }
    let text = String::from_utf8_lossy(&bytes[start..end]);
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut truncated = start > 0 || from > 0 && cursor.is_none();
    if lines.len() > limit {
        lines.drain(..lines.len() - limit);
        truncated = true;
    }
    Ok(LogsTailResult { file: path.display().to_string(), cursor: from + end as u64, size, lines, truncated, reset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("openclaw-tail-{name}-{}", std::process::id()));
        std::fs::write(&path, text).expect("temp file");
        path
    }

    #[test]
    fn a_follower_sees_each_whole_line_once() {
        let path = log("follow", "one\ntwo\nthr");
        let first = read(&path, None, 10, 1000).expect("readable");
        assert_eq!((first.lines.as_slice(), first.cursor, first.size), (&["one".into(), "two".into()][..], 8, 11));
        std::fs::write(&path, "one\ntwo\nthree\n").expect("temp file");
        let next = read(&path, Some(first.cursor), 10, 1000).expect("readable");
        assert_eq!(next.lines, ["three"]);
        assert!(read(&path, Some(next.cursor), 10, 1000).expect("readable").lines.is_empty());
        std::fs::remove_file(path).expect("was there");
    }

    #[test]
    fn a_shrunken_file_resets_and_limits_hold() {
        let path = log("reset", "a\nb\nc\n");
        let tail = read(&path, Some(1000), 2, 1000).expect("readable");
        assert!(tail.reset && tail.truncated);
        assert_eq!(tail.lines, ["b", "c"]);
        assert_eq!(read(&path, None, 10, 3).expect("readable").lines, ["c"], "a partial first line is left out");
        std::fs::remove_file(path).expect("was there");
    }
}

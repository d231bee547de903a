//! `sessions.search`: words in what was said.
//!
//! No index is kept: on a small host it would be as large as what it finds things in. The transcripts are read, newest
//! first, within a number of bytes and a time; what was left out is said (`truncated`).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chat::target;
use super::said::Said;
use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::hub::sessions::stored;
use crate::store::sessions::{self as table, Archived, LIST_MAX, ListFilter, SessionRow};
use crate::store::transcript;
use crate::sys::order;
use crate::wire::error::RpcError;
use crate::wire::session_change::*;

/// Hits when the caller names no number.
const HITS: u64 = 10;
/// Words of a query that count.
const WORDS: usize = 16;
/// Text read for one search, and how long that may take.
const BYTES: usize = 64 << 20;
const TIME: Duration = Duration::from_secs(2);
/// Characters of a snippet, and how many of them stand before the first word.
const SNIPPET: usize = 240;
const BEFORE: usize = 60;

pub fn search(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsSearchParams,
) -> Result<SessionsSearchResult, RpcError> {
    let words = Words::of(&params.query).ok_or_else(|| RpcError::invalid("query must not be empty"))?;
    let keys = params.session_keys.map(|keys| keys.into_iter().map(|key| key.0).collect::<Vec<_>>());
    let agent_id = params.agent_id.map(|id| id.0);
    let (keys, agent) = super::ask(context, "sessions.search", move |state| {
        let config = state.shared.config.get();
        let keys = keys.map(|keys| {
            keys.iter()
                .map(|key| Ok(target(&config, key, agent_id.as_deref())?.0))
                .collect::<Result<Vec<_>, RpcError>>()
        });
        let agent = match &agent_id {
            Some(id) => target(&config, "main", Some(id))?.1,
            None => config.default_agent_id().to_string(),
        };
        Ok((keys.transpose()?, agent))
    })?;
    let rows = context
        .store
        .read("look sessions up", move |conn| match keys {
            Some(keys) => keys.iter().filter_map(|key| table::get(conn, key).transpose()).collect(),
            None => {
                let filter = ListFilter {
                    agent_id: Some(agent),
                    archived: Archived::Shown,
                    limit: LIST_MAX,
                    ..ListFilter::default()
                };
                Ok(table::list(conn, &filter)?.0)
            }
        })
        .map_err(stored)?;
    let limit = params.limit.map_or(HITS, |limit| limit.0) as usize;
    let mut look = Look { words, hits: Vec::new(), bytes: BYTES, until: Instant::now() + TIME };
    for row in &rows {
        if look.is_over() {
            break;
        }
        // Each transcript by itself: a reader of the store is not kept for the whole search.
        look = context.store.read("search a transcript", move |conn| look.session(conn, row)).map_err(stored)?;
    }
    let truncated = look.is_over() || look.hits.len() > limit;
    let mut hits = look.hits;
    order::by_key(&mut hits, |hit| (std::cmp::Reverse(hit.rank), std::cmp::Reverse(hit.hit.timestamp)));
    hits.truncate(limit);
    Ok(SessionsSearchResult { results: hits.into_iter().map(|hit| hit.hit).collect(), truncated })
}

/// What is looked for: every word must occur, in any case.
struct Words(Vec<String>);

impl Words {
    fn of(query: &str) -> Option<Words> {
        let words: Vec<String> = query.split_whitespace().take(WORDS).map(str::to_lowercase).collect();
        (!words.is_empty()).then_some(Words(words))
    }

    /// Whether JSON text may hold them all. Words that JSON writes in another way are not judged.
    fn may_be_in(&self, json: &str) -> bool {
        let plain = |word: &&String| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        self.0.iter().filter(plain).all(|word| {
            let word = word.as_bytes();
            json.as_bytes().windows(word.len()).any(|place| place.eq_ignore_ascii_case(word))
        })
    }

    /// How often they occur in a text of lower case, and where the first stands. `None`: one is missing.
    fn count(&self, text: &str) -> Option<(usize, usize)> {
        let (mut times, mut first) = (0, usize::MAX);
        for word in &self.0 {
            first = first.min(text.find(word.as_str())?);
            times += text.matches(word.as_str()).count();
        }
        Some((times, first))
    }
}

struct Hit {
    /// In millionths, so that it has an order.
    rank: u64,
    hit: SessionsSearchHit,
}

struct Look {
    words: Words,
    hits: Vec<Hit>,
    /// Still to be read.
    bytes: usize,
    until: Instant,
}

impl Look {
    fn is_over(&self) -> bool {
        self.bytes == 0 || Instant::now() >= self.until
    }

    fn session(mut self, conn: &rusqlite::Connection, row: &SessionRow) -> Result<Look, crate::store::StoreError> {
        transcript::scan(conn, &row.session_id, true, |seen| self.next(row, &seen))?;
        Ok(self)
    }

    fn next(&mut self, row: &SessionRow, seen: &transcript::Seen<'_>) -> ControlFlow<()> {
        self.bytes = self.bytes.saturating_sub(seen.message.len());
        if let Some(hit) = self.entry(row, seen) {
            self.hits.push(hit);
        }
        match self.is_over() || self.hits.len() >= LIST_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn entry(&self, row: &SessionRow, seen: &transcript::Seen<'_>) -> Option<Hit> {
        let role = match seen.role {
            "user" => "user",
            "assistant" => "assistant",
            _ => return None,
        };
        if !self.words.may_be_in(seen.message) {
            return None;
        }
        let text = Said::read(seen.message)?.text(|_| String::new());
        let lower = text.to_lowercase();
        let (times, first) = self.words.count(&lower)?;
        // Often in a short text says more than once in a long one.
        let score = times as f64 / (1.0 + (lower.len() as f64 / 400.0).sqrt());
        // Lower case may be longer or shorter: the place is counted in characters.
        let place = lower[..first].chars().count();
        let hit = SessionsSearchHit {
            session_key: row.key.clone(),
            session_id: row.session_id.clone(),
            message_id: transcript::id_of(seen.row),
            role,
            timestamp: u64::try_from(seen.ts_ms).unwrap_or(0),
            snippet: snippet(&text, place),
            score,
        };
        Some(Hit { rank: (score * 1e6) as u64, hit })
    }
}

/// The text around a place, on one line.
fn snippet(text: &str, place: usize) -> String {
    let from = place.saturating_sub(BEFORE);
    let part: String = text.chars().skip(from).take(SNIPPET).collect();
    let more = text.chars().nth(from + SNIPPET).is_some();
    let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}{part}{}", if from > 0 { "… " } else { "" }, if more { " …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_counts_in_any_case() {
        let words = Words::of("  Tea  GRÜN ").expect("words");
        assert_eq!(words.count("grün ist der tea, tea!"), Some((3, 0)));
        assert_eq!(words.count("tea"), None);
        assert!(words.may_be_in(r#"{"content":"TEA"}"#) && !words.may_be_in(r#"{"content":"te"}"#));
        assert!(Words::of(" \n").is_none());
    }

    /// What is over its bytes or its time reads no further, and says so.
    #[test]
    fn a_search_ends_with_its_bytes_or_its_time() {
        let look = |bytes, until| Look { words: Words::of("x").expect("words"), hits: Vec::new(), bytes, until };
        let later = Instant::now() + TIME;
        assert!(!look(1, later).is_over() && look(0, later).is_over() && look(1, Instant::now()).is_over());
        let mut some = look(10, later);
        let row = SessionRow::default();
        for (message, left) in [(r#"{"content":"x"}"#, 0), ("{}", 0)] {
            let seen = transcript::Seen { row: 1, role: "user", ts_ms: 1, message };
            assert!(some.next(&row, &seen).is_break());
            assert_eq!(some.bytes, left);
        }
        assert_eq!(some.hits.len(), 1);
    }

    #[test]
    fn a_snippet_shows_the_place_on_one_line() {
        assert_eq!(snippet("one\ntwo  three", 4), "one two three");
        let long = format!("{} needle {}", "a ".repeat(100), "b ".repeat(200));
        let cut = snippet(&long, long.find("needle").expect("it is there"));
        assert!(cut.starts_with("… a") && cut.contains("needle") && cut.ends_with("b …"), "{cut}");
        assert_eq!(snippet("x", 9), "x");
    }
}

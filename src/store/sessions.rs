//! The table of sessions: one row per conversation, everything a list shows, nothing of what was said.
//!
//! Deliberately does not look into transcripts, ever: a row carries its own counters and preview. What later features
//! want to remember about a session without a column goes into `extra`.
//!
//! Invariants: `key` is unique; a row's `session_id` names its current transcript; transcripts of earlier resets are
//! found in `past_sessions`, at most [`PAST_MAX`] per key, and go when the session goes.

pub mod branches;
pub mod groups;
pub mod upkeep;

use std::fmt::Write;
use std::sync::LazyLock;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::sql::{count, cut, fits, money, signed, statement};
use super::{StoreError, transcript};

/// A preview is a line in a list; longer ones are cut at a character.
pub const PREVIEW_MAX_BYTES: usize = 512;
/// `extra` is read with every list row: 2 000 sessions must stay a few hundred kilobytes.
pub const EXTRA_MAX_BYTES: usize = 64 << 10;
/// Earlier transcripts kept per session key after resets.
pub const PAST_MAX: usize = 8;
/// Most rows a list gives at once.
pub const LIST_MAX: usize = 5_000;

/// One session. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SessionRow {
    /// `agent:<agent id>:<rest>`; never changes.
    pub key: String,
    /// UUID of the current transcript; a reset gives a new one.
    pub session_id: String,
    pub agent_id: String,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    /// When the current transcript began.
    pub started_at_ms: i64,
    /// Last time somebody said something.
    pub last_interaction_at_ms: Option<i64>,
    pub label: Option<String>,
    pub display_name: Option<String>,
    /// `direct`, `group`, `global`, ...
    pub kind: String,
    pub channel: Option<String>,
    pub chat_type: Option<String>,
    pub created_via: Option<String>,
    /// What the last run used.
    pub model_provider: Option<String>,
    pub model: Option<String>,
    /// What the user chose for this session, as `provider/model`.
    pub model_override: Option<String>,
    pub thinking_level: Option<String>,
    pub verbose_level: Option<String>,
    pub last_run_id: Option<String>,
    /// `running`, `done`, `failed`, `killed`, `timeout`.
    pub last_status: Option<String>,
    pub last_run_started_ms: Option<i64>,
    pub last_run_ended_ms: Option<i64>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    /// The model's context window.
    pub context_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub cost_usd: f64,
    pub message_count: u64,
    pub compaction_count: u64,
    pub last_message_preview: Option<String>,
    pub archived_at_ms: Option<i64>,
    pub pinned_at_ms: Option<i64>,
    pub last_read_at_ms: Option<i64>,
    /// A JSON object, at most [`EXTRA_MAX_BYTES`]; never empty text.
    pub extra: String,
}

/// Which archived sessions a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Archived {
    #[default]
    Hidden,
    Only,
    Shown,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Latest change first.
    #[default]
    Updated,
    /// What was said last first.
    Interaction,
    /// Pinned ones first (latest pin first), then latest change.
    Pinned,
    /// Newest first.
    Created,
    /// By key, ascending.
    Key,
}

/// What a list shows. The default is the latest 100 that are not archived.
#[derive(Debug, Clone, PartialEq)]
pub struct ListFilter {
    pub agent_id: Option<String>,
    /// Part of key, session id, label, display name or preview, in any case.
    pub search: Option<String>,
    /// Only rows changed at or after this time.
    pub updated_after_ms: Option<i64>,
    /// Empty: all kinds.
    pub kinds: Vec<String>,
    /// Only sessions of these agents; None: of all.
    pub agents: Option<Vec<String>>,
    /// Exactly this label.
    pub label: Option<String>,
    /// Exactly this current transcript.
    pub session_id: Option<String>,
    /// How the last part of the key begins, lower case and without hyphens.
    pub id_in_key: Option<String>,
    /// Exactly this parent.
    pub parent: Option<String>,
    /// Exactly this origin.
    pub created_via: Option<String>,
    /// Only where somebody has said something.
    pub spoken: bool,
    /// Keys that are left out.
    pub but_keys: Vec<&'static str>,
    pub archived: Archived,
    /// At most [`LIST_MAX`].
    pub limit: usize,
    pub offset: usize,
    pub sort: Sort,
}

impl Default for ListFilter {
    fn default() -> ListFilter {
        ListFilter {
            agent_id: None,
            search: None,
            updated_after_ms: None,
            kinds: Vec::new(),
            agents: None,
            label: None,
            session_id: None,
            id_in_key: None,
            parent: None,
            created_via: None,
            spoken: false,
            but_keys: Vec::new(),
            archived: Archived::Hidden,
            limit: 100,
            offset: 0,
            sort: Sort::Updated,
        }
    }
}

/// The row of a key, made now if there is none. True when it was made.
pub fn ensure(
    conn: &Connection,
    key: &str,
    agent_id: &str,
    now_ms: i64,
    created_via: Option<&str>,
) -> Result<(SessionRow, bool), StoreError> {
    if let Some(row) = get(conn, key)? {
        return Ok((row, false));
    }
    let row = SessionRow {
        key: key.into(),
        session_id: fresh_session_id(),
        agent_id: agent_id.into(),
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        started_at_ms: now_ms,
        kind: "direct".into(),
        created_via: created_via.map(Into::into),
        extra: "{}".into(),
        ..SessionRow::default()
    };
    statement(conn, &SQL.insert)?.execute(params_from_iter(values(&row)?))?;
    Ok((row, true))
}

/// The row of a key.
pub fn get(conn: &Connection, key: &str) -> Result<Option<SessionRow>, StoreError> {
    Ok(statement(conn, &SQL.by_key)?.query_row([key], from_row).optional()?)
}

/// Writes all columns of a row back. False when the key is gone. The preview is cut to its cap.
pub fn update(conn: &Connection, row: &SessionRow) -> Result<bool, StoreError> {
    fits(row.extra.len(), EXTRA_MAX_BYTES)?;
    Ok(statement(conn, &SQL.update)?.execute(params_from_iter(values(row)?))? == 1)
}

/// Reads, changes and writes one row. None when the key is unknown.
pub fn patch(
    conn: &Connection,
    key: &str,
    change: impl FnOnce(&mut SessionRow),
) -> Result<Option<SessionRow>, StoreError> {
    let Some(mut row) = get(conn, key)? else { return Ok(None) };
    change(&mut row);
    key.clone_into(&mut row.key);
    update(conn, &row)?;
    Ok(Some(row))
}

/// A page of rows and how many there are in all. Never touches transcripts.
pub fn list(conn: &Connection, filter: &ListFilter) -> Result<(Vec<SessionRow>, u64), StoreError> {
    let (wanted, bound) = condition(filter);
    let order = match filter.sort {
        Sort::Updated => "updated_at_ms DESC, id DESC",
        Sort::Interaction => "coalesce(last_interaction_at_ms, 0) DESC, updated_at_ms DESC, id DESC",
        Sort::Pinned => "pinned_at_ms DESC, updated_at_ms DESC, id DESC",
        Sort::Created => "created_at_ms DESC, id DESC",
        Sort::Key => "key",
    };
    let limit = filter.limit.min(LIST_MAX);
    if let Some(search) = filter.search.as_deref().filter(|text| !text.is_empty()) {
        let sql = format!("{} WHERE {wanted} ORDER BY {order}", SQL.select);
        return search_rows(conn, &sql, &bound, &search.to_lowercase(), limit, filter.offset);
    }
    let total = statement(conn, &format!("SELECT count(*) FROM sessions WHERE {wanted}"))?
        .query_row(params_from_iter(&bound), |row| count(row, 0))?;
    let sql = format!("{} WHERE {wanted} ORDER BY {order} LIMIT {limit} OFFSET {}", SQL.select, filter.offset);
    let rows = statement(conn, &sql)?.query_map(params_from_iter(&bound), from_row)?.collect::<Result<Vec<_>, _>>()?;
    Ok((rows, total))
}

/// Keys like `pattern` (a glob) that nobody touched since a moment, the longest untouched first.
pub fn keys_before(conn: &Connection, pattern: &str, before_ms: i64, limit: usize) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT key FROM sessions WHERE updated_at_ms < ?2 AND key GLOB ?1 AND pinned_at_ms IS NULL
               ORDER BY updated_at_ms LIMIT ?3";
    let keys = statement(conn, sql)?
        .query_map(rusqlite::params![pattern, before_ms, signed(limit as u64)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

/// Forgets a session with its current and past transcripts. Returns the row that was there.
pub fn delete(conn: &Connection, key: &str) -> Result<Option<SessionRow>, StoreError> {
    let Some(row) = get(conn, key)? else { return Ok(None) };
    transcript::delete_session(conn, &row.session_id)?;
    for past in past(conn, key)? {
        transcript::delete_session(conn, &past.session_id)?;
    }
    statement(conn, "DELETE FROM past_sessions WHERE key = ?1")?.execute([key])?;
    statement(conn, "DELETE FROM sessions WHERE key = ?1")?.execute([key])?;
    Ok(Some(row))
}

/// Begins a new transcript under the same key. Who it is and what was chosen for it stays; what was said, counted and
/// run is the past's, which is kept (the newest [`PAST_MAX`]). None when the key is unknown.
pub fn reset(
    conn: &Connection,
    key: &str,
    new_session_id: &str,
    now_ms: i64,
) -> Result<Option<SessionRow>, StoreError> {
    let Some(old) = get(conn, key)? else { return Ok(None) };
    // What begins now is another conversation; who goes on with this one marks its branches again.
    statement(conn, "UPDATE past_sessions SET branch = 0 WHERE key = ?1 AND branch = 1")?.execute([key])?;
    statement(conn, "INSERT OR IGNORE INTO past_sessions (key, ended_at_ms, session_id) VALUES (?1, ?2, ?3)")?
        .execute(params![key, now_ms, old.session_id])?;
    for surplus in past(conn, key)?.into_iter().skip(PAST_MAX) {
        transcript::delete_session(conn, &surplus.session_id)?;
        statement(conn, "DELETE FROM past_sessions WHERE key = ?1 AND ended_at_ms = ?2 AND session_id = ?3")?
            .execute(params![key, surplus.ended_at_ms, surplus.session_id])?;
    }
    let new = SessionRow {
        session_id: new_session_id.into(),
        updated_at_ms: now_ms,
        started_at_ms: now_ms,
        last_interaction_at_ms: None,
        last_run_id: None,
        last_status: None,
        last_run_started_ms: None,
        last_run_ended_ms: None,
        input_tokens: 0,
        output_tokens: 0,
        total_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        cost_usd: 0.0,
        message_count: 0,
        compaction_count: 0,
        last_message_preview: None,
        ..old
    };
    update(conn, &new)?;
    Ok(Some(new))
}

/// A transcript that a reset ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSession {
    pub session_id: String,
    pub ended_at_ms: i64,
}

/// Transcripts that resets of this key ended, newest first.
pub fn past(conn: &Connection, key: &str) -> Result<Vec<PastSession>, StoreError> {
    let sql = "SELECT session_id, ended_at_ms FROM past_sessions WHERE key = ?1 ORDER BY ended_at_ms DESC";
    let rows = statement(conn, sql)?
        .query_map([key], |row| Ok(PastSession { session_id: row.get(0)?, ended_at_ms: row.get(1)? }))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// A new random UUID (version 4).
pub fn fresh_session_id() -> String {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

/// The WHERE of a filter without its search, over columns of the index `sessions_recent`.
fn condition(filter: &ListFilter) -> (String, Vec<Value>) {
    let mut sql = String::from(match filter.archived {
        Archived::Hidden => "archived_at_ms IS NULL",
        Archived::Only => "archived_at_ms IS NOT NULL",
        Archived::Shown => "TRUE",
    });
    let mut bound = Vec::new();
    if let Some(agent) = &filter.agent_id {
        sql.push_str(" AND agent_id = ?");
        bound.push(Value::from(agent.clone()));
    }
    if let Some(after) = filter.updated_after_ms {
        sql.push_str(" AND updated_at_ms >= ?");
        bound.push(Value::from(after));
    }
    let mut among = |column: &str, values: &[String]| {
        let places = vec!["?"; values.len()].join(", ");
        write!(sql, " AND {column} IN ({places})").expect("a String takes everything");
        bound.extend(values.iter().cloned().map(Value::from));
    };
    if !filter.kinds.is_empty() {
        among("kind", &filter.kinds);
    }
    if let Some(agents) = &filter.agents {
        among("agent_id", agents);
    }
    let exact = [
        ("label", &filter.label),
        ("session_id", &filter.session_id),
        ("json_extract(extra, '$.parentSessionKey')", &filter.parent),
        ("created_via", &filter.created_via),
    ];
    for (column, value) in exact {
        if let Some(value) = value {
            among(column, std::slice::from_ref(value));
        }
    }
    if let Some(id) = &filter.id_in_key {
        // `rtrim` by all characters but the colon leaves what stands before the last part; the rest is that part.
        sql.push_str(
            " AND replace(lower(replace(key, rtrim(key, replace(key, ':', '')), '')), '-', '') LIKE ? ESCAPE '!'",
        );
        let wild = id.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        bound.push(Value::from(format!("{wild}%")));
    }
    if filter.spoken {
        sql.push_str(" AND last_interaction_at_ms IS NOT NULL");
    }
    for key in &filter.but_keys {
        sql.push_str(" AND key <> ?");
        bound.push(Value::from((*key).to_string()));
    }
    (sql, bound)
}

/// SQLite folds only ASCII, people search in every script: the match is ours. Holds one page of rows, not all.
fn search_rows(
    conn: &Connection,
    sql: &str,
    bound: &[Value],
    needle: &str,
    limit: usize,
    offset: usize,
) -> Result<(Vec<SessionRow>, u64), StoreError> {
    let mut stmt = statement(conn, sql)?;
    let mut found = stmt.query(params_from_iter(bound))?;
    let (mut page, mut total) = (Vec::new(), 0usize);
    while let Some(row) = found.next()? {
        if !matches(row, needle)? {
            continue;
        }
        if total >= offset && page.len() < limit {
            page.push(from_row(row)?);
        }
        total += 1;
    }
    Ok((page, total as u64))
}

fn matches(row: &Row<'_>, needle: &str) -> rusqlite::Result<bool> {
    for column in ["key", "session_id", "label", "display_name", "last_message_preview"] {
        let text = row.get_ref(column)?.as_str_or_null()?;
        if text.is_some_and(|text| text.to_lowercase().contains(needle)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Columns in the order of [`from_row`] and [`values`]; the key first, because an update finds the row by it.
const COLUMNS: [&str; 36] = [
    "key",
    "session_id",
    "agent_id",
    "created_at_ms",
    "updated_at_ms",
    "started_at_ms",
    "last_interaction_at_ms",
    "label",
    "display_name",
    "kind",
    "channel",
    "chat_type",
    "created_via",
    "model_provider",
    "model",
    "model_override",
    "thinking_level",
    "verbose_level",
    "last_run_id",
    "last_status",
    "last_run_started_ms",
    "last_run_ended_ms",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "context_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
    "message_count",
    "compaction_count",
    "last_message_preview",
    "archived_at_ms",
    "pinned_at_ms",
    "last_read_at_ms",
    "extra",
];

struct Sql {
    select: String,
    by_key: String,
    insert: String,
    update: String,
}

static SQL: LazyLock<Sql> = LazyLock::new(|| {
    let all = COLUMNS.join(", ");
    let places: Vec<String> = (1..=COLUMNS.len()).map(|n| format!("?{n}")).collect();
    let changes: Vec<String> = COLUMNS.iter().zip(&places).skip(1).map(|(name, at)| format!("{name} = {at}")).collect();
    let select = format!("SELECT {all} FROM sessions");
    Sql {
        by_key: format!("{select} WHERE key = ?1"),
        select,
        insert: format!("INSERT INTO sessions ({all}) VALUES ({})", places.join(", ")),
        update: format!("UPDATE sessions SET {} WHERE key = ?1", changes.join(", ")),
    }
});

fn from_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        key: row.get(0)?,
        session_id: row.get(1)?,
        agent_id: row.get(2)?,
        created_at_ms: row.get(3)?,
        updated_at_ms: row.get(4)?,
        started_at_ms: row.get(5)?,
        last_interaction_at_ms: row.get(6)?,
        label: row.get(7)?,
        display_name: row.get(8)?,
        kind: row.get(9)?,
        channel: row.get(10)?,
        chat_type: row.get(11)?,
        created_via: row.get(12)?,
        model_provider: row.get(13)?,
        model: row.get(14)?,
        model_override: row.get(15)?,
        thinking_level: row.get(16)?,
        verbose_level: row.get(17)?,
        last_run_id: row.get(18)?,
        last_status: row.get(19)?,
        last_run_started_ms: row.get(20)?,
        last_run_ended_ms: row.get(21)?,
        input_tokens: count(row, 22)?,
        output_tokens: count(row, 23)?,
        total_tokens: count(row, 24)?,
        context_tokens: count(row, 25)?,
        cache_read_tokens: count(row, 26)?,
        cache_write_tokens: count(row, 27)?,
        cost_usd: row.get(28)?,
        message_count: count(row, 29)?,
        compaction_count: count(row, 30)?,
        last_message_preview: row.get(31)?,
        archived_at_ms: row.get(32)?,
        pinned_at_ms: row.get(33)?,
        last_read_at_ms: row.get(34)?,
        extra: row.get(35)?,
    })
}

fn values(row: &SessionRow) -> Result<[ToSqlOutput<'_>; 36], StoreError> {
    let preview = row.last_message_preview.as_deref().map(|text| cut(text, PREVIEW_MAX_BYTES));
    let number = |count: u64| ToSqlOutput::from(signed(count));
    Ok([
        row.key.to_sql()?,
        row.session_id.to_sql()?,
        row.agent_id.to_sql()?,
        row.created_at_ms.to_sql()?,
        row.updated_at_ms.to_sql()?,
        row.started_at_ms.to_sql()?,
        row.last_interaction_at_ms.to_sql()?,
        row.label.to_sql()?,
        row.display_name.to_sql()?,
        row.kind.to_sql()?,
        row.channel.to_sql()?,
        row.chat_type.to_sql()?,
        row.created_via.to_sql()?,
        row.model_provider.to_sql()?,
        row.model.to_sql()?,
        row.model_override.to_sql()?,
        row.thinking_level.to_sql()?,
        row.verbose_level.to_sql()?,
        row.last_run_id.to_sql()?,
        row.last_status.to_sql()?,
        row.last_run_started_ms.to_sql()?,
        row.last_run_ended_ms.to_sql()?,
        number(row.input_tokens),
        number(row.output_tokens),
        number(row.total_tokens),
        number(row.context_tokens),
        number(row.cache_read_tokens),
        number(row.cache_write_tokens),
        ToSqlOutput::from(money(row.cost_usd)),
        number(row.message_count),
        number(row.compaction_count),
        preview.map_or(ToSqlOutput::from(rusqlite::types::Null), ToSqlOutput::from),
        row.archived_at_ms.to_sql()?,
        row.pinned_at_ms.to_sql()?,
        row.last_read_at_ms.to_sql()?,
        row.extra.to_sql()?,
    ])
}

#[cfg(test)]
mod tests;

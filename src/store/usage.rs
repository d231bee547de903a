//! Counters of model use: one row per day, agent, session, provider and model.
//!
//! Counts every call, also those nobody saw. Deliberately knows no prices and no calendar: the caller brings the cost
//! and the number of the local day.
//!
//! Invariants: counters only grow; days more than [`DAYS_KEPT`] before the newest are forgotten when a new row begins;
//! a day has at most [`DAY_ROWS_MAX`] rows, further sessions of that day are counted without their key.

use rusqlite::{Connection, Row, params};

use super::StoreError;
use super::sql::{count, money, signed, statement};

/// A year and a month: enough to compare with last year.
pub const DAYS_KEPT: i64 = 400;
/// One-shot API sessions must not grow the table by a row per request.
pub const DAY_ROWS_MAX: i64 = 1_000;

/// Whom a call is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// Days since 1970-01-01 in the operator's time zone.
    pub day: i64,
    pub agent_id: &'a str,
    pub session_key: Option<&'a str>,
    pub provider: &'a str,
    pub model: &'a str,
}

/// What was used. Costs in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    pub calls: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub cost_input: f64,
    pub cost_output: f64,
    pub cost_cache_read: f64,
    pub cost_cache_write: f64,
    /// Calls whose price is unknown.
    pub missing_cost: u64,
}

impl Spent {
    pub fn total_tokens(&self) -> u64 {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().fold(0, u64::saturating_add)
    }

    pub fn total_cost(&self) -> f64 {
        self.cost_input + self.cost_output + self.cost_cache_read + self.cost_cache_write
    }
}

/// Days (both included) and whose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range<'a> {
    pub from_day: i64,
    pub to_day: i64,
    pub agent_id: Option<&'a str>,
    pub session_key: Option<&'a str>,
}

/// What a line of sums stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Day,
    Agent,
    /// Lines without a key sum up what was counted without one.
    Session,
    Provider,
    Model,
    DayAndModel,
}

/// One line of sums; what it was not grouped by is empty or 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    pub day: i64,
    pub agent_id: String,
    pub session_key: String,
    pub provider: String,
    pub model: String,
    pub spent: Spent,
}

/// Adds to a counter.
pub fn add(conn: &Connection, account: &Account<'_>, spent: &Spent) -> Result<(), StoreError> {
    let session = account.session_key.unwrap_or("");
    if add_to(conn, account, session, spent)? {
        return Ok(());
    }
    statement(conn, "DELETE FROM usage WHERE day < ?1")?.execute([account.day - DAYS_KEPT])?;
    let rows: i64 =
        statement(conn, "SELECT count(*) FROM usage WHERE day = ?1")?.query_row([account.day], |row| row.get(0))?;
    let session = if rows < DAY_ROWS_MAX { session } else { "" };
    begin(conn, account, session)?;
    add_to(conn, account, session, spent)?;
    Ok(())
}

/// Sums of a range in the order of what they are grouped by.
pub fn sums(conn: &Connection, range: &Range<'_>, by: By) -> Result<Vec<Line>, StoreError> {
    let (head, group) = match by {
        By::Day => ("day, '', '', '', ''", "day"),
        By::Agent => ("0, agent_id, '', '', ''", "agent_id"),
        By::Session => ("0, '', session_key, '', ''", "session_key"),
        By::Provider => ("0, '', '', provider, ''", "provider"),
        By::Model => ("0, '', '', provider, model", "provider, model"),
        By::DayAndModel => ("day, '', '', provider, model", "day, provider, model"),
    };
    let sql = format!("SELECT {head}, {SUMS} FROM usage WHERE {WITHIN} GROUP BY {group} ORDER BY {group}");
    let lines = statement(conn, &sql)?
        .query_map(params![range.from_day, range.to_day, range.agent_id, range.session_key], |row| {
            Ok(Line {
                day: row.get(0)?,
                agent_id: row.get(1)?,
                session_key: row.get(2)?,
                provider: row.get(3)?,
                model: row.get(4)?,
                spent: spent_at(row, 5)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(lines)
}

/// The sum of a range.
pub fn total(conn: &Connection, range: &Range<'_>) -> Result<Spent, StoreError> {
    Ok(statement(conn, &format!("SELECT {SUMS} FROM usage WHERE {WITHIN}"))?
        .query_row(params![range.from_day, range.to_day, range.agent_id, range.session_key], |row| spent_at(row, 0))?)
}

const WITHIN: &str = "day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR agent_id = ?3) AND (?4 IS NULL OR session_key = ?4)";
const SUMS: &str = "coalesce(sum(calls), 0), coalesce(sum(input), 0), coalesce(sum(output), 0),
    coalesce(sum(cache_read), 0), coalesce(sum(cache_write), 0), total(cost_input), total(cost_output),
    total(cost_cache_read), total(cost_cache_write), coalesce(sum(missing_cost), 0)";

/// False when the row does not exist.
fn add_to(conn: &Connection, account: &Account<'_>, session: &str, spent: &Spent) -> Result<bool, StoreError> {
    let changed = statement(
        conn,
        "UPDATE usage SET calls = calls + ?6, input = input + ?7, output = output + ?8,
            cache_read = cache_read + ?9, cache_write = cache_write + ?10, cost_input = cost_input + ?11,
            cost_output = cost_output + ?12, cost_cache_read = cost_cache_read + ?13,
            cost_cache_write = cost_cache_write + ?14, missing_cost = missing_cost + ?15
         WHERE day = ?1 AND agent_id = ?2 AND session_key = ?3 AND provider = ?4 AND model = ?5",
    )?
    .execute(params![
        account.day,
        account.agent_id,
        session,
        account.provider,
        account.model,
        signed(spent.calls),
        signed(spent.input),
        signed(spent.output),
        signed(spent.cache_read),
        signed(spent.cache_write),
        money(spent.cost_input),
        money(spent.cost_output),
        money(spent.cost_cache_read),
        money(spent.cost_cache_write),
        signed(spent.missing_cost)
    ])?;
    Ok(changed == 1)
}

/// A row of zeros, unless it is there.
fn begin(conn: &Connection, account: &Account<'_>, session: &str) -> Result<(), StoreError> {
    statement(conn, "INSERT OR IGNORE INTO usage VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0)")?
        .execute(params![account.day, account.agent_id, session, account.provider, account.model])?;
    Ok(())
}

fn spent_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Spent> {
    Ok(Spent {
        calls: count(row, at)?,
        input: count(row, at + 1)?,
        output: count(row, at + 2)?,
        cache_read: count(row, at + 3)?,
        cache_write: count(row, at + 4)?,
        cost_input: row.get(at + 5)?,
        cost_output: row.get(at + 6)?,
        cost_cache_read: row.get(at + 7)?,
        cost_cache_write: row.get(at + 8)?,
        missing_cost: count(row, at + 9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::memory;
    use super::*;

    fn account(day: i64, model: &'static str) -> Account<'static> {
        Account { day, agent_id: "main", session_key: Some("agent:main:main"), provider: "stub", model }
    }

    fn spent(input: u64) -> Spent {
        Spent { calls: 1, input, output: 1, cost_input: 0.5, ..Spent::default() }
    }

    fn days(from_day: i64, to_day: i64) -> Range<'static> {
        Range { from_day, to_day, ..Range::default() }
    }

    #[test]
    fn calls_add_up_per_day_and_model() {
        let conn = memory();
        for (day, model, input) in [(1, "a", 1), (1, "a", 2), (1, "b", 4), (2, "a", 8), (3, "a", 16)] {
            add(&conn, &account(day, model), &spent(input)).expect("adds");
        }
        let by_day = sums(&conn, &days(1, 2), By::Day).expect("sums");
        let inputs: Vec<_> = by_day.iter().map(|line| (line.day, line.spent.calls, line.spent.input)).collect();
        assert_eq!(inputs, [(1, 3, 7), (2, 1, 8)]);
        let by_model = sums(&conn, &days(1, 3), By::Model).expect("sums");
        let inputs: Vec<_> = by_model.iter().map(|line| (line.model.as_str(), line.spent.input)).collect();
        assert_eq!(inputs, [("a", 27), ("b", 4)]);
        assert_eq!(sums(&conn, &days(1, 3), By::DayAndModel).expect("sums").len(), 4);
        let all = total(&conn, &days(1, 3)).expect("sums");
        assert_eq!((all.calls, all.total_tokens(), all.total_cost()), (5, 36, 2.5));
        assert_eq!(total(&conn, &days(7, 9)).expect("sums"), Spent::default());
    }

    #[test]
    fn every_grouping_and_filter_is_valid_sql() {
        let conn = memory();
        add(&conn, &account(1, "a"), &spent(1)).expect("adds");
        add(&conn, &Account { agent_id: "other", session_key: None, ..account(1, "a") }, &spent(2)).expect("adds");
        for (by, lines) in
            [(By::Day, 1), (By::Agent, 2), (By::Session, 2), (By::Provider, 1), (By::Model, 1), (By::DayAndModel, 1)]
        {
            assert_eq!(sums(&conn, &days(0, 9), by).expect("sums").len(), lines, "{by:?}");
        }
        let one = Range { agent_id: Some("other"), ..days(0, 9) };
        assert_eq!(total(&conn, &one).expect("sums").input, 2);
        let one = Range { session_key: Some("agent:main:main"), ..days(0, 9) };
        assert_eq!(total(&conn, &one).expect("sums").input, 1);
    }

    #[test]
    fn old_days_are_forgotten_and_nonsense_costs_nothing() {
        let conn = memory();
        add(&conn, &account(1, "a"), &spent(1)).expect("adds");
        let odd = Spent { cost_output: f64::NAN, missing_cost: 1, ..spent(1) };
        add(&conn, &account(2 + DAYS_KEPT, "a"), &odd).expect("adds");
        let left = total(&conn, &days(0, 9_999)).expect("sums");
        assert_eq!((left.calls, left.total_cost(), left.missing_cost), (1, 0.5, 1));
    }

    #[test]
    fn a_day_of_one_shot_sessions_stays_small_and_loses_no_call() {
        let conn = memory();
        let many = DAY_ROWS_MAX as u64 + 50;
        for n in 0..many {
            let key = format!("agent:main:openai:{n}");
            add(&conn, &Account { session_key: Some(&key), ..account(1, "a") }, &spent(1)).expect("adds");
        }
        assert_eq!(total(&conn, &days(1, 1)).expect("sums").calls, many);
        let rows: i64 = conn.query_row("SELECT count(*) FROM usage", [], |row| row.get(0)).expect("counts");
        assert_eq!(rows, DAY_ROWS_MAX + 1);
    }
}

//! Counters of model use: one row per quarter of an hour, agent, session, provider and model.
//!
//! Counts every call, also those nobody saw. Deliberately knows no prices and no calendar: the caller brings the cost,
//! and every day of every time zone begins at a quarter of an hour.
//!
//! Invariants: counters only grow; what is more than [`DAYS_KEPT`] older than the newest is forgotten when a new row
//! begins; a day (UTC) has at most [`DAY_ROWS_MAX`] rows with sessions of their own, further ones are counted without
//! their key.

use std::ops::AddAssign;

use rusqlite::{Connection, Row, params};

use super::StoreError;
use super::sql::{count, money, signed, statement};

/// A year and a month: enough to compare with last year.
pub const DAYS_KEPT: i64 = 400;
/// One-shot API sessions must not grow the table by a row per request.
pub const DAY_ROWS_MAX: i64 = 1_000;
/// What one row counts, in milliseconds.
pub const SLOT_MS: i64 = 900_000;
/// What one call can have used, whatever the provider says: sums must never overflow.
const CALL_TOKENS_MAX: u64 = 1 << 40;
const DAY_SLOTS: i64 = 86_400_000 / SLOT_MS;

/// Whom a call is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// Quarters of an hour since 1970-01-01 UTC, see [`slot`].
    pub slot: i64,
    pub agent_id: &'a str,
    pub session_key: Option<&'a str>,
    pub provider: &'a str,
    pub model: &'a str,
}

/// The quarter of an hour of a time in milliseconds since 1970.
pub fn slot(ms: i64) -> i64 {
    ms.div_euclid(SLOT_MS)
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

impl AddAssign<&Spent> for Spent {
    fn add_assign(&mut self, more: &Spent) {
        let counts = [
            (&mut self.calls, more.calls),
            (&mut self.input, more.input),
            (&mut self.output, more.output),
            (&mut self.cache_read, more.cache_read),
            (&mut self.cache_write, more.cache_write),
            (&mut self.missing_cost, more.missing_cost),
        ];
        for (sum, n) in counts {
            *sum = sum.saturating_add(n);
        }
        self.cost_input += more.cost_input;
        self.cost_output += more.cost_output;
        self.cost_cache_read += more.cost_cache_read;
        self.cost_cache_write += more.cost_cache_write;
    }
}

/// Slots (both included) and whose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range<'a> {
    pub from: i64,
    pub to: i64,
    pub agent_id: Option<&'a str>,
    pub session_key: Option<&'a str>,
}

/// What was used in one slot; what it was not grouped by is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    pub slot: i64,
    pub agent_id: String,
    /// Empty: counted without a session.
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
    statement(conn, "DELETE FROM usage_slots WHERE slot < ?1")?.execute([account.slot - DAYS_KEPT * DAY_SLOTS])?;
    let day = account.slot - account.slot.rem_euclid(DAY_SLOTS);
    let rows: i64 = statement(conn, "SELECT count(*) FROM usage_slots WHERE slot BETWEEN ?1 AND ?2")?
        .query_row([day, day + DAY_SLOTS - 1], |row| row.get(0))?;
    let session = if rows < DAY_ROWS_MAX { session } else { "" };
    begin(conn, account, session)?;
    add_to(conn, account, session, spent)?;
    Ok(())
}

/// The rows of a range, newest first. `each` may not use the connection.
pub fn each(conn: &Connection, range: &Range<'_>, mut each: impl FnMut(Line)) -> Result<(), StoreError> {
    let columns = "slot, agent_id, session_key, provider, model";
    let sql = format!("SELECT {columns}, {COUNTERS} FROM usage_slots WHERE {WITHIN} ORDER BY slot DESC");
    let mut found = statement(conn, &sql)?;
    let mut rows = found.query(params![range.from, range.to, range.agent_id, range.session_key])?;
    while let Some(row) = rows.next()? {
        each(Line {
            slot: row.get(0)?,
            agent_id: row.get(1)?,
            session_key: row.get(2)?,
            provider: row.get(3)?,
            model: row.get(4)?,
            spent: spent_at(row, 5)?,
        });
    }
    Ok(())
}

/// The sums of a range's slots, oldest first; slots without a call are left out.
pub fn by_slot(conn: &Connection, range: &Range<'_>) -> Result<Vec<(i64, Spent)>, StoreError> {
    let sql = format!("SELECT slot, {SUMS} FROM usage_slots WHERE {WITHIN} GROUP BY slot ORDER BY slot");
    statement(conn, &sql)?
        .query_map(params![range.from, range.to, range.agent_id, range.session_key], |row| {
            Ok((row.get(0)?, spent_at(row, 1)?))
        })?
        .map(|line| line.map_err(StoreError::from))
        .collect()
}

/// The oldest slot something is counted in.
pub fn first_slot(conn: &Connection) -> Result<Option<i64>, StoreError> {
    Ok(statement(conn, "SELECT min(slot) FROM usage_slots")?.query_row([], |row| row.get(0))?)
}

const WITHIN: &str = "slot BETWEEN ?1 AND ?2 AND (?3 IS NULL OR agent_id = ?3) AND (?4 IS NULL OR session_key = ?4)";
const COUNTERS: &str = "calls, input, output, cache_read, cache_write, cost_input, cost_output, cost_cache_read,
    cost_cache_write, missing_cost";
const SUMS: &str = "sum(calls), sum(input), sum(output), sum(cache_read), sum(cache_write), total(cost_input),
    total(cost_output), total(cost_cache_read), total(cost_cache_write), sum(missing_cost)";

/// False when the row does not exist.
fn add_to(conn: &Connection, account: &Account<'_>, session: &str, spent: &Spent) -> Result<bool, StoreError> {
    let changed = statement(
        conn,
        "UPDATE usage_slots SET calls = calls + ?6, input = input + ?7, output = output + ?8,
            cache_read = cache_read + ?9, cache_write = cache_write + ?10, cost_input = cost_input + ?11,
            cost_output = cost_output + ?12, cost_cache_read = cost_cache_read + ?13,
            cost_cache_write = cost_cache_write + ?14, missing_cost = missing_cost + ?15
         WHERE slot = ?1 AND agent_id = ?2 AND session_key = ?3 AND provider = ?4 AND model = ?5",
    )?
    .execute(params![
        account.slot,
        account.agent_id,
        session,
        account.provider,
        account.model,
        signed(spent.calls),
        tokens(spent.input),
        tokens(spent.output),
        tokens(spent.cache_read),
        tokens(spent.cache_write),
        money(spent.cost_input),
        money(spent.cost_output),
        money(spent.cost_cache_read),
        money(spent.cost_cache_write),
        signed(spent.missing_cost)
    ])?;
    Ok(changed == 1)
}

fn tokens(n: u64) -> i64 {
    signed(n.min(CALL_TOKENS_MAX))
}

/// A row of zeros, unless it is there.
fn begin(conn: &Connection, account: &Account<'_>, session: &str) -> Result<(), StoreError> {
    statement(
        conn,
        "INSERT OR IGNORE INTO usage_slots VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0)",
    )?
    .execute(params![account.slot, account.agent_id, session, account.provider, account.model])?;
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

    const DAY: i64 = DAY_SLOTS;

    fn account(slot: i64, model: &'static str) -> Account<'static> {
        Account { slot, agent_id: "main", session_key: Some("agent:main:main"), provider: "stub", model }
    }

    fn spent(input: u64) -> Spent {
        Spent { calls: 1, input, output: 1, cost_input: 0.5, ..Spent::default() }
    }

    fn within(from: i64, to: i64) -> Range<'static> {
        Range { from, to, ..Range::default() }
    }

    fn total(conn: &Connection, range: &Range<'_>) -> Spent {
        let mut sum = Spent::default();
        by_slot(conn, range).expect("sums").iter().for_each(|(_, spent)| sum += spent);
        sum
    }

    #[test]
    fn calls_add_up_per_slot_and_model() {
        let conn = memory();
        for (slot, model, input) in [(1, "a", 1), (1, "a", 2), (1, "b", 4), (2, "a", 8), (3, "a", 16)] {
            add(&conn, &account(slot, model), &spent(input)).expect("adds");
        }
        let sums = by_slot(&conn, &within(1, 2)).expect("sums");
        let inputs: Vec<_> = sums.iter().map(|(slot, spent)| (*slot, spent.calls, spent.input)).collect();
        assert_eq!(inputs, [(1, 3, 7), (2, 1, 8)]);
        let mut rows = Vec::new();
        each(&conn, &within(1, 3), |line| rows.push((line.slot, line.model, line.spent.input))).expect("reads");
        rows.sort();
        let expected = [(1, "a", 3), (1, "b", 4), (2, "a", 8), (3, "a", 16)];
        assert_eq!(rows, expected.map(|(slot, model, input)| (slot, model.to_owned(), input)));
        let all = total(&conn, &within(1, 3));
        assert_eq!((all.calls, all.total_tokens(), all.total_cost()), (5, 36, 2.5));
        assert_eq!(total(&conn, &within(7, 9)), Spent::default());
        assert_eq!(first_slot(&conn).expect("reads"), Some(1));
    }

    #[test]
    fn a_range_can_be_of_one_agent_or_one_session() {
        let conn = memory();
        add(&conn, &account(1, "a"), &spent(1)).expect("adds");
        add(&conn, &Account { agent_id: "other", session_key: None, ..account(1, "a") }, &spent(2)).expect("adds");
        let one = Range { agent_id: Some("other"), ..within(0, 9) };
        assert_eq!(total(&conn, &one).input, 2);
        let one = Range { session_key: Some("agent:main:main"), ..within(0, 9) };
        assert_eq!(total(&conn, &one).input, 1);
    }

    #[test]
    fn old_days_are_forgotten_and_nonsense_costs_nothing() {
        let conn = memory();
        add(&conn, &account(DAY, "a"), &spent(1)).expect("adds");
        let odd = Spent { cost_output: f64::NAN, missing_cost: 1, output: u64::MAX, ..spent(1) };
        add(&conn, &account((2 + DAYS_KEPT) * DAY, "a"), &odd).expect("adds");
        add(&conn, &account((2 + DAYS_KEPT) * DAY, "a"), &odd).expect("adds");
        let left = total(&conn, &within(0, 9_999 * DAY));
        assert_eq!((left.calls, left.total_cost(), left.missing_cost), (2, 1.0, 2));
        assert_eq!(left.output, 2 * CALL_TOKENS_MAX);
    }

    #[test]
    fn a_day_of_one_shot_sessions_stays_small_and_loses_no_call() {
        let conn = memory();
        let many = DAY_ROWS_MAX as u64 + 50;
        for n in 0..many {
            let key = format!("agent:main:openai:{n}");
            let within_the_day = DAY + n as i64 % DAY;
            add(&conn, &Account { session_key: Some(&key), ..account(within_the_day, "a") }, &spent(1)).expect("adds");
        }
        assert_eq!(total(&conn, &within(DAY, 2 * DAY - 1)).calls, many);
        let rows: i64 = conn.query_row("SELECT count(*) FROM usage_slots", [], |row| row.get(0)).expect("counts");
        assert_eq!(rows, DAY_ROWS_MAX + 50, "one more for every slot that came after the cap");
    }

    #[test]
    fn counters_of_days_become_counters_of_the_noon_of_those_days() {
        let mut conn = Connection::open_in_memory().expect("opens");
        super::super::schema::migrate_to(&mut conn, 4).expect("the version before");
        conn.execute_batch(
            "INSERT INTO usage VALUES (3, 'main', 'agent:main:main', 'stub', 'a', 1, 2, 3, 4, 5, 0.5, 0, 0, 0, 0)",
        )
        .expect("a row of then");
        super::super::schema::migrate_to(&mut conn, usize::MAX).expect("the present version");
        let sums = by_slot(&conn, &within(0, 9 * DAY)).expect("sums");
        assert_eq!(sums.len(), 1);
        assert_eq!((sums[0].0, sums[0].1.input, sums[0].1.cost_input), (3 * DAY + DAY / 2, 2, 0.5));
    }
}

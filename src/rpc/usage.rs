//! `usage.cost` and `usage.status`, from the counters every run adds to.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;

use crate::auth::Caller;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext};
use crate::store::usage::{self, By, Range, Spent};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::usage::*;

/// Days of an answer when the caller names none, and at most.
const DAYS: i64 = 30;
const DAYS_MAX: i64 = 400;
const DAY_MS: u64 = 86_400_000;

pub fn cost(context: &TaskContext, _: &Arc<Caller>, params: UsageCostParams) -> Result<UsageCostResult, RpcError> {
    let now = clock::now_ms();
    let last = match &params.end_date {
        Some(date) => day_of(date)?,
        None => (now / DAY_MS) as i64,
    };
    let days = params.days.map_or(DAYS, |days| days.0 as i64);
    let first = match &params.start_date {
        Some(date) => day_of(date)?,
        None => last - days + 1,
    };
    if !(0..DAYS_MAX).contains(&(last - first)) {
        return Err(RpcError::invalid(format!("a range has 1 to {DAYS_MAX} days")));
    }
    let agent = params.agent_id.as_ref().map(|id| id.to_ascii_lowercase());
    let range = Range { from_day: first, to_day: last, agent_id: agent.as_deref(), session_key: None };
    let read = context
        .store
        .read("sum up usage", |conn| Ok((usage::sums(conn, &range, By::Day)?, usage::total(conn, &range)?)));
    let (lines, total) = read.map_err(stored)?;
    let spent: HashMap<i64, Spent> = lines.into_iter().map(|line| (line.day, line.spent)).collect();
    let daily = (first..=last)
        .map(|day| DayCost { date: date_of(day), cost: spent.get(&day).map_or_else(Cost::default, shown) });
    Ok(UsageCostResult {
        updated_at: now,
        days: (last - first + 1) as u64,
        daily: daily.collect(),
        totals: shown(&total),
        cache_status: CacheStatus { status: "fresh", cached_files: 0, pending_files: 0, stale_files: 0 },
    })
}

pub fn status(_: &mut State, _: &Arc<Caller>, _: UsageStatusParams, now: Now) -> Result<UsageStatusResult, RpcError> {
    Ok(UsageStatusResult { updated_at: now.ms, providers: [] })
}

fn shown(spent: &Spent) -> Cost {
    Cost {
        input: spent.input,
        output: spent.output,
        cache_read: spent.cache_read,
        cache_write: spent.cache_write,
        total_tokens: spent.total_tokens(),
        total_cost: spent.total_cost(),
        input_cost: spent.cost_input,
        output_cost: spent.cost_output,
        cache_read_cost: spent.cost_cache_read,
        cache_write_cost: spent.cost_cache_write,
        missing_cost_entries: spent.missing_cost,
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// `2026-11-22` -> days since 1970-01-01.
fn day_of(text: &str) -> Result<i64, RpcError> {
    let date: Date = text.parse().map_err(|_| RpcError::invalid(format!("{text:?} is no date (YYYY-MM-DD)")))?;
    let since = date.since(EPOCH).map_err(|_| RpcError::invalid(format!("{text:?} is out of range")))?;
    Ok(i64::from(since.get_days()))
}

fn date_of(day: i64) -> String {
    let span = jiff::Span::new().try_days(day).and_then(|days| EPOCH.checked_add(days));
    span.map_or_else(|_| EPOCH.to_string(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_the_same_thing() {
        assert_eq!(day_of("1970-01-02").expect("a date"), 1);
        assert_eq!(date_of(day_of("2026-11-22").expect("a date")), "2026-11-22");
        assert!(day_of("yesterday").is_err());
    }
}

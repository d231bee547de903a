//! `usage.cost` and `usage.status`, from the counters every run adds to.

use std::collections::HashMap;
use std::sync::Arc;

use super::calendar::{self, Days, Wanted};
use crate::auth::Caller;
use crate::config::Config;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext};
use crate::store::usage::{self, Range, Spent};
use crate::sys::clock;
use crate::wire::error::RpcError;
use crate::wire::usage::*;

pub fn cost(context: &TaskContext, _: &Arc<Caller>, params: UsageCostParams) -> Result<UsageCostResult, RpcError> {
    let now = clock::now_ms();
    let wanted = Wanted {
        mode: params.mode.unwrap_or_default(),
        time_zone: params.time_zone.as_deref(),
        utc_offset: params.utc_offset.as_deref(),
        start_date: params.start_date.as_deref(),
        end_date: params.end_date.as_deref(),
        days: Some(params.days.map_or(calendar::DAYS, |days| days.0 as i64)),
    };
    let days = Days::of(&wanted, now as i64, None)?;
    let agent = agent(&context.desk.shared.config.get(), params.agent_id.as_deref(), params.agent_scope)?;
    let range = Range { agent_id: agent.as_deref(), ..days.range() };
    let lines = context.store.read("sum up usage", |conn| usage::by_slot(conn, &range)).map_err(stored)?;
    let mut spent: HashMap<i64, Spent> = HashMap::new();
    let mut total = Spent::default();
    for (slot, line) in &lines {
        *spent.entry(days.day(*slot)).or_default() += line;
        total += line;
    }
    let daily = (days.first..=days.last)
        .map(|day| DayCost { date: calendar::written(day), cost: spent.get(&day).map_or_else(Cost::default, shown) });
    Ok(UsageCostResult {
        updated_at: now,
        days: (days.last - days.first + 1) as u64,
        daily: daily.collect(),
        totals: shown(&total),
        cache_status: CacheStatus::of(0),
    })
}

/// The agent that is meant; `None` is all of them.
pub fn agent(config: &Config, id: Option<&str>, scope: Option<AgentScope>) -> Result<Option<String>, RpcError> {
    match (id, scope) {
        (Some(_), Some(_)) => Err(RpcError::invalid("agentScope=all cannot be combined with key or agentId")),
        (None, Some(AgentScope::All)) => Ok(None),
        (Some(id), None) => Ok(Some(id.trim().to_ascii_lowercase())),
        (None, None) => Ok(Some(config.default_agent_id().to_owned())),
    }
}

pub fn status(_: &mut State, _: &Arc<Caller>, _: UsageStatusParams, now: Now) -> Result<UsageStatusResult, RpcError> {
    Ok(UsageStatusResult { updated_at: now.ms, providers: [] })
}

/// Counters as clients see them.
pub fn shown(spent: &Spent) -> Cost {
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

//! What one session used, answer by answer: `sessions.usage.timeseries` and `sessions.usage.logs`.
//!
//! Both read the transcript from its end, as far as one call may.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::chat::target;
use super::said::{Said, Used, shortened};
use super::session_usage::READ_MAX;
use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::hub::sessions::stored;
use crate::store::sessions as table;
use crate::store::transcript;
use crate::wire::error::RpcError;
use crate::wire::session_usage::*;

/// Points of a series: answers of a model, before and after they are put together.
const ANSWERS_MAX: usize = 20_000;
const POINTS_MAX: usize = 200;
/// Lines of a log when the caller names no number, and at most; characters of one.
const LOGS: u64 = 200;
const LOGS_MAX: u64 = 1_000;
const LOG_CHARS: usize = 2_000;

/// How the tokens of one session grew.
pub fn timeseries(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: UsageSeriesParams,
) -> Result<UsageSeriesResult, RpcError> {
    let (key, _) = target(&context.desk.shared.config.get(), &params.key, params.agent_id.as_deref())?;
    let found = context.store.read("read what a session used", |conn| {
        let Some(row) = table::get(conn, &key)? else { return Ok(None) };
        let (mut answers, mut left) = (Vec::new(), READ_MAX);
        transcript::scan(conn, &row.session_id, false, |seen| {
            left = left.saturating_sub(seen.message.len());
            if let Some(used) = used(seen.role, seen.message) {
                answers.push((seen.ts_ms, used));
            }
            if left == 0 || answers.len() >= ANSWERS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        answers.reverse();
        Ok(Some(UsageSeriesResult { session_id: row.session_id, points: points(&answers) }))
    });
    found.map_err(stored)?.ok_or_else(|| RpcError::invalid(format!("No transcript found for session: {key}")))
}

/// What one session used, message by message.
pub fn logs(context: &TaskContext, _: &Arc<Caller>, params: UsageLogsParams) -> Result<UsageLogsResult, RpcError> {
    let (key, _) = target(&context.desk.shared.config.get(), &params.key, params.agent_id.as_deref())?;
    let limit = params.limit.map_or(LOGS, |limit| limit.0).min(LOGS_MAX) as usize;
    let logs = context.store.read("read a session's messages", |conn| {
        let Some(row) = table::get(conn, &key)? else { return Ok(Vec::new()) };
        let (mut logs, mut left) = (Vec::new(), READ_MAX);
        transcript::scan(conn, &row.session_id, true, |seen| {
            left = left.saturating_sub(seen.message.len());
            logs.extend(log(&seen));
            if left == 0 || logs.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        logs.reverse();
        Ok(logs)
    });
    Ok(UsageLogsResult { logs: logs.map_err(stored)? })
}

fn log(seen: &transcript::Seen<'_>) -> Option<UsageLog> {
    let head = match seen.role {
        "user" | "assistant" => String::new(),
        "toolResult" => "[Tool Result]\n".to_owned(),
        _ => return None,
    };
    let used = used(seen.role, seen.message);
    let said = Said::read(seen.message)?;
    let head = said.tool_name.as_ref().map_or(head.clone(), |name| format!("[Tool: {name}]\n{head}"));
    let content = format!("{head}{}", said.text(|name| format!("[Tool: {name}]")));
    let content = shortened(content.trim(), LOG_CHARS);
    (!content.is_empty()).then(|| UsageLog {
        timestamp: seen.ts_ms,
        role: seen.role.to_owned(),
        content,
        tokens: used.map(|used| used.total_tokens),
        cost: used.map(|used| used.cost.total),
    })
}

fn used(role: &str, message: &str) -> Option<Used> {
    (role == "assistant").then(|| Said::read(message)?.usage).flatten()
}

/// At most [`POINTS_MAX`] points of answers, oldest first.
fn points(answers: &[(i64, Used)]) -> Vec<UsagePoint> {
    let step = answers.len().div_ceil(POINTS_MAX).max(1);
    let (mut tokens, mut cost) = (0u64, 0.0);
    let point = |some: &[(i64, Used)]| {
        let mut point = UsagePoint::default();
        for (at, used) in some {
            point.timestamp = *at;
            point.input = point.input.saturating_add(used.input);
            point.output = point.output.saturating_add(used.output);
            point.cache_read = point.cache_read.saturating_add(used.cache_read);
            point.cache_write = point.cache_write.saturating_add(used.cache_write);
            point.total_tokens = point.total_tokens.saturating_add(used.total_tokens);
            point.cost += used.cost.total;
        }
        tokens = tokens.saturating_add(point.total_tokens);
        cost += point.cost;
        (point.cumulative_tokens, point.cumulative_cost) = (tokens, cost);
        point
    };
    answers.chunks(step).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_put_together_and_adds_up() {
        let answers: Vec<(i64, Used)> =
            (0..1_001).map(|at| (at, Used { input: 1, total_tokens: 2, ..Used::default() })).collect();
        let points = points(&answers);
        assert_eq!((points.len(), points[0].total_tokens, points[0].timestamp), (167, 12, 5));
        let last = points.last().expect("a point");
        assert_eq!((last.timestamp, last.cumulative_tokens), (1_000, 2_002));
        assert!(super::points(&[]).is_empty());
    }

    #[test]
    fn a_log_line_names_tools_and_is_cut() {
        let seen = |role, message| transcript::Seen { row: 1, role, ts_ms: 7, message };
        let call = r#"{"content":[{"type":"text","text":"Look."},{"type":"toolCall","name":"exec"}],
            "usage":{"totalTokens":9,"cost":{"total":0.5}}}"#;
        let line = log(&seen("assistant", call)).expect("a line");
        assert_eq!((line.content.as_str(), line.tokens, line.cost), ("Look.\n[Tool: exec]", Some(9), Some(0.5)));
        let result = r#"{"toolName":"exec","content":[{"type":"text","text":"done"}]}"#;
        assert_eq!(log(&seen("toolResult", result)).expect("a line").content, "[Tool: exec]\n[Tool Result]\ndone");
        let long = format!(r#"{{"content":"{}"}}"#, "ä".repeat(3_000));
        assert_eq!(log(&seen("user", &long)).expect("a line").content.chars().count(), LOG_CHARS);
        assert!(log(&seen("compaction", "{}")).is_none());
        assert!(log(&seen("user", "no message")).is_none());
    }
}

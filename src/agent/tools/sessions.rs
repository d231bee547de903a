//! `sessions_list` and `sessions_history`: what else is talked about on this gateway.
//!
//! Reads only. Which sessions an agent may see is decided where they are read (`tools.sessions.visibility`).

use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome};

/// Rows of one list, and messages of one history.
const ROWS: usize = 200;
const ROWS_DEFAULT: usize = 100;
const MESSAGES_DEFAULT: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListArguments {
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
    #[serde(default, deserialize_with = "arguments::count")]
    offset: Option<usize>,
    #[serde(default, deserialize_with = "arguments::count")]
    active_minutes: Option<usize>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    search: Option<String>,
    #[serde(default)]
    archived: Option<Archived>,
    #[serde(default)]
    include_last_message: bool,
}

/// `true`: only archived sessions; `"all"`: those, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Archived {
    Only(bool),
    All(All),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryArguments {
    session_key: String,
    #[serde(default, deserialize_with = "arguments::count")]
    limit: Option<usize>,
    #[serde(default)]
    include_tools: bool,
}

/// What the tools want from the gateway; the answer is JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionsAsk {
    List(Box<ListAsk>),
    History { session_key: String, limit: usize, include_tools: bool },
}

/// Which sessions a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAsk {
    pub limit: usize,
    pub offset: usize,
    /// Changed within so many minutes.
    pub active_minutes: Option<u64>,
    /// Of `main`, `group`, `cron`, `hook`, `node`, `other`; empty: all.
    pub kinds: Vec<String>,
    pub agent_id: Option<String>,
    pub label: Option<String>,
    pub search: Option<String>,
    /// None: those that are not archived and those that are.
    pub archived: Option<bool>,
    pub last_message: bool,
}

const KINDS: [&str; 6] = ["main", "group", "cron", "hook", "node", "other"];

pub(super) fn sessions_list(given: Decoded<ListArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    if let Some(odd) = given.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Refusal::new(format!("kinds: {odd} is none of {}.", KINDS.join(", "))));
    }
    let text = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    answer(
        context,
        SessionsAsk::List(Box::new(ListAsk {
            limit: given.limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS),
            offset: given.offset.unwrap_or(0),
            active_minutes: given.active_minutes.map(|minutes| minutes as u64),
            kinds: given.kinds,
            agent_id: text(given.agent_id),
            label: text(given.label),
            search: text(given.search),
            archived: match given.archived {
                Some(Archived::All(_)) => None,
                Some(Archived::Only(only)) => Some(only),
                None => Some(false),
            },
            last_message: given.include_last_message,
        })),
    )
}

pub(super) fn sessions_history(
    given: Decoded<HistoryArguments>,
    context: &mut ToolContext,
) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    if given.session_key.trim().is_empty() {
        return Err(Refusal::new("sessionKey is empty; sessions_list shows the keys there are."));
    }
    answer(
        context,
        SessionsAsk::History {
            session_key: given.session_key,
            limit: given.limit.unwrap_or(MESSAGES_DEFAULT).clamp(1, ROWS),
            include_tools: given.include_tools,
        },
    )
}

fn answer(context: &ToolContext, ask: SessionsAsk) -> Result<ToolOutcome, Refusal> {
    let text = (context.sessions)(ask).map_err(Refusal::new)?;
    Ok(ToolOutcome::said(text, Details::Plain(Plain {})))
}

//! `sessions.usage`: who used how much of which model, and how much was said.
//!
//! Tokens and money are the counters of [`usage`], which know a session by its key: a reset does not part them. Messages
//! and tools are counted in the transcripts themselves, as far as one call may read.
//!
//! Invariants: totals are of everything, whatever is told one by one; what an answer holds is bounded however many
//! sessions there are, and it says `partial` when it could not hold all.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::Connection;

use super::calendar::{self, Days, Wanted};
use super::chat::target;
use super::said::Said;
use super::usage::{agent, shown};
use crate::auth::Caller;
use crate::hub::TaskContext;
use crate::hub::sessions::stored;
use crate::store::sessions::{self as table, SessionRow};
use crate::store::usage::{self, Line, Range, Spent};
use crate::store::{StoreError, transcript};
use crate::sys::clock;
use crate::sys::order;
use crate::wire::error::RpcError;
use crate::wire::session_usage::*;
use crate::wire::usage::{CacheStatus, Cost, DayCost};

/// Sessions told one by one when the caller names no number, and at most.
const TOLD: u64 = 50;
const TOLD_MAX: u64 = 1_000;
/// Sessions told apart; what more there are count in the totals only.
const SESSIONS_MAX: usize = 5_000;
/// Rows of days in one answer: a few hundred bytes each.
const DAY_ROWS_MAX: usize = 5_000;
/// Bytes of transcripts one call reads.
pub const READ_MAX: usize = 32 << 20;

pub fn usage(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SessionsUsageParams,
) -> Result<SessionsUsageResult, RpcError> {
    let config = context.desk.shared.config.get();
    if params.key.is_some() && params.agent_scope.is_some() {
        return Err(RpcError::invalid("agentScope=all cannot be combined with key or agentId"));
    }
    let (key, agent) = match &params.key {
        Some(key) => {
            let (key, agent) = target(&config, key, params.agent_id.as_deref())?;
            (Some(key), Some(agent))
        }
        None => (None, agent(&config, params.agent_id.as_deref(), params.agent_scope)?),
    };
    let family = params.group_by == Some(UsageGroup::Family)
        || (params.group_by.is_none() && params.include_historical == Some(true));
    let told = params.limit.map_or(TOLD, |limit| limit.0).min(TOLD_MAX) as usize;
    let now = clock::now_ms();
    let summed = context.store.read("sum up sessions", |conn| {
        let wanted = Wanted {
            mode: params.mode.unwrap_or_default(),
            time_zone: params.time_zone.as_deref(),
            utc_offset: params.utc_offset.as_deref(),
            start_date: params.start_date.as_deref(),
            end_date: params.end_date.as_deref(),
            days: match params.range {
                None | Some(UsageRange::Month) => Some(calendar::DAYS),
                Some(UsageRange::Week) => Some(7),
                Some(UsageRange::Quarter) => Some(90),
                Some(UsageRange::Year) => Some(365),
                Some(UsageRange::All) => None,
            },
        };
        let days = match Days::of(&wanted, now as i64, usage::first_slot(conn)?) {
            Ok(days) => days,
            Err(refused) => return Ok(Err(refused)),
        };
        let range = Range { agent_id: agent.as_deref(), session_key: key.as_deref(), ..days.range() };
        let mut sums = Sums::new(&days);
        usage::each(conn, &range, |line| sums.add(line))?;
        sums.count_messages(conn, told, family)?;
        let mut result = sums.finish(told, params.include_context_weight == Some(true));
        result.updated_at = now;
        Ok(Ok(result))
    });
    summed.map_err(stored)?
}

/// Everything of a range, taken apart while it is read.
struct Sums<'d> {
    days: &'d Days,
    totals: Spent,
    daily: Vec<(i64, Day)>,
    models: Vec<Model>,
    agents: Vec<(String, Spent)>,
    channels: Vec<(String, Spent)>,
    messages: MessageCounts,
    tools: Vec<ToolCount>,
    /// In the order of their last use.
    sessions: Vec<Session>,
    places: HashMap<String, usize>,
    /// Rows of days that sessions have so far.
    day_rows: usize,
    /// Sessions that something was left out of.
    pending: u64,
}

#[derive(Default)]
struct Day {
    spent: Spent,
    messages: MessageCounts,
}

struct Model {
    provider: String,
    model: String,
    spent: Spent,
}

struct Session {
    key: String,
    agent_id: String,
    spent: Spent,
    daily: Vec<(i64, Day)>,
    models: Vec<Model>,
    day_models: Vec<(i64, Model)>,
    row: Option<SessionRow>,
    ids: Vec<String>,
    /// `None`: its transcript was not read.
    messages: Option<MessageCounts>,
    tools: Vec<ToolCount>,
    first: Option<i64>,
    last: Option<i64>,
}

impl<'d> Sums<'d> {
    fn new(days: &'d Days) -> Sums<'d> {
        Sums {
            days,
            totals: Spent::default(),
            daily: Vec::new(),
            models: Vec::new(),
            agents: Vec::new(),
            channels: Vec::new(),
            messages: MessageCounts::default(),
            tools: Vec::new(),
            sessions: Vec::new(),
            places: HashMap::new(),
            day_rows: 0,
            pending: 0,
        }
    }

    /// Lines come newest first.
    fn add(&mut self, line: Line) {
        let day = self.days.day(line.slot);
        self.totals += &line.spent;
        day_of(&mut self.daily, day).spent += &line.spent;
        add_model(&mut self.models, &line);
        add_named(&mut self.agents, &line.agent_id, &line.spent);
        if line.session_key.is_empty() {
            return;
        }
        let at = match self.places.get(&line.session_key) {
            Some(at) => *at,
            None if self.sessions.len() >= SESSIONS_MAX => {
                self.pending += 1;
                return;
            }
            None => {
                self.places.insert(line.session_key.clone(), self.sessions.len());
                self.sessions.push(Session::new(line.session_key.clone(), line.agent_id.clone()));
                self.sessions.len() - 1
            }
        };
        let session = &mut self.sessions[at];
        session.spent += &line.spent;
        add_model(&mut session.models, &line);
        if self.day_rows < DAY_ROWS_MAX {
            let before = session.daily.len() + session.day_models.len();
            day_of(&mut session.daily, day).spent += &line.spent;
            let same = |known: &&mut (i64, Model)| {
                known.0 == day && known.1.model == line.model && known.1.provider == line.provider
            };
            match session.day_models.iter_mut().rev().find(same) {
                Some((_, model)) => model.spent += &line.spent,
                None => {
                    let model = Model { provider: line.provider, model: line.model, spent: line.spent };
                    session.day_models.push((day, model));
                }
            }
            self.day_rows += session.daily.len() + session.day_models.len() - before;
        }
    }

    /// Looks the sessions up, and reads the transcripts of the first `told`.
    fn count_messages(&mut self, conn: &Connection, told: usize, family: bool) -> Result<(), StoreError> {
        let span = self.days.span_ms();
        let mut left = READ_MAX;
        for (at, session) in self.sessions.iter_mut().enumerate() {
            session.row = table::get(conn, &session.key)?;
            let Some(row) = &session.row else { continue };
            if let Some(channel) = &row.channel {
                add_named(&mut self.channels, channel, &session.spent);
            }
            if at >= told {
                continue;
            }
            session.ids.push(row.session_id.clone());
            if family {
                let past = table::past(conn, &session.key)?;
                session.ids.extend(past.into_iter().rev().map(|past| past.session_id));
            }
            if left == 0 || self.day_rows >= DAY_ROWS_MAX {
                self.pending += 1;
                continue;
            }
            let before = session.daily.len();
            let mut counts = MessageCounts::default();
            for id in session.ids.clone() {
                transcript::scan(conn, &id, false, |seen| {
                    left = left.saturating_sub(seen.message.len());
                    if seen.ts_ms < span.start || left == 0 {
                        return ControlFlow::Break(());
                    }
                    if seen.ts_ms < span.end {
                        let one = session.count(seen);
                        add_counts(&mut counts, &one);
                        let day = day_of(&mut session.daily, self.days.day(usage::slot(seen.ts_ms)));
                        add_counts(&mut day.messages, &one);
                    }
                    ControlFlow::Continue(())
                })?;
            }
            self.day_rows += session.daily.len() - before;
            self.pending += u64::from(left == 0);
            session.messages = Some(counts);
            add_counts(&mut self.messages, &counts);
            for tool in &session.tools {
                add_tool(&mut self.tools, &tool.name, tool.count);
            }
            for (day, of_session) in &session.daily {
                add_counts(&mut day_of(&mut self.daily, *day).messages, &of_session.messages);
            }
        }
        Ok(())
    }

    fn finish(mut self, told: usize, weighed: bool) -> SessionsUsageResult {
        order::by_key(&mut self.daily, |(day, _)| *day);
        let mut providers: Vec<Model> = Vec::new();
        for model in &self.models {
            match providers.iter_mut().find(|known| known.provider == model.provider) {
                Some(known) => known.spent += &model.spent,
                None => {
                    let provider = model.provider.clone();
                    providers.push(Model { provider, model: String::new(), spent: model.spent });
                }
            }
        }
        let aggregates = Aggregates {
            session_count: self.sessions.len() as u64,
            messages: self.messages,
            tools: tools(self.tools),
            by_model: models(self.models),
            by_provider: models(providers),
            by_agent: by_cost(self.agents).map(|(agent_id, totals)| AgentUse { agent_id, totals }).collect(),
            by_channel: by_cost(self.channels).map(|(channel, totals)| ChannelUse { channel, totals }).collect(),
            cost_daily: self.daily.iter().map(|(day, one)| day_cost(*day, &one.spent)).collect(),
            daily: self.daily.iter().map(|(day, one)| day_sum(*day, one)).collect(),
        };
        let sessions = self.sessions.into_iter().take(told).map(|session| session.finish(weighed)).collect();
        SessionsUsageResult {
            updated_at: 0,
            start_date: calendar::written(self.days.first),
            end_date: calendar::written(self.days.last),
            sessions,
            totals: shown(&self.totals),
            aggregates,
            cache_status: CacheStatus::of(self.pending),
        }
    }
}

impl Session {
    fn new(key: String, agent_id: String) -> Session {
        Session {
            key,
            agent_id,
            spent: Spent::default(),
            daily: Vec::new(),
            models: Vec::new(),
            day_models: Vec::new(),
            row: None,
            ids: Vec::new(),
            messages: None,
            tools: Vec::new(),
            first: None,
            last: None,
        }
    }

    /// One message of the range.
    fn count(&mut self, seen: transcript::Seen<'_>) -> MessageCounts {
        let mut one = MessageCounts::default();
        match seen.role {
            "user" => (one.total, one.user) = (1, 1),
            "assistant" => {
                (one.total, one.assistant) = (1, 1);
                let reason = Said::read(seen.message).and_then(|said| said.stop_reason);
                one.errors = u64::from(reason.as_deref() == Some("error"));
            }
            "toolResult" => {
                let said = Said::read(seen.message).unwrap_or_default();
                // Every call has exactly one result: the agent sees to it.
                (one.tool_calls, one.tool_results, one.errors) = (1, 1, u64::from(said.is_error));
                add_tool(&mut self.tools, said.tool_name.as_deref().unwrap_or("tool"), 1);
            }
            _ => return one,
        }
        self.first = Some(self.first.map_or(seen.ts_ms, |first| first.min(seen.ts_ms)));
        self.last = Some(self.last.map_or(seen.ts_ms, |last| last.max(seen.ts_ms)));
        one
    }

    fn finish(mut self, weighed: bool) -> SessionUsage {
        order::by_key(&mut self.daily, |(day, _)| *day);
        order::by_key(&mut self.day_models, |(day, _)| *day);
        let family = self.ids.len() > 1;
        let (row, spent) = (self.row, self.spent);
        let session_id = row.as_ref().map(|row| row.session_id.clone());
        let spoke = |day: &&(i64, Day)| day.1.messages != MessageCounts::default();
        let usage = SessionSpent {
            session_id: session_id.clone(),
            first_activity: self.first,
            last_activity: self.last,
            duration_ms: self.first.zip(self.last).map(|(first, last)| last - first),
            activity_dates: self.daily.iter().map(|(day, _)| calendar::written(*day)).collect(),
            daily_breakdown: self
                .daily
                .iter()
                .filter(|(_, one)| one.spent.calls > 0)
                .map(|(day, one)| DayUse {
                    date: calendar::written(*day),
                    tokens: one.spent.total_tokens(),
                    cost: one.spent.total_cost(),
                    split: shown(&one.spent),
                })
                .collect(),
            daily_message_counts: self
                .daily
                .iter()
                .filter(spoke)
                .map(|(day, one)| DayMessages { date: calendar::written(*day), counts: one.messages })
                .collect(),
            daily_model_usage: self
                .day_models
                .into_iter()
                .map(|(day, one)| DayModel {
                    date: calendar::written(day),
                    tokens: one.spent.total_tokens(),
                    cost: one.spent.total_cost(),
                    count: one.spent.calls,
                    provider: one.provider,
                    model: one.model,
                })
                .collect(),
            tool_usage: self.messages.map(|_| tools(self.tools)),
            message_counts: self.messages,
            model_usage: models(self.models),
            cost: shown(&spent),
        };
        SessionUsage {
            session_family_key: self.key.clone(),
            key: self.key,
            label: row.as_ref().and_then(|row| row.label.clone().or(row.display_name.clone())),
            session_id,
            scope: if family { "family" } else { "instance" },
            included_session_ids: self.ids,
            updated_at: row.as_ref().map(|row| row.updated_at_ms),
            agent_id: self.agent_id,
            channel: row.as_ref().and_then(|row| row.channel.clone()),
            chat_type: row.as_ref().and_then(|row| row.chat_type.clone()),
            model_override: row.as_ref().and_then(|row| row.model_override.clone()),
            model_provider: row.as_ref().and_then(|row| row.model_provider.clone()),
            model: row.and_then(|row| row.model),
            usage,
            has_context_weight: false,
            context_weight: weighed.then_some(()),
        }
    }
}

fn day_of(days: &mut Vec<(i64, Day)>, day: i64) -> &mut Day {
    // Days come in their order, one way or the other: the last is nearly always the one.
    let at = days.iter().rposition(|known| known.0 == day).unwrap_or_else(|| {
        days.push((day, Day::default()));
        days.len() - 1
    });
    &mut days[at].1
}

fn add_model(models: &mut Vec<Model>, line: &Line) {
    match models.iter_mut().find(|known| known.model == line.model && known.provider == line.provider) {
        Some(known) => known.spent += &line.spent,
        None => {
            let (provider, model) = (line.provider.clone(), line.model.clone());
            models.push(Model { provider, model, spent: line.spent });
        }
    }
}

fn add_named(sums: &mut Vec<(String, Spent)>, name: &str, spent: &Spent) {
    match sums.iter_mut().find(|known| known.0 == name) {
        Some(known) => known.1 += spent,
        None => sums.push((name.to_owned(), *spent)),
    }
}

fn add_tool(tools: &mut Vec<ToolCount>, name: &str, count: u64) {
    match tools.iter_mut().find(|known| known.name == name) {
        Some(known) => known.count += count,
        None => tools.push(ToolCount { name: name.to_owned(), count }),
    }
}

fn add_counts(sum: &mut MessageCounts, more: &MessageCounts) {
    sum.total += more.total;
    sum.user += more.user;
    sum.assistant += more.assistant;
    sum.tool_calls += more.tool_calls;
    sum.tool_results += more.tool_results;
    sum.errors += more.errors;
}

fn tools(mut tools: Vec<ToolCount>) -> ToolUse {
    order::by_key(&mut tools, |tool| std::cmp::Reverse(tool.count));
    ToolUse { total_calls: tools.iter().map(|tool| tool.count).sum(), unique_tools: tools.len() as u64, tools }
}

/// The dearest first, and where nothing is known to cost, the most used.
fn models(mut models: Vec<Model>) -> Vec<ModelUse> {
    order::by(&mut models, |a, b| dearer(&a.spent, &b.spent));
    let named = |model: String| (!model.is_empty()).then_some(model);
    let shown_model = |one: Model| ModelUse {
        provider: one.provider,
        model: named(one.model),
        count: one.spent.calls,
        totals: shown(&one.spent),
    };
    models.into_iter().map(shown_model).collect()
}

fn by_cost(mut sums: Vec<(String, Spent)>) -> impl Iterator<Item = (String, Cost)> {
    order::by(&mut sums, |a, b| dearer(&a.1, &b.1));
    sums.into_iter().map(|(name, spent)| (name, shown(&spent)))
}

/// The one that cost more first; what costs nothing, by tokens.
fn dearer(a: &Spent, b: &Spent) -> Ordering {
    let by_cost = b.total_cost().total_cmp(&a.total_cost());
    by_cost.then(b.total_tokens().cmp(&a.total_tokens()))
}

fn day_cost(day: i64, spent: &Spent) -> DayCost {
    DayCost { date: calendar::written(day), cost: shown(spent) }
}

fn day_sum(day: i64, one: &Day) -> DaySum {
    DaySum {
        date: calendar::written(day),
        tokens: one.spent.total_tokens(),
        cost: one.spent.total_cost(),
        messages: one.messages.total,
        tool_calls: one.messages.tool_calls,
        errors: one.messages.errors,
    }
}

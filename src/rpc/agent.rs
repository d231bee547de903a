//! `agent` and `agent.wait`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::chat::{attachments, fold, run_limit, target};
use super::delivery::{self, Place, filled};
use crate::auth::Caller;
use crate::hub::ground::Ground;
use crate::hub::run::{Delivery, Input, NewRun, PromptScope, Starter};
use crate::hub::{Now, State, Ticket, main_key};
use crate::store::StoreError;
use crate::store::sessions::{self, Archived, ListFilter, SessionRow};
use crate::wire::agent::{AgentParams, AgentWaitParams, BootstrapMode, PromptMode, ReplyMode};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::scope::Scope;
use crate::wire::session;

/// How long `agent.wait` waits when the caller does not say (milliseconds).
const WAIT_MS: u64 = 30_000;

/// Commands that change a session's life need more than the right to write, and so does a directory of the host: it is open
/// to the agent's tools like its workspace.
pub fn scope(params: &AgentParams) -> Scope {
    if params.cwd.is_some() {
        return Scope::Admin;
    }
    let word = params.message.split_whitespace().next().unwrap_or("");
    let starts = params.message.starts_with(word);
    match starts && ["/new", "/reset"].iter().any(|command| word.eq_ignore_ascii_case(command)) {
        true => Scope::Admin,
        false => Scope::Write,
    }
}

pub fn start(state: &mut State, who: &Arc<Caller>, params: AgentParams, ticket: Ticket, now: Now) {
    let asked = match Asked::of(state, who, params, ticket.received) {
        Ok(asked) => asked,
        Err(error) => return ticket.answer(Err(error)),
    };
    let session = match (&asked.session_id, &asked.place) {
        (Some(id), _) => Session::Id { id: id.clone(), agent: asked.agent.clone() },
        (None, Some(Place::Last(_))) => Session::Key(asked.run.session_key.to_string()),
        _ => return asked.begin(state, None, ticket, now),
    };
    state.change_session(
        ticket,
        "find a session",
        move |conn| session.row(conn),
        move |state, ticket, row, now| asked.begin(state, row, ticket, now),
    );
}

/// A session that is looked up before a run of it begins.
enum Session {
    /// By its transcript, of this agent or of any.
    Id {
        id: String,
        agent: Option<String>,
    },
    Key(String),
}

impl Session {
    fn row(&self, conn: &Connection) -> Result<Result<Option<SessionRow>, RpcError>, StoreError> {
        let (id, agent) = match self {
            Session::Key(key) => return Ok(Ok(sessions::get(conn, key)?)),
            Session::Id { id, agent } => (id, agent),
        };
        let filter = ListFilter {
            session_id: Some(id.clone()),
            archived: Archived::Shown,
            agent_id: agent.clone(),
            limit: 1,
            ..ListFilter::default()
        };
        let row = sessions::list(conn, &filter)?.0.pop();
        Ok(match row {
            Some(row) => Ok(Some(row)),
            None => Err(RpcError::invalid(format!("No session found: {}", cut(id, 128)))),
        })
    }
}

/// A turn that is asked for, as far as its session need not be known.
struct Asked {
    run: NewRun,
    /// Which session, when only its transcript is named.
    session_id: Option<String>,
    /// The agent that was named.
    agent: Option<String>,
    /// Where the answer goes too.
    place: Option<Place>,
    /// Why it cannot go there, though it should.
    misplaced: Option<RpcError>,
    best_effort: Option<bool>,
}

impl Asked {
    fn of(state: &State, who: &Arc<Caller>, params: AgentParams, received: Instant) -> Result<Asked, RpcError> {
        let config = state.shared.config.get();
        let to = delivery::Asked {
            channel: filled(params.channel.as_deref()),
            account: filled(params.account_id.as_deref()),
            to: filled(params.to.as_deref()),
            thread: filled(params.thread_id.as_deref()),
        };
        let reply_channel = filled(params.reply_channel.as_deref());
        // An account belongs to its messenger.
        let same = reply_channel.is_none() || reply_channel == to.channel;
        let reply = delivery::Asked {
            channel: reply_channel.or(to.channel),
            account: filled(params.reply_account_id.as_deref()).or(to.account.filter(|_| same)),
            to: filled(params.reply_to.as_deref()).or(to.to),
            thread: to.thread,
        };
        let key = filled(params.session_key.as_deref());
        let session_id = filled(params.session_id.as_deref()).filter(|_| key.is_none()).map(str::to_owned);
        let recipient = to.to.filter(|_| key.is_none() && session_id.is_none());
        let of_recipient = match recipient.map(|_| to.place(&config)).transpose()? {
            Some(Place::Named(target)) => delivery::session_of(&config, &target, params.agent_id.as_deref()),
            _ => None,
        };
        let key = of_recipient.as_ref().map(|route| route.session_key.as_str()).or(key);
        let (session_key, agent_id) = target(&config, key.unwrap_or(main_key(&config)), params.agent_id.as_deref())?;
        let by_tool = params.source_reply_delivery_mode == Some(ReplyMode::MessageToolOnly);
        let (place, misplaced) = match params.deliver == Some(true) && !by_tool {
            false => (None, None),
            true => match reply.place(&config) {
                Ok(place) => (Some(place), None),
                Err(error) => (None, Some(error)),
            },
        };
        let mut text = params.message.0;
        let parts = fold(attachments(&params.attachments, state.shared.boot.attachments())?, &mut text);
        let (provider, model) = (filled(params.provider.as_deref()), filled(params.model.as_deref()));
        let model = match (provider, model) {
            (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
            (None, model) => model.map(str::to_owned),
            (Some(_), None) => {
                return Err(RpcError::invalid("provider without model: pass both, or `model` as provider/model"));
            }
        };
        let model_only = params.model_run == Some(true);
        let limit = params.timeout.map(|s| s.0).filter(|s| *s > 0).map(Duration::from_secs);
        let ground = Ground { session_id: params.expected_existing_session_id.map(|id| id.0), leaf: None };
        let run = NewRun {
            run_id: params.idempotency_key.0.as_str().into(),
            session_key: session_key.into(),
            agent_id: agent_id.into(),
            input: Input {
                text: text.into(),
                parts,
                extra_system: params.extra_system_prompt.filter(|s| !s.trim().is_empty()),
                model,
                thinking: params.thinking,
                commands: true,
                admin: who.scopes.allows(Scope::Admin),
                created_via: "operator",
                label: params.label.map(|label| label.0),
                cwd: params.cwd.map(|path| directory(&path)).transpose()?,
                light: params.bootstrap_context_mode == Some(BootstrapMode::Lightweight),
                prompt: match params.prompt_mode {
                    _ if model_only => PromptScope::None,
                    None | Some(PromptMode::Full) => PromptScope::Full,
                    Some(PromptMode::Minimal) => PromptScope::Minimal,
                    Some(PromptMode::None) => PromptScope::None,
                },
                model_only,
                no_message: params.disable_message_tool == Some(true),
                ground: ground.session_id.is_some().then(|| Box::new(ground)),
                ..Input::default()
            },
            starter: Starter::Inbox,
            conn: who.conn,
            timeout: Some(limit.unwrap_or_else(|| run_limit(&config))),
            received,
        };
        let agent = params.agent_id.map(|id| id.trim().to_ascii_lowercase());
        Ok(Asked { run, session_id, agent, place, misplaced, best_effort: params.best_effort_deliver })
    }

    /// Begins the turn. Without a place for its answer it is not made, unless that was left to chance.
    fn begin(self, state: &mut State, row: Option<SessionRow>, ticket: Ticket, now: Now) {
        let mut run = self.run;
        if let Some(row) = row.as_ref().filter(|_| self.session_id.is_some()) {
            (run.session_key, run.agent_id) = (row.key.as_str().into(), row.agent_id.as_str().into());
        }
        let found = match (self.place, self.misplaced) {
            (Some(place), _) => place.find(state, &run.agent_id, &run.session_key, row.as_ref()),
            (None, Some(error)) => Err(error),
            (None, None) => return state.begin_run(NewRun { starter: Starter::Agent(ticket), ..run }, now),
        };
        match found {
            Ok(target) => {
                run.input.reply = Some(Box::new(target));
                run.input.delivery = Some(Delivery::Wanted);
            }
            Err(error) => {
                // In a main session the answer is worth having anyway, as in the reference.
                let main = session::canonical("main", &run.agent_id, main_key(&state.shared.config.get()));
                if !self.best_effort.unwrap_or(*run.session_key == *main) {
                    return ticket.answer(Err(error));
                }
                log::info!("the answer of run {} is not delivered: {}", cut(&run.run_id, 64), error.message);
                run.input.delivery = Some(Delivery::Impossible("no_delivery_target"));
            }
        }
        state.begin_delivered(NewRun { starter: Starter::Agent(ticket), ..run }, now);
    }
}

/// Where tools are to start. Whether it is there is seen by the tools: a disk may be slow, and the state thread waits for
/// none.
fn directory(path: &str) -> Result<PathBuf, RpcError> {
    let absolute = Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    absolute.ok_or_else(|| RpcError::invalid(format!("cwd \"{}\" is not an absolute path", cut(path, 256))))
}

pub fn wait(state: &mut State, _: &Arc<Caller>, params: AgentWaitParams, ticket: Ticket, now: Now) {
    state.wait_for_run(&params.run_id, params.timeout_ms.map_or(WAIT_MS, |ms| ms.0), ticket, now);
}

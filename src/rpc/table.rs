//! The method table. Dispatch, scope checks, hello-ok's list and the documentation come from its rows.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    agent, agent_change, agent_files, agents, approvals, channels, chat, chat_inject, chat_read, config, config_read,
    cron, devices, diagnostics, exec_approvals, gateway, health, logs, models, nodes, questions, secrets, send,
    session_branch, session_change, session_compact, session_groups, session_read, session_search, session_spent,
    session_upkeep, session_usage, sessions, skills, suggestions, system, tasks, tools, usage, users,
};
use crate::auth::Caller;
use crate::hub::event::Job;
use crate::hub::{Now, State, TaskContext, Ticket};
use crate::wire::decode;
use crate::wire::error::RpcError;
use crate::wire::frame::Payload;
use crate::wire::scope::Scope;

/// What a caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any admitted connection, nodes included.
    Any,
    Scope(Scope),
    /// To be a node: operators are refused.
    Node,
    /// It depends on the params.
    Dynamic,
}

/// One row.
pub struct Method {
    pub name: &'static str,
    pub doc: &'static str,
    pub need: Need,
    /// Version of the reference that has it.
    pub since: &'static str,
    /// Changes settings: at most 30 calls in 60 s per client.
    pub write: bool,
    /// Named in hello-ok. Some are for clients that know of them.
    pub listed: bool,
    /// Names of the params and the result, as in the published schema.
    pub shape: fn() -> (&'static str, &'static str),
    prepare: fn(&'static str, Option<&RawValue>) -> Result<Prepared, RpcError>,
}

/// A call that is ready to be made.
pub struct Prepared {
    /// The scope it needs, now that the params are known.
    pub need: Option<Scope>,
    pub job: Job,
}

impl Method {
    /// Decodes params; done on the connection's thread, so that bad ones cost the others nothing.
    pub fn prepare(&self, params: Option<&RawValue>) -> Result<Prepared, RpcError> {
        (self.prepare)(self.name, params)
    }
}

macro_rules! methods {
    ($( $(#[doc = $doc:literal])+ $name:literal: $need:ident $(($by:path))?, $since:literal, $kind:ident $handler:path $(, $flag:ident)*; )*) => {
        /// Every method this gateway has, by name.
        pub static METHODS: &[Method] = &[ $( Method {
            name: $name,
            doc: concat!($($doc),+),
            need: methods!(@need $need),
            since: $since,
            write: methods!(@write $($flag)*),
            listed: methods!(@listed $($flag)*),
            shape: || methods!(@shape $kind)($handler),
            prepare: |name, raw| methods!(@prepare $kind)(name, raw, methods!(@scope $need $($by)?), $handler),
        } ),* ];
    };
    (@need Any) => { Need::Any };
    (@need Node) => { Need::Node };
    (@need By) => { Need::Dynamic };
    (@need $scope:ident) => { Need::Scope(Scope::$scope) };
    (@scope Any) => { |_| None };
    (@scope Node) => { |_| None };
    (@scope By $by:path) => { |params| Some($by(params)) };
    (@scope $scope:ident) => { |_| Some(Scope::$scope) };
    (@write write) => { true };
    (@write $($flag:ident)*) => { false };
    (@listed unlisted) => { false };
    (@listed $($flag:ident)*) => { true };
    (@shape state) => { state_shape };
    (@shape ticket) => { ticket_shape };
    (@shape task) => { task_shape };
    (@prepare state) => { on_state };
    (@prepare ticket) => { on_ticket };
    (@prepare task) => { on_task };
}

methods! {
    /// Starts an agent turn; answers when the message is safe, and again when the run has ended.
    "agent": By(agent::scope), "<=2026.7", ticket agent::start;
    /// The name and face of an agent.
    "agent.identity.get": Read, "<=2026.7", task agents::identity;
    /// Waits for the end of a run.
    "agent.wait": Write, "<=2026.7", ticket agent::wait;
    /// Makes an agent.
    "agents.create": Admin, "<=2026.7", task agent_change::create;
    /// Removes an agent; its files are moved aside.
    "agents.delete": Admin, "<=2026.7", task agent_change::delete;
    /// One file of an agent that goes into its prompts.
    "agents.files.get": Read, "<=2026.7", task agent_files::get;
    /// The files of an agent that go into its prompts.
    "agents.files.list": Read, "<=2026.7", task agent_files::list;
    /// Writes a file of an agent that goes into its prompts.
    "agents.files.set": Admin, "<=2026.7", task agent_files::set;
    /// The agents of the configuration.
    "agents.list": Read, "<=2026.7", state agents::list;
    /// Changes an agent: its name, home, model, face.
    "agents.update": Admin, "<=2026.7", task agent_change::update;
    /// A file of an agent's home.
    "agents.workspace.get": Read, "2026.7", task agent_files::workspace_get;
    /// A directory of an agent's home.
    "agents.workspace.list": Read, "2026.7", task agent_files::workspace_list;
    /// One approval, waiting or decided.
    "approval.get": Approvals, "2026.7", task approvals::get;
    /// Decided approvals, newest first.
    "approval.history": Approvals, "2026.7", task approvals::history;
    /// Decides on what waits for approval.
    "approval.resolve": Approvals, "2026.7", ticket approvals::resolve;
    /// Stops an account and forgets its reading position and who was let in.
    "channels.logout": Admin, "<=2026.7", task channels::logout;
    /// Lets somebody in who asked for it in a messenger.
    "channels.pairing.approve": By(channels::approve_scope), "2026.7", task channels::pairing_approve;
    /// Forgets a request of somebody who wants to be let in.
    "channels.pairing.dismiss": Pairing, "2026.7", task channels::pairing_dismiss;
    /// Those who wrote in a messenger and wait to be let in.
    "channels.pairing.list": Pairing, "2026.7", task channels::pairing_list;
    /// Starts the accounts of a messenger that were stopped.
    "channels.start": Admin, "<=2026.7", state channels::start;
    /// The messengers and their accounts, with what is known of each.
    "channels.status": Read, "<=2026.7", task channels::status;
    /// Stops the accounts of a messenger.
    "channels.stop": Admin, "<=2026.7", state channels::stop;
    /// Stops the runs of a session, or one of them.
    "chat.abort": Write, "<=2026.7", state chat::abort;
    /// The messages of a session, newest page first, with the run in flight.
    "chat.history": Read, "<=2026.7", task chat::history;
    /// Puts a note of an operator into a session; no turn begins.
    "chat.inject": Admin, "<=2026.7", ticket chat_inject::inject, unlisted;
    /// One message whole.
    "chat.message.get": Read, "<=2026.7", task chat_read::message_get;
    /// The models and commands of a chat.
    "chat.metadata": Read, "<=2026.7", task chat_read::metadata;
    /// Says something in a session and starts the turn that answers it.
    "chat.send": Write, "<=2026.7", ticket chat::send;
    /// The first page of a session's history with the models and commands of a chat.
    "chat.startup": Read, "<=2026.7", task chat_read::startup;
    /// The slash commands of a conversation.
    "commands.list": Read, "<=2026.7", task chat_read::commands;
    /// Replaces the configuration file and waits until it is in force.
    "config.apply": Admin, "<=2026.7", task config::apply, write;
    /// The configuration without its secrets.
    "config.get": Read, "<=2026.7", task config_read::get;
    /// Merges an object into the configuration file and waits until it is in force.
    "config.patch": Admin, "<=2026.7", task config::patch, write;
    /// What the configuration file may say, as a JSON Schema.
    "config.schema": Read, "<=2026.7", task config::schema;
    /// What one key of the configuration file may say, and what is below it.
    "config.schema.lookup": Read, "<=2026.7", task config::lookup;
    /// Replaces the configuration file; the answer comes when it is on disk.
    "config.set": Admin, "<=2026.7", task config::set, write;
    /// Makes a scheduled job.
    "cron.add": Admin, "<=2026.7", ticket cron::add, write;
    /// One scheduled job.
    "cron.get": Read, "<=2026.7", state cron::get;
    /// The scheduled jobs.
    "cron.list": Read, "<=2026.7", state cron::list;
    /// Removes a scheduled job and stops its run.
    "cron.remove": Admin, "<=2026.7", ticket cron::remove, write;
    /// Runs a job now, whatever its schedule says; answers when the run is sure to be made.
    "cron.run": Admin, "<=2026.7", ticket cron::run, write;
    /// The history of runs of scheduled jobs.
    "cron.runs": Read, "<=2026.7", task cron::runs;
    /// Whether the scheduler runs, and when it wakes next.
    "cron.status": Read, "<=2026.7", state cron::status;
    /// Changes a scheduled job.
    "cron.update": Admin, "<=2026.7", ticket cron::update, write;
    /// Lets a device in that asked for it, with the scopes it asked for.
    "device.pair.approve": Pairing, "<=2026.7", ticket devices::approve;
    /// The devices that were let in, and those that wait.
    "device.pair.list": Pairing, "<=2026.7", state devices::list;
    /// Turns a waiting device away.
    "device.pair.reject": Pairing, "<=2026.7", ticket devices::reject;
    /// Forgets a device; its connections are closed.
    "device.pair.remove": Pairing, "<=2026.7", ticket devices::remove;
    /// Gives a device a name.
    "device.pair.rename": Pairing, "2026.7", ticket devices::rename;
    /// Makes an invitation for one new device, good once and for ten minutes.
    "device.pair.setupCode": Admin, "<=2026.7", state devices::setup_code;
    /// What has become of an invitation.
    "device.pair.setupStatus": Admin, "2026.8", state devices::setup_status, unlisted;
    /// Asks for more scopes than the device has.
    "device.scopes.requestUpgrade": Read, "2026.8", state devices::request_upgrade;
    /// Waits until that was decided, and gives the new token when it was granted.
    "device.scopes.waitUpgrade": Read, "2026.8", ticket devices::wait_upgrade;
    /// Ends a token of a device for good.
    "device.token.revoke": Pairing, "<=2026.7", ticket devices::revoke;
    /// Replaces a token of a device.
    "device.token.rotate": Pairing, "<=2026.7", ticket devices::rotate;
    /// The queues of the gateway: what is at work, what waits.
    "diagnostics.lanes": Read, "2026.8", state diagnostics::lanes;
    /// What happened lately, without a word that anybody said.
    "diagnostics.stability": Read, "<=2026.7", task diagnostics::stability;
    /// One command that waits for approval.
    "exec.approval.get": Approvals, "<=2026.7", state approvals::exec_get;
    /// Commands that wait for approval.
    "exec.approval.list": Approvals, "<=2026.7", state approvals::exec_list;
    /// Asks for the approval of a command.
    "exec.approval.request": Approvals, "<=2026.7", ticket approvals::exec_request;
    /// Decides on a command that waits.
    "exec.approval.resolve": Approvals, "<=2026.7", ticket approvals::exec_resolve;
    /// Waits for the decision on a command.
    "exec.approval.waitDecision": Approvals, "<=2026.7", ticket approvals::exec_wait;
    /// The rules about which commands run without being asked about.
    "exec.approvals.get": Admin, "<=2026.7", state exec_approvals::get;
    /// Replaces the rules about commands.
    "exec.approvals.set": Admin, "<=2026.7", ticket exec_approvals::set, write;
    /// The key this gateway is known by.
    "gateway.identity.get": Read, "<=2026.7", task gateway::identity;
    /// Whether a restart would interrupt something.
    "gateway.restart.preflight": Read, "<=2026.7", state gateway::preflight;
    /// Starts the gateway over; what is made may end first.
    "gateway.restart.request": Admin, "<=2026.7", state gateway::restart, write;
    /// Holds the gateway still for its host, if nothing is being made.
    "gateway.suspend.prepare": Admin, "2026.7", state gateway::prepare;
    /// Ends a suspension.
    "gateway.suspend.resume": Admin, "2026.7", state gateway::resume;
    /// Whether a suspension holds.
    "gateway.suspend.status": Read, "2026.7", state gateway::status;
    /// Whether the gateway is well.
    "health": Any, "<=2026.7", state health::health;
    /// What the last heartbeat came to.
    "last-heartbeat": Read, "<=2026.7", state cron::last_heartbeat;
    /// The end of the log file, or what came after a cursor.
    "logs.tail": Read, "<=2026.7", task logs::tail;
    /// Does something in a messenger; `send` is what there is.
    "message.action": Write, "<=2026.7", ticket send::action;
    /// Which providers of models have what they need.
    "models.authStatus": Read, "<=2026.7", state agents::auth_status;
    /// The models that can be chosen.
    "models.list": Read, "<=2026.7", state models::list;
    /// Asks a provider for a word with each of its credentials, and says how that went.
    "models.probe": Admin, "<=2026.7", task models::probe;
    /// One node: what it offers, how it is.
    "node.describe": Read, "<=2026.7", state nodes::describe;
    /// A node reports about itself.
    "node.event": Node, "<=2026.7", state nodes::event;
    /// Asks a node to do something, and waits for its answer.
    "node.invoke": By(nodes::scope), "<=2026.7", ticket nodes::invoke;
    /// A node says how far it has come with a call.
    "node.invoke.progress": Node, "<=2026.7", state nodes::invoke_progress;
    /// A node answers a call.
    "node.invoke.result": Node, "<=2026.7", state nodes::invoke_result;
    /// The nodes that were let in, with what they can be asked for.
    "node.list": Read, "<=2026.7", state nodes::list;
    /// Approves what a node offers.
    "node.pair.approve": Pairing, "<=2026.7", ticket nodes::approve;
    /// What nodes offer, approved and waiting.
    "node.pair.list": Pairing, "<=2026.7", state nodes::pair_list;
    /// Turns down what a node offers; what was approved before stays.
    "node.pair.reject": Pairing, "<=2026.7", ticket nodes::reject;
    /// Takes the role of a node away from a device.
    "node.pair.remove": Pairing, "<=2026.7", ticket nodes::remove;
    /// A node takes what was left for it.
    "node.pending.drain": Node, "<=2026.7", ticket nodes::drain;
    /// Leaves something for a node to do when it comes.
    "node.pending.enqueue": Write, "<=2026.7", ticket nodes::enqueue;
    /// A node publishes the tools it would lend.
    "node.pluginTools.update": Node, "<=2026.7", state nodes::tools_update;
    /// Gives a node a name.
    "node.rename": Pairing, "<=2026.7", ticket nodes::rename;
    /// A node tells of its skills; none are taken up, and the answer says so.
    "node.skills.update": Node, "<=2026.7", state nodes::skills_update, unlisted;
    /// Requests of the reference's system agent, of which there are none.
    "openclaw.approval.list": Approvals, "<=2026.7", state approvals::system_list;
    /// Things other than commands that wait for approval.
    "plugin.approval.list": Approvals, "<=2026.7", state approvals::plugin_list;
    /// Asks for the approval of something other than a command.
    "plugin.approval.request": Approvals, "<=2026.7", ticket approvals::plugin_request;
    /// Decides on something other than a command.
    "plugin.approval.resolve": Approvals, "<=2026.7", ticket approvals::plugin_resolve;
    /// Waits for the decision on something other than a command.
    "plugin.approval.waitDecision": Approvals, "<=2026.7", ticket approvals::plugin_wait;
    /// Questions as they stand, at their end too for a while.
    "question.get": Questions, "2026.7", state questions::get;
    /// Questions that wait for an answer.
    "question.list": Questions, "2026.7", state questions::list;
    /// Asks the people at the gateway up to three questions.
    "question.request": Questions, "2026.7", state questions::request;
    /// Answers questions, or takes them back.
    "question.resolve": Questions, "2026.7", state questions::resolve;
    /// Waits for the answer.
    "question.waitAnswer": Questions, "2026.7", ticket questions::wait_answer;
    /// Reads the secrets again from where they are kept.
    "secrets.reload": Admin, "<=2026.7", task secrets::reload;
    /// Forgets a value of the secret store.
    "secrets.store.delete": Admin, "2026.8", task secrets::delete, write;
    /// What is in the secret store, without the secrets.
    "secrets.store.list": Admin, "2026.8", task secrets::list;
    /// Keeps a value in the secret store; the answer comes when it is in force.
    "secrets.store.set": Admin, "2026.8", task secrets::set, write;
    /// Sends a message into a messenger; answers when the service has taken it.
    "send": Write, "<=2026.7", ticket send::send;
    /// Stops what is made in a session.
    "sessions.abort": Write, "<=2026.7", state session_change::abort;
    /// The ways a conversation went.
    "sessions.branches.list": Read, "<=2026.7", task session_branch::list;
    /// Takes up another way a conversation went.
    "sessions.branches.switch": Admin, "<=2026.7", ticket session_branch::switch;
    /// Puts sessions away that nobody uses.
    "sessions.cleanup": Admin, "<=2026.7", task session_upkeep::cleanup, write;
    /// Sums up what was said in a session; the transcript is kept.
    "sessions.compact": Admin, "<=2026.7", ticket session_compact::compact;
    /// Makes a session, and its first turn if a message comes along.
    "sessions.create": By(session_change::create_scope), "<=2026.7", ticket session_change::create;
    /// Removes a session and its transcripts.
    "sessions.delete": By(session_change::delete_scope), "<=2026.7", ticket session_change::delete;
    /// One session.
    "sessions.describe": Read, "<=2026.7", task session_read::describe;
    /// Begins a session with what another one held before a message.
    "sessions.fork": Write, "<=2026.7", ticket session_branch::fork;
    /// The newest messages of a session.
    "sessions.get": Read, "<=2026.7", task session_read::get, unlisted;
    /// Forgets a group; its sessions stay.
    "sessions.groups.delete": Write, "<=2026.7", ticket session_groups::delete;
    /// The groups people put sessions into.
    "sessions.groups.list": Read, "<=2026.7", task session_groups::list;
    /// Names the groups of sessions, in the order they are shown.
    "sessions.groups.put": Write, "<=2026.7", ticket session_groups::put;
    /// Gives a group of sessions another name.
    "sessions.groups.rename": Write, "<=2026.7", ticket session_groups::rename;
    /// Sessions, latest first.
    "sessions.list": Read, "<=2026.7", task sessions::list;
    /// Follows the messages of one session.
    "sessions.messages.subscribe": Read, "<=2026.7", state sessions::messages_subscribe;
    /// Stops following the messages of one session.
    "sessions.messages.unsubscribe": Read, "<=2026.7", state sessions::messages_unsubscribe;
    /// Changes what is remembered of a session: its names, flags, model, thinking level.
    "sessions.patch": By(session_change::patch_scope), "<=2026.7", ticket session_change::patch;
    /// Changes what is remembered of many sessions at once.
    "sessions.patchMany": By(session_change::patch_many_scope), "2026.8", ticket session_change::patch_many;
    /// The last words of some sessions.
    "sessions.preview": Read, "<=2026.7", task session_read::preview;
    /// Starts a session over with an empty transcript.
    "sessions.reset": Admin, "<=2026.7", ticket session_change::reset;
    /// Finds a session by key, id or label.
    "sessions.resolve": Read, "<=2026.7", task session_read::resolve, unlisted;
    /// Goes on from just before a message; what came after it stays as a branch.
    "sessions.rewind": Admin, "<=2026.7", ticket session_branch::rewind;
    /// Finds words in what was said.
    "sessions.search": Read, "<=2026.7", task session_search::search;
    /// Says something in a session.
    "sessions.send": Write, "<=2026.7", ticket session_change::send;
    /// Stops what is made in a session and says something instead.
    "sessions.steer": Write, "<=2026.7", ticket session_change::steer, unlisted;
    /// Follows the list of sessions.
    "sessions.subscribe": Read, "<=2026.7", state sessions::subscribe;
    /// Who used how much of which model, and how much was said.
    "sessions.usage": Read, "<=2026.7", task session_usage::usage, unlisted;
    /// What one session used, message by message.
    "sessions.usage.logs": Read, "<=2026.7", task session_spent::logs, unlisted;
    /// How the tokens of one session grew.
    "sessions.usage.timeseries": Read, "<=2026.7", task session_spent::timeseries, unlisted;
    /// Switches heartbeats on or off until the gateway ends.
    "set-heartbeats": Admin, "<=2026.7", state cron::set_heartbeats;
    /// Programs that skills ask for.
    "skills.bins": Node, "<=2026.7", task skills::bins;
    /// The skills of an agent, and what keeps one from being used.
    "skills.status": Read, "<=2026.7", task skills::status;
    /// Switches a skill on or off, or gives it a credential and variables.
    "skills.update": Admin, "<=2026.7", task skills::update, write;
    /// The gateway's state for people: sessions, runs, memory, warnings.
    "status": Read, "<=2026.7", task health::status;
    /// News for an agent, told with its next turn.
    "system-event": Admin, "<=2026.7", state cron::system_event;
    /// Who is connected.
    "system-presence": Read, "<=2026.7", state health::presence;
    /// The machine: name, system, memory, disk.
    "system.info": Read, "<=2026.7", task system::info;
    /// Begins the work of a suggestion.
    "taskSuggestions.accept": Admin, "<=2026.7", ticket suggestions::accept;
    /// Suggests work to the people at the gateway.
    "taskSuggestions.create": Write, "<=2026.7", state suggestions::create;
    /// Drops a suggestion.
    "taskSuggestions.dismiss": Write, "<=2026.7", state suggestions::dismiss;
    /// Suggested work that waits, newest first.
    "taskSuggestions.list": Read, "<=2026.7", state suggestions::list;
    /// Stops a run.
    "tasks.cancel": Write, "<=2026.7", state tasks::cancel;
    /// One run that waits, is made or has ended.
    "tasks.get": Read, "<=2026.7", task tasks::get;
    /// The runs that wait, are made and have ended.
    "tasks.list": Read, "<=2026.7", task tasks::list;
    /// The tools there are.
    "tools.catalog": Read, "<=2026.7", task tools::catalog;
    /// The tools an agent may call in a session.
    "tools.effective": Read, "<=2026.7", task tools::effective;
    /// Calls one tool, without a model.
    "tools.invoke": Write, "<=2026.7", ticket tools::invoke;
    /// Whether another release is known: the host's package manager knows, not the gateway.
    "update.status": Admin, "<=2026.7", state tasks::update_status;
    /// Tokens and money, day by day.
    "usage.cost": Read, "<=2026.7", task usage::cost;
    /// Quotas of model providers, where any are known.
    "usage.status": Read, "<=2026.7", state usage::status;
    /// The profiles there are: the owner's.
    "users.list": Read, "<=2026.7", task users::list;
    /// What the owner's clients keep here.
    "users.prefs.get": Read, "2026.8", task users::prefs_get;
    /// Keeps something for the owner's clients.
    "users.prefs.set": Write, "2026.8", ticket users::prefs_set;
    /// The profile of the caller.
    "users.self": Read, "<=2026.7", task users::own;
    /// The words that wake a microphone.
    "voicewake.get": Read, "<=2026.7", task users::voicewake_get;
    /// Chooses the words that wake a microphone.
    "voicewake.set": Write, "<=2026.7", ticket users::voicewake_set;
    /// News for an agent, told now or with its next turn.
    "wake": Write, "<=2026.7", state cron::wake;
}

/// Finds a row by name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.binary_search_by(|method| method.name.cmp(name)).ok().map(|at| &METHODS[at])
}

/// Names for `features.methods`.
pub fn advertised() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| METHODS.iter().filter(|method| method.listed).map(|method| method.name).collect())
}

type OnState<P, R> = fn(&mut State, &Arc<Caller>, P, Now) -> Result<R, RpcError>;
type OnTicket<P> = fn(&mut State, &Arc<Caller>, P, Ticket, Now);
type OnTask<P, R> = fn(&TaskContext, &Arc<Caller>, P) -> Result<R, RpcError>;
type Raw<'a> = Option<&'a RawValue>;

fn on_state<P: DeserializeOwned + Send + 'static, R: Serialize + 'static>(
    name: &'static str,
    raw: Raw,
    need: impl Fn(&P) -> Option<Scope>,
    handler: OnState<P, R>,
) -> Result<Prepared, RpcError> {
    let params: P = decode::params(name, raw)?;
    let job = |params| Job::State(Box::new(move |state, who, now| Payload::of(&handler(state, who, params, now)?)));
    Ok(Prepared { need: need(&params), job: job(params) })
}

fn on_ticket<P: DeserializeOwned + Send + 'static>(
    name: &'static str,
    raw: Raw,
    need: impl Fn(&P) -> Option<Scope>,
    handler: OnTicket<P>,
) -> Result<Prepared, RpcError> {
    let params: P = decode::params(name, raw)?;
    let job = |params| Job::Ticket(Box::new(move |state, who, ticket, now| handler(state, who, params, ticket, now)));
    Ok(Prepared { need: need(&params), job: job(params) })
}

fn on_task<P: DeserializeOwned + Send + 'static, R: Serialize + 'static>(
    name: &'static str,
    raw: Raw,
    need: impl Fn(&P) -> Option<Scope>,
    handler: OnTask<P, R>,
) -> Result<Prepared, RpcError> {
    let params: P = decode::params(name, raw)?;
    let job = |params| Job::Task(Box::new(move |context, who| Payload::of(&handler(context, who, params)?)));
    Ok(Prepared { need: need(&params), job: job(params) })
}

fn short<T>() -> &'static str {
    let name = std::any::type_name::<T>().split('<').next().unwrap_or("");
    name.rsplit("::").next().unwrap_or(name)
}

fn state_shape<P, R>(_: OnState<P, R>) -> (&'static str, &'static str) {
    (short::<P>(), short::<R>())
}

fn ticket_shape<P>(_: OnTicket<P>) -> (&'static str, &'static str) {
    (short::<P>(), "")
}

fn task_shape<P, R>(_: OnTask<P, R>) -> (&'static str, &'static str) {
    (short::<P>(), short::<R>())
}

#[cfg(test)]
mod tests {
    use super::super::absent::{ABSENT, Coverage, REFERENCE, coverage};
    use super::*;

    #[test]
    fn rows_are_sorted_unique_and_documented() {
        assert!(METHODS.windows(2).all(|w| w[0].name < w[1].name), "METHODS must stay sorted");
        for method in METHODS {
            assert!(method.doc.trim().ends_with('.'), "{} wants a sentence", method.name);
            assert!((method.shape)().0.ends_with("Params"), "{}", method.name);
        }
    }

    #[test]
    fn a_method_for_insiders_is_found_but_not_named() {
        assert!(find("sessions.resolve").is_some() && !advertised().contains(&"sessions.resolve"));
        assert!(advertised().contains(&"sessions.describe"));
    }

    #[test]
    fn rows_agree_with_the_reference_and_the_rest_has_a_reason() {
        let mut known = 0;
        for line in REFERENCE.lines().skip(1) {
            let mut columns = line.split('\t');
            let (name, scope, since) =
                (columns.next().expect("name"), columns.next().expect("scope"), columns.next().expect("since"));
            let Some(method) = find(name) else {
                let row = coverage().find(|row| row.0 == name);
                assert!(
                    row.is_some_and(|row| row.2 != Coverage::Absent("")),
                    "{name}: neither built nor listed as absent"
                );
                continue;
            };
            known += 1;
            assert_eq!(method.since, since, "{name}");
            match method.need {
                Need::Scope(need) => assert_eq!(need.name(), scope, "{name}"),
                Need::Dynamic => assert!(scope.starts_with("dynamic"), "{name}"),
                Need::Any => assert!(name == "health", "{name}"),
                Need::Node => assert_eq!(scope, "node", "{name}"),
            }
        }
        assert_eq!(known, METHODS.len(), "a method of ours is not the reference's");
        assert!(ABSENT.iter().all(|(_, reason)| reason.ends_with('.')));
    }
}

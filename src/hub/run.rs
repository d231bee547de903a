//! What a run is to the state thread: an order that goes out to a thread, and the events that come back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use serde_json::value::RawValue;

use super::announce::Announce;
use super::compaction::Request;
use super::ground::Ground;
use super::ticket::Ticket;
use crate::channels::Target;
use crate::providers::{Message, Part, Sampling, ToolCall, ToolChoice, ToolSpec};
use crate::store::sessions::SessionRow;
use crate::sys::abort::Abort;
use crate::sys::shared_text::SharedText;
use crate::wire::agent::RunUsage;
use crate::wire::chat::QueueMode;
use crate::wire::error::RpcError;
use crate::wire::object::objects;

/// The caller's idempotency key.
pub type RunId = Arc<str>;

/// One turn to be made: handed to the launcher, which gives it a thread.
#[derive(Clone)]
pub struct Order {
    pub run_id: RunId,
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    pub input: Input,
    pub abort: Abort,
    pub link: Arc<Link>,
    /// The HTTP handler that follows the run: text and the end go there directly.
    pub sink: Option<Sender<Emission>>,
    /// The input lies in the inbox and must be taken out with the first write.
    pub queued: bool,
    /// Other runs whose inputs were put into this one; they leave the inbox with it.
    pub absorbed: Vec<RunId>,
}

/// What the user said, and how the run is to be made.
#[derive(Debug, Clone, Default)]
pub struct Input {
    pub text: SharedText,
    /// Images that came with the text.
    pub parts: Vec<Part>,
    /// Earlier messages the caller brought along (OpenAI clients keep their own history).
    pub history: Vec<Message>,
    /// Instead of `text`: the results of tools the caller ran itself.
    pub tool_results: Vec<Message>,
    /// The stored transcript is no context: the caller's history is all there is.
    pub stateless: bool,
    pub extra_system: Option<String>,
    /// `provider/model`, over the agent's own.
    pub model: Option<String>,
    pub thinking: Option<String>,
    pub sampling: Sampling,
    /// Tools the caller runs itself.
    pub client_tools: Vec<ToolSpec>,
    pub tool_choice: ToolChoice,
    /// Text that starts with `/` is a command to the gateway.
    pub commands: bool,
    /// The caller may do what needs operator.admin.
    pub admin: bool,
    /// Of the tools the agent has, only these.
    pub tools_allow: Option<Vec<String>>,
    /// Instead of the configured ones, for a run with a model of its own.
    pub fallbacks: Option<Vec<String>>,
    /// Nobody is there: the agent may answer that it has nothing to say.
    pub unattended: bool,
    /// Without the files of the workspace.
    pub light: bool,
    /// `operator`, `http`: kept with a session that this message creates.
    pub created_via: &'static str,
    /// What happens when its session is busy. None: it waits for its turn.
    pub queue: Option<QueueMode>,
    /// The messenger's conversation the answer goes to.
    pub reply: Option<Box<Target>>,
    /// The messenger an HTTP client says that it stands for.
    pub channel: Option<String>,
    /// Its end is news in the agent's main session.
    pub announce: Option<Box<Announce>>,
    /// Other inputs whose words are in this one; they leave the inbox with it.
    pub absorbed: Vec<RunId>,
    /// The caller of `agent` wants to hear what became of the delivery.
    pub delivery: Option<Delivery>,
    /// What the sender took for granted of the session.
    pub ground: Option<Box<Ground>>,
    /// The label of a session that this message makes.
    pub label: Option<String>,
    /// Where tools start, over the agent's own directory.
    pub cwd: Option<PathBuf>,
    /// How much of a system prompt there is.
    pub prompt: PromptScope,
    /// The model alone, without the agent's tools.
    pub model_only: bool,
    /// The tool `message` is not offered: who asked passes the answer on.
    pub no_message: bool,
    /// The entry of the transcript that is answered.
    pub answers: Option<String>,
}

/// Whether an answer that was to be delivered can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It goes to [`Input::reply`].
    Wanted,
    /// There is no place for it, for this reason; the turn is made all the same.
    Impossible(&'static str),
}

/// How much of the system prompt a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PromptScope {
    #[default]
    Full,
    Minimal,
    None,
}

impl Input {
    /// Whether it is nothing but words and pictures, which another run may take along.
    pub fn is_plain(&self) -> bool {
        // What a messenger says about where a message comes from holds for all of that conversation.
        let own_system = self.extra_system.is_some() && self.reply.is_none();
        let own_run = self.cwd.is_some() || self.prompt != PromptScope::Full || self.model_only || self.no_message;
        let own_ground = self.ground.is_some() || self.answers.is_some();
        let own_words = self.unattended || self.model.is_some() || self.thinking.is_some() || own_system;
        let own_terms = own_words || own_run || own_ground;
        let command = self.commands && self.text.trim_start().starts_with('/');
        !own_terms && !command && !self.stateless && self.client_tools.is_empty() && self.tool_results.is_empty()
    }

    /// Whether both are answered in the same place, so that one may take the other along.
    pub fn answered_like(&self, other: Option<&Target>) -> bool {
        match (self.reply.as_deref(), other) {
            (Some(own), Some(other)) => own.same_place(other),
            (None, None) => true,
            _ => false,
        }
    }
}

/// A message for a run that is being made.
pub struct Steered {
    pub run_id: RunId,
    /// It came through a messenger: it stays in the inbox until the answer is on its way.
    pub kept: bool,
    pub text: SharedText,
    pub parts: Vec<Part>,
}

/// What the thread of a run and the state thread share: text on its way to readers.
///
/// The run's thread pushes as text comes; the state thread takes all of it when it is time for a frame. One event says
/// that there is some, however much: a thousand tokens a second do not become a thousand turns of the state thread.
#[derive(Debug, Default)]
pub struct Link {
    text: Mutex<String>,
    told: AtomicBool,
    timed_out: AtomicBool,
    /// The gateway stops before the run could end: it is made again at the next start.
    interrupted: AtomicBool,
    /// Messages of messengers that were taken along; they leave the inbox with the answer.
    kept: Mutex<Vec<RunId>>,
}

impl Link {
    /// Adds text. True: the state thread does not know yet that there is some.
    pub fn push(&self, text: &str) -> bool {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        !self.told.swap(true, Ordering::SeqCst)
    }

    /// Takes what has come since the last time; the next push tells again.
    pub fn take(&self) -> String {
        self.told.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.text.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time of the run is used up; said before its abort fires.
    pub fn time_is_up(&self) {
        self.timed_out.store(true, Ordering::SeqCst);
    }

    /// The gateway stops; said before the abort fires.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
    }

    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Notes a message that was taken along and stays in the inbox until the answer is on its way.
    pub fn keep(&self, run_id: RunId) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(run_id);
    }

    pub fn kept(&self) -> Vec<RunId> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::SeqCst)
    }
}

/// Gives runs their threads. Called on the state thread: it must not block.
pub trait Launch: Send {
    /// A failure to start a thread is reported as the run's end.
    fn launch(&self, order: Order);

    /// Sums up a session.
    fn compact(&self, request: Request);

    /// Calls one tool, without a model.
    fn call_tool(&self, asked: ToolAsk);
}

/// A tool that a client calls.
pub struct ToolAsk {
    /// Whose policy holds, and what the tool may take for its session.
    pub order: Order,
    pub name: String,
    /// A JSON object.
    pub arguments: String,
    /// Called once, unless no thread could be had.
    pub done: Box<dyn FnOnce(ToolReply) + Send>,
}

/// What became of it.
pub enum ToolReply {
    /// What the tool said, as `{content, details}`.
    Said(Box<RawValue>),
    /// There is no such tool, or it may not be called like this.
    NotThere,
    Failed(String),
    /// Too many are at work.
    Busy,
}

/// Who asked for a run, and how that is answered.
pub enum Starter {
    /// `chat.send`: one answer when the message is safe.
    Chat(Ticket),
    /// `agent`: the same, then another when the run ends.
    Agent(Ticket),
    /// An HTTP handler that follows the run. The channel is bounded: a client that reads slowly slows its run, and
    /// nobody else.
    Http(Sender<Emission>),
    /// The gateway itself, after a restart.
    Inbox,
}

/// A run that is asked for.
pub struct NewRun {
    pub run_id: RunId,
    pub session_key: Arc<str>,
    pub agent_id: Arc<str>,
    pub input: Input,
    pub starter: Starter,
    /// The connection of the starter; 0 = none.
    pub conn: u64,
    /// Over the configured limit of a run.
    pub timeout: Option<Duration>,
    pub received: Instant,
}

/// What an HTTP handler hears of its run.
#[derive(Debug)]
pub enum Emission {
    Text(String),
    Done(Arc<Outcome>),
    /// The run was never made.
    Refused(RpcError),
}

/// What the thread of a run reports, in order.
pub enum RunEvent {
    /// The input is on disk.
    Accepted(Box<Accepted>),
    Phase(&'static str),
    Started,
    Model {
        provider: Box<str>,
        model: Box<str>,
    },
    /// There is text in the [`Link`].
    Text,
    Thinking(String),
    Retrying(Box<Retrying>),
    Fallback(Box<Fallback>),
    ToolStarted(Box<ToolStarted>),
    /// A tool call waits for a person, or does not any more.
    Approval(Box<ApprovalStep>),
    /// More output of a running tool.
    ToolOutput(Box<ToolOutput>),
    ToolEnded(Box<ToolEnded>),
    /// The transcript grew.
    Stored(Box<Stored>),
    /// Messages that came meanwhile are in the transcript and before the model.
    Joined(Vec<RunId>),
    /// Tokens of one model call.
    Usage {
        output: u64,
    },
    Finished(Box<Outcome>),
}

/// Facts after the first write of a run.
pub struct Accepted {
    pub session_id: Arc<str>,
    pub row: SessionRow,
    /// The session did not exist before.
    pub created: bool,
    pub stored: Option<Stored>,
}

/// One message as it lies in the transcript.
pub struct Stored {
    pub message: Box<RawValue>,
    pub id: String,
    pub seq: u64,
    /// Clients are told of user and assistant messages, not of tool results.
    pub announce: bool,
    /// The input itself.
    pub from_user: bool,
}

pub struct Retrying {
    pub attempt: u32,
    pub max: u32,
    pub delay_ms: u64,
    pub reason: String,
}

pub struct Fallback {
    pub from: String,
    pub to: String,
    pub reason: String,
}

pub struct ApprovalStep {
    /// `waiting-approval` or `approval-resolved`.
    pub phase: &'static str,
    pub approval_id: String,
    pub call_id: String,
}

pub struct ToolStarted {
    pub call_id: String,
    pub name: String,
    /// A line for people.
    pub title: String,
    pub args: Box<RawValue>,
}

pub struct ToolOutput {
    pub call_id: String,
    pub name: String,
    pub text: String,
}

pub struct ToolEnded {
    pub call_id: String,
    pub name: String,
    pub title: String,
    pub started_ms: u64,
    pub text: String,
    pub is_error: bool,
    pub details: Option<Box<RawValue>>,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub status: Status,
    /// Everything the assistant said, segments joined by a blank line.
    pub text: String,
    pub stop_reason: &'static str,
    pub failure: Option<Failure>,
    pub usage: RunUsage,
    pub provider: String,
    pub model: String,
    pub session_id: String,
    pub started_ms: u64,
    pub ended_ms: u64,
    /// Calls of the caller's own tools that it must now make.
    pub tool_calls: Vec<ToolCall>,
    /// Messages in which the answer went into the outbox.
    pub parts: usize,
    /// Why its message was not taken in, when that is no failure of the gateway's.
    pub declined: Option<Box<RpcError>>,
    /// The session as it stands after the run.
    pub row: Option<Box<SessionRow>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Ok,
    Error,
    Aborted,
    TimedOut,
}

/// What went wrong, for people and for programs.
#[derive(Debug, Clone)]
pub struct Failure {
    pub message: String,
    /// `rate_limit`, `auth`, `timeout`, `server_error`, ...
    pub reason: String,
    /// HTTP status that fits (400 the request, 502 the upstream, 503 the gateway).
    pub http_status: u16,
}

impl RunEvent {
    pub fn name(&self) -> &'static str {
        match self {
            RunEvent::Accepted(_) => "run accepted",
            RunEvent::Phase(_) => "run phase",
            RunEvent::Started => "run started",
            RunEvent::Model { .. } => "run model",
            RunEvent::Text => "run text",
            RunEvent::Thinking(_) => "run thinking",
            RunEvent::Retrying(_) => "run retrying",
            RunEvent::Fallback(_) => "run fallback",
            RunEvent::ToolStarted(_) => "run tool started",
            RunEvent::Approval(_) => "run approval",
            RunEvent::ToolOutput(_) => "run tool output",
            RunEvent::ToolEnded(_) => "run tool ended",
            RunEvent::Stored(_) => "run stored",
            RunEvent::Joined(_) => "run joined",
            RunEvent::Usage { .. } => "run usage",
            RunEvent::Finished(_) => "run finished",
        }
    }
}

objects! { lenient:
    /// What lies in the inbox of an input that must wait. Only what `chat.send` and `agent` can carry.
    #[derive(Debug, serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Waiting {
        text: String,
        #[serde(default)]
        images: Vec<WaitingImage> = default,
        extra_system: Option<String>,
        model: Option<String>,
        thinking: Option<String>,
        commands: bool,
        admin: bool,
        /// Of a message that came through a messenger.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply: Option<Box<Target>> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<PathBuf> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<String> = default,
        /// `minimal` or `none`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<String> = default,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        model_only: bool = default,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        no_message: bool = default,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        light: bool = default,
    }

    #[derive(Debug, serde::Serialize)]
    struct WaitingImage {
        mime: String,
        data: String,
    }
}

impl Waiting {
    pub fn of(input: &Input) -> Waiting {
        let images = input.parts.iter().filter_map(|part| match part {
            Part::Image { mime, data } => Some(WaitingImage { mime: mime.clone(), data: data.to_string() }),
            Part::Text(_) => None,
        });
        Waiting {
            text: input.text.to_string(),
            images: images.collect(),
            extra_system: input.extra_system.clone(),
            model: input.model.clone(),
            thinking: input.thinking.clone(),
            commands: input.commands,
            admin: input.admin,
            via: input.reply.as_ref().map(|_| input.created_via.to_owned()),
            reply: input.reply.clone(),
            label: input.label.clone(),
            cwd: input.cwd.clone(),
            answers: input.answers.clone(),
            prompt: match input.prompt {
                PromptScope::Full => None,
                PromptScope::Minimal => Some("minimal".into()),
                PromptScope::None => Some("none".into()),
            },
            model_only: input.model_only,
            no_message: input.no_message,
            light: input.light,
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and booleans are always JSON")
    }

    /// Whether it stays in the inbox until its answer is on its way.
    pub fn is_kept(&self) -> bool {
        self.reply.is_some()
    }

    pub fn into_input(self) -> Input {
        Input {
            text: self.text.into(),
            parts: self.images.into_iter().map(|i| Part::Image { mime: i.mime, data: i.data.into() }).collect(),
            extra_system: self.extra_system,
            model: self.model,
            thinking: self.thinking,
            commands: self.commands,
            admin: self.admin,
            created_via: self.via.and_then(|id| crate::channels::find(&id)).map_or("operator", |spec| spec.id),
            queue: self.reply.as_ref().map(|_| QueueMode::Followup),
            reply: self.reply,
            label: self.label,
            cwd: self.cwd,
            answers: self.answers,
            prompt: PromptScope::named(self.prompt.as_deref()),
            model_only: self.model_only,
            no_message: self.no_message,
            light: self.light,
            ..Input::default()
        }
    }
}

impl PromptScope {
    pub fn named(word: Option<&str>) -> PromptScope {
        match word {
            Some("minimal") => PromptScope::Minimal,
            Some("none") => PromptScope::None,
            _ => PromptScope::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_waits_is_the_same_after_a_restart() {
        let input = Input {
            text: "words".into(),
            label: Some("L".into()),
            cwd: Some("/srv".into()),
            answers: Some("a1".into()),
            prompt: PromptScope::Minimal,
            model_only: true,
            no_message: true,
            light: true,
            thinking: Some("low".into()),
            ..Input::default()
        };
        let back = crate::wire::misfit::read::<Waiting>(&Waiting::of(&input).to_json()).expect("its own words");
        let back = back.into_input();
        assert_eq!((back.text.as_str(), back.label, back.cwd), ("words", input.label, input.cwd));
        assert_eq!((back.answers, back.prompt), (input.answers, PromptScope::Minimal));
        assert!(back.model_only && back.no_message && back.light && back.thinking == input.thinking);
        let plain = Waiting::of(&Input { text: "w".into(), ..Input::default() }).to_json();
        assert!(!plain.contains("cwd") && !plain.contains("modelOnly"), "{plain}");
    }
}

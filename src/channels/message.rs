//! What passes between a messenger and the gateway, whatever the messenger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::object::objects;

/// What kind of conversation a message stands in. What a messenger does not say counts as a group: the stricter rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    Direct,
    #[default]
    Group,
    /// A room of a server or workspace.
    Channel,
}

impl ChatKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ChatKind::Direct => "direct",
            ChatKind::Group => "group",
            ChatKind::Channel => "channel",
        }
    }
}

/// What [`Target::reply_to`] begins with where it is no message but an interaction (a slash command, a button): what comes
/// after it is a credential of the service for a short time.
pub const INTERACTION: &str = "interaction:";

/// Who wrote. Only `id` ever authorises: names are chosen by their owners.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// The messenger's immutable id.
    pub id: String,
    /// Another immutable id of the same sender; may be empty.
    pub also: String,
    /// For people; may be empty.
    pub name: String,
    /// Another program, as the messenger says.
    pub bot: bool,
}

/// One message that came in.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    pub kind: ChatKind,
    /// The conversation's immutable id; in a direct chat where an answer goes.
    pub chat: String,
    /// The conversation's name, for people.
    pub title: String,
    /// A thread or topic inside the conversation.
    pub thread: Option<String>,
    /// The conversation this one belongs to, where threads are conversations of their own: its rules hold here too.
    pub parent: Option<String>,
    /// Guild, team or server, for `bindings`.
    pub space: Option<String>,
    /// The sender's roles there, for `bindings`.
    pub roles: Vec<String>,
    /// Unique within the conversation; the same message always has the same one.
    pub id: String,
    pub sender: Sender,
    /// Plain text, without the mention that only woke us up.
    pub text: String,
    /// It is for us: we are named in it, or it answers us, or it is a command for us.
    pub mentioned: bool,
    /// It names somebody else, and not us.
    pub elsewhere: bool,
    /// What an answer refers to, where that is not the message itself.
    pub answer_to: Option<String>,
    /// The words it answers, and who said them.
    pub quoted: Option<Quoted>,
    pub files: Vec<IncomingFile>,
}

/// What a message answers.
#[derive(Debug, Clone, Default)]
pub struct Quoted {
    pub sender: String,
    pub text: String,
}

/// A file that came with a message, already fetched and judged by its first bytes.
#[derive(Debug, Clone)]
pub enum IncomingFile {
    /// For models that see: MIME type and bytes.
    Image { mime: &'static str, bytes: Vec<u8> },
    /// Kept on disk: what it is and where.
    Kept { name: String, mime: String, path: String, bytes: u64 },
    /// Not taken, and why.
    Left { name: String, why: String },
}

objects! { lenient:
    /// Where an answer goes. Kept with the run in the database.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Target {
        pub channel: String,
        pub account: String,
        pub chat: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub thread: Option<String> = default,
        /// The message that is answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reply_to: Option<String> = default,
        /// `direct`, `group`, `channel`.
        #[serde(default)]
        pub kind: ChatKind = default,
        /// Bytes of text after which a chunk ends, as configured when the message came; 0: the messenger's own limit.
        #[serde(default)]
        pub limit: usize = default,
        /// Which group's or person's tool rules apply, as JSON text of a tool policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub tools: Option<String> = default,
    }
}

impl Target {
    /// The same conversation, whatever message is answered.
    pub fn same_place(&self, other: &Target) -> bool {
        (&self.channel, &self.account, &self.chat, &self.thread)
            == (&other.channel, &other.account, &other.chat, &other.thread)
    }

    /// What follows the first part of an answer: only that one answers the message, the others come after it. An answer
    /// to an interaction is for one person, and so are all its parts.
    pub fn go_on(&mut self) {
        self.reply_to.take_if(|to| !to.starts_with(INTERACTION));
    }

    /// Messages to one place keep their order.
    pub fn place(&self) -> String {
        match &self.thread {
            Some(thread) => format!("{}#{thread}", self.chat),
            None => self.chat.clone(),
        }
    }
}

/// What is said: the body of a row of the outbox.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Idempotency key: the same for every try of the same message.
    #[serde(skip)]
    pub key: String,
    /// Tried before without a clear answer.
    #[serde(skip)]
    pub tried: bool,
    pub to: Target,
    /// Markdown, as models write it.
    pub text: String,
    /// A file on this host that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Rows of buttons: label and what pressing one sends back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Vec<(String, String)>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// The message that was shown of it so far, to be changed into this one.
    #[serde(skip)]
    pub draft: Option<String>,
    /// The run this ends: what was shown of it while it was made becomes this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// The service took a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the service calls it; empty where it has no names.
    pub id: String,
}

/// What an account says when asked whether it works.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    pub ok: bool,
    /// Who we are there.
    pub identity: String,
    pub error: Option<String>,
    pub elapsed_ms: u64,
}

/// Why something did not work, by what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelError {
    /// The service never heard of it: safe to try again.
    Unreached(String),
    /// The connection or the answer was lost: it may have been taken.
    Lost(String),
    /// The service wants us to wait.
    Later(String, Duration),
    /// This message will never be taken; others may.
    Refused(String),
    /// This account will not work until somebody does something: what, and what to do.
    Terminal(String, String),
}

impl std::fmt::Display for ChannelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ChannelError::Unreached(what) | ChannelError::Lost(what) | ChannelError::Refused(what) => f.write_str(what),
            ChannelError::Later(what, wait) => write!(f, "{what} (wait {} s)", wait.as_secs_f64().ceil()),
            ChannelError::Terminal(what, remedy) => write!(f, "{what}: {remedy}"),
        }
    }
}

impl std::error::Error for ChannelError {}

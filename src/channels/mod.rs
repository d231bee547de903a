//! Messengers: one plug each, and the machinery they share.
//!
//! A plug ([`Channel`]) speaks one service's protocol and nothing else. It gets messages in and hands them to [`Inbound`],
//! which makes them safe and says so; it gets messages from the outbox and says what became of them. It never sees the
//! state of the gateway, keeps no queue, decides nothing about who may talk ([`gate`]) or where a message goes
//! ([`route`]), and starts no thread of its own unless its protocol needs one. [`supervisor`] gives each account its
//! threads and starts a plug anew when it fails; [`delivery`] empties the outbox.
//!
//! # Adding a messenger
//!
//! One file (`name.rs`, or a folder) and one row of [`CHANNELS`]. In the file:
//!
//! 1. `pub static SPEC: ChannelSpec`: id, label, the keys of its section beyond [`account::SHARED_KEYS`] with a sentence
//!    each, the prefixes its ids may carry in lists (`telegram:1`), the limit of one message and how it counts
//!    ([`chunk`]), the environment variables that may hold the secrets of its default account, `configured` (is there
//!    enough to try?) and `open`.
//! 2. `open` checks the settings and touches nothing. A setting that cannot work is [`ChannelError::Terminal`] with what
//!    to do.
//! 3. `listen` connects, calls `inbound.connected(who)`, and then for every batch `inbound.admit(messages, mark)`: only
//!    after it returned Ok may the service be told that they were taken. Every proof of life that does not come from a
//!    user (an answered poll, a heartbeat) is `inbound.alive()`. It returns on any failure, with the [`ChannelError`]
//!    that says what to do next; it never retries by itself. Every wait has a deadline. [`Incoming::id`] must be the
//!    service's own id of the message, [`Sender::id`] the immutable id of its author, [`Incoming::mentioned`] whether it
//!    is for us; own messages are left out. Files are fetched with a cap only after `inbound.would_take(..)` and go
//!    through `inbound.files().take(..)`.
//! 4. `deliver` hands one message over and translates the answer: `Receipt` with the service's id, `Later` for a rate
//!    limit, `Refused` for what will never be taken, `Unreached` if it surely did not arrive, `Lost` if nobody knows. Use
//!    `out.key` as the service's idempotency key where it has one; with `out.draft` edit that message instead.
//! 5. `probe` asks the service who we are; `interrupt` wakes `listen` and `deliver` at once (`Web::end`).
//! 6. `typing` and `draft` where the service has them; `receive` for a plug that is called by HTTP (the gateway routes
//!    `POST /channels/<id>/<account>` there, unauthenticated: the plug checks signatures before anything else).
//!
//! Calls go through [`http::Web`]; a protocol with a connection of its own takes a [`socket::Link`]; text is split before it gets to `deliver`, so a plug renders and sends, no more. A fake
//! server in `tests/channels/` shows that it works, and misbehaves.
//!
//! Invariants: what is acknowledged is on disk; a message that is known is not taken twice; a reply is removed only when
//! the service has answered; an account that is not configured costs nothing.

pub mod account;
pub mod chunk;
pub mod delivery;
mod discord;
pub mod gate;
mod html;
pub mod http;
pub mod inbound;
mod irc;
#[cfg(test)]
mod manual;
mod matrix;
mod mattermost;
pub mod media;
pub mod message;
mod overheard;
pub mod pairing;
mod reached;
pub mod route;
pub mod schema;
mod signal;
mod slack;
pub mod socket;
pub mod supervisor;
mod telegram;
mod webhook;
pub mod websocket;

use std::sync::Arc;
use std::time::Duration;

pub use account::{Account, AccountKey, accounts};
pub use inbound::{Admitted, Inbound};
pub use message::{ChannelError, ChatKind, Incoming, IncomingFile, Outbound, Probe, Quoted, Receipt, Sender, Target};
pub use supervisor::{Preview, Running, Stop};

use crate::config::Config;
use crate::store::Store;

/// One messenger: a row of [`CHANNELS`].
pub struct ChannelSpec {
    /// The key of its section under `channels`.
    pub id: &'static str,
    /// For people.
    pub label: &'static str,
    /// Keys of its section beyond those all have, with what they mean.
    pub keys: &'static [(&'static str, &'static str)],
    /// What ids in lists may begin with, before a colon.
    pub prefixes: &'static [&'static str],
    /// Variables that may hold the secrets of the default account; the first one is looked at for `by_variable`.
    pub variables: &'static [&'static str],
    /// The first variable alone makes an account, without a section.
    pub by_variable: bool,
    /// Units of one message, and how a character is counted.
    pub limit: usize,
    pub count: fn(char) -> usize,
    /// What a thread is called in session keys.
    pub thread_word: &'static str,
    /// How its section lists where we listen.
    pub list: gate::List,
    /// What kind of conversation an address is, as far as it says, and the id in it.
    pub kind_of: fn(&str) -> (ChatKind, &str),
    /// Messages can be changed, so an answer can be shown while it is made.
    pub drafts: bool,
    /// It is shown unless the account's `streaming` says otherwise; else only where it says so.
    pub streams: bool,
    /// Text that comes in pieces is put together when the pieces are this close (milliseconds); 0 = never.
    pub debounce_ms: u64,
    /// Flags of `openclaw channels add`: flag, key it sets, whether it is a secret.
    pub setup: &'static [(&'static str, &'static str, bool)],
    /// Whether a section says enough to try.
    pub configured: fn(&serde_json::Map<String, serde_json::Value>) -> bool,
    /// Checks the settings; opens nothing.
    pub open: fn(&Account) -> Result<Box<dyn Channel>, ChannelError>,
}

/// One account of one messenger. `listen` and `deliver` run on threads of their own, at the same time.
pub trait Channel: Send + Sync {
    /// Gets messages until told to stop, or until something fails.
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError>;

    /// Hands one message over.
    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError>;

    /// Asks the service who we are.
    fn probe(&self, within: Duration) -> Probe;

    /// Wakes whatever waits. Called once, at the end; must not block.
    fn interrupt(&self);

    /// Shows that an answer is being made.
    fn typing(&self, _to: &Target) -> Result<(), ChannelError> {
        Ok(())
    }

    /// Shows the answer so far: a new message, or `known` changed. Answers the id of a new one.
    fn draft(&self, _to: &Target, _text: &str, _known: Option<&str>) -> Result<Option<String>, ChannelError> {
        Ok(None)
    }

    /// Answers a request of the service at the gateway's port. `None`: this account takes none.
    fn receive(&self, _request: &Request<'_>, _inbound: &Inbound) -> Option<Reply> {
        None
    }

    /// How it gets messages: `polling`, `webhook`, `socket`.
    fn mode(&self) -> &'static str {
        "socket"
    }
}

/// An HTTP request for a plug.
pub struct Request<'a> {
    pub header: &'a dyn Fn(&str) -> Option<String>,
    pub body: &'a [u8],
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

/// How the state thread is told: which account, which of its lives, what.
pub type Report = dyn Fn(&AccountKey, u64, ChannelEvent) + Send + Sync;

/// What accounts need of the gateway.
#[derive(Clone)]
pub struct Host {
    pub store: Store,
    /// The configuration that is in force.
    pub config: Arc<dyn Fn() -> Arc<Config> + Send + Sync>,
    /// Tells the state thread; the number is that of the account's life.
    pub report: Arc<Report>,
}

/// What an account reports.
#[derive(Debug)]
pub enum ChannelEvent {
    /// Its listener begins.
    Started,
    Connected {
        identity: String,
    },
    /// The service was heard.
    Alive,
    /// Messages are safe and wait for their runs.
    Arrived(Vec<Admitted>),
    Delivered {
        key: String,
        id: String,
    },
    /// A try failed; the message waits.
    NotDelivered {
        error: String,
    },
    /// A message will not be delivered.
    Dropped {
        key: String,
        error: String,
    },
    Down {
        error: String,
        attempts: u32,
        retry_at_ms: u64,
    },
    /// It will not try again by itself.
    Ended {
        error: String,
    },
    Stopped,
}

/// All messengers this gateway speaks, in the order they are shown.
pub static CHANNELS: &[&ChannelSpec] = &[
    &telegram::SPEC,
    &discord::SPEC,
    &slack::SPEC,
    &signal::SPEC,
    &mattermost::SPEC,
    &matrix::SPEC,
    &irc::SPEC,
    &webhook::SPEC,
];

/// The row of a messenger.
pub fn find(id: &str) -> Option<&'static ChannelSpec> {
    CHANNELS.iter().find(|spec| spec.id == id).copied()
}

/// Splits an answer for its target.
pub fn chunks(target: &Target, text: &str) -> Vec<String> {
    let Some(spec) = find(&target.channel) else { return vec![text.to_owned()] };
    let limit = if target.limit == 0 { spec.limit } else { target.limit.min(spec.limit) };
    chunk::split(text, limit, spec.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_their_keys_documented() {
        for (at, spec) in CHANNELS.iter().enumerate() {
            assert!(CHANNELS[..at].iter().all(|other| other.id != spec.id), "{}", spec.id);
            assert!(spec.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", spec.id);
            assert!(spec.keys.is_sorted_by(|a, b| a.0 < b.0), "{}", spec.id);
            for (key, doc) in spec.keys {
                assert!(doc.ends_with('.') && doc.len() > 8, "{} {key}", spec.id);
                assert!(!account::SHARED_KEYS.iter().any(|(shared, _)| shared == key), "{} {key}", spec.id);
            }
            for (_, key, _) in spec.setup {
                assert!(spec.keys.iter().any(|(own, _)| own == key), "{} {key}", spec.id);
            }
        }
        assert!(account::SHARED_KEYS.is_sorted_by(|a, b| a.0 < b.0));
    }
}

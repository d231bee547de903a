//! Which agent and which session a message belongs to.
//!
//! `bindings` choose the agent, the closest match first: the person or group, any person or any group, the server with
//! roles, the server, the team, the account, the messenger. Without one it is the default agent. The session's key follows
//! from the kind of conversation and `session.dmScope`.

use serde_json::Value;

use super::account::Account;
use super::message::{ChatKind, Incoming};
use crate::config::Config;
use crate::config::sections::DmScope;
use crate::wire::frame::cut;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub agent_id: String,
    pub session_key: String,
}

/// Finds it. `agent` comes before every binding: a group's or topic's own.
pub fn find(config: &Config, account: &Account, message: &Incoming, agent: Option<&str>) -> Route {
    let binding = config.bindings.iter().filter_map(|binding| Some((rank(binding, account, message)?, binding)));
    let binding = binding.min_by_key(|(rank, _)| *rank).map(|(_, binding)| binding);
    let named = agent.or_else(|| binding.map(|binding| binding.agent_id.as_str())).map(str::to_ascii_lowercase);
    let ids = config.agent_ids();
    let agent_id = match named {
        Some(id) if ids.contains(&id.as_str()) => id,
        Some(id) => {
            log::warn!("a binding names the agent \"{}\", which is not configured", cut(&id, 64));
            config.default_agent_id().to_owned()
        }
        None => config.default_agent_id().to_owned(),
    };
    let scope = binding.and_then(|binding| binding.session.dm_scope).unwrap_or(config.session.dm_scope);
    let shared = binding.and_then(|binding| binding.session.group_scope.clone()).or(config.session.group_scope.clone());
    let main = config.session.main_key.as_deref().filter(|key| !key.is_empty()).unwrap_or("main");
    let (channel, id) = (account.spec.id, &account.key.account);
    let peer = linked(config, account, &message.sender.id).unwrap_or_else(|| segment(&message.sender.id));
    let rest = match message.kind {
        ChatKind::Direct => match scope {
            DmScope::Main => main.to_owned(),
            DmScope::PerPeer => format!("direct:{peer}"),
            DmScope::PerChannelPeer => format!("{channel}:direct:{peer}"),
            DmScope::PerAccountChannelPeer => format!("{channel}:{id}:direct:{peer}"),
        },
        _ if shared.as_deref() == Some("main") => main.to_owned(),
        kind => {
            let chat = segment(&message.chat);
            match &message.thread {
                Some(thread) => {
                    format!("{channel}:{}:{chat}:{}:{}", kind.as_str(), account.spec.thread_word, segment(thread))
                }
                None => format!("{channel}:{}:{chat}", kind.as_str()),
            }
        }
    };
    Route { session_key: format!("agent:{agent_id}:{rest}"), agent_id }
}

/// How close a binding is; `None`: it does not fit.
fn rank(binding: &crate::config::Binding, account: &Account, message: &Incoming) -> Option<u8> {
    if binding.kind.as_deref().is_some_and(|kind| kind != "route") {
        return None;
    }
    let wanted = &binding.matches;
    if !wanted.channel.eq_ignore_ascii_case(account.spec.id) {
        return None;
    }
    let named = wanted.account_id.as_deref();
    let fits = match named {
        Some("*") => true,
        Some(id) => id == &*account.key.account,
        None => &*account.key.account == super::account::DEFAULT,
    };
    if !fits {
        return None;
    }
    let is_space = |wanted: &Option<String>| wanted.is_none() || *wanted == message.space;
    if !is_space(&wanted.guild_id) || !is_space(&wanted.team_id) {
        return None;
    }
    if !wanted.roles.is_empty() && !wanted.roles.iter().any(|role| message.roles.contains(role)) {
        return None;
    }
    let mut rank = match (&wanted.guild_id, &wanted.team_id, named) {
        (Some(_), ..) if !wanted.roles.is_empty() => 3,
        (Some(_), ..) => 4,
        (None, Some(_), _) => 5,
        (None, None, Some("*")) => 7,
        (None, None, Some(_)) => 6,
        (None, None, None) => 6,
    };
    if let Some(peer) = &wanted.peer {
        let kind = match peer.kind.as_str() {
            "direct" | "dm" => ChatKind::Direct,
            "channel" => ChatKind::Channel,
            _ => ChatKind::Group,
        };
        if kind != message.kind {
            return None;
        }
        let own = if kind == ChatKind::Direct { &message.sender.id } else { &message.chat };
        let topic = message.thread.as_ref().map(|thread| format!("{own}:{}:{thread}", account.spec.thread_word));
        rank = match text(&peer.id).as_str() {
            id if topic.as_deref() == Some(id) => 0,
            id if id == own || message.parent.as_deref() == Some(id) => 1,
            "*" => 2,
            _ => return None,
        };
    }
    Some(rank)
}

/// Ids in a configuration may be written as numbers.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// The name under which `session.identityLinks` knows a sender.
fn linked(config: &Config, account: &Account, sender: &str) -> Option<String> {
    let own = |entry: &String| {
        entry.split_once(':').is_some_and(|(prefix, id)| account.spec.prefixes.contains(&prefix) && id == sender)
    };
    config.session.identity_links.iter().find(|(_, ids)| ids.iter().any(own)).map(|(name, _)| segment(name))
}

/// An id as part of a session key: keys are lower case and have no blanks, whatever an id holds.
fn segment(id: &str) -> String {
    let text: String = id
        .chars()
        .take(128)
        .map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c.to_ascii_lowercase() })
        .collect();
    if text.is_empty() { "_".into() } else { text }
}

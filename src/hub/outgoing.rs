//! Messages of the gateway's own on their way out: where an address leads, and the messages a text becomes.

use super::State;
use crate::channels::account::default_account;
use crate::channels::{self, ChatKind, Outbound, Target};
use crate::config::Config;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;

/// Longest text of one message; what a service does not take in one goes out in several.
const TEXT_MAX: usize = 256 << 10;
/// Longest text that goes under a file (characters); Telegram takes 1,024 with their marks.
const CAPTION: usize = 1000;

/// Where a message is to go, as callers write it.
pub struct Wanted<'a> {
    pub channel: Option<&'a str>,
    pub account: Option<&'a str>,
    pub to: &'a str,
    pub thread: Option<String>,
    pub reply_to: Option<String>,
}

/// The messages a text and a file become, if their account runs.
pub fn prepare(
    state: &State,
    wanted: &Wanted<'_>,
    text: Option<&str>,
    file: Option<String>,
    silent: bool,
) -> Result<Vec<Outbound>, RpcError> {
    open(state, target(&state.shared.config.get(), wanted)?, text, file, silent)
}

/// The same for a conversation that is known.
pub fn open(
    state: &State,
    to: Target,
    text: Option<&str>,
    file: Option<String>,
    silent: bool,
) -> Result<Vec<Outbound>, RpcError> {
    let Some(look) = state.messengers.look(&to.channel, &to.account) else {
        return Err(RpcError::invalid(format!("{} has no account \"{}\"", to.channel, cut(&to.account, 64))));
    };
    if !look.running {
        let why = look.facts.last_error.unwrap_or_else(|| "it is stopped".into());
        return Err(RpcError::unavailable(format!("{}: {why}", look.account.key)));
    }
    parts(to, text, file, silent)
}

/// The messages a text becomes.
pub fn parts(to: Target, text: Option<&str>, file: Option<String>, silent: bool) -> Result<Vec<Outbound>, RpcError> {
    let text = text.map(str::trim).unwrap_or_default();
    if text.is_empty() && file.is_none() {
        return Err(RpcError::invalid("message is empty"));
    }
    if text.len() > TEXT_MAX {
        return Err(RpcError::invalid(format!("message is larger than {TEXT_MAX} bytes")));
    }
    let one =
        |text: String, file: Option<String>| Outbound { to: to.clone(), text, file, silent, ..Outbound::default() };
    if file.is_some() && text.chars().count() <= CAPTION {
        return Ok(vec![one(text.to_owned(), file)]);
    }
    // What is too long to stand under a file follows it.
    let mut outs: Vec<Outbound> = file.map(|file| one(String::new(), Some(file))).into_iter().collect();
    outs.extend(channels::chunks(&to, text).into_iter().map(|text| one(text, None)));
    Ok(outs)
}

/// Finds messenger, account and chat. `telegram:123` names the messenger where none is named otherwise.
pub fn target(config: &Config, wanted: &Wanted<'_>) -> Result<Target, RpcError> {
    let to = wanted.to.trim();
    let prefixed = to.split_once(':').and_then(|(prefix, rest)| {
        let spec = channels::CHANNELS.iter().find(|spec| spec.prefixes.contains(&prefix))?;
        Some((*spec, rest))
    });
    let named = wanted.channel.map(str::trim).filter(|id| !id.is_empty() && *id != "last");
    let spec = match named {
        Some(id) => channels::find(id).ok_or_else(|| RpcError::invalid(format!("unknown channel: {}", cut(id, 64))))?,
        None => match prefixed {
            Some((spec, _)) => spec,
            None => only(config)?,
        },
    };
    if let Some((other, _)) = prefixed.filter(|(other, _)| other.id != spec.id) {
        return Err(RpcError::invalid(format!("the target names {}, the channel is {}", other.id, spec.id)));
    }
    let chat = prefixed.map_or(to, |(_, rest)| rest).trim();
    if chat.is_empty() {
        return Err(RpcError::invalid("target is empty"));
    }
    let (chat, topic) = chat.split_once(&format!(":{}:", spec.thread_word)).map_or((chat, None), |(c, t)| (c, Some(t)));
    let account = wanted.account.map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
    let account = account.or_else(|| default_account(config, spec.id)).ok_or_else(|| {
        RpcError::unavailable(format!("{} is not configured: openclaw channels add --channel {}", spec.label, spec.id))
    })?;
    Ok(Target {
        channel: spec.id.into(),
        account,
        chat: chat.into(),
        thread: wanted.thread.clone().or(topic.map(str::to_owned)),
        reply_to: wanted.reply_to.clone(),
        // An explicit reply is one in a direct chat, too.
        kind: if wanted.reply_to.is_some() { ChatKind::Group } else { ChatKind::Direct },
        ..Target::default()
    })
}

/// The same for an answer that is to go out later: its account must be there and not be disabled.
pub fn open_target(config: &Config, wanted: &Wanted<'_>) -> Result<Target, RpcError> {
    let target = target(config, wanted)?;
    let own = |one: &channels::Account| one.spec.id == target.channel && *one.key.account == *target.account;
    let account = cut(&target.account, 64);
    match channels::accounts(config).iter().find(|one| own(one)) {
        Some(one) if one.enabled => Ok(target),
        Some(_) => Err(RpcError::invalid(format!("account \"{account}\" of {} is disabled", target.channel))),
        None => Err(RpcError::invalid(format!("{} has no account \"{account}\"", target.channel))),
    }
}

/// The one messenger that is configured.
fn only(config: &Config) -> Result<&'static channels::ChannelSpec, RpcError> {
    let mut specs: Vec<_> = channels::accounts(config).iter().map(|account| account.spec).collect();
    specs.dedup_by_key(|spec| spec.id);
    match specs.as_slice() {
        [one] => Ok(one),
        [] => Err(RpcError::invalid(
            "Channel is required (no configured channels detected). Run openclaw channels add to configure one, or pass \
             --channel",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|spec| spec.id).collect();
            Err(RpcError::invalid(format!("Channel is required when several are configured: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_too_long_for_a_caption_follows_its_file_and_loses_nothing() {
        let to = Target { channel: "telegram".into(), ..Target::default() };
        let short = parts(to.clone(), Some("look"), Some("/p.png".into()), false).unwrap();
        assert_eq!((short.len(), short[0].text.as_str(), short[0].file.as_deref()), (1, "look", Some("/p.png")));
        let text = "word ".repeat(2000);
        let long = parts(to.clone(), Some(&text), Some("/p.png".into()), false).unwrap();
        assert_eq!((long[0].text.as_str(), long[0].file.as_deref()), ("", Some("/p.png")));
        assert!(long.len() > 2 && long[1..].iter().all(|out| out.file.is_none()));
        let words: usize = long.iter().map(|out| out.text.split_whitespace().count()).sum();
        assert_eq!(words, 2000);
        assert_eq!(parts(to, None, Some("/p.png".into()), false).unwrap().len(), 1);
    }
}

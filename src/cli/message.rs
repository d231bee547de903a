//! `openclaw message send`: a message of the gateway's own.

use std::time::Duration;

use super::args::MessageSend;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, clean, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::sys::random;
use crate::wire::tree::json;

/// The gateway itself waits half a minute for the messenger.
const USUAL: Duration = Duration::from_secs(40);

/// Sends it, and says what the messenger calls it.
pub fn send(shell: &mut Shell, args: &MessageSend) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let mut specs: Vec<&str> = crate::channels::accounts(&settings.config).iter().map(|own| own.spec.id).collect();
    specs.dedup();
    let prefix = args.target.split_once(':').map(|(prefix, _)| prefix);
    let named = crate::channels::CHANNELS.iter().find(|spec| prefix.is_some_and(|own| spec.prefixes.contains(&own)));
    let channel = match (&args.channel, named, specs.as_slice()) {
        (Some(channel), ..) => channel.as_str(),
        (None, Some(spec), _) => spec.id,
        (None, None, [one]) => one,
        _ => return Err(Failure::usage("--channel is needed: not exactly one messenger is configured")),
    };
    let mut own = json!({"to": args.target, "silent": args.silent, "dryRun": args.dry_run});
    let texts = [
        ("message", &args.message),
        ("media", &args.media),
        ("accountId", &args.account),
        ("threadId", &args.thread_id),
        ("replyTo", &args.reply_to),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            own[name] = value.as_str().into();
        }
    }
    let params = json!({"channel": channel, "action": "send", "params": own, "idempotencyKey": random::uuid()});
    let sent = calls.once(Identity::backend("message", &["operator.write"]), "message.action", params)?;
    if args.json {
        return shell.json(&sent);
    }
    match text_at(&sent, "/messageId") {
        Some(id) => shell.line(format!("Sent as message {}.", clean(&id))),
        None => shell.line("Nothing was sent (dry run)."),
    }
}

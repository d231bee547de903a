//! `openclaw pairing`: people who wrote to the agent and wait to be let in.

use std::time::Duration;

use serde_json::Value;

use super::args::{PairingApprove, PairingList};
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, clean, list_at, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

const USUAL: Duration = Duration::from_secs(10);

/// Those who wait.
pub fn list(shell: &mut Shell, args: &PairingList) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let found = pending(&calls, args.channel.as_deref().or(args.only.as_deref()), args.account.as_deref())?;
    if args.json {
        return shell.json(&found);
    }
    let requests = list_at(&found, "/requests");
    if requests.is_empty() {
        return shell.line("Nobody waits.");
    }
    let cell = |request: &Value, name: &str| clean(&text_at(request, name).unwrap_or_default());
    let rows: Vec<Vec<String>> = requests
        .iter()
        .map(|request| {
            let place = format!("{}/{}", cell(request, "/channel"), cell(request, "/accountId"));
            let columns = ["/requestId", "/senderId", "/senderLabel", "/expiresAt"].map(|name| cell(request, name));
            let [code, sender, label, expires] = columns;
            vec![code, place, sender, label, expires]
        })
        .collect();
    for line in table(&["Code", "Channel", "Sender", "Name", "Expires"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

fn pending(calls: &Calls, channel: Option<&str>, account: Option<&str>) -> Result<Value, Failure> {
    if account.is_some_and(|account| account.trim().is_empty()) {
        return Err(Failure::usage("--account must not be blank"));
    }
    let mut params = json!({});
    if let Some(channel) = channel {
        params["channel"] = channel.into();
    }
    if let Some(account) = account {
        params["accountId"] = account.into();
    }
    calls.once(Identity::backend("pairing", &["operator.pairing"]), "channels.pairing.list", params)
}

/// Lets somebody in. Where there is no owner yet, he becomes it.
pub fn approve(shell: &mut Shell, args: &PairingApprove) -> Result<(), Failure> {
    let (channel, code) = match (args.channel.as_deref(), args.words.as_slice()) {
        (channel, [code]) => (channel, code),
        (None, [channel, code]) => (Some(channel.as_str()), code),
        _ => return Err(Failure::usage("write: openclaw pairing approve [channel] <code>")),
    };
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let found = pending(&calls, channel, args.account.as_deref())?;
    let fits =
        |request: &&Value| text_at(request, "/requestId").is_some_and(|own| own.eq_ignore_ascii_case(code.trim()));
    let Some(request) = list_at(&found, "/requests").iter().find(fits) else {
        return Err(Failure::refused("no pending pairing request has this code")
            .hint("Codes live an hour; see: openclaw pairing list"));
    };
    let first = found["commandOwnerConfigured"] == false;
    let scopes: &[&str] = if first { &["operator.pairing", "operator.admin"] } else { &["operator.pairing"] };
    let params = json!({
        "channel": request["channel"], "accountId": request["accountId"], "requestId": request["requestId"],
        "notify": args.notify, "bootstrapCommandOwner": first,
    });
    let done = calls.once(Identity::backend("pairing", scopes), "channels.pairing.approve", params)?;
    if args.json {
        return shell.json(&done);
    }
    let sender = clean(&text_at(&done, "/senderId").unwrap_or_default());
    shell.line(format!("Approved {} sender {sender}.", clean(&text_at(request, "/channel").unwrap_or_default())))?;
    if done["commandOwnerBootstrap"] == "configured" {
        shell.line(format!("{sender} is the owner now (commands.ownerAllowFrom)."))?;
    }
    Ok(())
}

//! `send` and `message.action`: messages of the gateway's own into a messenger.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::Caller;
use crate::hub::outgoing::{Wanted, prepare};
use crate::hub::{Now, State, Ticket};
use crate::wire::channels::{MessageActionParams, SendParams};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::tree::json;

pub fn send(state: &mut State, _: &Arc<Caller>, params: SendParams, ticket: Ticket, now: Now) {
    let wanted = Wanted {
        channel: params.channel.as_deref(),
        account: params.account_id.as_deref(),
        to: &params.to,
        thread: params.thread_id.clone(),
        reply_to: params.reply_to_id.clone(),
    };
    let media = params.media_url.is_some() || !params.media_urls.is_empty() || params.buffer.is_some();
    let prepared = match media {
        true => Err(RpcError::invalid("media is sent by path with message.action (params.media), not with send")),
        false => prepare(state, &wanted, params.message.as_deref(), None, params.silent == Some(true)),
    };
    match prepared {
        Ok(outs) => state.send_message(&params.idempotency_key, outs, ticket, now),
        Err(error) => ticket.answer(Err(error)),
    }
}

pub fn action(state: &mut State, _: &Arc<Caller>, params: MessageActionParams, ticket: Ticket, now: Now) {
    let own = &params.params;
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| own.get(*name)).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        found.filter(|text| !text.is_empty() && text != "null")
    };
    let to = text(&["to", "target"]).unwrap_or_default();
    let explicit = params.reply.as_ref().and_then(|reply| reply["replyToId"].as_str()).map(str::to_owned);
    let account = params.account_id.clone().or_else(|| text(&["accountId"]));
    let wanted = Wanted {
        channel: Some(&params.channel),
        account: account.as_deref(),
        to: &to,
        thread: text(&["threadId"]),
        reply_to: explicit.or_else(|| text(&["replyTo", "replyToId"])),
    };
    let prepared = match &*params.action {
        "send" => {
            let silent = own.get("silent") == Some(&Value::Bool(true));
            prepare(state, &wanted, text(&["message", "text"]).as_deref(), text(&["media", "path"]), silent)
        }
        other => {
            Err(RpcError::invalid(format!("message action \"{}\" is not supported; supported: send", cut(other, 64))))
        }
    };
    let dry = own.get("dryRun") == Some(&Value::Bool(true));
    match prepared {
        Ok(_) if dry => ticket.answer_with(Ok(json!({"ok": true, "dryRun": true}))),
        Ok(outs) => state.send_message(&params.idempotency_key, outs, ticket, now),
        Err(error) => ticket.answer(Err(error)),
    }
}

//! `session_status`: what the gateway tells about this session, and the exact time.
//!
//! The system prompt carries only the date, so that prompt caches hold for a day; this is where the time comes from.

use super::arguments::Decoded;
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome, cut};
use crate::wire::object::objects;

objects! { lenient:
    pub(super) struct StatusArguments {}
}

pub(super) fn session_status(_: Decoded<StatusArguments>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let now = jiff::Zoned::now();
    let time = format!("Time: {} ({} UTC)", now.strftime("%A %F %T %Z"), now.timestamp().strftime("%F %T"));
    let status = (context.status)();
    let text = format!("{time}\nSession: {} (agent {})\n{}", context.session_key, context.agent_id, status.trim_end());
    Ok(ToolOutcome::said(cut(&text, context.limits.text_bytes), Details::Plain(Plain {})))
}

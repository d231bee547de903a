//! `message`: something said into a messenger, beside the answer of the run.

use serde::Deserialize;

use super::arguments::Decoded;
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome, paths};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Messaging {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    account_id: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    thread_id: Option<String>,
    #[serde(default)]
    reply_to: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    media: Option<String>,
    #[serde(default)]
    silent: bool,
}

/// What the tool wants of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageAsk {
    pub channel: Option<String>,
    pub account: Option<String>,
    /// Nothing: the conversation the run is answered in, else where the agent was spoken to last.
    pub target: Option<String>,
    pub thread: Option<String>,
    pub reply_to: Option<String>,
    pub text: Option<String>,
    /// A file the agent may read.
    pub file: Option<String>,
    pub silent: bool,
}

pub(super) fn message(given: Decoded<Messaging>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    if let Some(action) = given.action.filter(|action| action != "send") {
        return Err(Refusal(format!("There is no action {action:?}; this gateway has: send.")));
    }
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let file = match filled(given.media) {
        None => None,
        Some(raw) => {
            // What an agent may not read it may not send either.
            let path = paths::resolve_to_read(&raw, context)?;
            paths::open(&path, &raw)?;
            Some(path.display().to_string())
        }
    };
    let ask = MessageAsk {
        channel: filled(given.channel),
        account: filled(given.account_id),
        target: filled(given.target),
        thread: filled(given.thread_id),
        reply_to: filled(given.reply_to),
        text: filled(given.message),
        file,
        silent: given.silent,
    };
    let said = (context.message)(ask).map_err(Refusal)?;
    Ok(ToolOutcome::said(said, Details::Plain(Plain {})))
}

//! `suggest_task` and `dismiss_task`: work beside the work, as a card that people start or drop.

use serde::Deserialize;

use super::arguments::Decoded;
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome};
use crate::wire::decode::Text;
use crate::wire::suggestion::TaskSuggestionsCreateParams;
use crate::wire::tree::json;

/// What the tools want of the gateway.
pub enum SuggestAsk {
    /// The answer is the card's id.
    Create(TaskSuggestionsCreateParams),
    /// Only a card of the same session; the answer is `true` or `false`.
    Dismiss(String),
}

#[derive(Deserialize)]
pub(super) struct Suggesting {
    title: Text<60>,
    prompt: Text<32_768>,
    tldr: Text<1024>,
    #[serde(default)]
    cwd: Option<Text<4096>>,
}

#[derive(Deserialize)]
pub(super) struct Dismissing {
    task_id: Text<128>,
}

pub(super) fn suggest_task(given: Decoded<Suggesting>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    let cwd = given.cwd.unwrap_or_else(|| Text(context.start().display().to_string()));
    if !std::path::Path::new(&*cwd).is_absolute() {
        return Err(Refusal::new("cwd must be an absolute path."));
    }
    let params = TaskSuggestionsCreateParams {
        title: given.title,
        prompt: given.prompt,
        tldr: given.tldr,
        cwd,
        session_key: Text(context.session_key.to_owned()),
        agent_id: Some(Text(context.agent_id.to_owned())),
    };
    let id = (context.suggest)(SuggestAsk::Create(params)).map_err(Refusal)?;
    Ok(ToolOutcome::said(json!({ "task_id": id }).to_string(), Details::Plain(Plain {})))
}

pub(super) fn dismiss_task(given: Decoded<Dismissing>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let id = given.known.task_id.0;
    let dismissed = (context.suggest)(SuggestAsk::Dismiss(id.clone())).map_err(Refusal)? == "true";
    Ok(ToolOutcome::said(json!({ "task_id": id, "dismissed": dismissed }).to_string(), Details::Plain(Plain {})))
}

//! `ask_user`: one to three questions to the people at the gateway, and their answers.

use serde::Deserialize;

use super::arguments::{self, Decoded};
use super::{Details, Plain, Refusal, ToolContext, ToolOutcome, cut};
use crate::wire::decode::{Int, Text};
use crate::wire::object::objects;
use crate::wire::question::{Question, QuestionOption, QuestionRequestParams};

/// Seconds.
const USUAL: f64 = 900.0;
const SHORTEST: f64 = 30.0;
const LONGEST: f64 = 3600.0;
/// Longest header (characters).
const HEADER: usize = 12;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asking {
    questions: Vec<One>,
    #[serde(default, deserialize_with = "arguments::seconds")]
    timeout_seconds: Option<f64>,
}

objects! { lenient:
    struct One {
        id: String,
        header: String,
        question: String,
        options: Vec<QuestionOption>,
        multi_select: Option<bool> = default,
    }
}

pub(super) fn ask_user(given: Decoded<Asking>, context: &mut ToolContext) -> Result<ToolOutcome, Refusal> {
    let given = given.known;
    if given.questions.iter().any(|one| !(2..=4).contains(&one.options.len())) {
        return Err(Refusal::new(
            "Each question has two to four options; people may always answer in their own words.",
        ));
    }
    let seconds = given.timeout_seconds.unwrap_or(USUAL).clamp(SHORTEST, LONGEST);
    let questions = given.questions.into_iter().map(|one| Question {
        question_id: one.id,
        header: one.header.chars().take(HEADER).collect(),
        question: one.question,
        options: one.options,
        multi_select: one.multi_select,
        is_other: Some(true),
        is_secret: None,
    });
    let params = QuestionRequestParams {
        id: None,
        questions: questions.collect(),
        agent_id: Some(Text(context.agent_id.to_owned())),
        session_key: Some(Text(context.session_key.to_owned())),
        run_id: Some(Text(context.run_id.to_owned())),
        timeout_ms: Some(Int((seconds * 1000.0) as u64)),
    };
    let text = (context.people)(params).map_err(Refusal)?;
    Ok(ToolOutcome::said(cut(&text, context.limits.text_bytes), Details::Plain(Plain {})))
}

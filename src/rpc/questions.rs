//! `question.*`: asking the people at the gateway, looking, answering.

use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::{Now, State, Ticket};
use crate::wire::error::RpcError;
use crate::wire::question::*;

pub fn request(
    state: &mut State,
    _: &Arc<Caller>,
    params: QuestionRequestParams,
    now: Now,
) -> Result<QuestionRequestResult, RpcError> {
    state.ask_people(params, now)
}

pub fn list(state: &mut State, _: &Arc<Caller>, _: QuestionListParams, _: Now) -> Result<QuestionListResult, RpcError> {
    Ok(QuestionListResult { questions: state.questions.list() })
}

pub fn get(
    state: &mut State,
    _: &Arc<Caller>,
    params: QuestionGetParams,
    _: Now,
) -> Result<QuestionGetResult, RpcError> {
    state.questions.get(&params.id).map(|question| QuestionGetResult { question })
}

pub fn resolve(
    state: &mut State,
    _: &Arc<Caller>,
    params: QuestionResolveParams,
    _: Now,
) -> Result<QuestionOutcome, RpcError> {
    state.resolve_question(params)
}

pub fn wait_answer(state: &mut State, _: &Arc<Caller>, params: QuestionWaitAnswerParams, ticket: Ticket, now: Now) {
    state.wait_for_answer(&params, ticket, now);
}

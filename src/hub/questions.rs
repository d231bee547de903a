//! Questions to the people at the gateway: who asks waits, whoever is there answers.
//!
//! They live as long as the gateway: whoever asked is gone with it, too. An answer to a secret question is given to those
//! who wait and shown to nobody else.
//!
//! Invariants: each is answered, cancelled or expires exactly once; what peers make grow is capped in number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::timers::Due;
use super::{Now, State, Ticket};
use crate::sys::order;
use crate::sys::random;
use crate::wire::error::RpcError;
use crate::wire::event as kinds;
use crate::wire::question::*;
use crate::wire::session;
use crate::wire::sorted::Sorted;

/// Who asks without saying how long waits a quarter of an hour.
const USUAL: Duration = Duration::from_secs(15 * 60);
/// Asked and not at their end.
const WAITING: usize = 64;
/// At their end and still known, so that who comes late is told how it came out.
const ENDED: usize = 64;
/// Text of one request, and of one answer (bytes).
const REQUEST_BYTES: usize = 16 << 10;
const ANSWER_BYTES: usize = 64 << 10;
/// Who waits for one request.
const LISTENERS: usize = 16;

#[derive(Default)]
pub struct Questions {
    waiting: Sorted<Arc<str>, Waiting>,
    ended: VecDeque<(QuestionRecord, QuestionOutcome)>,
    /// Counts waits, so that the end of one does not end another.
    waits: u64,
}

struct Waiting {
    record: QuestionRecord,
    listeners: Vec<(u64, Ticket)>,
}

impl Questions {
    /// Those that wait, oldest first.
    pub fn list(&self) -> Vec<QuestionRecord> {
        let mut all: Vec<&QuestionRecord> = self.waiting.values().map(|one| &one.record).collect();
        order::by_key(&mut all, |one| one.created_at_ms);
        all.into_iter().cloned().collect()
    }

    pub fn get(&self, id: &str) -> Result<QuestionRecord, RpcError> {
        let waiting = self.waiting.get(id).map(|one| one.record.clone());
        waiting.or_else(|| self.ended_as(id).map(|(record, _)| record.clone())).ok_or_else(|| not_found(id))
    }

    fn ended_as(&self, id: &str) -> Option<&(QuestionRecord, QuestionOutcome)> {
        self.ended.iter().find(|(record, _)| record.id == id)
    }
}

impl State {
    /// Takes questions in and tells everybody who may answer.
    pub fn ask_people(&mut self, params: QuestionRequestParams, now: Now) -> Result<QuestionRequestResult, RpcError> {
        check(&params.questions)?;
        let id: Arc<str> = params.id.map_or_else(random::uuid, |id| id.0).into();
        if self.questions.waiting.len() >= WAITING {
            return Err(RpcError::busy());
        }
        if self.questions.get(&id).is_ok() {
            return Err(RpcError::invalid(format!("question '{id}' is asked already")));
        }
        let time = params.timeout_ms.map_or(USUAL, |ms| Duration::from_millis(ms.0));
        let record = QuestionRecord {
            id: id.to_string(),
            questions: params.questions,
            agent_id: params.agent_id.map(|id| id.0).or_else(|| agent_of(params.session_key.as_deref())),
            session_key: params.session_key.map(|key| key.0),
            run_id: params.run_id.map(|id| id.0),
            created_at_ms: now.ms,
            expires_at_ms: now.ms.saturating_add(time.as_millis() as u64),
            status: QuestionStatus::Pending,
            answers: None,
        };
        self.peers.broadcast(&kinds::QUESTION_REQUESTED, &record, None, |_| true);
        self.timers.at(now.at + time, Due::QuestionDeadline(id.clone()));
        let result = QuestionRequestResult { id: record.id.clone(), expires_at_ms: record.expires_at_ms };
        self.questions.waiting.insert(id, Waiting { record, listeners: Vec::new() });
        Ok(result)
    }

    /// Somebody answers, or takes the questions back.
    pub fn resolve_question(&mut self, params: QuestionResolveParams) -> Result<QuestionOutcome, RpcError> {
        let id = &*params.id;
        let Some(waiting) = self.questions.waiting.get(id) else {
            return Err(match self.questions.ended_as(id) {
                Some((record, _)) => {
                    RpcError::invalid(format!("question '{id}' is already {}", record.status.as_str()))
                }
                None => not_found(id),
            });
        };
        let outcome = match (params.answers, params.cancel) {
            (Some(answers), None) => {
                fits(&answers, &waiting.record)?;
                QuestionOutcome { status: QuestionStatus::Answered, answers: Some(answers) }
            }
            (None, Some(true)) => QuestionOutcome { status: QuestionStatus::Cancelled, answers: None },
            _ => return Err(RpcError::invalid("invalid question.resolve params: either answers or cancel: true")),
        };
        self.end_question(id, outcome.clone());
        Ok(outcome)
    }

    /// Answers the ticket when the questions are at their end, or with `pending` when its time is over.
    pub fn wait_for_answer(&mut self, params: &QuestionWaitAnswerParams, ticket: Ticket, now: Now) {
        let id = &*params.id;
        if let Some((_, outcome)) = self.questions.ended_as(id) {
            let outcome = outcome.clone();
            return ticket.answer_with(Ok(outcome));
        }
        let Some(waiting) = self.questions.waiting.get_mut(id) else { return ticket.answer(Err(not_found(id))) };
        if waiting.listeners.len() >= LISTENERS {
            return ticket.answer(Err(RpcError::busy()));
        }
        self.questions.waits += 1;
        waiting.listeners.push((self.questions.waits, ticket));
        if let Some(time) = params.timeout_ms {
            self.timers.at(now.at + Duration::from_millis(time.0), Due::QuestionWait(id.into(), self.questions.waits));
        }
    }

    pub(super) fn question_expired(&mut self, id: &str) {
        if self.questions.waiting.contains_key(id) {
            self.end_question(id, QuestionOutcome { status: QuestionStatus::Expired, answers: None });
        }
    }

    pub(super) fn question_wait_over(&mut self, id: &str, number: u64) {
        let Some(waiting) = self.questions.waiting.get_mut(id) else { return };
        if let Some(at) = waiting.listeners.iter().position(|(own, _)| *own == number) {
            let (_, ticket) = waiting.listeners.swap_remove(at);
            ticket.answer_with(Ok(QuestionOutcome { status: QuestionStatus::Pending, answers: None }));
        }
    }

    /// A run that asked is over: nobody waits for the answer any more.
    pub fn cancel_questions_of(&mut self, run_id: &str) {
        let of_run = |one: &Waiting| one.record.run_id.as_deref() == Some(run_id);
        let ids: Vec<Arc<str>> =
            self.questions.waiting.iter().filter(|(_, one)| of_run(one)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.end_question(&id, QuestionOutcome { status: QuestionStatus::Cancelled, answers: None });
        }
    }

    fn end_question(&mut self, id: &str, outcome: QuestionOutcome) {
        let Some(Waiting { mut record, listeners }) = self.questions.waiting.remove(id) else { return };
        record.status = outcome.status;
        record.answers = outcome.answers.as_ref().map(|answers| shown(answers, &record));
        let event = QuestionResolvedEvent { id, status: record.status, answers: record.answers.as_ref() };
        self.peers.broadcast(&kinds::QUESTION_RESOLVED, &event, None, |_| true);
        for (_, ticket) in listeners {
            ticket.answer_with(Ok(&outcome));
        }
        self.questions.ended.push_back((record, outcome));
        if self.questions.ended.len() > ENDED {
            self.questions.ended.pop_front();
        }
    }
}

/// Answers as others may see them: those to secret questions are left blank.
fn shown(answers: &QuestionAnswers, record: &QuestionRecord) -> QuestionAnswers {
    let mut shown = answers.clone();
    for secret in record.questions.iter().filter(|one| one.is_secret == Some(true)) {
        if let Some(answer) = shown.answers.get_mut(&secret.question_id) {
            answer.clear();
        }
    }
    shown
}

fn agent_of(session_key: Option<&str>) -> Option<String> {
    session::agent_of(session_key?).map(|(agent, _)| agent.to_owned())
}

/// The limits of the published schema, and a cap in bytes.
fn check(questions: &[Question]) -> Result<(), RpcError> {
    let bad = |at: usize, what: &str| {
        Err(RpcError::invalid(format!("invalid question.request params: at /questions/{at}{what}")))
    };
    if questions.is_empty() || questions.len() > 3 {
        return Err(RpcError::invalid("invalid question.request params: at /questions: one to three questions"));
    }
    let mut bytes = 0;
    for (at, one) in questions.iter().enumerate() {
        let mut letters = one.question_id.bytes();
        let first = letters.next().is_some_and(|c| c.is_ascii_lowercase());
        if !first || !letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_') {
            return bad(at, "/questionId: a-z first, then a-z, 0-9 and _");
        }
        if questions[..at].iter().any(|other| other.question_id == one.question_id) {
            return bad(at, "/questionId: another question has it");
        }
        if one.header.chars().count() > 12 {
            return bad(at, "/header: at most 12 characters");
        }
        if one.question.trim().is_empty() {
            return bad(at, "/question: must not be blank");
        }
        if one.options.len() > 4 || one.options.iter().any(|option| option.label.is_empty()) {
            return bad(at, "/options: at most four, each with a label");
        }
        let option = |option: &QuestionOption| option.label.len() + option.description.as_ref().map_or(0, String::len);
        bytes += one.header.len() + one.question.len() + one.options.iter().map(option).sum::<usize>();
    }
    match bytes > REQUEST_BYTES {
        true => Err(RpcError::invalid(format!("questions of more than {REQUEST_BYTES} bytes"))),
        false => Ok(()),
    }
}

/// Whether answers belong to the questions.
fn fits(answers: &QuestionAnswers, record: &QuestionRecord) -> Result<(), RpcError> {
    let bytes: usize = answers.answers.values().flatten().map(String::len).sum();
    if bytes > ANSWER_BYTES {
        return Err(RpcError::invalid(format!("answers of more than {ANSWER_BYTES} bytes")));
    }
    for (id, chosen) in &answers.answers {
        let Some(question) = record.questions.iter().find(|one| one.question_id == *id) else {
            return Err(RpcError::invalid(format!("question '{}' does not ask '{id}'", record.id)));
        };
        if chosen.len() > 1 && question.multi_select != Some(true) {
            return Err(RpcError::invalid(format!("'{id}' takes one answer")));
        }
    }
    Ok(())
}

fn not_found(id: &str) -> RpcError {
    RpcError::invalid(format!("question '{id}' was not found"))
}

//! Asking the people at the gateway on behalf of a run: they answer by any client, the run's thread waits. And cards
//! with work for them, which nobody waits for.

use std::time::Instant;

use crossbeam_channel::{bounded, select};

use super::Engine;
use super::tools::SuggestAsk;
use crate::hub::Ticket;
use crate::sys::abort::Abort;
use crate::wire::decode::Text;
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::question::{QuestionRequestParams, QuestionWaitAnswerParams};
use crate::wire::scope::Scope;

objects! { lenient:
    /// What is of interest of the result of `question.waitAnswer`.
    struct Ended {
        status: String,
    }
}

fn was_answered(result: &str) -> bool {
    misfit::read::<Ended>(result).is_ok_and(|ended| ended.status == "answered")
}

/// What a model is told when nobody answered.
const NO_ANSWER: &str = r#"{"status":"no_answer"}"#;

impl Engine {
    /// Whether anybody is connected who could answer questions, and who could see a card. Without one the tools for that
    /// are not offered.
    pub(super) fn people_present(&self) -> [bool; 2] {
        let may = |state: &mut crate::hub::State, _| {
            let present = |who| state.peers.iter().any(|peer| peer.caller.tracked() && peer.caller.scopes.allows(who));
            [Scope::Questions, Scope::Read].map(present)
        };
        self.hub.ask("people for a run", may).unwrap_or_default()
    }

    /// Asks, and waits until somebody answers, the time of the questions is over, or the run is stopped.
    pub(super) fn ask_people(&self, params: QuestionRequestParams, abort: &Abort) -> Result<String, String> {
        let gone = |error: crate::hub::Gone| error.to_string();
        let run_id = params.run_id.as_ref().map(|id| id.0.clone()).unwrap_or_default();
        let (answer, answered) = bounded(1);
        let ticket = Ticket::waited_for(answer, "question.waitAnswer", Instant::now());
        let asked = self.hub.ask("ask the people", move |state, now| {
            let asked = state.ask_people(params, now).map_err(|error| error.message)?;
            let wait = QuestionWaitAnswerParams { id: Text(asked.id), timeout_ms: None };
            state.wait_for_answer(&wait, ticket, now);
            Ok::<(), String>(())
        });
        asked.map_err(gone)??;
        let (stopped, _guard) = abort.heard();
        select! {
            recv(answered) -> result => match result {
                Ok(Ok(payload)) if was_answered(&payload.0) => Ok(payload.0),
                Ok(Ok(_)) => Ok(NO_ANSWER.to_owned()),
                Ok(Err(error)) => Err(error.message),
                Err(_) => Err("The gateway is stopping.".into()),
            },
            recv(stopped) -> _ => {
                // The gateway may be stopping: then they are gone anyway.
                let _ = self.hub.tell("take questions back", move |state, _| state.cancel_questions_of(&run_id));
                Err("The run was aborted.".into())
            }
        }
    }

    /// Puts a card before the people, or takes one of the same session back.
    pub(super) fn suggest(&self, ask: SuggestAsk, session_key: &str) -> Result<String, String> {
        let key = session_key.to_owned();
        let done = self.hub.ask("a suggested task", move |state, now| match ask {
            SuggestAsk::Create(params) => {
                state.suggest_task(params, key, now).map(|card| card.id).map_err(|error| error.message)
            }
            SuggestAsk::Dismiss(id) => Ok(state.dismiss_task(&id, Some(&key)).to_string()),
        });
        done.map_err(|gone| gone.to_string())?
    }
}

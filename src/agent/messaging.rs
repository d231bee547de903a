//! Messages a run sends besides its answer.
//!
//! A run that somebody else than an owner or a trusted person began stays in its own conversation: what a stranger makes an
//! agent say, it says to him.

use std::time::Instant;

use crossbeam_channel::{bounded, select};

use super::Engine;
use super::tools::MessageAsk;
use crate::channels::Target;
use crate::hub::outgoing::{self, Wanted};
use crate::hub::run::Order;
use crate::hub::{State, Ticket};
use crate::wire::tree::json;

impl Engine {
    /// Whether there is a messenger to send into. Without one the tool is not offered.
    pub(super) fn has_messengers(&self) -> bool {
        let any = |state: &mut State, _| state.messengers.looks().iter().any(|look| look.running);
        self.hub.ask("messengers for a run", any).unwrap_or(false)
    }

    /// Sends, and waits until the messenger has taken it, its time is over, or the run is stopped.
    pub(super) fn send_for(&self, ask: MessageAsk, order: &Order, call_id: &str) -> Result<String, String> {
        let gone = |error: crate::hub::Gone| error.to_string();
        let (agent_id, origin, admin) = (order.agent_id.clone(), order.input.reply.clone(), order.input.admin);
        let key = format!("tool-{}-{call_id}", order.run_id);
        let (answer, answered) = bounded(1);
        let ticket = Ticket::waited_for(answer, "message", Instant::now());
        let asked = self.hub.ask("send for a run", move |state, now| {
            let to = place(state, &ask, &agent_id, origin.as_deref())?;
            if origin.as_deref().is_some_and(|own| !admin && !own.same_place(&to)) {
                return Err("Who began this run may only be answered in this conversation.".to_owned());
            }
            let outs = outgoing::open(state, to.clone(), ask.text.as_deref(), ask.file.clone(), ask.silent)
                .map_err(|error| error.message)?;
            state.send_message(&key, outs, ticket, now);
            Ok(json!({ "channel": to.channel, "accountId": to.account, "to": to.chat }))
        });
        let mut said = asked.map_err(gone)??;
        let (stopped, _guard) = order.abort.heard();
        select! {
            recv(answered) -> result => match result {
                Ok(Ok(_)) => {
                    said["ok"] = true.into();
                    Ok(said.to_string())
                }
                Ok(Err(error)) => Err(error.message),
                Err(_) => Err("The gateway is stopping; the message goes out at its next start.".into()),
            },
            recv(stopped) -> _ => Err("The run was aborted; the message may go out.".into()),
        }
    }
}

/// Where a message goes: as it is named, else into the conversation of the run, else where the agent was spoken to last.
fn place(state: &State, ask: &MessageAsk, agent_id: &str, origin: Option<&Target>) -> Result<Target, String> {
    let channel = ask.channel.as_deref();
    let fits = |to: &&Target| channel.is_none_or(|id| id == to.channel);
    match &ask.target {
        Some(to) => {
            // A bare id means the messenger of the conversation.
            let own = origin.filter(|_| ask.channel.is_none() && !to.contains(':'));
            let wanted = Wanted {
                channel: channel.or(own.map(|own| own.channel.as_str())),
                account: ask.account.as_deref().or(own.map(|own| own.account.as_str())),
                to,
                thread: ask.thread.clone(),
                reply_to: ask.reply_to.clone(),
            };
            outgoing::target(&state.shared.config.get(), &wanted).map_err(|error| error.message)
        }
        None => {
            let talk = state.shared.talks.of(agent_id, channel);
            let to = origin.filter(fits).cloned().or(talk);
            let to =
                to.ok_or("Name a target: this run has no conversation in a messenger, and there was none before.")?;
            Ok(Target { reply_to: ask.reply_to.clone(), thread: ask.thread.clone().or(to.thread.clone()), ..to })
        }
    }
}

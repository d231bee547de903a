//! Approvals in messengers: a question goes where its run was spoken to, and where `approvals.exec` and
//! `approvals.plugin` send it; `/approve <id> <decision>`, written or as a button, decides.
//!
//! Who may decide was looked at when his message came in (`channels::gate::may_approve`). A question that devices alone may
//! decide is not there for a messenger.

use super::State;
use super::approvals::decided_by;
use super::event::Now;
use crate::channels::{Admitted, Outbound, Target, inbound};
use crate::config::sections::ForwardConfig;
use crate::store::{inbox, outbox};
use crate::wire::approval::{ApprovalKind, ApprovalPresentation, ApprovalStatus, Decision};
use crate::wire::frame::cut;

/// Places one question is sent to.
const PLACES: usize = 8;
/// Text of a command or a description that is shown; what is longer is decided by a client that shows all of it.
const SHOWN: usize = 3_000;
/// What a button may carry, in the messenger that takes the least (bytes; Bot API, InlineKeyboardButton).
const BUTTON: usize = 64;

/// Where a question came from.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) agent_id: Option<String>,
    pub(super) session_key: Option<String>,
    pub(super) place: Option<Target>,
}

/// The words that decide.
const WORD: &str = "/approve";

impl State {
    /// Where a question goes. Empty: no messenger takes part in it.
    pub(super) fn approval_places(&self, kind: ApprovalKind, origin: &Origin) -> Vec<Target> {
        let config = self.shared.config.get();
        let forward = match kind {
            ApprovalKind::Plugin => &config.approvals.plugin,
            _ => &config.approvals.exec,
        };
        let (home, abroad) = match (forward.enabled && fits(forward, origin), forward.mode.as_deref()) {
            (true, Some("targets")) => (false, true),
            (true, Some("both")) => (true, true),
            _ => (true, false),
        };
        let mut places: Vec<Target> = origin.place.iter().filter(|_| home).cloned().collect();
        for target in forward.targets.iter().filter(|_| abroad) {
            let spec = crate::channels::find(&target.channel);
            let account = target.account_id.clone();
            let account = account.or_else(|| crate::channels::account::default_account(&config, &target.channel));
            let (Some(spec), Some(account)) = (spec, account) else { continue };
            let thread = target.thread_id.as_ref().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            places.push(Target {
                channel: spec.id.into(),
                account,
                chat: target.to.clone(),
                thread,
                ..Target::default()
            });
        }
        // One that does not run would keep the question until nobody needs an answer.
        places.retain(|to| self.messengers.look(&to.channel, &to.account).is_some_and(|look| look.running));
        places.truncate(PLACES);
        places
    }

    /// Puts the question into the outbox.
    pub(super) fn ask_in_chats(&mut self, id: &str, shown: &ApprovalPresentation, places: Vec<Target>, now: Now) {
        let text = question(id, shown);
        let buttons = buttons(id, shown.allowed());
        let at_ms = i64::try_from(now.ms).unwrap_or(i64::MAX);
        let row = |(at, to): (usize, &Target)| {
            let to = Target { reply_to: None, tools: None, ..to.clone() };
            let out = Outbound { to, text: text.clone(), buttons: buttons.clone(), ..Outbound::default() };
            inbound::row(&format!("approval-{id}"), at, &out, at_ms)
        };
        let rows: Vec<_> = places.iter().enumerate().map(row).collect();
        let hub = self.hub.clone();
        self.store.submit(
            "ask for approval in a messenger",
            move |conn| rows.iter().try_for_each(|row| outbox::put(conn, row).map(drop)),
            move |result| match result {
                // The gateway is stopping; what it asked is over then.
                Ok(()) => drop(hub.tell("ask for approval in a messenger", move |state, _| {
                    places.iter().for_each(|to| state.messengers.poke(to));
                })),
                Err(error) => log::error!("{error}"),
            },
        );
    }

    /// Whether a message decides an approval; then it has been obeyed, for it does not wait behind the run that asks.
    pub(super) fn approve_by_message(&mut self, message: &Admitted, now: Now) -> bool {
        let (word, rest) = message.text.trim().split_once(char::is_whitespace).unwrap_or((message.text.trim(), ""));
        if !word.eq_ignore_ascii_case(WORD) {
            return false;
        }
        let name = format!("{}:{}", message.target.channel, message.sender);
        let (hub, own) = (self.hub.clone(), message.clone());
        self.approve_by_words(rest, message.approver, &name, now, move |text| {
            // The gateway may be stopping.
            let _ = hub.tell("answer /approve", move |state, now| state.answer_message(&own, &text, now));
        });
        true
    }

    /// Does what stands after `/approve`, and says so when it is on the disk.
    pub fn approve_by_words(
        &mut self,
        words: &str,
        approver: bool,
        name: &str,
        now: Now,
        done: impl FnOnce(String) + Send + 'static,
    ) {
        let mut words = words.split_whitespace();
        let (id, decision) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let decision = Decision::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(decision));
        if !approver {
            return done("You may not decide about approvals here (commands.ownerAllowFrom).".into());
        }
        let Some(known) = self.approvals.for_chats(id) else {
            return done(format!("No approval `{}` is known.", cut(id, 80).escape_debug()));
        };
        if known.status != ApprovalStatus::Pending {
            return done("It is decided already.".into());
        }
        let Some(decision) = decision.filter(|decision| known.presentation.allowed().contains(decision)) else {
            return done(usage(id, known.presentation.allowed()));
        };
        let kind = known.kind();
        log::info!(target: "approvals", "{id}: {} by {}", decision.as_str(), name.escape_debug());
        self.end_approval(id, decided_by(decision, name), now, move |_, saved| {
            done(saved.map_or_else(|error| error.to_string(), |()| said(kind, decision)));
        });
    }

    /// Answers a message without a run.
    pub(super) fn answer_message(&mut self, message: &Admitted, text: &str, now: Now) {
        let out = Outbound { to: message.target.clone(), text: text.into(), ..Outbound::default() };
        let row = inbound::row(&message.run_id, 0, &out, i64::try_from(now.ms).unwrap_or(i64::MAX));
        let (run_id, to, hub) = (message.run_id.clone(), message.target.clone(), self.hub.clone());
        self.store.submit(
            "answer a command",
            move |conn| {
                inbox::remove(conn, &run_id)?;
                outbox::put(conn, &row)
            },
            move |result| match result {
                // The gateway is stopping; the row goes out at the next start.
                Ok(_) => drop(hub.tell("answer a command", move |state, _| state.messengers.poke(&to))),
                Err(error) => log::error!("{error}"),
            },
        );
    }
}

fn fits(forward: &ForwardConfig, origin: &Origin) -> bool {
    let agent = origin.agent_id.as_deref().unwrap_or_default();
    let session = origin.session_key.as_deref().unwrap_or_default();
    (forward.agent_filter.is_empty() || forward.agent_filter.iter().any(|one| one == agent))
        && (forward.session_filter.is_empty()
            || forward.session_filter.iter().any(|one| session.contains(one.as_str())))
}

/// What is asked, and how it is answered where there are no buttons.
fn question(id: &str, shown: &ApprovalPresentation) -> String {
    let (head, body) = match shown {
        ApprovalPresentation::Exec { command_text, warning_text, host, .. } => {
            let host = host.as_deref().unwrap_or("gateway");
            let warning = warning_text.as_deref().map(|text| format!("\n⚠️ {text}")).unwrap_or_default();
            (format!("🔒 A command wants to run on {host}:"), format!("```\n{}\n```{warning}", fenced(command_text)))
        }
        ApprovalPresentation::Plugin { title, description, .. } => {
            (format!("🔒 {title}"), cut(description, SHOWN).to_owned())
        }
    };
    format!("{head}\n{body}\n{}", usage(id, shown.allowed()))
}

/// A command as a block of code that it cannot leave.
fn fenced(command: &str) -> String {
    let shown = cut(command, SHOWN).replace("```", "`\u{200b}``");
    match shown.len() < command.len() {
        true => format!("{shown}\n[… {} bytes in all; look at all of it before you allow it]", command.len()),
        false => shown,
    }
}

fn usage(id: &str, allowed: &[Decision]) -> String {
    let words: Vec<&str> = allowed.iter().map(|one| one.as_str()).collect();
    format!("Answer with `{WORD} {id} {}`.", words.join("|"))
}

fn buttons(id: &str, allowed: &[Decision]) -> Vec<Vec<(String, String)>> {
    let label = |decision: &Decision| match decision {
        Decision::AllowOnce => "Allow once",
        Decision::AllowAlways => "Always allow",
        Decision::Deny => "Deny",
    };
    let row = allowed.iter().map(|one| (label(one).to_owned(), format!("{WORD} {id} {}", one.as_str())));
    let row: Vec<(String, String)> = row.filter(|(_, data)| data.len() <= BUTTON).collect();
    if row.is_empty() { Vec::new() } else { vec![row] }
}

fn said(kind: ApprovalKind, decision: Decision) -> String {
    let what = if kind == ApprovalKind::Plugin { "It" } else { "The command" };
    match decision {
        Decision::AllowOnce => format!("{what} is allowed this once."),
        Decision::AllowAlways => format!("{what} is allowed from now on."),
        Decision::Deny => format!("{what} is denied."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &str) -> ApprovalPresentation {
        ApprovalPresentation::Exec {
            command_text: command.into(),
            command_preview: None,
            warning_text: None,
            host: Some("gateway".into()),
            node_id: None,
            agent_id: None,
            allowed_decisions: Decision::ALL.to_vec(),
        }
    }

    #[test]
    fn a_command_stays_in_its_block_and_says_when_it_is_cut() {
        let text = question("id", &exec("echo ```\nInnocent text"));
        assert_eq!(text.matches("```").count(), 2, "{text}");
        assert!(text.ends_with("Answer with `/approve id allow-once|allow-always|deny`."), "{text}");
        let long = question("id", &exec(&"x".repeat(10_000)));
        assert!(long.len() < 4_000 && long.contains("10000 bytes in all"));
    }

    #[test]
    fn buttons_fit_the_messenger_that_takes_the_least() {
        let id = crate::sys::random::uuid();
        let row = &buttons(&id, &Decision::ALL)[0];
        assert_eq!(row.len(), 3);
        let plugin = buttons(&format!("plugin:{id}"), &Decision::ALL);
        assert!(plugin[0].iter().all(|(_, data)| data.len() <= BUTTON) && plugin[0].len() == 2);
        assert!(buttons(&"x".repeat(80), &Decision::ALL).is_empty());
    }

    #[test]
    fn filters_choose_by_agent_and_session() {
        let origin = Origin {
            agent_id: Some("main".into()),
            session_key: Some("agent:main:discord:channel:5".into()),
            place: None,
        };
        let forward = |agents: &[&str], sessions: &[&str]| ForwardConfig {
            agent_filter: agents.iter().map(|one| (*one).to_owned()).collect(),
            session_filter: sessions.iter().map(|one| (*one).to_owned()).collect(),
            ..ForwardConfig::default()
        };
        assert!(fits(&forward(&[], &[]), &origin) && fits(&forward(&["main"], &["discord"]), &origin));
        assert!(!fits(&forward(&["ops"], &[]), &origin) && !fits(&forward(&[], &["slack"]), &origin));
    }
}

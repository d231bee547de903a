//! Permission to run a command: looks at the rules, and asks a person where they say so.
//!
//! The run's thread waits for the decision, at most [`EXEC_TIME`]; stopping the run ends the wait. What a person
//! allowed is what runs: the very job they were shown, in its directory, with its variables.
//!
//! Invariant: nothing runs that the rules in force at the moment of the call do not let run.

use crossbeam_channel::{bounded, select};

use super::tools::permit::{self, Known, Rules, Verdict};
use super::tools::{Denied, Permission};
use super::turn::Turning;
use crate::hub::approvals::{Asked, Asker, EXEC_TIME, Ruling};
use crate::hub::reviewers::Showing;
use crate::hub::run::{ApprovalStep, RunEvent};
use crate::sys::child::Spec;
use crate::sys::clock;
use crate::wire::approval::*;
use crate::wire::exec_approvals::ExecAsk;

/// A command a person cannot read to its end is not asked about.
const REVIEWED: usize = 32 << 10;

/// Permission for one tool call.
pub(super) struct Asking<'a, 'b> {
    pub turning: &'a Turning<'b>,
    pub call_id: &'a str,
}

impl Permission for Asking<'_, '_> {
    fn permit(&self, command: &str, job: Spec) -> Result<Spec, Denied> {
        let gone = |_| Denied::because("", "the gateway is stopping");
        let hub = &self.turning.engine().hub;
        let document = hub.ask("exec rules", |state, _| state.approvals.rules.clone()).map_err(gone)?;
        let config = &self.turning.config().tools.exec;
        let rules = Rules::of(config, &document.file, &self.turning.order().agent_id);
        if rules.is_open() {
            return Ok(job);
        }
        let (known, cwd) = (permit::look(command, &job), permit::directory(&job));
        let allowed = known.as_ref().is_some_and(|known| rules.allow(known, &cwd));
        let pinned = |job: Spec| match &known {
            Some(known) if allowed => known.pin(job),
            _ => job,
        };
        match permit::judge(&rules, allowed) {
            Verdict::Run => return Ok(pinned(job)),
            Verdict::Refuse => return Err(Denied::because("", refusal(&rules, known.is_some()))),
            Verdict::Ask => {}
        }
        let (id, ruling) = self.ask(command, &job, &rules, known.as_ref())?;
        match (ruling.decision, ruling.reason) {
            (Some(Decision::AllowOnce | Decision::AllowAlways), _) => {
                let now = permit::look(command, &job);
                if known.as_ref().is_some_and(|known| !known.is_still(now.as_ref())) {
                    return Err(Denied::because(&id, "a program of the command changed while it waited"));
                }
                Ok(job)
            }
            (Some(Decision::Deny), _) => Err(Denied::because(&id, "user-denied")),
            (None, reason) => match permit::unanswered(&rules, allowed) {
                Verdict::Run => Ok(pinned(job)),
                _ => Err(Denied::because(&id, unanswered(reason))),
            },
        }
    }
}

impl Asking<'_, '_> {
    /// Asks, and waits for the end of it.
    fn ask(&self, command: &str, job: &Spec, rules: &Rules, known: Option<&Known>) -> Result<(String, Ruling), Denied> {
        let order = self.turning.order();
        let shown = visible(command);
        let warning = warning(job);
        if shown.len() + warning.as_ref().map_or(0, String::len) > REVIEWED {
            return Err(Denied::because("", "the command is too long to be reviewed; make it shorter"));
        }
        let cwd = permit::directory(job);
        let grants = known.filter(|_| rules.ask != ExecAsk::Always).and_then(|k| k.grants(&cwd, clock::now_ms()));
        let barred: &[Decision] = if grants.is_none() { &[Decision::AllowAlways] } else { &[] };
        let allowed: Vec<Decision> = Decision::ALL.into_iter().filter(|one| !barred.contains(one)).collect();
        let some = |text: &str| Some(text.to_string());
        let place = order.input.reply.as_deref().cloned();
        let presentation = ApprovalPresentation::Exec {
            command_text: shown.clone(),
            command_preview: None,
            warning_text: warning.clone(),
            host: some("gateway"),
            node_id: None,
            agent_id: some(&order.agent_id),
            allowed_decisions: allowed.clone(),
        };
        let request = ExecApprovalRequest {
            command: shown,
            cwd: Some(cwd),
            host: some("gateway"),
            env_keys: (!job.extra.is_empty()).then(|| job.extra.iter().map(|(name, _)| name.clone()).collect()),
            security: some(rules.security.as_str()),
            ask: some(rules.ask.as_str()),
            warning_text: warning,
            command_analysis: Some(CommandAnalysis {
                command_count: known.map_or(0, |known| known.segments.len()),
                nested_command_count: 0,
                risk_kinds: Vec::new(),
                warning_lines: Vec::new(),
            }),
            unavailable_decisions: barred.to_vec(),
            allowed_decisions: allowed,
            agent_id: some(&order.agent_id),
            resolved_path: known.and_then(|known| known.segments.first()).map(|first| first.found.clone()),
            session_key: some(&order.session_key),
            run_id: some(&order.run_id),
            tool_call_id: some(self.call_id),
            turn_source_channel: place.as_ref().map(|to| to.channel.clone()),
            turn_source_to: place.as_ref().map(|to| to.chat.clone()),
            turn_source_account_id: place.as_ref().map(|to| to.account.clone()),
            turn_source_thread_id: place
                .as_ref()
                .and_then(|to| serde_json::value::to_raw_value(to.thread.as_ref()?).ok()),
            ..ExecApprovalRequest::default()
        };
        let (tell, told) = bounded(1);
        let asked = Asked {
            id: None,
            request: ApprovalRequest::Exec(Box::new(request)),
            presentation,
            time: EXEC_TIME,
            asker: Asker::Run(tell),
            grants: grants.unwrap_or_default(),
            reviewers: Vec::new(),
            place,
            showing: Showing::Demanded,
        };
        let hub = &self.turning.engine().hub;
        let asked = hub.ask("ask for approval", move |state, now| state.ask_approval(asked, now));
        let busy = || Denied::because("", "too much waits for approval already");
        let Some(id) = asked.map_err(|_| Denied::because("", "the gateway is stopping"))? else {
            // It is at its end already, or was never begun.
            return told.try_recv().map(|ruling| (String::new(), ruling)).map_err(|_| busy());
        };
        self.report("waiting-approval", &id);
        let (stopped, _guard) = order.abort.heard();
        let ruling = select! {
            recv(told) -> ruling => ruling.map_err(|_| Denied::because(&id, "the gateway is stopping")),
            recv(stopped) -> _ => {
                let own = id.clone();
                // The gateway may be gone: then nothing waits there either.
                let _ = hub.tell("cancel an approval", move |state, now| state.cancel_approval(&own, now));
                Err(Denied::because(&id, "the run was stopped"))
            }
        };
        self.report("approval-resolved", &id);
        ruling.map(|ruling| (id.to_string(), ruling))
    }

    fn report(&self, phase: &'static str, id: &str) {
        let step = ApprovalStep { phase, approval_id: id.to_string(), call_id: self.call_id.to_string() };
        self.turning.report(RunEvent::Approval(Box::new(step)));
    }
}

fn refusal(rules: &Rules, looked_into: bool) -> String {
    let (security, ask) = (rules.security.as_str(), rules.ask.as_str());
    let why = match (rules.security.as_str(), looked_into) {
        ("deny", _) => "commands are not allowed",
        (_, true) => "a program of the command is not in the allowlist",
        (_, false) => "the command is not made of plain programs and words, so the allowlist cannot cover it",
    };
    format!("{why} (security={security} ask={ask})")
}

fn unanswered(reason: ApprovalReason) -> &'static str {
    match reason {
        ApprovalReason::NoRoute => "approval is required and nobody is connected who could give it",
        ApprovalReason::Timeout => "approval-timeout",
        ApprovalReason::RunAborted => "the run was stopped",
        ApprovalReason::GatewayRestart => "the gateway is stopping",
        ApprovalReason::User => "user-denied",
    }
}

/// What the model adds to the environment belongs to what is allowed: it is shown, values and all.
fn warning(job: &Spec) -> Option<String> {
    if job.extra.is_empty() {
        return None;
    }
    let pairs = job.extra.iter().map(|(name, value)| format!("{}={}", visible(name), visible(value)));
    Some(format!("Sets variables: {}", pairs.collect::<Vec<_>>().join(" ")))
}

/// Text without characters that hide or reorder what stands beside them; they are written out.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match hidden(c) {
            true => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            false => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_hides_in_a_command_is_written_out() {
        assert_eq!(visible("echo a\n\tb"), "echo a\n\tb");
        assert_eq!(visible("rm \u{202e}x\u{200b}\r"), "rm \\u{202e}x\\u{200b}\\u{d}");
    }
}

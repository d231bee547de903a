//! Commands to the gateway itself: messages that start with `/`. They are answered at once, whatever the model, and are
//! no part of the conversation the model sees.

use std::time::Duration;

use super::messages::COMMAND;
use super::tooling::tool_names;
use super::turn::Turning;
use crate::config::Config;
use crate::hub::run::{Outcome, RunEvent, Status};
use crate::store::sessions;
use crate::sys::{clock, host};
use crate::wire::command::{COMMANDS, CommandSpec, QUEUE_MODES, THINKING};

/// A command and what follows it.
pub struct Command {
    spec: &'static CommandSpec,
    run: Handler,
    argument: String,
}

/// A decision is on the disk before it is said.
const DECIDED: Duration = Duration::from_secs(20);

type Handler = fn(&Turning<'_>, &str) -> String;

/// What each command of [`COMMANDS`] does. `/stop` is handled before a run begins.
static HANDLERS: &[(&str, Handler)] = &[
    ("help", help),
    ("status", |turning, _| status_text(turning)),
    ("model", model),
    ("think", think),
    ("queue", queue),
    ("tools", tools),
    ("whoami", whoami),
    ("approve", approve),
    ("compact", compact),
    ("new", reset),
    ("stop", |_, _| "Nothing is running in this session.".into()),
];

/// Reads a command; text that only looks like one (`/etc/hosts is odd`) is none.
pub fn parse(text: &str) -> Option<Command> {
    let text = text.trim();
    let (word, argument) = text.strip_prefix('/')?.split_once(char::is_whitespace).unwrap_or((&text[1..], ""));
    let word = word.to_ascii_lowercase();
    let spec = COMMANDS.iter().find(|spec| spec.name == word || (!spec.alias.is_empty() && spec.alias == word))?;
    let (_, run) = HANDLERS.iter().find(|(name, _)| *name == spec.name)?;
    Some(Command { spec, run: *run, argument: argument.trim().to_string() })
}

/// What a message says after the word that starts its conversation over: `/new`, `/reset`, or one of
/// `session.resetTriggers`. `None`: it does not begin with one.
pub fn starts_over<'t>(config: &Config, text: &'t str) -> Option<&'t str> {
    let text = text.trim();
    let own = config.session.reset_triggers.iter().flatten().map(|word| word.trim());
    let words = ["/new", "/reset"].into_iter().chain(own).filter(|word| !word.is_empty());
    let after = |word: &str| {
        let rest = text.get(word.len()..).filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))?;
        text[..word.len()].eq_ignore_ascii_case(word).then_some(rest.trim_start())
    };
    words.filter_map(after).next()
}

/// Starts the conversation of a run over, for `rest`: what is to be said in the new one. Its first word may be a model.
/// Gives what is left to say, or why nothing is done.
pub fn start_over(turning: &Turning<'_>, rest: &str) -> Result<String, String> {
    let (config, agent_id) = (turning.config(), &turning.order().agent_id);
    let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let alias = config.model_for_alias(agent_id, word);
    let hint = alias.or(Some(word).filter(|word| word.contains('/')));
    let hint = hint.and_then(|name| turning.registry().find(name).ok());
    if let Some(model) = &hint {
        let policy = config.model_policy(agent_id);
        if !policy.allows(&model.provider, &model.model) {
            return Err(policy.refusal(&model.to_string()));
        }
    }
    begin_anew(turning, hint.as_ref().map(ToString::to_string))?;
    Ok(if hint.is_some() { after.trim_start().to_owned() } else { rest.to_owned() })
}

/// Answers a command as a run of its own.
pub fn run(mut turning: Turning<'_>, command: Command) -> Outcome {
    if let Err(error) = turning.begin(COMMAND) {
        log::error!("{error}");
        return Outcome::failed(error.to_string(), "storage", 503);
    }
    turning.report(RunEvent::Started);
    let answer = match command.spec.admin && !turning.order().input.admin {
        true => format!("/{} needs the scope operator.admin.", command.spec.name),
        false => (command.run)(&turning, &command.argument),
    };
    turning.say(&answer);
    turning.end(Status::Ok, "stop", None, Vec::new(), COMMAND)
}

fn help(_: &Turning<'_>, _: &str) -> String {
    COMMANDS.iter().fold("Commands:".to_string(), |text, row| format!("{text}\n{} - {}", row.usage, row.doc))
}

/// What `/status` and the tool `session_status` show.
pub fn status_text(turning: &Turning<'_>) -> String {
    let (order, boot) = (turning.order(), &turning.engine().shared.boot);
    let row =
        turning.engine().store.read("read the session", |conn| sessions::get(conn, &order.session_key)).ok().flatten();
    let model = turning.models(row.as_ref()).map_or_else(|e| e.to_string(), |models| models[0].to_string());
    let up = std::time::Duration::from_millis(boot.uptime_ms());
    let mut text = format!(
        "openclaw {} on {}, up {}\nMemory: {:.1} MB\nAgent: {}\nSession: {}\nModel: {model}",
        boot.version,
        boot.own.host.as_deref().unwrap_or("localhost"),
        span(up.as_secs()),
        host::rss_kb() as f64 / 1024.0,
        order.agent_id,
        order.session_key,
    );
    if let Some(row) = row {
        text.push_str(&format!(
            "\nMessages: {}, summed up {} times\nTokens: {} in, {} out, context {}{}",
            row.message_count,
            row.compaction_count,
            row.input_tokens,
            row.output_tokens,
            row.total_tokens,
            if row.context_tokens > 0 { format!(" of {}", row.context_tokens) } else { String::new() }
        ));
    }
    text
}

fn span(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        s => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

fn model(turning: &Turning<'_>, argument: &str) -> String {
    let key = turning.order().session_key.clone();
    let (config, agent_id) = (turning.config(), &turning.order().agent_id);
    let policy = config.model_policy(agent_id);
    if argument.is_empty() {
        let mut text = String::from("Models:");
        let rows = turning.registry().catalogue();
        for row in rows.iter().filter(|row| policy.allows(&row.provider, &row.info.id)) {
            let note = if row.available { "" } else { " (not available)" };
            text.push_str(&format!("\n{}/{}{note}", row.provider, row.info.id));
        }
        text.push_str("\nChoose one with /model provider/model; /model default undoes it.");
        return text;
    }
    let chosen = match argument {
        "default" | "reset" => None,
        name => match turning.registry().find(config.model_for_alias(agent_id, name).unwrap_or(name)) {
            Ok(model) if !policy.allows(&model.provider, &model.model) => return policy.refusal(&model.to_string()),
            Ok(model) => Some(model.to_string()),
            Err(error) => return error.to_string(),
        },
    };
    let shown = chosen.clone();
    let saved = turning
        .engine()
        .store
        .write("choose a model", move |conn| sessions::patch(conn, &key, |row| row.model_override = chosen));
    match (saved, shown) {
        (Err(error), _) => error.to_string(),
        (Ok(_), Some(model)) => format!("This session now uses {model}."),
        (Ok(_), None) => "This session uses the default model again.".into(),
    }
}

fn think(turning: &Turning<'_>, argument: &str) -> String {
    let key = turning.order().session_key.clone();
    if argument.is_empty() {
        let row = turning.engine().store.read("read the session", |conn| sessions::get(conn, &key));
        let (own, shared) = turning.config().thinking_defaults(&turning.order().agent_id);
        let usual = own.or(shared).unwrap_or("off");
        let level = row.ok().flatten().and_then(|row| row.thinking_level).unwrap_or_else(|| usual.into());
        return format!("Thinking: {level}. Levels: {}.", THINKING.join(", "));
    }
    let level = argument.to_ascii_lowercase();
    if !THINKING.contains(&level.as_str()) {
        return format!(
            "There is no level \"{}\". Levels: {}.",
            crate::wire::frame::cut(&level, 32),
            THINKING.join(", ")
        );
    }
    let shown = level.clone();
    match turning.engine().store.write("set the thinking level", move |conn| {
        sessions::patch(conn, &key, |row| row.thinking_level = Some(level))
    }) {
        Ok(_) => format!("Thinking: {shown}."),
        Err(error) => error.to_string(),
    }
}

fn queue(turning: &Turning<'_>, argument: &str) -> String {
    let key = turning.order().session_key.clone();
    let argument = argument.to_ascii_lowercase();
    if argument.is_empty() {
        let row = turning.engine().store.read("read the session", |conn| sessions::get(conn, &key));
        let mode = row.ok().flatten().and_then(|row| row.facts().queue_mode).unwrap_or_else(|| "steer".into());
        return format!("Queue: {mode}. Modes: {}.", QUEUE_MODES.join(", "));
    }
    let mode = if argument == "reset" { "default" } else { &argument };
    if !QUEUE_MODES.contains(&mode) {
        let shown = crate::wire::frame::cut(mode, 32);
        return format!("There is no mode \"{shown}\". Modes: {}.", QUEUE_MODES.join(", "));
    }
    let chosen = (mode != "default").then(|| mode.to_string());
    let shown = chosen.clone().unwrap_or_else(|| "steer".into());
    let saved = turning.engine().store.write("choose a queue mode", move |conn| {
        sessions::patch(conn, &key, |row| {
            let mut facts = row.facts();
            facts.queue_mode = chosen;
            row.set_facts(&facts);
        })
    });
    saved.map_or_else(|error| error.to_string(), |_| format!("Queue: {shown}."))
}

fn tools(turning: &Turning<'_>, _: &str) -> String {
    let names: Vec<&str> = tool_names(turning).into_iter().collect();
    match names.is_empty() {
        true => "This agent has no tools (tools.allow, tools.deny).".into(),
        false => format!("Tools: {}.", names.join(", ")),
    }
}

/// Decides an approval. In a messenger the state thread does it before a run begins.
fn approve(turning: &Turning<'_>, argument: &str) -> String {
    let (tell, told) = crossbeam_channel::bounded(1);
    let words = argument.to_owned();
    let asked = turning.engine().hub.tell("approve", move |state, now| {
        // Nobody may wait any more.
        state.approve_by_words(&words, true, "chat", now, move |text| drop(tell.try_send(text)));
    });
    let heard = asked.ok().and_then(|()| told.recv_timeout(DECIDED).ok());
    heard.unwrap_or_else(|| "The gateway is stopping, or its disk is slow; look at the approval again.".into())
}

fn whoami(turning: &Turning<'_>, _: &str) -> String {
    let order = turning.order();
    let rights = if order.input.admin { "everything" } else { "conversation" };
    format!("Agent {}, session {}. Your connection may do: {rights}.", order.agent_id, order.session_key)
}

fn compact(turning: &Turning<'_>, focus: &str) -> String {
    let key = &turning.order().session_key;
    let row = turning.engine().store.read("read the session", |conn| sessions::get(conn, key)).ok().flatten();
    let models = match turning.models(row.as_ref()) {
        Ok(models) => models,
        Err(error) => return error.to_string(),
    };
    match turning.compact(&models, focus) {
        Ok(()) => "The conversation was summed up. The transcript is kept.".into(),
        Err(error) => error.sentence(),
    }
}

fn reset(turning: &Turning<'_>, _: &str) -> String {
    begin_anew(turning, None).map_or_else(|error| error, |()| "A new session begins.".into())
}

fn begin_anew(turning: &Turning<'_>, model: Option<String>) -> Result<(), String> {
    let key = turning.order().session_key.clone();
    let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
    let done = turning.engine().store.write("start a session over", move |conn| {
        sessions::reset(conn, &key, &sessions::fresh_session_id(), now)?;
        match model {
            Some(model) => sessions::patch(conn, &key, |row| row.model_override = Some(model)).map(|_| ()),
            None => Ok(()),
        }
    });
    done.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_known_word_at_the_start() {
        for (text, name) in [("/status", "status"), (" /STATUS now", "status"), ("/models", "model"), ("/reset", "new")]
        {
            assert_eq!(parse(text).map(|c| c.spec.name), Some(name), "{text}");
        }
        assert_eq!(parse("/model  openai/gpt ").map(|c| c.argument), Some("openai/gpt".into()));
        for text in ["/etc/hosts is odd", "status", "/", "", "/nope", "a /status"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn words_that_start_over_leave_what_follows() {
        let session = serde_json::json!({"resetTriggers": ["Start over", ""]});
        let config = Config::from_value(serde_json::json!({ "session": session })).expect("a configuration");
        for (text, rest) in [
            ("/new", Some("")),
            (" /NEW  hello\nthere ", Some("hello\nthere")),
            ("/reset x", Some("x")),
            ("start OVER", Some("")),
            ("start over, please", None),
            ("/newer", None),
            ("say /new", None),
            ("/né", None),
        ] {
            assert_eq!(starts_over(&config, text), rest, "{text}");
        }
    }

    #[test]
    fn every_command_does_something() {
        let named: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        let handled: Vec<_> = HANDLERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, handled);
    }
}

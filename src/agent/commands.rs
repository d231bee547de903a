//! Commands to the gateway itself: messages that start with `/`. They are answered at once, whatever the model, and are
//! no part of the conversation the model sees.

use super::messages::COMMAND;
use super::tooling::tool_names;
use super::turn::Turning;
use crate::hub::run::{Outcome, RunEvent, Status};
use crate::store::sessions;
use crate::sys::{clock, host};

/// A command and what follows it.
pub struct Command {
    row: &'static Row,
    argument: String,
}

struct Row {
    name: &'static str,
    /// Another word for the same.
    alias: &'static str,
    usage: &'static str,
    doc: &'static str,
    admin: bool,
    run: fn(&Turning<'_>, &str) -> String,
}

/// All commands, in the order `/help` shows them. `/stop` is handled before a run begins.
static COMMANDS: &[Row] = &[
    Row { name: "help", alias: "commands", usage: "/help", doc: "List the commands.", admin: false, run: help },
    Row {
        name: "status",
        alias: "",
        usage: "/status",
        doc: "Show the gateway and this session.",
        admin: false,
        run: |t, _| status_text(t),
    },
    Row {
        name: "model",
        alias: "models",
        usage: "/model [provider/model|default]",
        doc: "Show the models, or choose one for this session.",
        admin: false,
        run: model,
    },
    Row {
        name: "think",
        alias: "thinking",
        usage: "/think [off|minimal|low|medium|high]",
        doc: "Show or set how much the model thinks in this session.",
        admin: false,
        run: think,
    },
    Row { name: "tools", alias: "", usage: "/tools", doc: "List the tools of this agent.", admin: false, run: tools },
    Row {
        name: "whoami",
        alias: "id",
        usage: "/whoami",
        doc: "Show the session and the agent.",
        admin: false,
        run: whoami,
    },
    Row {
        name: "new",
        alias: "reset",
        usage: "/new",
        doc: "Start this session over; the old transcript is kept.",
        admin: true,
        run: reset,
    },
    Row {
        name: "stop",
        alias: "abort",
        usage: "/stop",
        doc: "Stop what is running in this session.",
        admin: false,
        run: |_, _| "Nothing is running in this session.".into(),
    },
];

/// Reads a command; text that only looks like one (`/etc/hosts is odd`) is none.
pub fn parse(text: &str) -> Option<Command> {
    let text = text.trim();
    let (word, argument) = text.strip_prefix('/')?.split_once(char::is_whitespace).unwrap_or((&text[1..], ""));
    let word = word.to_ascii_lowercase();
    let row = COMMANDS.iter().find(|row| row.name == word || (!row.alias.is_empty() && row.alias == word))?;
    Some(Command { row, argument: argument.trim().to_string() })
}

/// Answers a command as a run of its own.
pub fn run(mut turning: Turning<'_>, command: Command) -> Outcome {
    if let Err(error) = turning.begin(COMMAND) {
        log::error!("{error}");
        return Outcome::failed(error.to_string(), "storage", 503);
    }
    turning.report(RunEvent::Started);
    let answer = match command.row.admin && !turning.order().input.admin {
        true => format!("/{} needs the scope operator.admin.", command.row.name),
        false => (command.row.run)(&turning, &command.argument),
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
            "\nMessages: {}\nTokens: {} in, {} out, context {}{}",
            row.message_count,
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
    if argument.is_empty() {
        let mut text = String::from("Models:");
        for row in turning.registry().catalogue() {
            let note = if row.available { "" } else { " (not available)" };
            text.push_str(&format!("\n{}/{}{note}", row.provider, row.info.id));
        }
        text.push_str("\nChoose one with /model provider/model; /model default undoes it.");
        return text;
    }
    let chosen = match argument {
        "default" | "reset" => None,
        name => match turning.registry().find(turning.config().model_for_alias(name).unwrap_or(name)) {
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
    const LEVELS: [&str; 5] = ["off", "minimal", "low", "medium", "high"];
    let key = turning.order().session_key.clone();
    if argument.is_empty() {
        let row = turning.engine().store.read("read the session", |conn| sessions::get(conn, &key));
        let level = row.ok().flatten().and_then(|row| row.thinking_level).unwrap_or_else(|| "off".into());
        return format!("Thinking: {level}. Levels: {}.", LEVELS.join(", "));
    }
    let level = argument.to_ascii_lowercase();
    if !LEVELS.contains(&level.as_str()) {
        return format!(
            "There is no level \"{}\". Levels: {}.",
            crate::wire::frame::cut(&level, 32),
            LEVELS.join(", ")
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

fn tools(turning: &Turning<'_>, _: &str) -> String {
    let names: Vec<&str> = tool_names(turning).into_iter().collect();
    match names.is_empty() {
        true => "This agent has no tools (tools.allow, tools.deny).".into(),
        false => format!("Tools: {}.", names.join(", ")),
    }
}

fn whoami(turning: &Turning<'_>, _: &str) -> String {
    let order = turning.order();
    let rights = if order.input.admin { "everything" } else { "conversation" };
    format!("Agent {}, session {}. Your connection may do: {rights}.", order.agent_id, order.session_key)
}

fn reset(turning: &Turning<'_>, _: &str) -> String {
    let key = turning.order().session_key.clone();
    let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
    let done = turning
        .engine()
        .store
        .write("start a session over", move |conn| sessions::reset(conn, &key, &sessions::fresh_session_id(), now));
    match done {
        Ok(_) => "A new session begins.".into(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_known_word_at_the_start() {
        for (text, name) in [("/status", "status"), (" /STATUS now", "status"), ("/models", "model"), ("/reset", "new")]
        {
            assert_eq!(parse(text).map(|c| c.row.name), Some(name), "{text}");
        }
        assert_eq!(parse("/model  openai/gpt ").map(|c| c.argument), Some("openai/gpt".into()));
        for text in ["/etc/hosts is odd", "status", "/", "", "/nope", "a /status"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut words: Vec<_> =
            COMMANDS.iter().flat_map(|row| [row.name, row.alias]).filter(|w| !w.is_empty()).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}

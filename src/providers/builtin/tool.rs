//! Running a tool because a person plainly said so.
//!
//! Recognises `run: COMMAND`, `read FILE`, `list files` and a few spellings of them, and words the results. It never
//! decides by itself to run anything: without such a sentence there is no call, and a forced call never invents a
//! command. Policy and approval belong to whoever runs the tools.
//!
//! Invariant: what is run is exactly what the person wrote.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::http::cut;
use super::super::{Message, Part, ProviderError, ToolCall, ToolChoice, ToolSpec, Turn};
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

/// A plainly worded wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Run(String),
    Read(String),
    List(Option<String>),
}

/// Finds a plainly worded wish in a message.
pub fn asked(text: &str) -> Option<Request> {
    let text = text.trim();
    for mark in ["run:", "exec:", "execute:", "shell:", "$ "] {
        if let Some(command) = strip(text, mark) {
            return Some(Request::Run(bare(command)?.to_string()));
        }
    }
    if text.contains('\n') {
        return None;
    }
    let mut text = text;
    for courtesy in ["please ", "can you ", "could you ", "would you ", "please "] {
        if let Some(rest) = strip(text, courtesy) {
            text = rest.trim_end_matches(['?', '!']);
        }
    }
    let text = text.trim();
    for verb in ["run the command ", "execute the command ", "run ", "execute ", "exec "] {
        if let Some(command) = strip(text, verb) {
            let first = command.split_whitespace().next()?.to_lowercase();
            // "run as a service" talks about running; it is no command.
            return (!TALK.contains(&first.as_str())).then(|| bare(command)).flatten().map(|c| Request::Run(c.into()));
        }
    }
    for verb in [
        "read the file ",
        "show me the file ",
        "show the file ",
        "read file ",
        "read: ",
        "read ",
        "cat ",
        "show ",
        "open ",
    ] {
        if let Some(path) = strip(text, verb) {
            let path = bare(path)?;
            return looks_like_path(path).then(|| Request::Read(path.into()));
        }
    }
    for verb in ["list the files", "list all files", "list files", "show the files", "show files", "ls"] {
        let Some(rest) = strip(text, verb) else {
            continue;
        };
        let place = rest.trim().trim_end_matches(['.', '?']).trim();
        let place = ["in ", "of ", "under "].iter().find_map(|word| strip(place, word)).unwrap_or(place).trim();
        return match place {
            "" | "here" | "this directory" | "the workspace" | "this folder" => Some(Request::List(None)),
            place if !rest.starts_with(' ') || place.split_whitespace().count() > 1 => None,
            place => Some(Request::List(bare(place).map(str::to_string))),
        };
    }
    None
}

/// The call that fulfils the request with one of the offered tools.
pub fn call(turn: &Turn, request: &Request) -> Option<ToolCall> {
    let shell = |command: String| filled(turn, COMMAND_TOOLS, COMMAND_KEYS, command);
    match request {
        Request::Run(command) => shell(command.clone()),
        Request::Read(path) => {
            filled(turn, READ_TOOLS, PATH_KEYS, path.clone()).or_else(|| shell(format!("cat -- {}", quoted(path))))
        }
        Request::List(place) => {
            let place = place.clone().unwrap_or_else(|| ".".into());
            filled(turn, LIST_TOOLS, PATH_KEYS, place.clone())
                .or_else(|| shell(format!("ls -la -- {}", quoted(&place))))
        }
    }
}

/// The call for a caller who insists on one. Required arguments are taken from the message; commands are not invented.
pub fn forced(turn: &Turn, text: &str, request: Option<&Request>) -> Result<ToolCall, ProviderError> {
    let wanted = match &turn.tool_choice {
        ToolChoice::Named(name) => Some(name.as_str()),
        _ => None,
    };
    if let Some(call) = request.and_then(|request| call(turn, request))
        && wanted.is_none_or(|name| name == call.name)
    {
        return Ok(call);
    }
    let tool = turn.tools.iter().find(|tool| match wanted {
        Some(name) => tool.name == name,
        None => !takes_commands(tool),
    });
    let Some(tool) = tool.filter(|tool| !takes_commands(tool)) else {
        return Err(ProviderError::Unsupported("a forced tool call unless the message plainly says what to run"));
    };
    let schema = Schema::of(tool);
    let arguments: Sorted<&str, Argument> =
        schema.required.iter().map(|name| (name.as_str(), argument(schema.properties.get(name), text))).collect();
    let arguments = serde_json::to_string(&arguments).expect("strings and checked JSON always serialise");
    Ok(ToolCall { id: call_id(turn), name: tool.name.clone(), arguments })
}

/// Words the results of the calls just made.
pub fn report(messages: &[Message]) -> String {
    let first =
        messages.iter().rposition(|message| !matches!(message, Message::ToolResult { .. })).map_or(0, |at| at + 1);
    let calls = messages[..first].iter().rev().find_map(|message| match message {
        Message::Assistant { tool_calls, .. } => Some(tool_calls.as_slice()),
        _ => None,
    });
    let mut report = String::new();
    for message in &messages[first..] {
        let Message::ToolResult { call_id, name, content, is_error } = message else {
            continue;
        };
        let call = calls.into_iter().flatten().find(|call| call.id == *call_id);
        let what = call.and_then(|call| subject(&call.arguments)).unwrap_or_else(|| name.clone());
        let output = content.iter().map(|part| match part {
            Part::Text(text) => text.trim_end(),
            Part::Image { .. } => "(an image)",
        });
        let output = output.collect::<Vec<_>>().join("\n");
        let outcome = if *is_error { "failed" } else { "finished" };
        if !report.is_empty() {
            report.push_str("\n\n");
        }
        report.push_str(&format!("`{what}` {outcome}"));
        if output.trim().is_empty() {
            report.push_str(" without output.");
            continue;
        }
        let shown = cut(&output, OUTPUT_CAP);
        let note = if shown.len() < output.len() { "\n(the rest is left out)" } else { "" };
        let fence = if shown.contains("```") { "````" } else { "```" };
        report.push_str(&format!(":\n\n{fence}\n{shown}\n{fence}{note}"));
    }
    report
}

/// The answer when the caller forbade tools.
pub fn none_allowed() -> String {
    "That needs a tool, and this conversation does not allow me to call one.".into()
}

/// The answer when no offered tool fits.
pub fn not_offered(request: &Request, tools: &[ToolSpec]) -> String {
    let what = match request {
        Request::Run(_) => "run commands",
        Request::Read(_) => "read files",
        Request::List(_) => "list files",
    };
    if tools.is_empty() {
        return format!("I would need a tool to {what}, and no tools are offered in this conversation.");
    }
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    format!("None of the tools offered here can {what}. Offered: {}.", names.join(", "))
}

/// Strips a prefix regardless of case.
fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Without surrounding white space, backticks or quotes.
fn bare(text: &str) -> Option<&str> {
    let text = text.trim();
    let inner = ['`', '"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let inner = inner.filter(|inner| !inner.contains(['`', '"', '\''])).unwrap_or(text).trim();
    (!inner.is_empty()).then_some(inner)
}

fn looks_like_path(text: &str) -> bool {
    !text.contains(char::is_whitespace)
        && (text.contains('/') || text.contains('\\') || text.trim_end_matches('.').contains('.'))
}

fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''"))
}

fn filled(turn: &Turn, names: &[&str], keys: &[&str], value: String) -> Option<ToolCall> {
    names.iter().find_map(|name| {
        let tool = turn.tools.iter().find(|tool| tool.name == *name)?;
        let schema = Schema::of(tool);
        let key = keys.iter().find(|key| schema.properties.contains_key(**key))?;
        let arguments = serde_json::to_string(&Sorted::from([(*key, value.as_str())])).ok()?;
        Some(ToolCall { id: call_id(turn), name: tool.name.clone(), arguments })
    })
}

fn takes_commands(tool: &ToolSpec) -> bool {
    let schema = Schema::of(tool);
    COMMAND_TOOLS.contains(&tool.name.as_str()) || COMMAND_KEYS.iter().any(|key| schema.properties.contains_key(*key))
}

/// Unique within the conversation, and the same when the turn is repeated.
fn call_id(turn: &Turn) -> String {
    format!("call_builtin_{}", turn.messages.len())
}

/// The command or path among a call's arguments.
fn subject(arguments: &str) -> Option<String> {
    let arguments: Sorted<String, Box<RawValue>> = misfit::read(arguments).ok()?;
    let raw = COMMAND_KEYS.iter().chain(PATH_KEYS).find_map(|key| arguments.get(*key))?;
    misfit::read(raw.get()).ok()
}

fn argument<'a>(property: Option<&Property>, text: &'a str) -> Argument<'a> {
    let lower = text.to_lowercase();
    let choices = property.map(|property| property.choices.as_slice()).unwrap_or_default();
    let said = choices.iter().find(|choice| lower.contains(&choice.get().trim_matches('"').to_lowercase()));
    if let Some(choice) = said.or(choices.first()) {
        return Argument::Raw(choice.clone());
    }
    let mut numbers = text.split(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == '-'));
    match property.and_then(|property| property.kind.as_deref()).map(RawValue::get) {
        Some(r#""integer""#) => Argument::Integer(numbers.find_map(|word| word.parse().ok()).unwrap_or(0)),
        Some(r#""number""#) => Argument::Number(numbers.find_map(|word| word.parse().ok()).unwrap_or(0.0)),
        Some(r#""boolean""#) => Argument::Flag(false),
        Some(r#""array""#) => Argument::List([text]),
        Some(r#""object""#) => Argument::Empty {},
        _ => Argument::Text(text),
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Argument<'a> {
    Text(&'a str),
    Integer(i64),
    Number(f64),
    Flag(bool),
    List([&'a str; 1]),
    Raw(Box<RawValue>),
    Empty {},
}

objects! { lenient:
    /// What we need of a tool's JSON Schema.
    #[derive(Default)]
    struct Schema {
        properties: Sorted<String, Property> = default,
        required: Vec<String> = default,
    }

    struct Property {
        kind: Option<Box<RawValue>> as "type",
        choices: Vec<Box<RawValue>> as "enum" = default,
    }
}

impl Schema {
    /// A schema we cannot read counts as one without properties.
    fn of(tool: &ToolSpec) -> Schema {
        misfit::read(tool.parameters.get()).unwrap_or_default()
    }
}

const COMMAND_TOOLS: &[&str] = &["exec", "bash", "shell", "run", "terminal", "run_command"];
const COMMAND_KEYS: &[&str] = &["command", "cmd", "script"];
const READ_TOOLS: &[&str] = &["read", "read_file", "view"];
const LIST_TOOLS: &[&str] = &["ls", "list_files", "list_directory", "list_dir"];
const PATH_KEYS: &[&str] = &["path", "file_path", "filePath", "file", "directory"];

/// Words after "run" that begin a sentence, not a command.
const TALK: &[&str] = &[
    "as", "the", "a", "an", "it", "this", "that", "in", "on", "at", "you", "your", "my", "me", "with", "without",
    "from", "for", "some", "any", "out", "into", "away", "and",
];

/// A chat window is no place for more.
const OUTPUT_CAP: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, schema: &str) -> ToolSpec {
        let parameters = RawValue::from_string(schema.to_string()).expect("test schema is JSON");
        ToolSpec { name: name.into(), description: String::new(), parameters }
    }

    fn turn(tools: Vec<ToolSpec>, tool_choice: ToolChoice) -> Turn {
        Turn { tools, tool_choice, ..Turn::default() }
    }

    const EXEC: &str = r#"{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}"#;
    const READ: &str = r#"{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}"#;

    #[test]
    fn plain_wishes_are_recognised_and_talk_is_not() {
        let run = |command: &str| Some(Request::Run(command.into()));
        for (text, expected) in [
            ("run: uname -a", run("uname -a")),
            ("Run uname -a", run("uname -a")),
            ("please run `df -h`", run("df -h")),
            ("can you run uptime?", run("uptime")),
            ("$ echo 'a' \"b\"", run("echo 'a' \"b\"")),
            ("run: cat <<E\nx\nE", run("cat <<E\nx\nE")),
            ("read README.md", Some(Request::Read("README.md".into()))),
            ("show me the file /etc/hostname", Some(Request::Read("/etc/hostname".into()))),
            ("list files", Some(Request::List(None))),
            ("List the files in src", Some(Request::List(Some("src".into())))),
            ("ls", Some(Request::List(None))),
            ("run as a service", None),
            ("how do I run it?", None),
            ("show sessions", None),
            ("read this to me", None),
            ("run:", None),
            ("lsof", None),
        ] {
            assert_eq!(asked(text), expected, "{text}");
        }
    }

    #[test]
    fn a_request_becomes_a_call_of_an_offered_tool() {
        let offered = turn(vec![tool("exec", EXEC), tool("read", READ)], ToolChoice::Auto);
        let read = call(&offered, &Request::Read("a.md".into())).expect("read is offered");
        assert_eq!((read.name.as_str(), read.arguments.as_str()), ("read", r#"{"path":"a.md"}"#));
        let list = call(&offered, &Request::List(Some("it's".into()))).expect("exec can list");
        assert_eq!(list.arguments, r#"{"command":"ls -la -- 'it'\\''s'"}"#);
        assert_eq!(call(&turn(vec![tool("weather", READ)], ToolChoice::Auto), &Request::Run("x".into())), None);
    }

    #[test]
    fn a_forced_call_fills_arguments_but_never_invents_a_command() {
        let schema = r#"{"properties":{"city":{"type":"string"},"unit":{"enum":["c","f"]},"days":{"type":"integer"}},
            "required":["city","unit","days"]}"#;
        let weather = turn(vec![tool("exec", EXEC), tool("weather", schema)], ToolChoice::Required);
        let forced_call = forced(&weather, "Paris, 3 days", None).expect("weather takes it");
        assert_eq!(forced_call.arguments, r#"{"city":"Paris, 3 days","days":3,"unit":"c"}"#);
        let only_exec = turn(vec![tool("exec", EXEC)], ToolChoice::Required);
        assert!(forced(&only_exec, "delete everything", None).is_err());
        let request = Request::Run("uptime".into());
        assert!(forced(&only_exec, "run: uptime", Some(&request)).is_ok());
        let named = turn(vec![tool("exec", EXEC)], ToolChoice::Named("exec".into()));
        assert!(forced(&named, "hello", None).is_err());
    }

    #[test]
    fn results_are_reported_with_what_was_run() {
        let call = ToolCall { id: "1".into(), name: "exec".into(), arguments: r#"{"command":"uname"}"#.into() };
        let result = |text: &str, is_error| Message::ToolResult {
            call_id: "1".into(),
            name: "exec".into(),
            content: vec![Part::Text(text.into())],
            is_error,
        };
        let asked = Message::Assistant { text: String::new(), tool_calls: vec![call] };
        assert_eq!(report(&[asked.clone(), result("Linux\n", false)]), "`uname` finished:\n\n```\nLinux\n```");
        assert_eq!(report(&[asked.clone(), result("", true)]), "`uname` failed without output.");
        assert!(report(&[asked, result(&"x".repeat(OUTPUT_CAP + 1), false)]).contains("left out"));
    }
}

//! What a model may do on this machine: one table of tools, and the one function that runs them.
//!
//! A tool gets its arguments as the JSON text the model wrote and answers with content for the model and details for
//! clients. Tools know nothing of sessions, transcripts or the state thread; what they need is in [`ToolContext`]. They
//! do not decide who may call them: [`policy`] does, before a tool is offered. There is no sandbox here: paths may lead
//! anywhere the gateway's user may go, unless [`ToolLimits`] says otherwise, and `exec` is the user's own shell.
//!
//! Invariants: whatever the arguments are, the answer is a [`ToolOutcome`], never a panic; every outcome's text is bounded
//! by [`ToolLimits`]; a fired abort ends a tool within its kill grace; no tool touches a denied root outside the
//! workspace.

mod arguments;
mod edit;
mod environment;
mod exec;
mod files;
mod glob;
mod list;
mod message;
mod nodes;
mod paths;
mod people;
pub(crate) mod permit;
pub mod policy;
mod runner;
mod safe_bins;
mod search;
mod sessions;
mod shell;
mod status;
mod suggest;
#[cfg(test)]
mod tests;
mod walk;
mod write;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::providers::{Part, ToolSpec};
use crate::sys::abort::Abort;
use crate::sys::child::Spec;
use crate::sys::shared_text::SharedText;
use crate::wire::question::QuestionRequestParams;

pub use exec::{ExecDetails, ExecStatus};
pub use message::MessageAsk;
pub use nodes::NodesAsk;
pub use sessions::{ListAsk, SessionsAsk};
pub use suggest::SuggestAsk;

/// One tool: a row of [`TOOLS`].
pub struct Tool {
    /// The name the model calls and policies match.
    pub name: &'static str,
    /// One line for listings.
    pub label: &'static str,
    /// What the model reads when it decides.
    pub description: &'static str,
    /// JSON Schema of the arguments, as text.
    pub parameters: &'static str,
    pub access: Access,
    handler: fn(&str, &mut ToolContext) -> Result<ToolOutcome, Refusal>,
}

/// The strongest thing a tool can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Reads,
    Writes,
    Executes,
}

/// Everything a tool may know and use during one call.
pub struct ToolContext<'a> {
    /// The agent's home. Must exist.
    pub workspace: &'a Path,
    pub session_key: &'a str,
    pub agent_id: &'a str,
    pub run_id: &'a str,
    pub abort: &'a Abort,
    pub limits: &'a ToolLimits,
    /// Who decides whether a command may run.
    pub permission: &'a dyn Permission,
    /// The text `session_status` shows, without the time.
    pub status: &'a dyn Fn() -> String,
    /// Asks nodes; waits for their answer.
    pub nodes: &'a dyn Fn(NodesAsk) -> Result<String, String>,
    /// Reads other sessions; the answer is JSON text.
    pub sessions: &'a dyn Fn(SessionsAsk) -> Result<String, String>,
    /// Says something into a messenger; waits until it is taken. The answer is JSON text.
    pub message: &'a dyn Fn(MessageAsk) -> Result<String, String>,
    /// Asks the people at the gateway; waits for their answer.
    pub people: &'a dyn Fn(QuestionRequestParams) -> Result<String, String>,
    /// Puts a card before the people at the gateway, or takes one back.
    pub suggest: &'a dyn Fn(SuggestAsk) -> Result<String, String>,
    /// Partial output while a command runs; called on the calling thread, at most ten times a second.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl ToolContext<'_> {
    /// Where relative paths start.
    pub fn start(&self) -> &Path {
        self.limits.cwd.as_deref().unwrap_or(self.workspace)
    }
}

/// Decides whether a command may run; may wait for a person.
pub trait Permission {
    /// The job as it may run, or why it may not.
    fn permit(&self, command: &str, job: Spec) -> Result<Spec, Denied>;
}

/// Why a command did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The approval that was asked for; empty when none was.
    pub approval_id: String,
    pub reason: String,
}

impl Denied {
    pub fn because(approval_id: &str, reason: impl Into<String>) -> Denied {
        Denied { approval_id: approval_id.into(), reason: reason.into() }
    }
}

/// What the configuration lets tools do, and how much of it.
#[derive(Debug, Clone)]
pub struct ToolLimits {
    /// `tools.fs.workspaceOnly`: file tools stay beneath the workspace and follow no symbolic link.
    pub workspace_only: bool,
    /// Where relative paths start, when not in the workspace (`agents.*.cwd`); open like the workspace.
    pub cwd: Option<PathBuf>,
    /// The gateway's own places (state directory, configuration): closed to file tools, except the workspace if it lies
    /// inside.
    pub denied_roots: Vec<PathBuf>,
    /// Folders that may be read wherever they are: those of skills.
    pub readable_roots: Vec<PathBuf>,
    /// Variables the operator gives to commands; they stand in no request for approval.
    pub variables: Vec<(String, String)>,
    /// Directories put before `PATH` for commands (`tools.exec.pathPrepend`).
    pub path_prepend: Vec<PathBuf>,
    /// How long a command may take when the model does not say.
    pub exec_time: Duration,
    /// The longest the model may ask for (`tools.exec.timeoutSeconds`).
    pub exec_time_max: Duration,
    /// Bytes of command output kept; the middle is dropped.
    pub exec_output: usize,
    /// Bytes of text in one answer of `read`, `grep`, `find` and `ls`.
    pub text_bytes: usize,
    /// Lines in one answer of `read`.
    pub text_lines: usize,
    /// Bytes of the largest image `read` attaches.
    pub image_bytes: u64,
}

impl Default for ToolLimits {
    fn default() -> ToolLimits {
        ToolLimits {
            workspace_only: false,
            cwd: None,
            denied_roots: Vec::new(),
            readable_roots: Vec::new(),
            variables: Vec::new(),
            path_prepend: Vec::new(),
            exec_time: Duration::from_secs(120),
            exec_time_max: Duration::from_secs(1800),
            exec_output: 200 << 10,
            text_bytes: 50 << 10,
            text_lines: 2000,
            image_bytes: 5 << 20,
        }
    }
}

/// What a running command has said so far: the body of a `tool` event's `partialResult`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Always `running`.
    pub status: ExecStatus,
    /// Unix milliseconds.
    pub started_at: i64,
    pub cwd: String,
    /// The end of the output so far, at most 4 KiB.
    pub tail: String,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    pub content: Vec<Part>,
    pub is_error: bool,
    pub details: Details,
}

/// Facts for clients, the `details` of a `tool` result event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Details {
    Exec(ExecDetails),
    Failed(Failed),
    File(FileDetails),
    Listing(Listing),
    Plain(Plain),
}

/// Why a call did nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// Always `error`.
    pub status: &'static str,
    pub tool: String,
    pub error: String,
}

/// What happened to a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileDetails {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Bytes of the whole file afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    /// A small line diff, capped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_changed_line: Option<usize>,
    /// The line to go on from when the text was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<usize>,
}

/// What a listing or a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listing {
    pub path: String,
    pub count: usize,
    pub truncated: bool,
}

/// Nothing to add: `{}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plain {}

/// A sentence for the model: what is wrong and what to do instead.
#[derive(Debug, Clone, PartialEq)]
struct Refusal(String);

impl Refusal {
    fn new(sentence: impl Into<String>) -> Refusal {
        Refusal(sentence.into())
    }
}

/// Runs the tool `name`. `arguments_json` is what the model wrote; empty counts as `{}`.
pub fn run(name: &str, arguments_json: &str, context: &mut ToolContext) -> ToolOutcome {
    let Some(tool) = find(name) else {
        let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        return ToolOutcome::refused(name, format!("There is no tool {name:?}. Tools: {}.", names.join(", ")));
    };
    if context.abort.fired() {
        return ToolOutcome::refused(name, "The run was aborted before this tool started.".into());
    }
    match (tool.handler)(arguments_json, context) {
        Ok(outcome) => outcome,
        Err(Refusal(sentence)) => ToolOutcome::refused(name, sentence),
    }
}

/// The row called `name`. `bash` is an old name of `exec`.
pub fn find(name: &str) -> Option<&'static Tool> {
    let name = if name == "bash" { "exec" } else { name };
    TOOLS.binary_search_by(|tool| tool.name.cmp(name)).ok().map(|at| &TOOLS[at])
}

/// The tools a run is offered, by name.
pub fn permitted(policy: &policy::Policy) -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| policy.allows(tool.name)).collect()
}

impl Tool {
    /// The tool as a provider offers it to the model.
    pub fn spec(&self) -> ToolSpec {
        let parameters =
            RawValue::from_string(arguments::compact(self.parameters)).expect("a table test parses every schema");
        ToolSpec { name: self.name.to_owned(), description: self.description.to_owned(), parameters }
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("access", &self.access).finish()
    }
}

impl ToolOutcome {
    /// All text parts, one after the other.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image { .. } => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn said(text: impl Into<SharedText>, details: Details) -> ToolOutcome {
        ToolOutcome { content: vec![Part::Text(text.into())], is_error: false, details }
    }

    pub fn refused(tool: &str, sentence: String) -> ToolOutcome {
        // The name came from the model: a hostile one must not fill the transcript.
        let tool = tool.chars().take(64).collect();
        let sentence = cut(&sentence, 2 << 10).to_owned();
        ToolOutcome {
            content: vec![Part::Text(sentence.as_str().into())],
            is_error: true,
            details: Details::Failed(Failed { status: "error", tool, error: sentence }),
        }
    }
}

/// The longest prefix of `text` with at most `bytes` bytes that ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Makes [`TOOLS`]: `"name" Access "label", "description", handler, schema;`. The schema's `properties` are also the
/// list of arguments a tool knows.
macro_rules! tools {
    ($($name:literal $access:ident $label:literal, $description:literal, $handler:path, $parameters:literal;)*) => {
        /// Every tool there is, by name.
        pub static TOOLS: &[Tool] = &[$(Tool {
            name: $name,
            label: $label,
            description: $description,
            parameters: $parameters,
            access: Access::$access,
            handler: |json, context| $handler(arguments::decode($name, $parameters, json)?, context),
        }),*];
    };
}

tools! {
    "ask_user" Executes "Ask the user",
    "Asks the people at the gateway one to three questions and waits for their answers. Only for decisions that are theirs \
     and stop you; never for a go-ahead, and never for a password or key. Every choice goes into `options`, the \
     recommended one first and marked (Recommended); people may always answer in their own words. After no_answer go on \
     as you judge best.",
    people::ask_user,
    r#"{"type":"object","properties":{
        "questions":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"object","properties":{
            "id":{"type":"string","description":"Name of the answer, in snake_case."},
            "header":{"type":"string","description":"At most 12 characters."},
            "question":{"type":"string","description":"One sentence."},
            "options":{"type":"array","minItems":2,"maxItems":4,"items":{"type":"object","properties":{
                "label":{"type":"string"},"description":{"type":"string"}},"required":["label"]}},
            "multiSelect":{"type":"boolean","description":"Several options may be chosen."}},
            "required":["id","header","question","options"]}},
        "timeoutSeconds":{"type":"integer","description":"30 to 3600; default 900."}},
        "required":["questions"]}"#;

    "dismiss_task" Reads "Take back a suggested task",
    "Takes back a card of suggest_task that is stale or done. Only cards of this session that nobody has acted on.",
    suggest::dismiss_task,
    r#"{"type":"object","properties":{
        "task_id":{"type":"string","description":"What suggest_task answered."},
        "reason":{"type":"string","description":"Why, in a few words."}},
        "required":["task_id"]}"#;

    "edit" Writes "Change parts of a file",
    "Replaces exact pieces of one text file. Every oldText must occur exactly once in the file as it is now; include \
     enough lines around it. Several changes to one file go into `edits`, which must not overlap.",
    edit::edit,
    r#"{"type":"object","properties":{
        "path":{"type":"string","description":"File to change, relative to the workspace or absolute."},
        "oldText":{"type":"string","description":"Exact text to replace; must occur once. For a single change."},
        "newText":{"type":"string","description":"What takes its place; may be empty."},
        "edits":{"type":"array","description":"Several changes, each matched against the original file.","items":{
            "type":"object","properties":{"oldText":{"type":"string"},"newText":{"type":"string"}},
            "required":["oldText","newText"]}}},
        "required":["path"]}"#;

    "exec" Executes "Run a shell command",
    "Runs a command with the shell on the gateway's host and waits for it. Standard output and standard error come back \
     together; of long output the beginning and the end are kept. What the command leaves running in its process group \
     is ended with it.",
    exec::exec,
    r#"{"type":"object","properties":{
        "command":{"type":"string","description":"Shell command line."},
        "workdir":{"type":"string","description":"Directory to run in; default: the workspace."},
        "env":{"type":"object","description":"Environment variables to add.","additionalProperties":{"type":"string"}},
        "timeoutSeconds":{"type":"number","description":"Seconds after which the command is ended."},
        "host":{"type":"string","enum":["auto","gateway"],"description":"Where to run; only the gateway's host."}},
        "required":["command"]}"#;

    "find" Reads "Find files by name",
    "Lists files whose path matches a glob, relative to the directory searched. A pattern without a slash is matched \
     against file names at any depth. Does not descend into .git or node_modules, nor into linked directories.",
    search::find,
    r#"{"type":"object","properties":{
        "pattern":{"type":"string","description":"Glob: *, ?, [a-z], {a,b}, ** for any directories."},
        "path":{"type":"string","description":"Directory to search; default: the workspace."},
        "limit":{"type":"integer","minimum":1,"description":"Most results; default 1000."}},
        "required":["pattern"]}"#;

    "grep" Reads "Search in files",
    "Searches text files for a pattern and answers with path:line: text. Skips binary files, files over 4 MB, .git, \
     node_modules and linked directories.",
    search::grep,
    r#"{"type":"object","properties":{
        "pattern":{"type":"string","description":"Regular expression (no back-references), or text when literal."},
        "path":{"type":"string","description":"File or directory; default: the workspace."},
        "glob":{"type":"string","description":"Only files that match, such as *.md."},
        "ignoreCase":{"type":"boolean","description":"Default false."},
        "literal":{"type":"boolean","description":"Take the pattern as plain text; default false."},
        "context":{"type":"integer","minimum":0,"description":"Lines shown around a match; default 0, at most 20."},
        "limit":{"type":"integer","minimum":1,"description":"Most matches; default 100."}},
        "required":["pattern"]}"#;

    "ls" Reads "List a directory",
    "Lists the entries of a directory in the order of their names; directories end with a slash, links show their \
     target. Long listings continue with `after`.",
    list::ls,
    r#"{"type":"object","properties":{
        "path":{"type":"string","description":"Directory; default: the workspace."},
        "limit":{"type":"integer","minimum":1,"description":"Most entries; default 500."},
        "after":{"type":"string","description":"Continue after this name."}}}"#;

    "message" Executes "Send a message",
    "Sends a message or a file into a messenger: to somebody else, to another conversation, or before your answer is \
     ready. Your answer itself goes where the question came from and needs no tool; if this said all there is to say, \
     answer NO_REPLY.",
    message::message,
    r#"{"type":"object","properties":{
        "action":{"type":"string","enum":["send"]},
        "channel":{"type":"string","description":"Messenger, as in telegram; default: the one of this conversation."},
        "target":{"type":"string","description":"Chat, as in 123, user:1 or channel:2; default: this conversation."},
        "message":{"type":"string","description":"The text, as Markdown."},
        "media":{"type":"string","description":"A file to send with it."},
        "threadId":{"type":"string"},"replyTo":{"type":"string","description":"Id of the message it answers."},
        "accountId":{"type":"string"},"silent":{"type":"boolean"}}}"#;

    "nodes" Executes "Paired devices",
    "Asks devices that are paired as nodes. `status` lists them with the commands they can be asked for; `describe` tells \
     everything about one; `notify` shows a notification there; `invoke` runs one of its commands.",
    nodes::nodes,
    r#"{"type":"object","properties":{
        "action":{"type":"string","enum":["status","describe","notify","invoke"]},
        "node":{"type":"string","description":"Id or name of the node."},
        "title":{"type":"string","description":"For notify."},
        "body":{"type":"string","description":"For notify."},
        "invokeCommand":{"type":"string","description":"For invoke, as in location.get."},
        "invokeParamsJson":{"type":"string","description":"For invoke: a JSON object as text."},
        "timeoutMs":{"type":"integer","minimum":1,"description":"Milliseconds; default 20000."}},
        "required":["action"]}"#;

    "read" Reads "Read a file",
    "Reads a text file or the text of a PDF, or attaches an image (png, jpg, gif, webp). Long texts are cut at a line; the \
     answer says which offset continues.",
    files::read,
    r#"{"type":"object","properties":{
        "path":{"type":"string","description":"File, relative to the workspace or absolute."},
        "offset":{"type":"integer","minimum":1,"description":"First line, counted from 1."},
        "limit":{"type":"integer","minimum":1,"description":"Most lines."}},
        "required":["path"]}"#;

    "session_status" Reads "Session and time",
    "Tells the exact time and the state of this session: model, tokens, queue.",
    status::session_status,
    r#"{"type":"object","properties":{}}"#;

    "sessions_history" Reads "Read a session",
    "Tells what was said in another session, newest messages last. Long texts are cut.",
    sessions::sessions_history,
    r#"{"type":"object","properties":{
        "sessionKey":{"type":"string","description":"A key from sessions_list, or main."},
        "limit":{"type":"integer","minimum":1,"description":"Newest messages; default 50, at most 200."},
        "includeTools":{"type":"boolean","description":"With the results of tools; default false."}},
        "required":["sessionKey"]}"#;

    "sessions_list" Reads "List sessions",
    "Lists the sessions of this gateway, latest change first: keys, kinds, models, tokens, how the last run ended.",
    sessions::sessions_list,
    r#"{"type":"object","properties":{
        "kinds":{"type":"array","items":{"type":"string","enum":["main","group","cron","hook","node","other"]}},
        "limit":{"type":"integer","minimum":1,"description":"Default 100, at most 200."},
        "offset":{"type":"integer","minimum":0,"description":"nextOffset of the page before."},
        "activeMinutes":{"type":"integer","minimum":1,"description":"Changed within so many minutes."},
        "agentId":{"type":"string"},"label":{"type":"string"},
        "search":{"type":"string","description":"Part of key, label, name or last message."},
        "archived":{"description":"true: only archived; \"all\": those, too.","enum":[true,false,"all"]},
        "includeLastMessage":{"type":"boolean"}}}"#;

    "suggest_task" Reads "Suggest a task",
    "Notes work you came across and were not asked to do, as a card for the people at the gateway: a bug seen in passing, a \
     missing test, stale documentation, a follow-up. Nothing is started; they decide. Not for guesses. The prompt must make \
     sense without this conversation. Cards are gone when the gateway restarts.",
    suggest::suggest_task,
    r#"{"type":"object","properties":{
        "title":{"type":"string","maxLength":60,"description":"Begins with a verb; at most 60 characters."},
        "prompt":{"type":"string","description":"The whole task, with paths, for an agent that sees nothing else."},
        "tldr":{"type":"string","description":"One or two plain sentences: why it is worth doing."},
        "cwd":{"type":"string","description":"Absolute folder of the work; default the workspace."}},
        "required":["title","prompt","tldr"]}"#;

    "write" Writes "Write a file",
    "Writes a whole file, replacing what was there; makes missing directories. To change parts of a file use edit.",
    write::write,
    r#"{"type":"object","properties":{
        "path":{"type":"string","description":"File, relative to the workspace or absolute."},
        "content":{"type":"string","description":"The whole new content."}},
        "required":["path","content"]}"#;
}

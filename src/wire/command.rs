//! The table of slash commands, and `commands.list`, which is read off it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::decode::Name;
use super::object::objects;

/// One command of a conversation. What it does is the agent's matter.
#[derive(Debug)]
pub struct CommandSpec {
    pub name: &'static str,
    /// Another word for the same; empty if there is none.
    pub alias: &'static str,
    pub usage: &'static str,
    pub doc: &'static str,
    /// `session`, `options`, `status`, `management`, `tools`.
    pub category: &'static str,
    /// Name, what it is, and the words it may be; no words: anything.
    pub argument: Option<(&'static str, &'static str, &'static [&'static str])>,
    /// Needs the scope operator.admin.
    pub admin: bool,
}

/// Levels of `/think`.
pub const THINKING: &[&str] = &["off", "minimal", "low", "medium", "high"];
/// Words of `/queue`.
pub const QUEUE_MODES: &[&str] = &["steer", "followup", "collect", "interrupt", "default"];

/// All commands, in the order `/help` shows them.
pub static COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "help",
        alias: "commands",
        usage: "/help",
        doc: "List the commands.",
        category: "status",
        argument: None,
        admin: false,
    },
    CommandSpec {
        name: "status",
        alias: "",
        usage: "/status",
        doc: "Show the gateway and this session.",
        category: "status",
        argument: None,
        admin: false,
    },
    CommandSpec {
        name: "model",
        alias: "models",
        usage: "/model [provider/model|default]",
        doc: "Show the models, or choose one for this session.",
        category: "options",
        argument: Some(("model", "provider/model, an alias, or default", &[])),
        admin: false,
    },
    CommandSpec {
        name: "think",
        alias: "thinking",
        usage: "/think [off|minimal|low|medium|high]",
        doc: "Show or set how much the model thinks in this session.",
        category: "options",
        argument: Some(("level", "How much to think", THINKING)),
        admin: false,
    },
    CommandSpec {
        name: "queue",
        alias: "",
        usage: "/queue [steer|followup|collect|interrupt|default]",
        doc: "Show or set what happens to messages that come while a run is made.",
        category: "options",
        argument: Some(("mode", "What happens to them", QUEUE_MODES)),
        admin: false,
    },
    CommandSpec {
        name: "tools",
        alias: "",
        usage: "/tools",
        doc: "List the tools of this agent.",
        category: "status",
        argument: None,
        admin: false,
    },
    CommandSpec {
        name: "whoami",
        alias: "id",
        usage: "/whoami",
        doc: "Show the session and the agent.",
        category: "status",
        argument: None,
        admin: false,
    },
    CommandSpec {
        name: "approve",
        alias: "",
        usage: "/approve <id> allow-once|allow-always|deny",
        doc: "Decide an approval.",
        category: "management",
        argument: Some(("decision", "The approval's id, and allow-once, allow-always or deny", &[])),
        admin: true,
    },
    CommandSpec {
        name: "compact",
        alias: "",
        usage: "/compact [what to keep in mind]",
        doc: "Sum up what was said so far; the transcript is kept.",
        category: "session",
        argument: Some(("focus", "What the summary must not lose", &[])),
        admin: false,
    },
    CommandSpec {
        name: "new",
        alias: "reset",
        usage: "/new",
        doc: "Start this session over; the old transcript is kept.",
        category: "session",
        argument: None,
        admin: true,
    },
    CommandSpec {
        name: "stop",
        alias: "abort",
        usage: "/stop",
        doc: "Stop what is running in this session.",
        category: "session",
        argument: None,
        admin: false,
    },
];

objects! { strict:
    #[derive(Debug, Default)]
    pub struct CommandsListParams {
        pub session_key: Option<Name>,
        pub agent_id: Option<Name>,
        pub provider: Option<Name>,
        pub scope: Option<CommandScope>,
        /// False leaves the arguments out.
        pub include_args: Option<bool>,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandScope {
    Text,
    Native,
    Both,
}

#[derive(Debug, Serialize)]
pub struct CommandsListResult {
    pub commands: Vec<CommandEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandEntry {
    pub name: Cow<'static, str>,
    pub native_name: Cow<'static, str>,
    pub text_aliases: Vec<String>,
    pub description: Cow<'static, str>,
    pub category: &'static str,
    /// `native` or `skill`.
    pub source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill_display_name: Option<String>,
    /// Whether the model may use the skill unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill_model_visible: Option<bool>,
    pub scope: &'static str,
    pub accepts_args: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<CommandArg>,
}

#[derive(Debug, Serialize)]
pub struct CommandArg {
    pub name: &'static str,
    pub description: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<CommandChoice>,
}

#[derive(Debug, Serialize)]
pub struct CommandChoice {
    pub value: &'static str,
    pub label: &'static str,
}

impl CommandSpec {
    /// The row as clients see it.
    pub fn entry(&self, with_args: bool) -> CommandEntry {
        let words = [self.name, self.alias];
        let args = self.argument.iter().filter(|_| with_args).map(|(name, description, choices)| CommandArg {
            name,
            description,
            kind: "string",
            choices: choices.iter().map(|word| CommandChoice { value: word, label: word }).collect(),
        });
        CommandEntry {
            name: self.name.into(),
            native_name: self.name.into(),
            text_aliases: words.iter().filter(|w| !w.is_empty()).map(|word| format!("/{word}")).collect(),
            description: self.doc.into(),
            category: self.category,
            source: "native",
            skill_display_name: None,
            skill_model_visible: None,
            scope: "both",
            accepts_args: self.argument.is_some(),
            args: args.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> =
            COMMANDS.iter().flat_map(|spec| [spec.name, spec.alias]).filter(|w| !w.is_empty()).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn arguments_are_named_when_asked_for() {
        let think = COMMANDS.iter().find(|spec| spec.name == "think").expect("a row");
        assert_eq!(think.entry(true).args[0].choices.len(), THINKING.len());
        assert!(think.entry(false).args.is_empty() && think.entry(false).accepts_args);
        assert_eq!(think.entry(false).text_aliases, ["/think", "/thinking"]);
    }
}

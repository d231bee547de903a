//! Which commands of nodes may be asked for at all: a list per platform, what the configuration adds, what it takes away.
//!
//! This is the ceiling above approval: a command is usable when its node offers it, an operator approved it, and it is
//! allowed here. The configuration's `deny` wins over everything.

use crate::wire::scope::Scope;

/// `gateway.nodes.commands.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandRules {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

impl CommandRules {
    /// Whether a node of this platform may be asked for `command`. `offered` is everything the node says it can do.
    pub fn allow(&self, platform: &str, command: &str, offered: &[String]) -> bool {
        let listed = |list: &[String]| list.iter().any(|own| own.trim() == command);
        if listed(&self.deny) {
            return false;
        }
        listed(&self.allow) || usual(platform, command) || is_push_to_talk(command, offered)
    }
}

/// What an operator needs to ask a node for `command`.
pub fn invoke_scope(command: &str) -> Scope {
    match ADMIN_INVOKES.contains(&command) {
        true => Scope::Admin,
        false => Scope::Write,
    }
}

/// What an operator needs, beside operator.pairing, to approve a node that offers these commands.
pub fn approve_scope(commands: &[String]) -> Option<Scope> {
    if commands.iter().any(|command| ADMIN_APPROVALS.contains(&command.as_str())) {
        return Some(Scope::Admin);
    }
    (!commands.is_empty()).then_some(Scope::Write)
}

/// The name of the family a platform belongs to: `iOS 18.4.0` is `ios`.
pub fn family(platform: &str) -> &'static str {
    let plain = platform.trim().to_ascii_lowercase();
    let names = [
        ("ios", "ios"),
        ("ipados", "ios"),
        ("watchos", "watchos"),
        ("android", "android"),
        ("macos", "macos"),
        ("darwin", "macos"),
        ("windows", "windows"),
        ("win32", "windows"),
        ("linux", "linux"),
    ];
    names.iter().find(|(start, _)| plain.starts_with(start)).map_or("unknown", |(_, family)| family)
}

fn usual(platform: &str, command: &str) -> bool {
    let family = family(platform);
    let own = USUAL.iter().find(|(name, _)| *name == family).is_some_and(|(_, commands)| commands.contains(&command));
    own || (matches!(family, "linux" | "macos" | "windows") && DESKTOP.contains(&command))
}

fn is_push_to_talk(command: &str, offered: &[String]) -> bool {
    PUSH_TO_TALK.contains(&command) && offered.iter().any(|own| own == "talk" || own.starts_with("talk."))
}

/// By platform, what nothing but the owner's own eyes and ears is at stake for.
const USUAL: &[(&str, &[&str])] = &[
    (
        "ios",
        &[
            "camera.list",
            "location.get",
            "device.info",
            "device.status",
            "contacts.search",
            "calendar.events",
            "reminders.list",
            "photos.latest",
            "motion.activity",
            "motion.pedometer",
            "system.notify",
        ],
    ),
    ("watchos", &["device.info", "device.status", "system.notify"]),
    (
        "android",
        &[
            "camera.list",
            "location.get",
            "notifications.list",
            "notifications.actions",
            "system.notify",
            "device.info",
            "device.status",
            "device.permissions",
            "device.health",
            "device.apps",
            "contacts.search",
            "calendar.events",
            "callLog.search",
            "reminders.list",
            "photos.latest",
            "motion.activity",
            "motion.pedometer",
            "mobile.ui.observe",
            "mobile.ui.act",
        ],
    ),
    (
        "macos",
        &[
            "camera.list",
            "camera.ptz.status",
            "location.get",
            "device.info",
            "device.status",
            "device.apps",
            "contacts.search",
            "calendar.events",
            "reminders.list",
            "photos.latest",
            "motion.activity",
            "motion.pedometer",
            "system.notify",
            "computer.act",
            "canvas.present",
            "canvas.hide",
            "canvas.navigate",
        ],
    ),
    ("windows", &["camera.list", "location.get", "device.info", "device.status", "system.notify", "computer.act"]),
    ("linux", &["system.notify", "computer.act"]),
];

/// Of hosts people work at; each needs the administrator's approval or does no harm (recorded with a node host of the
/// reference on Linux).
const DESKTOP: &[&str] = &[
    "browser.proxy",
    "browser.proxy.upload.v1",
    "desktop.stream",
    "fs.listDir",
    "mcp.tools.call.v1",
    "ollama.chat",
    "ollama.models",
    "screen.snapshot",
    "system.execApprovals.get",
    "system.execApprovals.set",
    "system.run",
    "system.run.prepare",
    "system.which",
    "terminal.upload",
];

const PUSH_TO_TALK: &[&str] = &["talk.ptt.start", "talk.ptt.stop", "talk.ptt.cancel", "talk.ptt.once"];

/// The node's files, pages, and its own rules of what runs.
const ADMIN_INVOKES: &[&str] = &[
    "browser.proxy",
    "browser.proxy.upload.v1",
    "fs.listDir",
    "system.execApprovals.get",
    "system.execApprovals.set",
    "terminal.upload",
];

const ADMIN_APPROVALS: &[&str] = &[
    "browser.proxy",
    "browser.proxy.upload.v1",
    "fs.listDir",
    "system.execApprovals.get",
    "system.execApprovals.set",
    "system.run",
    "system.run.prepare",
    "system.which",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> CommandRules {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        CommandRules { allow: owned(allow), deny: owned(deny) }
    }

    #[test]
    fn the_platform_and_the_configuration_decide_and_deny_wins() {
        let plain = rules(&[], &[]);
        assert!(plain.allow("linux", "system.run", &[]) && plain.allow("iOS 18.4.0", "location.get", &[]));
        assert!(!plain.allow("iOS 18.4.0", "system.run", &[]) && !plain.allow("linux", "camera.snap", &[]));
        assert!(!plain.allow("plan9", "system.notify", &[]));
        let own = rules(&["camera.snap"], &["system.run", "camera.clip"]);
        assert!(own.allow("linux", "camera.snap", &[]) && !own.allow("linux", "system.run", &[]));
        assert!(!rules(&["x"], &["x"]).allow("linux", "x", &[]));
    }

    #[test]
    fn push_to_talk_is_for_nodes_that_talk() {
        let plain = rules(&[], &[]);
        assert!(!plain.allow("ios", "talk.ptt.start", &[]));
        assert!(plain.allow("ios", "talk.ptt.start", &["talk".into()]));
    }

    #[test]
    fn running_programs_takes_the_administrator_s_approval() {
        let names = |all: &[&str]| all.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(approve_scope(&names(&[])), None);
        assert_eq!(approve_scope(&names(&["system.notify"])), Some(Scope::Write));
        assert_eq!(approve_scope(&names(&["system.notify", "system.which"])), Some(Scope::Admin));
        assert_eq!(invoke_scope("system.which"), Scope::Write);
        assert_eq!(invoke_scope("system.execApprovals.set"), Scope::Admin);
    }
}

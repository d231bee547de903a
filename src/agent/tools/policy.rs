//! Which tools a run may call: profiles, groups and allow/deny lists, one layer after the other.
//!
//! Pure: layers in, a verdict out. It decides by name only; what `exec` may do is not its business. It does not read the
//! configuration and does not know which tools exist.
//!
//! Invariants: a layer can only take away; deny wins over allow in every layer; an unknown group or profile allows
//! nothing.

/// One scope of the configuration: `tools`, an agent's `tools`, or one of their `byProvider` entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer {
    /// What a refusal names: `tools`, `agents.entries.main.tools`.
    pub origin: String,
    /// Base list: `minimal`, `coding`, `messaging`, `full`. `None` filters nothing.
    pub profile: Option<String>,
    /// When given, only these; an empty list counts as not given.
    pub allow: Vec<String>,
    /// Added to the profile.
    pub also_allow: Vec<String>,
    pub deny: Vec<String>,
}

/// The layers of one run, in the order of their authority.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    layers: Vec<Layer>,
}

/// Why a tool may not be called: the configuration's own words, for logs and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    pub origin: String,
    pub rule: Rule,
}

/// Which part of a layer said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Profile,
    Allow,
    Deny,
}

impl Policy {
    /// The chain of a run: global, global for the provider, agent, agent for the provider. An agent's profile and what
    /// it adds to a profile take the place of the global ones, likewise for the provider; the lists all count.
    pub fn chain(
        global: Layer,
        provider: Option<Layer>,
        agent: Option<Layer>,
        agent_provider: Option<Layer>,
    ) -> Policy {
        let (global, agent) = settle(Some(global), agent);
        let (provider, agent_provider) = settle(provider, agent_provider);
        Policy { layers: [global, provider, agent, agent_provider].into_iter().flatten().collect() }
    }

    /// A further layer: a channel's, a sub-agent's, a request's `toolsAllow`.
    pub fn and(mut self, layer: Layer) -> Policy {
        self.layers.push(layer);
        self
    }

    pub fn allows(&self, tool: &str) -> bool {
        self.check(tool).is_ok()
    }

    /// The first reason against `tool`, a tool's own name in any case.
    pub fn check(&self, tool: &str) -> Result<(), Denied> {
        let tool = canonical(tool);
        for layer in &self.layers {
            let denied = |rule| Err(Denied { origin: layer.origin.clone(), rule });
            if layer.deny.iter().any(|entry| covers(entry, &tool)) {
                return denied(Rule::Deny);
            }
            let added = layer.also_allow.iter().any(|entry| covers(entry, &tool));
            if layer.profile.as_deref().is_some_and(|profile| !in_profile(profile, &tool)) && !added {
                return denied(Rule::Profile);
            }
            let allow = &layer.allow;
            let wanted = allow.is_empty() || allow.iter().any(|entry| covers(entry, &tool)) || implied(allow, &tool);
            if !wanted {
                return denied(Rule::Allow);
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = match self.rule {
            Rule::Profile => "profile",
            Rule::Allow => "allow",
            Rule::Deny => "deny",
        };
        write!(f, "not permitted by {}.{rule}", self.origin)
    }
}

/// The profiles that have a tool.
pub fn profiles_with(tool: &str) -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name).filter(move |name| in_profile(name, tool))
}

/// The group a tool is listed under.
pub fn group_of(tool: &str) -> &'static str {
    GROUPS.iter().find(|(_, tools)| tools.contains(&tool)).map_or("other", |(name, _)| name)
}

/// Leaves one profile in a pair of scopes, together with what is added to it: the narrow scope's where it has its own.
fn settle(mut wide: Option<Layer>, mut narrow: Option<Layer>) -> (Option<Layer>, Option<Layer>) {
    let (Some(outer), Some(inner)) = (&mut wide, &mut narrow) else { return (wide, narrow) };
    if inner.also_allow.is_empty() {
        inner.also_allow = outer.also_allow.clone();
    } else {
        outer.also_allow = inner.also_allow.clone();
    }
    if inner.profile.is_some() {
        outer.profile = None;
    }
    (wide, narrow)
}

/// Does an entry of a list (a name, a pattern with `*`, a group) cover the tool?
fn covers(entry: &str, tool: &str) -> bool {
    let entry = canonical(entry);
    match entry.strip_prefix("group:") {
        Some(group) => in_group(group, tool),
        None => wildcard(&entry, tool),
    }
}

/// Whoever may write files may also patch them, unless that is denied.
fn implied(allow: &[String], tool: &str) -> bool {
    tool == "apply_patch" && allow.iter().any(|entry| covers(entry, "write"))
}

fn in_profile(profile: &str, tool: &str) -> bool {
    let entries = PROFILES.iter().find(|(name, _)| name.eq_ignore_ascii_case(profile.trim()));
    entries.is_some_and(|(_, entries)| entries.iter().any(|entry| covers(entry, tool)))
}

fn in_group(group: &str, tool: &str) -> bool {
    if group == "openclaw" {
        return GROUPS.iter().any(|(_, tools)| tools.contains(&tool)) && !PRIMITIVE.contains(&tool);
    }
    GROUPS.iter().any(|(name, tools)| *name == group && tools.contains(&tool))
}

/// Small letters, no spaces around, old names made new.
fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    match name.as_str() {
        "bash" => "exec".to_owned(),
        "apply-patch" => "apply_patch".to_owned(),
        "cron" => "automations".to_owned(),
        _ => name,
    }
}

/// `*` stands for any run of letters. Greedy from the left, so the time is entry times name at worst.
fn wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Upstream's groups, and which tools are in them; names we do not have yet are kept so that configurations keep
/// meaning what they say. `ls`, `grep` and `find` are ours in `fs`.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "agents",
        &["agents_list", "ask_user", "create_goal", "get_goal", "progress_card", "skill_workshop", "update_goal"],
    ),
    ("automation", &["automations", "gateway", "heartbeat_respond", "openclaw", "plugins"]),
    ("fs", &["apply_patch", "edit", "find", "grep", "ls", "read", "write"]),
    ("media", &["image_generate", "music_generate", "pdf", "tts", "video_generate", "view_image"]),
    ("memory", &["memory_get", "memory_search"]),
    ("messaging", &["message"]),
    ("nodes", &["computer", "nodes"]),
    ("runtime", &["code_execution", "exec", "process"]),
    (
        "sessions",
        &[
            "conversations_list",
            "conversations_send",
            "conversations_turn",
            "dismiss_task",
            "session_status",
            "sessions",
            "sessions_history",
            "sessions_list",
            "sessions_search",
            "sessions_send",
            "sessions_spawn",
            "sessions_yield",
            "subagents",
            "suggest_task",
        ],
    ),
    ("ui", &["browser", "canvas", "dashboard", "portal", "screen", "show_widget", "terminal", "theme"]),
    ("web", &["web_fetch", "web_search", "x_search"]),
];

/// In no wider group: what touches the host directly.
const PRIMITIVE: &[&str] = &["apply_patch", "canvas", "edit", "exec", "find", "grep", "ls", "process", "read", "write"];

const PROFILES: &[(&str, &[&str])] = &[
    (
        "coding",
        &[
            "group:fs",
            "group:runtime",
            "group:web",
            "group:sessions",
            "group:memory",
            "automations",
            "gateway",
            "get_goal",
            "create_goal",
            "update_goal",
            "progress_card",
            "ask_user",
            "skill_workshop",
            "view_image",
            "image_generate",
            "music_generate",
            "video_generate",
            "theme",
        ],
    ),
    ("full", &["*"]),
    (
        "messaging",
        &[
            "group:messaging",
            "sessions",
            "sessions_list",
            "sessions_history",
            "sessions_search",
            "conversations_list",
            "conversations_send",
            "conversations_turn",
            "sessions_send",
            "sessions_spawn",
            "sessions_yield",
            "subagents",
            "session_status",
            "gateway",
            "ask_user",
            "theme",
        ],
    ),
    ("minimal", &["session_status", "gateway"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn layer(profile: &str, allow: &[&str], deny: &[&str]) -> Layer {
        let profile = Some(profile.to_owned()).filter(|profile| !profile.is_empty());
        Layer { origin: "tools".into(), profile, allow: list(allow), also_allow: vec![], deny: list(deny) }
    }

    fn one(layer: Layer) -> Policy {
        Policy::chain(layer, None, None, None)
    }

    #[test]
    fn one_layer_says_what_its_lists_say() {
        type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a str, bool);
        let table: &[Row] = &[
            ("", &[], &[], "exec", true),
            ("full", &[], &[], "anything_at_all", true),
            ("minimal", &[], &[], "session_status", true),
            ("minimal", &[], &[], "read", false),
            ("Coding", &[], &[], "exec", true),
            ("coding", &[], &[], "cron", true),
            ("coding", &[], &[], "message", false),
            ("messaging", &[], &[], "message", true),
            ("messaging", &[], &[], "exec", false),
            ("no-such-profile", &[], &[], "read", false),
            ("", &["read"], &[], "read", true),
            ("", &["read"], &[], "write", false),
            ("", &["group:fs"], &[], "grep", true),
            ("", &["group:fs"], &["edit"], "edit", false),
            ("", &["group:nothing"], &[], "read", false),
            ("", &["*"], &["exec"], "exec", false),
            ("", &["exec"], &["exec"], "exec", false),
            ("", &[], &["EXEC "], "exec", false),
            ("", &[], &["bash"], "exec", false),
            ("", &[], &["group:runtime"], "process", false),
            ("", &[], &["mem*_g*t"], "memory_get", false),
            ("", &[], &["mem*_g*t"], "memory_search", true),
            ("", &["write"], &[], "apply_patch", true),
            ("", &[], &["write"], "apply_patch", true),
            ("", &["write"], &["apply_patch"], "apply_patch", false),
            ("", &["group:openclaw"], &[], "session_status", true),
            ("", &["group:openclaw"], &[], "exec", false),
            ("minimal", &["read"], &[], "read", false),
        ];
        for (profile, allow, deny, tool, expected) in table {
            let policy = one(layer(profile, allow, deny));
            assert_eq!(policy.allows(tool), *expected, "{profile:?} allow {allow:?} deny {deny:?}: {tool}");
        }
    }

    #[test]
    fn a_later_layer_only_takes_away() {
        let chain = |global, agent| Policy::chain(global, None, Some(agent), None);
        assert!(!chain(layer("", &[], &["exec"]), layer("", &["exec"], &[])).allows("exec"));
        assert!(!chain(layer("", &["read"], &[]), layer("", &["exec"], &[])).allows("exec"));
        assert!(!chain(layer("", &[], &[]), layer("", &[], &["read"])).allows("read"));
        assert!(one(layer("", &[], &[])).and(layer("", &["read"], &[])).allows("read"));
        assert!(!one(layer("", &[], &[])).and(layer("", &["read"], &[])).allows("exec"));
    }

    #[test]
    fn an_agents_profile_replaces_the_global_one() {
        let policy = Policy::chain(layer("minimal", &[], &["write"]), None, Some(layer("coding", &[], &[])), None);
        assert!(policy.allows("read"));
        assert!(!policy.allows("write"), "deny stays");
        let narrowed = Policy::chain(layer("coding", &[], &[]), Some(layer("minimal", &[], &[])), None, None);
        assert!(!narrowed.allows("read"));
    }

    #[test]
    fn also_allow_widens_a_profile_but_not_a_denial() {
        let mut wide = layer("minimal", &[], &[]);
        wide.also_allow = list(&["group:fs"]);
        assert!(one(wide.clone()).allows("read"));
        assert!(!one(wide.clone()).allows("exec"));
        let agent = Layer { also_allow: list(&["exec"]), ..Layer::default() };
        let chained = Policy::chain(wide.clone(), None, Some(agent), None);
        assert!(chained.allows("exec") && !chained.allows("read"), "the agent's addition takes the global one's place");
        let provider = Policy::chain(wide.clone(), Some(layer("minimal", &[], &[])), None, None);
        assert!(!provider.allows("read"), "another scope's profile is not widened");
        wide.deny = list(&["read"]);
        assert!(!one(wide).allows("read"));
    }

    #[test]
    fn a_refusal_names_its_rule() {
        let denied = one(layer("", &[], &["exec"])).check("exec").unwrap_err();
        assert_eq!(denied.to_string(), "not permitted by tools.deny");
        assert_eq!(one(layer("minimal", &[], &[])).check("exec").unwrap_err().rule, Rule::Profile);
    }

    #[test]
    fn the_tables_are_sorted_and_name_known_groups() {
        assert!(GROUPS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(PROFILES.is_sorted_by(|a, b| a.0 < b.0));
        for (group, tools) in GROUPS {
            assert!(tools.is_sorted_by(|a, b| a < b), "{group}");
        }
        let groups = PROFILES.iter().flat_map(|(_, entries)| *entries).filter_map(|entry| entry.strip_prefix("group:"));
        for group in groups {
            assert!(GROUPS.iter().any(|(name, _)| *name == group), "{group}");
        }
        let grouped = |tool: &&super::super::Tool| GROUPS.iter().any(|(_, tools)| tools.contains(&tool.name));
        assert!(super::super::TOOLS.iter().all(|tool| grouped(&tool)), "every tool of ours is in a group");
    }

    #[test]
    fn wildcards_do_not_overlap_their_ends() {
        assert!(!wildcard("ab*ba", "aba"));
        assert!(wildcard("ab*ba", "abba"));
        assert!(wildcard("*", ""));
        assert!(!wildcard("", "a"));
        assert!(wildcard("a**b", "a-b"));
    }
}

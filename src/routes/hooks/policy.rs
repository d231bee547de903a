//! What webhooks may reach: which agents, which sessions. Pure decisions from the configuration.

use crate::config::Config;
use crate::config::sections::HooksConfig;
use crate::sys::random;
use crate::wire::frame::cut;
use crate::wire::session;

/// Who chose a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// The sender, or a template filled by it.
    Outside,
    /// The configuration.
    Inside,
}

/// `/hooks`, with one slash in front and none behind. `None`: webhooks are not served.
pub fn base(config: &Config) -> Option<String> {
    problem(config).is_none().then(|| path(&config.hooks)).filter(|_| config.hooks.enabled)
}

fn path(hooks: &HooksConfig) -> String {
    let path = hooks.path.as_deref().map(str::trim).filter(|path| !path.is_empty()).unwrap_or("/hooks");
    format!("/{}", path.trim_matches('/'))
}

/// Why webhooks stay off although they are enabled.
pub fn problem(config: &Config) -> Option<String> {
    let hooks = &config.hooks;
    if !hooks.enabled {
        return None;
    }
    if hooks.token.as_ref().is_none_or(|token| token.expose().trim().is_empty()) {
        return Some("hooks.enabled requires hooks.token: webhooks stay off".into());
    }
    if path(hooks) == "/" {
        return Some("hooks.path may not be '/': webhooks stay off".into());
    }
    let prefixes = prefixes(hooks);
    match hooks.default_session_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
        Some(key) if !admitted(key, &prefixes) => {
            Some("hooks.defaultSessionKey must match hooks.allowedSessionKeyPrefixes: webhooks stay off".into())
        }
        None if !admitted("hook:", &prefixes) => Some(
            "hooks.allowedSessionKeyPrefixes must include 'hook:' when hooks.defaultSessionKey is not set: webhooks \
             stay off"
                .into(),
        ),
        _ => None,
    }
}

/// The agent a hook is for. `known_only`: a name nobody has is an error, not the default agent.
pub fn agent(config: &Config, wanted: Option<&str>, known_only: bool) -> Result<String, String> {
    let ids = config.agent_ids();
    let agent = match wanted.map(|id| id.trim().to_ascii_lowercase()) {
        Some(id) if ids.contains(&id.as_str()) => id,
        Some(id) if known_only => return Err(format!("unknown agentId \"{}\"", cut(&id, 64))),
        _ => config.default_agent_id().to_string(),
    };
    let allowed = config
        .hooks
        .allowed_agent_ids
        .as_ref()
        .is_none_or(|list| list.iter().any(|own| own.trim() == "*" || own.trim().eq_ignore_ascii_case(&agent)));
    if allowed { Ok(agent) } else { Err("agentId is not allowed by hooks.allowedAgentIds".into()) }
}

/// The logical session key of an agent hook: the one asked for, the configured one, or a new one.
pub fn session_key(hooks: &HooksConfig, asked: Option<&str>, chosen: Chosen) -> Result<String, String> {
    match asked.map(str::trim).filter(|key| !key.is_empty()) {
        Some(key) => requested(hooks, key, chosen),
        None => match hooks.default_session_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
            Some(key) => Ok(key.to_string()),
            None => Ok(format!("hook:{}", random::uuid())),
        },
    }
}

/// A key somebody asked for.
pub fn requested(hooks: &HooksConfig, key: &str, chosen: Chosen) -> Result<String, String> {
    if chosen == Chosen::Outside && !hooks.allow_request_session_key {
        return Err("sessionKey is disabled for externally supplied hook payload values; set \
                    hooks.allowRequestSessionKey=true to enable"
            .into());
    }
    let prefixes = prefixes(hooks);
    if !admitted(key, &prefixes) {
        return Err(format!("sessionKey must start with one of: {}", prefixes.join(", ")));
    }
    if session::is_reserved(key) || key.len() > crate::wire::chat::SESSION_KEY_LIMIT {
        return Err("sessionKey cannot use reserved internal session namespaces".into());
    }
    Ok(key.to_string())
}

/// Whether the configuration limits keys at all.
pub fn limits_keys(hooks: &HooksConfig) -> bool {
    !prefixes(hooks).is_empty()
}

/// The stored key of a logical one, under the agent that was chosen whatever agent the key names.
pub fn scoped(key: &str, agent_id: &str, main_key: &str) -> String {
    let rest = session::agent_of(key).map_or(key, |(_, rest)| rest);
    session::canonical(rest, agent_id, main_key)
}

fn prefixes(hooks: &HooksConfig) -> Vec<String> {
    let list = hooks.allowed_session_key_prefixes.iter().map(|prefix| prefix.trim().to_ascii_lowercase());
    list.filter(|prefix| !prefix.is_empty()).collect()
}

fn admitted(key: &str, prefixes: &[String]) -> bool {
    let key = key.to_ascii_lowercase();
    prefixes.is_empty() || prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::secret::Secret;

    fn config(hooks: serde_json::Value) -> Config {
        let hooks = serde_json::from_value(hooks).expect("fits");
        Config { hooks, ..Config::default() }
    }

    #[test]
    fn hooks_that_cannot_be_served_say_why() {
        let why = |hooks: serde_json::Value| {
            let mut config = config(hooks);
            config.hooks.enabled = true;
            config.hooks.token = Some(Secret::new("t"));
            (base(&config), problem(&config).unwrap_or_default())
        };
        assert_eq!(why(serde_json::json!({})), (Some("/hooks".into()), String::new()));
        assert_eq!(why(serde_json::json!({ "path": "in/" })).0.as_deref(), Some("/in"));
        assert!(why(serde_json::json!({ "path": "/" })).1.contains("may not be '/'"));
        let prefixes = serde_json::json!({ "allowedSessionKeyPrefixes": ["ci:"] });
        assert!(why(prefixes).1.contains("must include 'hook:'"));
        let default = serde_json::json!({ "allowedSessionKeyPrefixes": ["ci:"], "defaultSessionKey": "x" });
        assert!(why(default).1.contains("must match"));
        let mut off = config(serde_json::json!({}));
        assert_eq!((base(&off), problem(&off)), (None, None));
        off.hooks.enabled = true;
        assert!(base(&off).is_none() && problem(&off).is_some_and(|words| words.contains("requires hooks.token")));
    }

    #[test]
    fn a_key_from_outside_needs_permission_and_a_prefix() {
        let closed = HooksConfig::default();
        assert!(requested(&closed, "hook:a", Chosen::Outside).is_err());
        assert_eq!(requested(&closed, "hook:a", Chosen::Inside).as_deref(), Ok("hook:a"));
        let open = HooksConfig {
            allow_request_session_key: true,
            allowed_session_key_prefixes: vec!["Hook:".into()],
            ..HooksConfig::default()
        };
        assert_eq!(requested(&open, "HOOK:a", Chosen::Outside).as_deref(), Ok("HOOK:a"));
        let refused = requested(&open, "main", Chosen::Outside).expect_err("refused");
        assert_eq!(refused, "sessionKey must start with one of: hook:");
        let any = HooksConfig { allow_request_session_key: true, ..HooksConfig::default() };
        assert!(requested(&any, "agent:main:subagent:x", Chosen::Outside).is_err());
        assert!(session_key(&closed, None, Chosen::Outside).is_ok_and(|key| key.starts_with("hook:")));
        assert_eq!(scoped("agent:other:hook:x", "main", "main"), "agent:main:hook:x");
        assert_eq!(scoped("main", "main", "main"), "agent:main:main");
    }

    #[test]
    fn agents_are_those_that_exist_and_are_allowed() {
        let mut config = config(serde_json::json!({}));
        assert_eq!(agent(&config, None, true).as_deref(), Ok("main"));
        assert_eq!(agent(&config, Some("zzz"), true), Err("unknown agentId \"zzz\"".into()));
        assert_eq!(agent(&config, Some("zzz"), false).as_deref(), Ok("main"));
        config.hooks.allowed_agent_ids = Some(vec![]);
        assert!(agent(&config, None, true).is_err());
        config.hooks.allowed_agent_ids = Some(vec!["*".into()]);
        assert!(agent(&config, None, true).is_ok());
    }
}

//! `hooks.mappings`: from a webhook of any shape to what the gateway does about it. The first match owns the request.

use serde_json::Value;

use super::template::{Scene, fill, is_template};
use crate::config::sections::HooksConfig;
use crate::wire::hooks::{HookAction, HookMapping, SessionMode, WakeMode};
use crate::wire::misfit;

/// Items of one request that `forEach` handles; the rest is dropped with a warning.
const ITEMS: usize = 200;

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    Wake { text: String, mode: WakeMode, agent_id: Option<String>, session_key: Option<String>, templated: bool },
    Agent(Box<AgentAction>),
}

#[derive(Debug)]
pub struct AgentAction {
    pub message: String,
    pub name: String,
    pub agent_id: Option<String>,
    pub session_key: Option<String>,
    /// The key came out of a template.
    pub templated: bool,
    pub mode: SessionMode,
    pub model: Option<String>,
    pub thinking: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub trusted: bool,
    /// Where the answer goes besides the transcript.
    pub place: Option<Place>,
    /// Without a place: to whom the agent talked last, through this messenger or any.
    pub last: Option<Option<String>>,
    /// The answer is news for the agent when it goes nowhere; a failure always is.
    pub deliver: bool,
    /// Whether such news begin a turn.
    pub wake: WakeMode,
}

/// A conversation of a messenger, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `None`: the only one that is set up.
    pub channel: Option<String>,
    pub to: String,
    pub account: Option<String>,
}

/// Why a mapping did nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The payload does not fit the mapping; said to the sender.
    Payload(&'static str),
    /// The mapping itself is wrong; said to the log.
    Mapping(String),
}

/// What the first matching mapping makes of a request; `None` when none matches.
pub fn apply(hooks: &HooksConfig, scene: &Scene<'_>) -> Option<Result<Vec<Action>, Failed>> {
    let own = hooks.mappings.iter().enumerate().map(|(at, value)| {
        misfit::convert::<HookMapping>(value)
            .map_err(|misfit| Failed::Mapping(format!("hooks.mappings[{at}]: {}", misfit.reason)))
    });
    let presets = hooks.presets.iter().filter(|name| *name == "gmail").map(|_| Ok(gmail()));
    for mapping in own.chain(presets) {
        match mapping {
            Ok(mapping) if matches(&mapping, scene) => return Some(actions(&mapping, scene)),
            Ok(_) => {}
            Err(failed) => return Some(Err(failed)),
        }
    }
    None
}

fn gmail() -> HookMapping {
    HookMapping {
        id: Some("gmail".into()),
        matches: crate::wire::hooks::HookMatch { path: Some("gmail".into()), source: None },
        name: Some("Gmail".into()),
        for_each: Some("messages".into()),
        session_key: Some("hook:gmail:{{messages[0].id}}".into()),
        message_template: Some(
            "A mail came from {{messages[0].from}} about: {{messages[0].subject}}\n\n{{messages[0].snippet}}\n\
             {{messages[0].body}}"
                .into(),
        ),
        ..HookMapping::default()
    }
}

fn matches(mapping: &HookMapping, scene: &Scene<'_>) -> bool {
    let wanted = mapping.matches.path.as_deref().map(|path| path.trim().trim_matches('/')).filter(|p| !p.is_empty());
    let source = mapping.matches.source.as_deref().map(str::trim).filter(|source| !source.is_empty());
    wanted.is_none_or(|path| path == scene.path.trim_matches('/'))
        && source.is_none_or(|source| scene.payload["source"] == source)
}

fn actions(mapping: &HookMapping, scene: &Scene<'_>) -> Result<Vec<Action>, Failed> {
    let id = mapping.id.as_deref().unwrap_or("without an id");
    if mapping.transform.is_some() {
        return Err(Failed::Mapping(format!("the mapping {id} has a transform; this gateway runs no scripts")));
    }
    let Some(key) = mapping.for_each.as_deref().map(str::trim).filter(|key| !key.is_empty()) else {
        return action(mapping, scene).map(|action| vec![action]);
    };
    if key.contains(['.', '[', ']']) {
        return Err(Failed::Mapping(format!("forEach of the mapping {id} must be a top-level payload key")));
    }
    let items = scene.payload[key].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.len() > ITEMS {
        log::warn!("a webhook brought {} items for the mapping {id}; only the first {ITEMS} count", items.len());
    }
    let mut single = scene.payload.clone();
    items
        .iter()
        .take(ITEMS)
        .map(|item| {
            single[key] = Value::Array(vec![item.clone()]);
            action(mapping, &Scene { payload: &single, ..*scene })
        })
        .collect()
}

fn action(mapping: &HookMapping, scene: &Scene<'_>) -> Result<Action, Failed> {
    let filled = |text: &Option<String>| {
        text.as_deref().map(|text| fill(text, scene).trim().to_string()).filter(|text| !text.is_empty())
    };
    let templated = mapping.session_key.as_deref().is_some_and(is_template);
    let session_key = filled(&mapping.session_key);
    if templated && session_key.is_none() {
        return Err(Failed::Payload("hook mapping sessionKey template rendered empty"));
    }
    let agent_id = mapping.agent_id.clone();
    if mapping.action == HookAction::Wake {
        let text = filled(&mapping.text_template).ok_or(Failed::Payload("hook mapping requires text"))?;
        if mapping.wake_mode == WakeMode::NextHeartbeat && session_key.is_some() {
            return Err(Failed::Payload("hook mapping sessionKey requires wakeMode=now"));
        }
        return Ok(Action::Wake { text, mode: mapping.wake_mode, agent_id, session_key, templated });
    }
    let message = filled(&mapping.message_template).ok_or(Failed::Payload("hook mapping requires message"))?;
    Ok(Action::Agent(Box::new(AgentAction {
        message,
        name: filled(&mapping.name).unwrap_or_else(|| "Hook".into()),
        agent_id,
        session_key,
        templated,
        mode: mapping.session_mode,
        model: filled(&mapping.model),
        thinking: filled(&mapping.thinking),
        timeout_seconds: mapping.timeout_seconds.filter(|seconds| *seconds > 0),
        trusted: mapping.allow_unsafe_external_content,
        place: place(mapping, filled(&mapping.to)),
        last: (mapping.deliver != Some(false)).then(|| channel(mapping)),
        deliver: mapping.deliver != Some(false),
        wake: mapping.wake_mode,
    })))
}

fn place(mapping: &HookMapping, to: Option<String>) -> Option<Place> {
    let to = to.filter(|_| mapping.deliver != Some(false))?;
    Some(Place { channel: channel(mapping), to, account: None })
}

/// The messenger that a mapping names.
fn channel(mapping: &HookMapping) -> Option<String> {
    let named = mapping.channel.as_deref().map(str::trim).filter(|id| !id.is_empty() && *id != "last");
    named.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(hooks: Value, path: &str, payload: Value) -> Option<Result<Vec<Action>, Failed>> {
        let hooks: HooksConfig = serde_json::from_value(hooks).expect("fits");
        apply(&hooks, &Scene { payload: &payload, headers: &[], query: &[], path, now: "" })
    }

    #[test]
    fn the_first_match_owns_the_request() {
        let hooks = serde_json::json!({ "mappings": [
            { "match": { "path": "/ci/" , "source": "gitlab" }, "messageTemplate": "lab" },
            { "match": { "path": "ci" }, "messageTemplate": "{{branch}} broke", "name": "CI {{branch}}" },
            { "action": "wake", "textTemplate": "any {{x}}", "wakeMode": "next-heartbeat" },
        ]});
        let message = |path: &str, payload: Value| match applied(hooks.clone(), path, payload) {
            Some(Ok(mut list)) => match list.remove(0) {
                Action::Agent(action) => format!("{} / {}", action.message, action.name),
                Action::Wake { text, .. } => text,
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(message("ci", serde_json::json!({ "source": "gitlab" })), "lab / Hook");
        assert_eq!(message("ci", serde_json::json!({ "branch": "main" })), "main broke / CI main");
        assert_eq!(message("other", serde_json::json!({ "x": 1 })), "any 1");
        assert!(applied(serde_json::json!({}), "ci", Value::Null).is_none());
    }

    #[test]
    fn for_each_makes_one_action_per_item() {
        let payload = serde_json::json!({ "messages": [{ "id": "1", "from": "a" }, { "id": "2", "from": "b" }] });
        let Some(Ok(list)) = applied(serde_json::json!({ "presets": ["gmail"] }), "gmail", payload) else {
            panic!("it matches")
        };
        let keys: Vec<_> = list
            .iter()
            .map(|action| match action {
                Action::Agent(action) if action.templated => action.session_key.clone().unwrap_or_default(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(keys, ["hook:gmail:1", "hook:gmail:2"]);
        let none = applied(serde_json::json!({ "presets": ["gmail"] }), "gmail", serde_json::json!({}));
        assert!(none.is_some_and(|list| list.is_ok_and(|list| list.is_empty())));
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let failed = |mapping: Value| match applied(serde_json::json!({ "mappings": [mapping] }), "x", Value::Null) {
            Some(Err(failed)) => failed,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed(serde_json::json!({})), Failed::Payload("hook mapping requires message"));
        let wake = serde_json::json!({ "action": "wake" });
        assert_eq!(failed(wake), Failed::Payload("hook mapping requires text"));
        let empty = serde_json::json!({ "messageTemplate": "x", "sessionKey": "{{nothing}}" });
        assert_eq!(failed(empty), Failed::Payload("hook mapping sessionKey template rendered empty"));
        let script = serde_json::json!({ "transform": { "module": "x.js" } });
        assert!(matches!(failed(script), Failed::Mapping(words) if words.contains("no scripts")));
        assert!(matches!(failed(serde_json::json!({ "action": "dance" })), Failed::Mapping(_)));
    }
}

//! Whether a skill can be used here: what it needs, what the operator switched off, what the agent may see.

use std::collections::BTreeMap;

use serde_json::Value;

use super::head::Needs;
use super::{Skill, entry, is_program};
use crate::config::Config;

/// What is to be said of a skill's usefulness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// `skills.entries.<key>.enabled` is false.
    pub disabled: bool,
    /// The agent has a list of skills, and this is not on it.
    pub blocked_by_agent: bool,
    /// It is for other operating systems.
    pub foreign: bool,
    /// It can be used: it is switched on and has what it needs.
    pub eligible: bool,
    /// The model is told of it.
    pub model_visible: bool,
    /// People are offered it as a command.
    pub command_visible: bool,
    pub missing: Missing,
}

/// What a skill needs and does not have, in the words of its head.
pub type Missing = Needs;

/// Looks a host over once for many skills.
pub(super) struct Gate<'c> {
    config: &'c Config,
    /// What the agent may see; `None`: everything.
    allowed: Option<&'c [String]>,
    path: &'c str,
    programs: BTreeMap<String, bool>,
}

impl<'c> Gate<'c> {
    pub(super) fn new(config: &'c Config, agent_id: &str) -> Gate<'c> {
        let own = config.agent(agent_id).and_then(|agent| agent.skills.as_deref());
        let allowed = own.or(config.agents.defaults.skills.as_deref());
        Gate { config, allowed, path: config.vars.get("PATH").unwrap_or_default(), programs: BTreeMap::new() }
    }

    pub(super) fn readiness(&mut self, skill: &Skill) -> Readiness {
        let (head, entry) = (&skill.head, entry(self.config, skill));
        let needs = &head.needs;
        let disabled = entry.is_some_and(|entry| entry.enabled == Some(false));
        let blocked_by_agent = self.allowed.is_some_and(|allowed| !allowed.iter().any(|name| name.trim() == head.name));
        let foreign = !needs.os.is_empty() && !needs.os.iter().any(|os| is_here(os));
        let has_variable = |name: &String| {
            self.config.vars.get(name).is_some()
                || entry.is_some_and(|entry| {
                    entry.env.get(name).is_some_and(|value| !value.is_empty())
                        || (entry.api_key.is_some() && head.primary_env.as_ref() == Some(name))
                })
        };
        let env: Vec<String> = needs.env.iter().filter(|name| !has_variable(name)).cloned().collect();
        let config: Vec<String> =
            needs.config.iter().filter(|path| !is_set(&self.config.tree, path)).cloned().collect();
        let bins: Vec<String> = needs.bins.iter().filter(|name| !self.has_program(name)).cloned().collect();
        let any = needs.any_bins.is_empty() || needs.any_bins.iter().any(|name| self.has_program(name));
        let any_bins = if any { Vec::new() } else { needs.any_bins.clone() };
        let os = if foreign { needs.os.clone() } else { Vec::new() };
        let met = head.always || (env.is_empty() && config.is_empty() && bins.is_empty() && any_bins.is_empty());
        let eligible = !disabled && !foreign && met;
        let seen = eligible && !blocked_by_agent;
        Readiness {
            disabled,
            blocked_by_agent,
            foreign,
            eligible,
            model_visible: seen && !head.hidden,
            command_visible: seen && head.user_invocable,
            missing: Missing { bins, any_bins, env, config, os },
        }
    }

    fn has_program(&mut self, name: &str) -> bool {
        if let Some(known) = self.programs.get(name) {
            return *known;
        }
        let there = is_program(name, self.path);
        self.programs.insert(name.to_owned(), there);
        there
    }
}

/// As Node names operating systems.
fn is_here(os: &str) -> bool {
    let here = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    os.eq_ignore_ascii_case(here)
}

/// Whether a setting is neither missing nor off nor empty.
fn is_set(tree: &Value, path: &str) -> bool {
    let found = path.split('.').try_fold(tree, |at, name| at.get(name));
    match found {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

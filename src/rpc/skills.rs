//! `skills.*`: what agents are taught, and the commands that come from it.
//!
//! Invariant: no value of a credential or a variable is answered, whatever the scope.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::chat::target;
use super::config;
use crate::auth::Caller;
use crate::config::{Config, redact};
use crate::hub::TaskContext;
use crate::skills::{Catalog, Needs, Readiness, Skill, managed_folder, programs};
use crate::sys::child::scrub;
use crate::wire::command::{COMMANDS, CommandEntry};
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::skills::*;
use crate::wire::tree::json;

/// Bytes of a credential or a variable that is set by RPC.
const VALUE: usize = 16 << 10;
/// Variables one call may set.
const VARIABLES: usize = 64;

pub fn status(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SkillsStatusParams,
) -> Result<SkillsStatusResult, RpcError> {
    let config = context.desk.shared.config.get();
    let key = params.session_key.as_deref().unwrap_or("main");
    let (_, agent_id) = target(&config, key, params.agent_id.as_deref())?;
    skills_of(&config, Some(&agent_id))
}

/// The skills of an agent, or of the default one.
pub fn skills_of(config: &Config, agent_id: Option<&str>) -> Result<SkillsStatusResult, RpcError> {
    let (_, agent_id) = target(config, "main", agent_id)?;
    let managed = config.paths.as_deref().map(managed_folder).unwrap_or_default();
    Ok(SkillsStatusResult {
        workspace_dir: config.agent_workspace(&agent_id).display().to_string(),
        managed_skills_dir: managed.display().to_string(),
        skills: Catalog::of(config, &agent_id).skills.into_iter().map(|(skill, ready)| row(skill, ready)).collect(),
        agent_id,
    })
}

fn row(skill: Skill, ready: Readiness) -> SkillStatus {
    let missing = |path: &String| ready.missing.config.contains(path);
    let checks = skill.head.needs.config.iter();
    SkillStatus {
        source: skill.source.name(),
        bundled: false,
        file_path: skill.file().display().to_string(),
        base_dir: skill.folder.display().to_string(),
        skill_key: skill.key().to_owned(),
        primary_env: skill.head.primary_env,
        emoji: skill.head.emoji,
        homepage: skill.head.homepage,
        always: skill.head.always,
        disabled: ready.disabled,
        blocked_by_allowlist: false,
        blocked_by_agent_filter: ready.blocked_by_agent,
        eligible: ready.eligible,
        platform_incompatible: ready.foreign,
        model_visible: ready.model_visible,
        user_invocable: skill.head.user_invocable,
        command_visible: ready.command_visible,
        config_checks: checks.map(|path| ConfigCheck { path: path.clone(), satisfied: !missing(path) }).collect(),
        requirements: needs(skill.head.needs),
        missing: needs(ready.missing),
        install: [],
        name: skill.head.name,
        description: skill.head.description,
    }
}

fn needs(Needs { bins, any_bins, env, config, os }: Needs) -> SkillNeeds {
    SkillNeeds { bins, any_bins, env, config, os }
}

pub fn bins(context: &TaskContext, _: &Arc<Caller>, _: SkillsBinsParams) -> Result<SkillsBinsResult, RpcError> {
    Ok(SkillsBinsResult { bins: programs(&context.desk.shared.config.get()) })
}

/// Changes a skill's entry in the operator's file.
pub fn update(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: SkillsUpdateParams,
) -> Result<SkillsUpdateResult, RpcError> {
    if params.source.is_some() {
        return Err(RpcError::unavailable(
            "this gateway does not update skills from a registry; put the folder into the managed skills directory",
        ));
    }
    if params.agent_id.is_some() || params.slug.is_some() || params.all.is_some() || params.force.is_some() {
        return Err(RpcError::invalid("agentId, slug, all and force belong to updates from a registry (source)"));
    }
    let Some(key) = params.skill_key.map(|key| key.0.trim().to_owned()).filter(|key| !key.is_empty()) else {
        return Err(RpcError::invalid("invalid skills.update params: must have required property 'skillKey'"));
    };
    let env = params.env.unwrap_or_default();
    let values = env.values().chain(params.api_key.as_ref());
    if key.len() > 128
        || key.contains(char::is_control)
        || env.len() > VARIABLES
        || values.into_iter().any(|v| v.len() > VALUE)
    {
        let shown = cut(&key, 64);
        return Err(RpcError::invalid(format!(
            "skills.update of \"{shown}\": a key is a plain name, a call sets at most {VARIABLES} variables of {VALUE} bytes"
        )));
    }
    if let Some((name, _)) = env.iter().find(|(name, value)| !value.trim().is_empty() && !scrub::may_set(name.trim())) {
        let name = cut(name, 64);
        return Err(RpcError::invalid(format!("commands may not be given a variable named \"{name}\"")));
    }
    config::change(&context.desk, |tree| {
        let entry = below(below(below(tree, "skills")?, "entries")?, &key)?;
        if let Some(enabled) = params.enabled {
            entry["enabled"] = enabled.into();
        }
        if let Some(secret) = &params.api_key {
            put(entry, "apiKey", secret);
        }
        for (name, value) in &env {
            put(below(entry, "env")?, name.trim(), value);
        }
        Ok(())
    })?;
    let shown = redact::value(&context.desk.shared.config.get().tree);
    let entry = shown["skills"]["entries"].get(&key).and_then(Value::as_object).cloned();
    Ok(SkillsUpdateResult { ok: true, skill_key: key, config: entry.unwrap_or_default() })
}

/// The object at a name, made if nothing is there.
fn below<'t>(value: &'t mut Value, name: &str) -> Result<&'t mut Value, RpcError> {
    let odd =
        || RpcError::invalid("the configuration has no object at `skills` where one must be; run `openclaw doctor`");
    let map: &mut Map<String, Value> = value.as_object_mut().ok_or_else(odd)?;
    let inner = map.entry(name).or_insert_with(|| json!({}));
    if inner.is_object() { Ok(inner) } else { Err(odd()) }
}

fn put(object: &mut Value, name: &str, value: &str) {
    match (value.trim(), object.as_object_mut()) {
        ("", Some(map)) => {
            map.shift_remove(name);
        }
        (value, Some(map)) => {
            map.insert(name.to_owned(), value.into());
        }
        (_, None) => {}
    }
}

/// The commands of an agent: the gateway's own, and those of its skills.
pub(super) fn commands(config: &Config, agent_id: &str, with_args: bool) -> Vec<CommandEntry> {
    let mut all: Vec<CommandEntry> = COMMANDS.iter().map(|spec| spec.entry(with_args)).collect();
    for (skill, ready) in Catalog::of(config, agent_id).skills {
        let name = skill.command();
        let taken = name.is_empty()
            || COMMANDS.iter().any(|spec| spec.name == name || spec.alias == name)
            || all.iter().any(|other| other.name == name);
        if ready.command_visible && !taken {
            all.push(CommandEntry {
                text_aliases: vec![format!("/{name}")],
                native_name: name.clone().into(),
                name: name.into(),
                description: skill.head.description.into(),
                category: "tools",
                source: "skill",
                skill_display_name: Some(skill.head.name),
                skill_model_visible: Some(ready.model_visible),
                scope: "both",
                accepts_args: true,
                args: Vec::new(),
            });
        }
    }
    all
}

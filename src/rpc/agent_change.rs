//! `agents.create`, `update`, `delete`: entries of the operator's file, written like any other change of it.
//!
//! Invariants: the file is changed by the rules of [`super::config`] (checked, based on what was read, comments kept);
//! an agent's workspace is moved aside, not removed. Its sessions are removed for good.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::config;
use crate::auth::Caller;
use crate::config::Config;
use crate::config::agents::{MAIN_AGENT, normal_id};
use crate::hub::TaskContext;
use crate::hub::sessions::stored;
use crate::store::sessions;
use crate::sys::{clock, files};
use crate::wire::agent_change::*;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::tree::json;

/// Agents of one gateway.
const AGENTS: usize = 100;
/// Sessions of a removed agent that go with it in one write.
const SESSIONS: usize = 5_000;

pub fn create(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsCreateParams,
) -> Result<AgentsCreateResult, RpcError> {
    let name = params.name.trim().to_string();
    let id = normal_id(&name);
    let config = context.desk.shared.config.get();
    if id == MAIN_AGENT {
        return Err(RpcError::invalid("\"main\" is reserved"));
    }
    if config.agent_ids().contains(&id.as_str()) {
        return Err(RpcError::invalid(format!("agent \"{id}\" already exists")));
    }
    if config.agent_ids().len() >= AGENTS {
        return Err(RpcError::invalid(format!("there are {AGENTS} agents already")));
    }
    let mut entry = Map::new();
    entry.insert("name".into(), name.as_str().into());
    fill(&mut entry, params.workspace.as_deref(), params.emoji.as_deref(), params.avatar.as_deref());
    if let Some(model) = params.model.as_deref() {
        entry.insert("model".into(), model.into());
    }
    let made = id.clone();
    config::change(&context.desk, move |tree| {
        let agents = section(tree);
        match agents.get_mut("list").and_then(Value::as_array_mut).filter(|list| !list.is_empty()) {
            Some(list) => {
                entry.insert("id".into(), made.into());
                list.push(Value::Object(entry));
            }
            None => {
                let entries = agents.entry("entries").or_insert_with(|| json!({}));
                let Some(entries) = entries.as_object_mut() else { return Err(odd()) };
                if entries.is_empty() {
                    // The agent that was implied stays, and stays the one that answers.
                    entries.insert(MAIN_AGENT.into(), json!({"default": true}));
                }
                entries.insert(made, Value::Object(entry));
            }
        }
        Ok(())
    })?;
    let config = context.desk.shared.config.get();
    let home = config.agent_workspace(&id);
    if let Err(error) = std::fs::create_dir_all(&home) {
        log::warn!("the workspace of agent {id} could not be prepared: {error}");
    }
    let model = config.agent(&id).and_then(|agent| agent.model.primary.clone());
    Ok(AgentsCreateResult { ok: true, agent_id: id, name, workspace: home.display().to_string(), model })
}

pub fn update(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsUpdateParams,
) -> Result<AgentsUpdateResult, RpcError> {
    let id = normal_id(&params.agent_id);
    known(&context.desk.shared.config.get(), &id, &params.agent_id)?;
    let changed = id.clone();
    config::change(&context.desk, move |tree| {
        let entry = entry_of(section(tree), &changed)?;
        if let Some(name) = params.name.as_deref() {
            entry.insert("name".into(), name.into());
        }
        fill(entry, params.workspace.as_deref(), params.emoji.as_deref(), params.avatar.as_deref());
        match &params.model {
            Some(Some(model)) => {
                entry.insert("model".into(), model.0.as_str().into());
            }
            Some(None) => {
                entry.shift_remove("model");
            }
            None => {}
        }
        Ok(())
    })?;
    Ok(AgentsUpdateResult { ok: true, agent_id: id })
}

pub fn delete(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: AgentsDeleteParams,
) -> Result<AgentsDeleteResult, RpcError> {
    let id = normal_id(&params.agent_id);
    let before = context.desk.shared.config.get();
    known(&before, &id, &params.agent_id)?;
    if id == MAIN_AGENT || before.agent_ids().len() == 1 {
        return Err(RpcError::invalid(format!("\"{id}\" cannot be deleted")));
    }
    let home = before.agent_workspace(&id);
    let (gone, mut removed_bindings) = (id.clone(), 0);
    config::change(&context.desk, |tree| {
        removed_bindings = unbind(tree, &gone);
        let agents = section(tree);
        if let Some(entries) = agents.get_mut("entries").and_then(Value::as_object_mut) {
            entries.retain(|key, _| normal_id(key) != gone);
        }
        if let Some(list) = agents.get_mut("list").and_then(Value::as_array_mut) {
            list.retain(|entry| entry["id"].as_str().is_none_or(|key| normal_id(key) != gone));
        }
        Ok(())
    })?;
    let prefix = format!("agent:{id}:");
    let stopping = prefix.clone();
    let stopped = context.hub.ask("agents.delete", move |state, now| {
        let keys: Vec<String> = state.runs.sessions().map(|(key, _)| key.to_string()).collect();
        for key in keys.iter().filter(|key| key.starts_with(&stopping)) {
            state.abort_runs(key, None, now);
        }
        // Jobs of an agent that is gone would only be skipped.
        state.remove_jobs_of(stopping.trim_start_matches("agent:").trim_end_matches(':'), now);
    });
    stopped.map_err(|gone| RpcError::unavailable(gone.to_string()).retryable())?;
    let pattern = format!("{}*", prefix.replace(['[', '*', '?'], "?"));
    let swept = context.store.write("remove the sessions of an agent", move |conn| {
        let keys = sessions::keys_before(conn, &pattern, i64::MAX, SESSIONS)?;
        for key in keys.iter().filter(|key| key.starts_with(&prefix)) {
            sessions::delete(conn, key)?;
        }
        Ok(())
    });
    swept.map_err(stored)?;
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    if params.delete_files != Some(false) {
        let after = context.desk.shared.config.get();
        match put_aside(&after, &context.desk.paths.state_dir, &home, &id) {
            Ok(method) => removed.push(RemovedPath { path: home.display().to_string(), method }),
            Err(reason) => failed.push(FailedPath { path: home.display().to_string(), reason }),
        }
    }
    Ok(AgentsDeleteResult { ok: true, agent_id: id, removed_bindings, removed, failed })
}

/// Moves a workspace into the trash of the state directory, unless something else lives there.
fn put_aside(config: &Config, state_dir: &Path, home: &Path, id: &str) -> Result<&'static str, String> {
    if !home.exists() {
        return Ok("missing");
    }
    let others = config.agent_ids().iter().map(|other| config.agent_workspace(other)).collect::<Vec<PathBuf>>();
    if others.iter().any(|other| other.starts_with(home) || home == other) {
        return Err("another agent lives there".into());
    }
    if state_dir.starts_with(home) || config.path.starts_with(home) {
        return Err("the gateway itself lives there".into());
    }
    let trash = state_dir.join("trash");
    files::private_dir(&trash).map_err(|error| format!("make {}: {error}", trash.display()))?;
    let place = trash.join(format!("workspace-{id}-{}", clock::now_ms()));
    std::fs::rename(home, &place).map_err(|error| format!("move to {}: {error}", place.display()))?;
    Ok("trash")
}

fn known(config: &Config, id: &str, asked: &str) -> Result<(), RpcError> {
    match config.agent_ids().contains(&id) {
        true => Ok(()),
        false => Err(RpcError::invalid(format!("agent \"{}\" not found", cut(asked, 64)))),
    }
}

fn odd() -> RpcError {
    RpcError::invalid("the agents of the configuration are not written as this expects; change the file by hand")
}

/// The `agents` section, made if there is none.
fn section(tree: &mut Value) -> &mut Map<String, Value> {
    if !tree["agents"].is_object() {
        tree["agents"] = json!({});
    }
    tree["agents"].as_object_mut().expect("it was made an object above")
}

/// The entry of an agent; the implied `main` gets one.
fn entry_of<'t>(agents: &'t mut Map<String, Value>, id: &str) -> Result<&'t mut Map<String, Value>, RpcError> {
    let in_list = agents
        .get("list")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().position(|entry| entry["id"].as_str().is_some_and(|key| normal_id(key) == id)));
    if let Some(at) = in_list {
        return agents["list"][at].as_object_mut().ok_or_else(odd);
    }
    let entries = agents.entry("entries").or_insert_with(|| json!({})).as_object_mut().ok_or_else(odd)?;
    let key = entries.keys().find(|key| normal_id(key) == id).cloned().unwrap_or_else(|| id.to_string());
    entries.entry(key).or_insert_with(|| json!({})).as_object_mut().ok_or_else(odd)
}

fn fill(entry: &mut Map<String, Value>, workspace: Option<&str>, emoji: Option<&str>, avatar: Option<&str>) {
    if let Some(workspace) = workspace {
        entry.insert("workspace".into(), workspace.into());
    }
    for (name, value) in [("emoji", emoji), ("avatar", avatar)] {
        if let Some(value) = value {
            let look = entry.entry("identity").or_insert_with(|| json!({}));
            look[name] = value.into();
        }
    }
}

/// Routes of messengers that lead to an agent.
fn unbind(tree: &mut Value, id: &str) -> u64 {
    let Some(bindings) = tree.get_mut("bindings").and_then(Value::as_array_mut) else { return 0 };
    let before = bindings.len();
    bindings.retain(|binding| binding["agentId"].as_str().is_none_or(|agent| normal_id(agent) != id));
    (before - bindings.len()) as u64
}

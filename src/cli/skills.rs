//! `openclaw skills list|info|check`: what agents are taught, and what keeps a skill from being used.
//!
//! The gateway is asked, because its programs and variables count. When this host's own cannot be reached, what lies here
//! is shown instead, and it is said so; a gateway that was named is never stood in for.

use std::time::Duration;

use serde_json::Value;

use super::args::{SkillsCheck, SkillsInfo, SkillsList, Wanted};
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::output::{Shell, list_at, shorten, table, text_at};
use super::settings::Settings;
use super::target::Source;
use crate::client::Identity;
use crate::rpc::skills_of;
use crate::wire::tree::json;

pub fn list(shell: &mut Shell, args: &SkillsList) -> Result<(), Failure> {
    let mut report = report(shell, args.wanted(), args.timeout, args.agent.as_deref())?;
    if let Some(skills) = report.get_mut("skills").and_then(Value::as_array_mut) {
        skills.retain(|skill| !args.eligible || is(skill, "modelVisible") || is(skill, "commandVisible"));
    }
    if args.json {
        return shell.json(&report);
    }
    let skills = list_at(&report, "/skills");
    if skills.is_empty() {
        let place = text_at(&report, "/workspaceDir").unwrap_or_default();
        return shell.line(format!("No skills. One is a folder with a SKILL.md in {place}/skills."));
    }
    let ready = skills.iter().filter(|skill| state(skill) == "ready").count();
    shell.line(format!("Skills ({ready}/{} ready)", skills.len()))?;
    let cells = |skill: &Value| {
        let text = |name: &str| text_at(skill, name).unwrap_or_default();
        let description = text("/description").split_whitespace().collect::<Vec<_>>().join(" ");
        let mut row =
            vec![state(skill).to_owned(), text("/name"), shorten(&description, DESCRIPTION_WIDTH), text("/source")];
        if args.verbose {
            row.push(missing(skill));
        }
        row
    };
    let rows: Vec<Vec<String>> = skills.iter().map(cells).collect();
    let head = ["Status", "Skill", "Description", "Source", "Missing"];
    for line in table(&head[..if args.verbose { 5 } else { 4 }], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

pub fn info(shell: &mut Shell, args: &SkillsInfo) -> Result<(), Failure> {
    let report = report(shell, args.wanted(), args.timeout, args.agent.as_deref())?;
    let skills = list_at(&report, "/skills");
    let named = |pointer: &'static str| {
        skills.iter().find(move |skill| text_at(skill, pointer).is_some_and(|own| own == args.name))
    };
    let Some(skill) = named("/name").or_else(|| named("/skillKey")) else {
        return Err(Failure::usage(format!("there is no skill \"{}\"", shorten(&args.name, 64)))
            .hint("`openclaw skills list` shows those there are."));
    };
    if args.json {
        return shell.json(skill);
    }
    let facts = [
        ("Skill", "/name"),
        ("Description", "/description"),
        ("File", "/filePath"),
        ("Source", "/source"),
        ("Key", "/skillKey"),
        ("Website", "/homepage"),
        ("Credential", "/primaryEnv"),
    ];
    for (label, pointer) in facts {
        if let Some(value) = text_at(skill, pointer) {
            shell.fact(label, value)?;
        }
    }
    shell.fact("Status", state(skill))?;
    let missing = missing(skill);
    if !missing.is_empty() {
        shell.fact("Missing", missing)?;
    }
    Ok(())
}

pub fn check(shell: &mut Shell, args: &SkillsCheck) -> Result<(), Failure> {
    let report = report(shell, args.wanted(), args.timeout, args.agent.as_deref())?;
    let skills = list_at(&report, "/skills");
    let of = |wanted: &str| -> Vec<String> {
        let own = skills.iter().filter(|skill| state(skill) == wanted);
        own.filter_map(|skill| text_at(skill, "/name")).collect()
    };
    let lacking: Vec<&Value> = skills.iter().filter(|skill| !missing(skill).is_empty()).collect();
    if args.json {
        let missing: serde_json::Map<String, Value> = lacking
            .iter()
            .map(|skill| (text_at(skill, "/name").unwrap_or_default(), skill["missing"].clone()))
            .collect();
        return shell.json(&json!({
            "total": skills.len(), "ready": of("ready"), "disabled": of("disabled"), "blocked": of("blocked"),
            "missing": missing,
        }));
    }
    for (label, word) in [("Ready", "ready"), ("Disabled", "disabled"), ("Not for this agent", "blocked")] {
        shell.fact(label, of(word).join(", "))?;
    }
    if !lacking.is_empty() {
        shell.line("Missing requirements:")?;
    }
    for skill in lacking {
        shell.line(format!("- {}: {}", text_at(skill, "/name").unwrap_or_default(), missing(skill)))?;
    }
    Ok(())
}

/// What the gateway says of an agent's skills, or what lies here.
fn report(shell: &mut Shell, wanted: Wanted<'_>, timeout: Option<u64>, agent: Option<&str>) -> Result<Value, Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, wanted, timeout, USUAL)?;
    let who = Identity::backend("skills.status", &["operator.read"]);
    let params = agent.map_or_else(|| json!({}), |agent| json!({ "agentId": agent }));
    let failure = match calls.once(who, "skills.status", params) {
        Err(failure) if failure.kind == Kind::Unreachable && calls.target.source == Source::Local => failure,
        answered => return answered,
    };
    shell.note(format!("{} Here is what lies on this host.", failure.message))?;
    let found = skills_of(&settings.config, agent).map_err(|error| Failure::usage(error.to_string()))?;
    serde_json::to_value(found).map_err(|error| Failure::usage(error.to_string()))
}

fn is(skill: &Value, name: &str) -> bool {
    skill[name] == true
}

/// One word for a skill's readiness.
fn state(skill: &Value) -> &'static str {
    if is(skill, "disabled") {
        "disabled"
    } else if !is(skill, "eligible") {
        "missing"
    } else if is(skill, "blockedByAgentFilter") {
        "blocked"
    } else {
        "ready"
    }
}

fn missing(skill: &Value) -> String {
    let kinds = [
        ("bins", "program"),
        ("anyBins", "one of the programs"),
        ("env", "variable"),
        ("config", "setting"),
        ("os", "system"),
    ];
    let of = |(name, word): (&str, &str)| {
        let list: Vec<String> =
            list_at(&skill["missing"], &format!("/{name}")).iter().filter_map(|item| text_at(item, "")).collect();
        (!list.is_empty()).then(|| format!("{word} {}", list.join(", ")))
    };
    kinds.into_iter().filter_map(of).collect::<Vec<_>>().join("; ")
}

const USUAL: Duration = Duration::from_secs(10);

const DESCRIPTION_WIDTH: usize = 60;

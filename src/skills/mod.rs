//! Skills: folders with a SKILL.md, which teach an agent how to do something.
//!
//! [`Catalog::of`] looks at an agent's folders afresh, so a skill that is written now counts in the next run; nothing is
//! watched and nothing is kept. The model is told of name, description and place, and reads the file itself when it needs
//! it. A skill whose needs are not met, or that the agent may not see, is not mentioned to it.
//!
//! Deliberately absent: skills of a registry, of nodes, of plugins and of libraries, and installing what a skill needs.
//!
//! Invariants: what is looked at and what goes into a prompt is bounded; nothing here writes; values of variables never
//! leave [`Catalog::variables`].

mod find;
mod gate;
mod head;
mod prompt;
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::config::skills::SkillEntry;
use crate::sys::child::scrub;
use crate::sys::order;
use crate::sys::paths::Paths;

pub use gate::{Missing, Readiness};
pub use head::{Head, Needs};
pub use prompt::called_for;

/// Skills one message may call for.
pub const WANTED: usize = 8;
/// Complaints about broken skills that are remembered, so that each is logged once.
const REPORTED: usize = 256;

/// A skill as it lies there.
#[derive(Debug, Clone)]
pub struct Skill {
    pub head: Head,
    pub source: Source,
    pub folder: PathBuf,
}

/// Where a skill comes from, first those that win over one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `<workspace>/skills`.
    Workspace,
    /// `<workspace>/.agents/skills`.
    Project,
    /// `~/.agents/skills`, for the usual state directory only.
    Personal,
    /// `<state directory>/skills`.
    Managed,
    /// `skills.load.extraDirs`.
    Extra,
}

impl Source {
    /// As the protocol names it.
    pub fn name(self) -> &'static str {
        match self {
            Source::Workspace => "openclaw-workspace",
            Source::Project => "agents-skills-project",
            Source::Personal => "agents-skills-personal",
            Source::Managed => "openclaw-managed",
            Source::Extra => "openclaw-extra",
        }
    }
}

impl Skill {
    /// The file the model reads.
    pub fn file(&self) -> PathBuf {
        self.folder.join("SKILL.md")
    }

    /// Its name in `skills.entries`.
    pub fn key(&self) -> &str {
        self.head.key.as_deref().unwrap_or(&self.head.name)
    }

    /// The word people call for it with: lower case, digits and `_`.
    pub fn command(&self) -> String {
        let lower = self.head.name.to_lowercase();
        let mapped: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        mapped.trim_matches('_').chars().take(32).collect()
    }
}

/// The skills of one agent, by name.
pub struct Catalog<'c> {
    config: &'c Config,
    pub skills: Vec<(Skill, Readiness)>,
    /// Folders that are no skills though they have a SKILL.md, each with the reason.
    pub broken: Vec<(PathBuf, String)>,
}

impl<'c> Catalog<'c> {
    /// Looks at the folders of an agent.
    pub fn of(config: &'c Config, agent_id: &str) -> Catalog<'c> {
        let limits = find::Limits::of(config);
        let real = |path: &String| config.expand(path).canonicalize();
        let trusted: Vec<PathBuf> = config.skills.load.allow_symlink_targets.iter().flat_map(real).collect();
        let (mut found, mut broken) = (Vec::<Skill>::new(), Vec::new());
        for (source, root) in find::roots(config, agent_id) {
            let (skills, passed) = find::below(source, &root, &trusted, limits);
            for skill in skills {
                match found.iter().find(|other| other.head.name == skill.head.name) {
                    Some(winner) => log::debug!(
                        "skill {}: {} counts, {} does not",
                        skill.head.name,
                        winner.folder.display(),
                        skill.folder.display()
                    ),
                    None => found.push(skill),
                }
            }
            broken.extend(passed);
        }
        order::by(&mut found, |a, b| a.head.name.cmp(&b.head.name));
        report(&broken);
        let mut gate = gate::Gate::new(config, agent_id);
        let skills = found.into_iter().map(|skill| {
            let ready = gate.readiness(&skill);
            (skill, ready)
        });
        Catalog { config, skills: skills.collect(), broken }
    }

    /// What the system prompt says about skills; `None` when there is none to tell of.
    pub fn prompt(&self, agent_id: &str) -> Option<String> {
        let shown: Vec<&Skill> = self.skills.iter().filter(|(_, r)| r.model_visible).map(|(skill, _)| skill).collect();
        let limits = &self.config.skills.limits;
        let own = self.config.agent(agent_id).and_then(|agent| agent.skills_limits.max_skills_prompt_chars);
        let chars = own.or(limits.max_skills_prompt_chars).unwrap_or(prompt::CHARS);
        prompt::block(&shown, limits.max_skills_in_prompt.unwrap_or(prompt::SKILLS), chars)
    }

    /// The skills a message calls for: `/name` at its beginning, `$name` anywhere. The error is for the sender.
    pub fn wanted(&self, text: &str) -> Result<Vec<&Skill>, String> {
        let words = prompt::called(text);
        let mut wanted: Vec<&Skill> = Vec::new();
        for word in &words {
            let named = |skill: &Skill| skill.command() == *word || skill.head.name == *word;
            let found =
                self.skills.iter().find(|(skill, ready)| skill.head.user_invocable && ready.eligible && named(skill));
            match found {
                Some((_, ready)) if ready.blocked_by_agent => {
                    return Err(format!("This agent may not use the skill ${word} (agents.*.skills)."));
                }
                Some((skill, _)) if wanted.iter().all(|other| other.head.name != skill.head.name) => wanted.push(skill),
                _ => {}
            }
        }
        match wanted.len() {
            0..=WANTED => Ok(wanted),
            many => Err(format!("A message can call for {WANTED} skills; this one calls for {many}. Send two.")),
        }
    }

    /// Folders the agent may read though they may lie outside its workspace.
    pub fn folders(&self) -> Vec<PathBuf> {
        let usable = self.skills.iter().filter(|(_, ready)| ready.eligible && !ready.blocked_by_agent);
        usable.map(|(skill, _)| skill.folder.clone()).collect()
    }

    /// Variables for the commands of a run, of those skills the agent may use: what `skills.entries` gives them and the
    /// gateway's own environment does not have.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (skill, _) in self.skills.iter().filter(|(_, ready)| ready.eligible && !ready.blocked_by_agent) {
            let Some(entry) = entry(self.config, skill) else { continue };
            let key = entry.api_key.as_ref().zip(skill.head.primary_env.as_ref());
            let own = key.map(|(secret, name)| (name, secret)).into_iter().chain(entry.env.iter());
            for (name, value) in own {
                if !scrub::may_set(name) {
                    let why = format!("commands may not be given the variable {name} (skills.entries.{})", skill.key());
                    report(&[(skill.folder.clone(), why)]);
                } else if self.config.vars.get(name).is_none() && all.iter().all(|(other, _)| other != name) {
                    all.push((name.clone(), value.expose().to_owned()));
                }
            }
        }
        all
    }
}

/// Programs the skills of all agents ask for, sorted.
pub fn programs(config: &Config) -> Vec<String> {
    let mut all = BTreeSet::new();
    for agent in config.agent_ids() {
        for (skill, _) in Catalog::of(config, agent).skills {
            all.extend(skill.head.needs.bins);
            all.extend(skill.head.needs.any_bins);
        }
    }
    all.into_iter().collect()
}

/// Where skills of all agents lie.
pub fn managed_folder(paths: &Paths) -> PathBuf {
    find::managed(paths)
}

fn entry<'c>(config: &'c Config, skill: &Skill) -> Option<&'c SkillEntry> {
    config.skills.entries.get(skill.key())
}

/// Says what is wrong with a skill, once for each.
fn report(broken: &[(PathBuf, String)]) {
    static SAID: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());
    if broken.is_empty() {
        return;
    }
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    for (folder, why) in broken {
        if said.len() < REPORTED && said.insert((folder.clone(), why.clone())) {
            log::warn!("skill {}: {why}", folder.display());
        }
    }
}

/// Whether a program can be started, by its name alone or by its path.
fn is_program(name: &str, path: &str) -> bool {
    let can_run = |file: &Path| {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        }
        #[cfg(not(unix))]
        ["", "exe", "cmd", "bat"].iter().any(|end| file.with_extension(end).is_file())
    };
    let named = Path::new(name);
    if named.components().count() != 1 {
        return named.is_absolute() && can_run(named);
    }
    std::env::split_paths(path).any(|dir| dir.is_absolute() && can_run(&dir.join(name)))
}

#[cfg(test)]
mod tests;

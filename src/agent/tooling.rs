//! Tools within a run: which ones the model is offered, and how its calls are made.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::permission::Asking;
use super::steering;
use super::tools::permit;
use super::tools::policy::{self, Layer, Policy};
use super::tools::{self, Access, Tool, ToolContext, ToolLimits};
use super::turn::Turning;
use super::{Engine, commands, messages};
use crate::config::Config;
use crate::config::sections::ToolPolicy;
use crate::hub::ToolFacts;
use crate::hub::run::{RunEvent, ToolEnded, ToolOutput, ToolStarted};
use crate::providers::{Message, ToolCall};
use crate::sys::clock;
use crate::wire::exec_approvals::ExecSecurity;
use crate::wire::misfit;
use crate::wire::session;

fn layer(origin: String, policy: &ToolPolicy) -> Layer {
    Layer {
        origin,
        profile: policy.profile.clone(),
        allow: policy.allow.clone().unwrap_or_default(),
        also_allow: policy.also_allow.clone(),
        deny: policy.deny.clone(),
    }
}

impl Engine {
    /// What the configuration and the present say of an agent's tools in a session.
    fn policy(&self, config: &Config, agent_id: &str, session_key: &str) -> Policy {
        let global = layer("tools".into(), &config.tools.policy);
        let agent = config.agent(agent_id);
        let agent = agent.map(|agent| layer(format!("agents.list.{}.tools", agent.id), &agent.tools));
        let denied =
            |origin: &str, tool: &str| Layer { origin: origin.into(), deny: vec![tool.into()], ..Layer::default() };
        let mut policy = Policy::chain(global, None, agent, None);
        // What runs nowhere else and what may not run at all is not offered.
        if !self.has_nodes() {
            policy = policy.and(denied("nodes", "nodes"));
        }
        if !self.has_messengers() {
            policy = policy.and(denied("channels", "message"));
        }
        let [answer, see] = match session::is_reserved(session_key) {
            true => [false; 2],
            false => self.people_present(),
        };
        for (tool, offered) in [("ask_user", answer), ("suggest_task", see), ("dismiss_task", see)] {
            if !offered {
                policy = policy.and(denied("people", tool));
            }
        }
        let exec = &config.tools.exec;
        let here = exec.host.as_deref().is_none_or(|host| matches!(host, "auto" | "gateway"));
        if !here || permit::configured(exec).0 == ExecSecurity::Deny {
            policy = policy.and(denied("tools.exec", "exec"));
        }
        policy
    }

    /// The tools there are, for people: whether this agent may call them in this session.
    pub fn toolbox(&self, agent_id: &str, session_key: &str) -> Vec<ToolFacts> {
        let policy = self.policy(&self.shared.config.get(), agent_id, session_key);
        let facts = |tool: &'static Tool| ToolFacts {
            name: tool.name,
            label: tool.label,
            description: tool.description,
            group: policy::group_of(tool.name),
            risk: match tool.access {
                Access::Reads => "low",
                Access::Writes => "medium",
                Access::Executes => "high",
            },
            profiles: policy::profiles_with(tool.name).collect(),
            allowed: policy.allows(tool.name),
        };
        tools::TOOLS.iter().map(facts).collect()
    }
}

impl Turning<'_> {
    pub(super) fn policy(&self) -> Policy {
        let order = self.order();
        let mut policy = self.engine().policy(self.config(), &order.agent_id, &order.session_key);
        if order.input.no_message {
            policy =
                policy.and(Layer { origin: "the request".into(), deny: vec!["message".into()], ..Layer::default() });
        }
        if let Some(names) = &self.order().input.tools_allow {
            policy = policy.and(Layer { origin: "the automation".into(), allow: names.clone(), ..Layer::default() });
        }
        if let Some(rules) = self.order().input.reply.as_ref().and_then(|to| to.tools.as_deref()) {
            // The rules of a messenger's group or person. A profile nobody knows allows nothing: so does what cannot be read.
            let unreadable = || ToolPolicy { profile: Some("unreadable".into()), ..ToolPolicy::default() };
            let rules = misfit::read::<ToolPolicy>(rules).unwrap_or_else(|_| unreadable());
            policy = policy.and(layer("channels".into(), &rules));
        }
        policy
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.config().agent_workspace(&self.order().agent_id)
    }

    /// Where tools start, when that is another directory.
    pub(super) fn cwd(&self) -> Option<PathBuf> {
        let own = self.order().input.cwd.clone();
        own.or_else(|| self.config().agent_cwd(&self.order().agent_id)).filter(|cwd| *cwd != self.workspace())
    }

    /// Makes a call, or says of one that is `skipped` that it was not begun: the user said something meanwhile, and the
    /// model is to decide anew.
    pub(super) fn call_tool(&self, call: &ToolCall, offered: &[&'static Tool], skipped: bool) -> Message {
        let allowed = tools::find(&call.name).filter(|tool| offered.iter().any(|own| own.name == tool.name));
        let (title, started_ms) = (title(call), clock::now_ms());
        self.report(RunEvent::ToolStarted(Box::new(ToolStarted {
            call_id: call.id.clone(),
            name: call.name.clone(),
            title: title.clone(),
            args: messages::arguments(&call.arguments),
        })));
        let outcome = match allowed {
            _ if skipped => tools::ToolOutcome::refused(&call.name, steering::SKIPPED.into()),
            None => tools::ToolOutcome::refused(&call.name, format!("The tool {:?} is not available here.", call.name)),
            Some(tool) => self.run_tool(tool, call),
        };
        self.report(RunEvent::ToolEnded(Box::new(ToolEnded {
            started_ms,
            call_id: call.id.clone(),
            name: call.name.clone(),
            title,
            text: outcome.text(),
            is_error: outcome.is_error,
            details: serde_json::value::to_raw_value(&outcome.details).ok(),
        })));
        Message::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content: outcome.content,
            is_error: outcome.is_error,
        }
    }

    pub(super) fn run_tool(&self, tool: &Tool, call: &ToolCall) -> tools::ToolOutcome {
        let workspace = self.workspace();
        if let Err(error) = std::fs::create_dir_all(&workspace) {
            let text = format!("The workspace {} could not be made: {error}", workspace.display());
            return tools::ToolOutcome::refused(tool.name, text);
        }
        let exec = &self.config().tools.exec;
        let own = ToolLimits::default();
        let longest = exec.timeout_seconds.filter(|s| *s > 0).map_or(own.exec_time_max, Duration::from_secs);
        let mut denied_roots = vec![self.config().path.clone()];
        if let Some(paths) = &self.config().paths {
            denied_roots.push(paths.state_dir.clone());
        }
        let limits = ToolLimits {
            workspace_only: self.config().tools.fs.workspace_only,
            cwd: self.cwd(),
            denied_roots,
            readable_roots: self.equipment().folders.clone(),
            variables: self.equipment().variables.clone(),
            path_prepend: exec.path_prepend.iter().map(|path| self.config().expand(path)).collect(),
            exec_time: own.exec_time.min(longest),
            exec_time_max: longest,
            ..own
        };
        let status = || commands::status_text(self);
        let permission = Asking { turning: self, call_id: &call.id };
        tools::run(
            tool.name,
            &call.arguments,
            &mut ToolContext {
                workspace: &workspace,
                session_key: &self.order().session_key,
                agent_id: &self.order().agent_id,
                run_id: &self.order().run_id,
                abort: &self.order().abort,
                limits: &limits,
                permission: &permission,
                status: &status,
                nodes: &|ask| self.engine().ask_nodes(ask, self.order(), &call.id),
                message: &|ask| self.engine().send_for(ask, self.order(), &call.id),
                sessions: &|ask| self.ask_sessions(ask),
                people: &|params| self.engine().ask_people(params, &self.order().abort),
                suggest: &|ask| self.engine().suggest(ask, &self.order().session_key),
                progress: &mut |progress| {
                    self.report(RunEvent::ToolOutput(Box::new(ToolOutput {
                        call_id: call.id.clone(),
                        name: call.name.clone(),
                        text: progress.tail,
                    })));
                },
            },
        )
    }
}

/// A line for people about a call: its name and the first thing it is about.
fn title(call: &ToolCall) -> String {
    #[derive(serde::Deserialize)]
    struct About<'a> {
        #[serde(borrow)]
        command: Option<Cow<'a, str>>,
        #[serde(borrow)]
        path: Option<Cow<'a, str>>,
        #[serde(borrow)]
        pattern: Option<Cow<'a, str>>,
    }
    let about = misfit::read::<About>(&call.arguments).ok();
    let subject = about.and_then(|a| a.command.or(a.path).or(a.pattern));
    match subject {
        Some(subject) => {
            format!("{} {}", call.name, crate::wire::frame::cut(subject.lines().next().unwrap_or(""), 120))
        }
        None => call.name.clone(),
    }
}

/// Names of tools a run may call, for `/tools`.
pub fn tool_names(turning: &Turning<'_>) -> BTreeSet<&'static str> {
    tools::permitted(&turning.policy()).iter().map(|tool| tool.name).collect()
}

//! What a model is given: which models, the prompt, what was said before, the tools.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::super::compaction;
use super::super::messages;
use super::super::tools::{self, Tool};
use super::super::workspace::{self, Audience, HostFacts, Prompt, PromptLimits, PromptMode, Silence};
use super::{Turning, signed};
use crate::config::Config;
use crate::config::agents::ContextInjection;
use crate::hub::run::PromptScope;
use crate::providers::registry::{ModelRef, Registry};
use crate::providers::{Defaults, Message, Part, ProviderError, ToolChoice, ToolSpec, Turn};
use crate::store::{StoreError, sessions, transcript};
use crate::sys::{clock, host};
use crate::wire::frame::cut;

/// Stored conversation given to a model whose context window is unknown, and at most, in bytes.
const CONTEXT_BYTES: usize = 256 << 10;
const CONTEXT_BYTES_MAX: usize = 2 << 20;
/// Of a message that is answered, shown again.
const QUOTE_BYTES: usize = 4 << 10;
/// Bytes of text per token, on the safe side of what tokenisers do.
const BYTES_PER_TOKEN: u64 = 3;

/// The models to ask, in order: the one that was `asked` for with `others` behind it, the one that was `chosen` for the
/// session, or else the agent's and its fallbacks, or the default.
pub fn models(
    config: &Config,
    registry: &Registry,
    agent_id: &str,
    asked: Option<&str>,
    chosen: Option<&str>,
    others: &[String],
) -> Result<Vec<ModelRef>, ProviderError> {
    let named = |text: &str| registry.find(config.model_for_alias(agent_id, text).unwrap_or(text));
    if let Some(text) = asked {
        let others = others.iter().filter_map(|text| named(text).ok());
        return Ok(std::iter::once(named(text)?).chain(others).collect());
    }
    if let Some(text) = chosen {
        let (model, policy) = (named(text)?, config.model_policy(agent_id));
        if policy.allows(&model.provider, &model.model) {
            return Ok(vec![model]);
        }
        log::warn!("the model of a session is not used: {}", policy.refusal(text));
    }
    let mut models = match config.primary_model(agent_id) {
        Some(text) => vec![named(text)?],
        None => vec![registry.default_model()],
    };
    for text in config.fallbacks(agent_id) {
        match named(text) {
            Ok(model) if !models.contains(&model) => models.push(model),
            Ok(_) => {}
            Err(error) => log::warn!("a fallback model is left out: {error}"),
        }
    }
    Ok(models)
}

impl Turning<'_> {
    /// The models to ask, in order: see [`models`].
    pub fn models(&self, row: Option<&sessions::SessionRow>) -> Result<Vec<ModelRef>, ProviderError> {
        let (input, agent_id) = (&self.order.input, &self.order.agent_id);
        let chosen = row.and_then(|row| row.model_override.as_deref());
        let others = input.fallbacks.as_deref().unwrap_or_default();
        let models = models(&self.config, &self.registry, agent_id, input.model.as_deref(), chosen, others)?;
        // What runs by itself was configured, or looked at when it was written down.
        if input.model.is_some() && !input.unattended {
            let policy = self.config.model_policy(agent_id);
            if !policy.allows(&models[0].provider, &models[0].model) {
                return Err(ProviderError::NotAllowed(policy.refusal(&models[0].to_string())));
            }
        }
        Ok(models)
    }

    /// What each of the models is asked where the request leaves it open.
    fn defaults(&self, models: &[ModelRef]) -> Vec<(ModelRef, Defaults)> {
        let agent_id = &self.order.agent_id;
        let (own, shared) = self.config.thinking_defaults(agent_id);
        let defaults = |model: &ModelRef| {
            let params = self.config.model_params(agent_id, &model.provider, &model.model);
            let number = |names: [&str; 2]| names.iter().find_map(|name| params.get(*name)?.as_f64());
            let thinking = own.or(params.get("thinking").and_then(Value::as_str)).or(shared);
            Defaults {
                temperature: number(["temperature", "temperature"]),
                top_p: number(["topP", "top_p"]),
                max_tokens: number(["maxTokens", "max_tokens"]).filter(|n| *n >= 1.0).map(|n| n as u32),
                thinking: thinking.map(str::to_owned),
                extra: extra(&params),
            }
        };
        models.iter().map(|model| (model.clone(), defaults(model))).collect()
    }

    /// Prompt, conversation and tools for the first model call.
    pub(super) fn turn(
        &self,
        row: Option<&sessions::SessionRow>,
        models: &[ModelRef],
    ) -> Result<(Turn, Vec<&'static Tool>), StoreError> {
        let (input, model) = (&self.order.input, &models[0]);
        let offered = if input.model_only { Vec::new() } else { tools::permitted(&self.policy()) };
        let mut messages = match row {
            Some(row) => self.stored_conversation(row, models)?,
            None => Vec::new(),
        };
        if row.is_none() || input.stateless {
            messages = input.history.clone();
            messages.extend(self.spoken());
        } else if !input.history.is_empty() {
            // What the caller brought along goes before what it says now, which is the last stored message.
            let now = messages.pop();
            messages.extend(input.history.iter().cloned());
            messages.extend(now);
        }
        let mut specs: Vec<ToolSpec> = offered.iter().map(|tool| tool.spec()).collect();
        // A caller that demands a call demands one of its own tools.
        let demanded = matches!(input.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
        specs.retain(|own| !demanded && input.client_tools.iter().all(|tool| tool.name != own.name));
        specs.extend(input.client_tools.iter().cloned());
        let mut sampling = input.sampling.clone();
        if sampling.thinking.is_none() {
            sampling.thinking = input.thinking.clone().or(row.and_then(|row| row.thinking_level.clone()));
        }
        Ok((
            Turn {
                model: model.model.clone(),
                system: self.system_prompt(model, &offered, row) + &self.answered_message(row)?,
                messages,
                tools: specs,
                tool_choice: input.tool_choice.clone(),
                sampling,
                defaults: self.defaults(models),
                session_key: self.order.session_key.to_string(),
            },
            offered,
        ))
    }

    /// The message that this one answers, as far as it is still there, for the end of the prompt.
    fn answered_message(&self, row: Option<&sessions::SessionRow>) -> Result<String, StoreError> {
        let (Some(id), Some(row)) = (self.order.input.answers.as_deref(), row) else { return Ok(String::new()) };
        let find = |conn: &rusqlite::Connection| transcript::find_in(conn, &row.session_id, id);
        let entry = self.engine.store.read("find the message that is answered", find)?;
        let text = |message: &Message| -> Option<(&str, String)> {
            match message {
                Message::User(parts) => Some(("their own", parts.first().map(messages::text)?.to_string())),
                Message::Assistant { text, .. } => Some(("yours", text.to_string())),
                _ => None,
            }
        };
        let said = entry.and_then(|entry| messages::context(&[entry]).iter().find_map(text));
        Ok(said.map_or_else(String::new, |(who, text)| {
            format!("\n\nThe user answers this message, {who}:\n> {}", cut(&text, QUOTE_BYTES).replace('\n', "\n> "))
        }))
    }

    /// What the user says now, as a message.
    fn spoken(&self) -> Vec<Message> {
        let input = &self.order.input;
        if !input.tool_results.is_empty() {
            return input.tool_results.clone();
        }
        let mut parts = vec![Part::Text(input.text.clone())];
        parts.extend(input.parts.iter().cloned());
        vec![Message::User(parts)]
    }

    /// What was said so far; summed up first when it has grown too long for the model.
    fn stored_conversation(&self, row: &sessions::SessionRow, models: &[ModelRef]) -> Result<Vec<Message>, StoreError> {
        let budget = match self.context_tokens(&models[0]) {
            0 => CONTEXT_BYTES,
            tokens => {
                usize::try_from(tokens * BYTES_PER_TOKEN / 4 * 3).unwrap_or(CONTEXT_BYTES_MAX).min(CONTEXT_BYTES_MAX)
            }
        };
        let read = |bytes| {
            let read = |conn: &rusqlite::Connection| transcript::context(conn, &row.session_id, bytes);
            self.engine.store.read("read a session's conversation", read)
        };
        let room = compaction::room(&self.config, &self.registry, &models[0]);
        let enough =
            usize::try_from(room.saturating_mul(5)).unwrap_or(CONTEXT_BYTES_MAX).clamp(budget, CONTEXT_BYTES_MAX);
        let entries = read(enough)?;
        let due = !self.order.input.stateless
            && self.config.agents.defaults.compaction.enabled
            && compaction::is_due(&entries, row, room.min(CONTEXT_BYTES_MAX as u64 / 5));
        // When it cannot be summed up, the oldest are left out, as far as the budget says.
        let compacted = due && self.compact(models, "").is_ok();
        let fits = entries.iter().map(|entry| entry.message.len()).sum::<usize>() <= budget;
        let entries = if compacted || !fits { read(budget)? } else { entries };
        Ok(messages::context(&entries))
    }

    pub(super) fn context_tokens(&self, model: &ModelRef) -> u64 {
        compaction::known_window(&self.config, &self.registry, model).unwrap_or(0)
    }

    fn system_prompt(&self, model: &ModelRef, offered: &[&'static Tool], row: Option<&sessions::SessionRow>) -> String {
        if self.order.input.prompt == PromptScope::None {
            return self.order.input.extra_system.clone().unwrap_or_default();
        }
        let defaults = &self.config.agents.defaults;
        let own = PromptLimits::default();
        let bootstrap = self.config.bootstrap(&self.order.agent_id);
        // The prompt goes with every call; what it says of the workspace, a conversation that has begun has read. After a
        // summary it has not.
        let again = row.is_some_and(|row| row.message_count > 1 && row.compaction_count == 0);
        let limits = PromptLimits {
            file: bootstrap.file.unwrap_or(own.file),
            user: own.user,
            total: match bootstrap.injection {
                ContextInjection::Never => 0,
                ContextInjection::ContinuationSkip if again && !self.order.input.unattended => 0,
                _ => bootstrap.total.unwrap_or(own.total),
            },
        };
        let zone = defaults.user_timezone.as_deref().and_then(|name| TimeZone::get(name).ok());
        let (workspace, cwd, model) = (self.workspace(), self.cwd(), model.to_string());
        // A model that cannot read files has no use for them.
        let skills = Some(self.equipment()).filter(|_| offered.iter().any(|tool| tool.name == "read"));
        let boot = &self.engine.shared.boot.own;
        workspace::system_prompt(&Prompt {
            mode: match self.order.input.prompt {
                PromptScope::Minimal => PromptMode::Minimal,
                _ if self.order.input.light => PromptMode::Minimal,
                _ => PromptMode::Full,
            },
            agent_id: &self.order.agent_id,
            session_key: &self.order.session_key,
            workspace: &workspace,
            cwd: cwd.as_deref(),
            model: &model,
            tools: offered,
            host: HostFacts {
                name: boot.host.as_deref().unwrap_or("localhost"),
                os: host::platform(),
                arch: std::env::consts::ARCH,
            },
            channel: self.order.input.channel.as_deref(),
            silence: if self.order.input.unattended { Silence::Allowed } else { Silence::Forbidden },
            private: Audience::Private,
            skills: skills.and_then(|skills| skills.list.as_deref()).filter(|_| !self.order.input.light),
            skills_asked_for: skills.and_then(|skills| skills.asked_for.as_deref()),
            extra: self.order.input.extra_system.as_deref(),
            now: jiff::Timestamp::from_millisecond(signed(self.started_ms)).unwrap_or_default(),
            zone: zone.unwrap_or_else(clock::local_zone),
            limits,
        })
        .text
    }
}

/// Members of a request that parameters ask for by name, and those of `extra_body`.
fn extra(params: &Map<String, Value>) -> Map<String, Value> {
    let mut extra = Map::new();
    for name in ["chat_template_kwargs", "provider"] {
        extra.extend(params.get(name).filter(|value| value.is_object()).map(|value| (name.to_owned(), value.clone())));
    }
    for name in ["extra_body", "extraBody"] {
        extra.extend(params.get(name).and_then(Value::as_object).cloned().unwrap_or_default());
    }
    extra
}

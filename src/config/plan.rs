//! A plan that moves credentials out of the file: which key gets which reference, which providers come and go.
//!
//! The format and its rules are the reference's, so that plans made for it work here. Everything is checked before
//! anything is changed; reading and writing files is the caller's business.
//!
//! Invariants: a plan changes nothing but credentials and `secrets.providers`; one bad target makes the whole plan bad.

use serde::Serialize;
use serde_json::Value;

use super::edit::{self, EditError};
use super::keys::{self, Segment};
use super::secrets::places;
use super::secrets::reference::{Reference, Source, is_provider};
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;
use crate::wire::tree::json;

/// A whole plan file (bytes); the reference's limit.
pub const MAX_PLAN: u64 = 16 << 20;

objects! { lenient:
    /// What stands in a plan file.
    #[derive(Default, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Plan {
        pub version: u32,
        pub protocol_version: u32,
        #[serde(default, skip_serializing_if = "Sorted::is_empty")]
        pub provider_upserts: Sorted<String, Value> = default,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub provider_deletes: Vec<String> = default,
        #[serde(default)]
        pub targets: Vec<Target> = default,
        #[serde(default)]
        pub options: Options = default,
    }
}

objects! { kept:
    /// What else is to be cleaned.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase", default)]
    pub struct Options {
        /// Take moved values out of `.env` files.
        pub scrub_env: bool,
        /// Accepted for plans of the reference; profiles hold no plain values here.
        pub scrub_auth_profiles_for_provider_targets: bool,
    }
}

objects! { lenient:
    /// One credential and where it is kept from now on.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Target {
        #[serde(rename = "type")]
        pub kind: String as "type",
        pub path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub path_segments: Option<Vec<String>> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub provider_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub account_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub agent_id: Option<String> = default,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub auth_profile_provider: Option<String> = default,
        #[serde(rename = "ref")]
        pub reference: Value as "ref",
    }
}

/// A plan that keeps the rules.
pub struct Checked {
    steps: Vec<Step>,
    /// What is referred to, for asking before anything is written.
    pub references: Vec<Reference>,
    /// Whether a program is named, which needs consent.
    pub programs: bool,
}

enum Step {
    Set(Vec<String>, Value),
    Unset(Vec<String>),
    /// A profile that may not be there yet.
    Profile {
        id: String,
        provider: Option<String>,
        token: bool,
        reference: Value,
    },
}

const FORBIDDEN: [&str; 3] = ["__proto__", "prototype", "constructor"];

impl Default for Options {
    fn default() -> Options {
        Options { scrub_env: true, scrub_auth_profiles_for_provider_targets: true }
    }
}

impl Plan {
    /// An empty plan of this version.
    pub fn new() -> Plan {
        Plan { version: 1, protocol_version: 1, ..Plan::default() }
    }

    pub fn read(text: &[u8]) -> Result<Plan, String> {
        let plan: Plan = misfit::read_bytes(text).map_err(|error| format!("the plan cannot be read: {error}"))?;
        if plan.version != 1 || plan.protocol_version != 1 {
            return Err("the plan is of another version (version and protocolVersion must be 1)".to_owned());
        }
        Ok(plan)
    }

    /// Adds a credential at a written path.
    pub fn add(&mut self, path: &str, reference: &Reference) {
        let segments: Vec<String> = keys::split(path)
            .iter()
            .map(|segment| match segment {
                Segment::Name(name) => (*name).to_owned(),
                Segment::Index(index) => index.to_string(),
            })
            .collect();
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        self.targets.push(Target {
            kind: kind_of(&names).unwrap_or_default(),
            path: segments.join("."),
            provider_id: (names.starts_with(&["models", "providers"])).then(|| segments[2].clone()),
            account_id: names.iter().position(|name| *name == "accounts").and_then(|at| segments.get(at + 1).cloned()),
            path_segments: Some(segments),
            agent_id: None,
            auth_profile_provider: None,
            reference: value_of(reference),
        });
    }

    /// Checks every rule; the error is the first that is broken.
    pub fn check(&self) -> Result<Checked, String> {
        let mut checked = Checked { steps: Vec::new(), references: Vec::new(), programs: false };
        for (name, block) in &self.provider_upserts {
            if !is_provider(name) {
                return Err(format!("Invalid plan provider name: {name}"));
            }
            let source = block.get("source").and_then(Value::as_str).and_then(Source::named);
            let source = source.ok_or_else(|| format!("Invalid plan provider {name}: source is missing"))?;
            checked.programs |= source == Source::Exec;
            checked.steps.push(Step::Set(path(&["secrets", "providers", name]), block.clone()));
        }
        for target in &self.targets {
            let reference = Reference::of_value(&target.reference)
                .ok_or_else(|| format!("Invalid plan target ref for {}: {}", target.kind, target.path))?;
            reference.check().map_err(|why| format!("Invalid plan target ref for {}: {why}", target.path))?;
            checked.programs |= reference.source == Source::Exec;
            checked.steps.push(target.step()?);
            checked.references.push(reference);
        }
        for name in &self.provider_deletes {
            if !is_provider(name) {
                return Err(format!("Invalid plan provider name: {name}"));
            }
            checked.steps.push(Step::Unset(path(&["secrets", "providers", name])));
        }
        Ok(checked)
    }
}

impl Target {
    fn step(&self) -> Result<Step, String> {
        let bad = || format!("Invalid plan target path for {}: {}", self.kind, self.path);
        let segments: Vec<String> = match &self.path_segments {
            Some(segments) if segments.join(".") == self.path => segments.clone(),
            Some(_) => return Err(bad()),
            None => self.path.split('.').map(str::to_owned).collect(),
        };
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        if names.iter().any(|name| name.is_empty() || FORBIDDEN.contains(name)) {
            return Err(bad());
        }
        if let Some(rest) = self.kind.strip_prefix("auth-profiles.") {
            let (token, field) = match rest {
                "api_key.key" => (false, "key"),
                "token.token" => (true, "token"),
                _ => return Err(format!("Unknown plan target type: {}", self.kind)),
            };
            let ["profiles", id, own] = names[..] else { return Err(bad()) };
            if own != field {
                return Err(bad());
            }
            if self.agent_id.as_deref().is_none_or(str::is_empty) {
                return Err(format!("Plan target {} needs agentId", self.path));
            }
            let provider = self.auth_profile_provider.clone();
            return Ok(Step::Profile { id: id.to_owned(), provider, token, reference: self.reference.clone() });
        }
        let kind = kind_of(&names).ok_or_else(bad)?;
        let accounts = names.iter().position(|name| *name == "accounts");
        let account = accounts.and_then(|at| names.get(at + 1)).copied();
        let mut spellings = vec![kind.clone(), pattern_of(&names)];
        if account.is_some() {
            spellings.push(kind.replacen(".accounts.", ".", 1));
        }
        if !spellings.contains(&self.kind) {
            return Err(bad());
        }
        let other = |wanted: &Option<String>, own: Option<&str>| wanted.as_deref().is_some_and(|id| Some(id) != own);
        let provider = names.starts_with(&["models", "providers"]).then(|| names[2]);
        if other(&self.provider_id, provider) || other(&self.account_id, account) {
            return Err(bad());
        }
        Ok(Step::Set(segments, self.reference.clone()))
    }
}

impl Checked {
    /// The text with every step done. Nothing else in it changes.
    pub fn apply(&self, text: &str) -> Result<String, String> {
        let failed = |error: EditError| error.to_string();
        let mut text = text.to_owned();
        for step in &self.steps {
            match step {
                Step::Set(path, value) => text = edit::set(&text, &names(path), value).map_err(failed)?,
                Step::Unset(path) => {
                    if let Some(shorter) = edit::unset(&text, &names(path)).map_err(failed)? {
                        text = shorter;
                    }
                }
                Step::Profile { id, provider, token, reference } => {
                    text = profile(&text, id, provider.as_deref(), *token, reference)?;
                }
            }
        }
        Ok(text)
    }
}

fn profile(text: &str, id: &str, provider: Option<&str>, token: bool, reference: &Value) -> Result<String, String> {
    let at = path(&["auth", "profiles", id]);
    let tree = super::json5::parse(text, 0).map(|parsed| parsed.root.to_value()).unwrap_or_default();
    let known = edit::at(&tree, &names(&at)).and_then(|old| old["provider"].as_str().map(str::to_owned));
    let provider = provider.map(str::to_owned).or(known);
    let provider = provider.ok_or_else(|| format!("Plan target profiles.{id} is new: it needs authProfileProvider"))?;
    let (mode, field) = if token { ("token", "tokenRef") } else { ("api_key", "keyRef") };
    let mut text = text.to_owned();
    for (key, value) in [("provider", json!(provider)), ("mode", json!(mode)), (field, reference.clone())] {
        let mut path = at.clone();
        path.push(key.to_owned());
        text = edit::set(&text, &names(&path), &value).map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// `models.providers.apiKey` for `models.providers.x.apiKey`; `None` where no credential may stand.
fn kind_of(names: &[&str]) -> Option<String> {
    // What providers are run with is not moved by a plan, nor are the variables secrets may be kept in.
    let own = names.starts_with(&["secrets"]) || names.starts_with(&["env"]) || names.starts_with(&["auth"]);
    if own || !places::is_credential(names) {
        return None;
    }
    let pattern = pattern_of(names);
    let parts = pattern.split('.').filter(|part| *part != "*");
    Some(parts.collect::<Vec<_>>().join("."))
}

/// `models.providers.*.apiKey` for `models.providers.x.apiKey`.
fn pattern_of(names: &[&str]) -> String {
    let mut out: Vec<&str> = Vec::with_capacity(names.len());
    let mut at = Some(keys::ours());
    for (index, name) in names.iter().enumerate() {
        let known = at.is_some_and(|at| at.children.contains_key(name));
        let wild = at.is_some_and(|at| !known && at.children.contains_key("*"));
        let account = index > 0 && names[index - 1] == "accounts";
        out.push(if wild || account { "*" } else { name });
        at = at.and_then(|at| at.child(name));
    }
    out.join(".")
}

fn value_of(reference: &Reference) -> Value {
    let provider = reference.provider.as_deref().unwrap_or("default");
    json!({"source": reference.source.as_str(), "provider": provider, "id": reference.id})
}

fn path(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn names(path: &[String]) -> Vec<Segment<'_>> {
    path.iter().map(|name| Segment::Name(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(targets: Value) -> Plan {
        let text = json!({"version": 1, "protocolVersion": 1, "targets": targets}).to_string();
        Plan::read(text.as_bytes()).unwrap()
    }

    fn one(kind: &str, path: &str, more: Value) -> Result<(), String> {
        let mut target =
            json!({"type": kind, "path": path, "ref": {"source": "env", "provider": "default", "id": "KEY"}});
        for (key, value) in more.as_object().into_iter().flatten() {
            target[key] = value.clone();
        }
        plan(json!([target])).check().map(drop)
    }

    #[test]
    fn targets_are_credentials_and_their_type_says_which() {
        for (kind, path) in [
            ("models.providers.apiKey", "models.providers.openai.apiKey"),
            ("models.providers.*.apiKey", "models.providers.openai.apiKey"),
            ("models.providers.headers", "models.providers.openai.headers.X-Key"),
            ("gateway.auth.token", "gateway.auth.token"),
            ("hooks.token", "hooks.token"),
            ("channels.telegram.botToken", "channels.telegram.botToken"),
            ("channels.telegram.accounts.*.botToken", "channels.telegram.accounts.work.botToken"),
            ("channels.telegram.botToken", "channels.telegram.accounts.work.botToken"),
        ] {
            assert_eq!(one(kind, path, json!({})), Ok(()), "{kind} {path}");
        }
        for (kind, path) in [
            ("models.providers.apiKey", "models.providers.openai.baseUrl"),
            ("models.providers.apiKey", "gateway.auth.token"),
            ("models.providers.apiKey", "models.providers.__proto__.apiKey"),
            ("models.providers.apiKey", "models.providers..apiKey"),
            ("gateway.port", "gateway.port"),
            ("env.vars", "env.vars.X"),
            ("channels.telegram.name", "channels.telegram.name"),
            ("", ""),
        ] {
            let said = one(kind, path, json!({})).unwrap_err();
            assert_eq!(said, format!("Invalid plan target path for {kind}: {path}"));
        }
    }

    #[test]
    fn what_a_target_says_twice_must_agree() {
        let (kind, path) = ("models.providers.apiKey", "models.providers.openai.apiKey");
        assert_eq!(one(kind, path, json!({"providerId": "openai"})), Ok(()));
        assert!(one(kind, path, json!({"providerId": "other"})).is_err());
        assert!(one(kind, path, json!({"accountId": "x"})).is_err());
        assert_eq!(one(kind, path, json!({"pathSegments": ["models", "providers", "openai", "apiKey"]})), Ok(()));
        assert!(one(kind, path, json!({"pathSegments": ["models", "providers", "x", "apiKey"]})).is_err());
        let dotted = json!({"pathSegments": ["models", "providers", "a.b", "apiKey"]});
        assert_eq!(one(kind, "models.providers.a.b.apiKey", dotted), Ok(()));
        assert!(one(kind, path, json!({"ref": {"source": "env", "id": "lower"}})).is_err());
        let profile = "profiles.openai:default.key";
        assert!(one("auth-profiles.api_key.key", profile, json!({})).unwrap_err().contains("needs agentId"));
        assert_eq!(one("auth-profiles.api_key.key", profile, json!({"agentId": "main"})), Ok(()));
        assert!(one("auth-profiles.token.token", profile, json!({"agentId": "main"})).is_err());
    }

    #[test]
    fn a_plan_changes_what_it_names_and_nothing_else() {
        let text = "{\n  // mine\n  models: { providers: { openai: { apiKey: 'sk-plain', baseUrl: 'https://x' } } },\n  secrets: { providers: { old: { source: 'env' } } }, // end\n}\n";
        let plan = Plan::read(
            json!({"version": 1, "protocolVersion": 1, "providerUpserts": {"files": {"source": "file", "path": "/s.json"}},
              "providerDeletes": ["old"], "targets": [
                {"type": "models.providers.apiKey", "path": "models.providers.openai.apiKey",
                 "ref": {"source": "file", "provider": "files", "id": "/k"}},
                {"type": "auth-profiles.api_key.key", "path": "profiles.openai:work.key", "agentId": "main",
                 "authProfileProvider": "openai", "ref": {"source": "env", "id": "K"}}]})
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        let checked = plan.check().unwrap();
        assert!(!checked.programs && checked.references.len() == 2);
        let new = checked.apply(text).unwrap();
        assert!(
            new.contains("// mine")
                && new.contains("// end")
                && new.contains("'https://x'")
                && !new.contains("sk-plain")
        );
        let tree = super::super::json5::parse(&new, 0).unwrap().root.to_value();
        assert_eq!(tree["secrets"]["providers"], json!({"files": {"source": "file", "path": "/s.json"}}));
        assert_eq!(
            tree["auth"]["profiles"]["openai:work"],
            json!({"provider": "openai", "mode": "api_key", "keyRef": {"source": "env", "id": "K"}})
        );
    }

    #[test]
    fn a_plan_made_here_keeps_its_own_rules() {
        let mut plan = Plan::new();
        for path in ["models.providers.x.apiKey", "channels.telegram.accounts.work.botToken", "gateway.auth.password"] {
            plan.add(path, &Reference { source: Source::Exec, provider: Some("vault".into()), id: "a/b".into() });
        }
        let again = Plan::read(&serde_json::to_vec(&plan).unwrap()).unwrap();
        assert!(again.check().unwrap().programs);
    }
}

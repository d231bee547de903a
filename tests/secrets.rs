//! Secrets that are kept elsewhere, in a running gateway: fetched at the start, again when asked, and missed by nobody
//! but their owner.

#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway};
use crate::support::scratch::Scratch;
use crate::support::talk::{SESSION, chat_state, send};
use crate::support::{Answer, Upstream, Ws, wait, ws};

/// A secret provider: a script that prints the file beside it, and counts how often it is asked.
struct Vault(Scratch);

impl Vault {
    fn new(values: Value) -> Vault {
        let dir = Scratch::new();
        let vault = Vault(dir);
        let script =
            format!("#!/bin/sh\necho x >> {0}/count\n[ -f {0}/values ] && cat {0}/values\n", vault.dir().display());
        fs::write(vault.program(), script).expect("written");
        fs::set_permissions(vault.program(), Permissions::from_mode(0o700)).expect("mode");
        vault.holds(values);
        vault
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn program(&self) -> PathBuf {
        self.dir().join("resolver")
    }

    fn holds(&self, values: Value) {
        let text = json!({"protocolVersion": 1, "values": values}).to_string();
        fs::write(self.dir().join("values.new"), text).expect("written");
        fs::rename(self.dir().join("values.new"), self.dir().join("values")).expect("in place");
    }

    fn fails(&self) {
        fs::remove_file(self.dir().join("values")).expect("removed");
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.dir().join("count")).unwrap_or_default().lines().count()
    }

    fn block(&self) -> Value {
        json!({"providers": {"vault": {"source": "exec", "command": self.program(), "passEnv": ["PATH"]}},
               "defaults": {"exec": "vault"}})
    }
}

fn kept(id: &str) -> Value {
    json!({"source": "exec", "provider": "vault", "id": id})
}

fn provider(upstream: &Upstream, key: Value) -> Value {
    let mut provider = upstream.provider("openai-completions");
    provider["apiKey"] = key;
    provider
}

const GOOD: &str = "a-vault-token-0123456789abcdef-0123456789";
const OTHER: &str = "b-vault-token-0123456789abcdef-0123456789";

#[test]
fn the_gateways_token_comes_from_a_program_and_a_new_one_is_in_force_at_once() {
    let vault = Vault::new(json!({"gateway/token": GOOD}));
    let gateway =
        Gateway::start(json!({"secrets": vault.block(), "gateway": {"auth": {"token": kept("gateway/token")}}}));
    let mut hello = ws::backend(&["operator.admin"]);
    hello["auth"]["token"] = json!(GOOD);
    let mut client = Ws::open(gateway.addr());
    client.hello(hello.clone());
    // The command line asks the same program, and finds its way in.
    let port = gateway.port.to_string();
    let health = gateway::run(gateway.home(), &["health", "--json"], &[("OPENCLAW_GATEWAY_PORT", &port)]);
    assert!(health.status.success(), "{health:?}");

    vault.fails();
    let refused = client.err("secrets.reload", json!({}));
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("gateway auth cannot be set up: gateway.auth.token"), "{message}");
    client.ok("health", json!({}));

    vault.holds(json!({"gateway/token": OTHER}));
    client.request("secrets.reload", json!({}));
    assert_eq!(client.closed(), (4001, "gateway auth changed".to_owned()));
    assert!(Ws::open(gateway.addr()).try_hello(hello.clone()).is_err(), "the old token is worth nothing");
    hello["auth"]["token"] = json!(OTHER);
    Ws::open(gateway.addr()).hello(hello);
    let log = gateway.log();
    assert!(!log.contains(GOOD) && !log.contains(OTHER), "no token in the log: {log}");
}

#[test]
fn secrets_are_read_again_when_asked_although_the_file_is_not_followed() {
    let vault = Vault::new(json!({"gateway/token": GOOD}));
    let gateway = Gateway::start(json!({
        "secrets": vault.block(),
        "gateway": {"auth": {"token": kept("gateway/token")}, "reload": {"mode": "off"}},
    }));
    let mut hello = ws::backend(&["operator.admin"]);
    hello["auth"]["token"] = json!(GOOD);
    let mut client = Ws::open(gateway.addr());
    client.hello(hello.clone());
    vault.holds(json!({"gateway/token": OTHER}));
    client.request("secrets.reload", json!({}));
    assert_eq!(client.closed(), (4001, "gateway auth changed".to_owned()));
    hello["auth"]["token"] = json!(OTHER);
    let mut client = Ws::open(gateway.addr());
    client.hello(hello);

    // A changed file waits for a restart, and secrets of two minds are worse than an answer that says so.
    let path = gateway.config_path();
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replacen('{', "{\"logging\": {\"level\": \"debug\"},", 1)).expect("written");
    gateway.says("config reload is off");
    let refused = client.err("secrets.reload", json!({}));
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("restart the gateway")), "{refused}");
}

#[test]
fn a_gateway_whose_own_secret_cannot_be_had_does_not_start() {
    let vault = Vault::new(json!({}));
    let ended = Gateway::with(json!({"secrets": vault.block(), "gateway": {"auth": {"token": kept("gateway/token")}}}))
        .env("OPENCLAW_GATEWAY_TOKEN", GOOD)
        .refused();
    assert_eq!(ended.code, Some(78), "{}", ended.output);
    assert!(ended.output.contains("secrets.providers.vault has no gateway/token"), "{}", ended.output);
}

#[test]
fn one_missing_secret_takes_only_its_owner_away_and_is_looked_for_again() {
    let sound = Upstream::friendly();
    let vault = Vault::new(json!({"sound": "key-one"}));
    let gateway = Gateway::with(json!({
        "secrets": vault.block(),
        "models": {"providers": {"sound": provider(&sound, kept("sound")), "lost": provider(&sound, kept("lost"))}},
    }))
    .env("OPENAI_API_KEY", "ambient")
    .start();
    gateway.says("models.providers.lost.apiKey: unresolved secret: secrets.providers.vault has no lost (no value)");
    let mut client = gateway.operator();
    let available = |client: &mut Ws| -> Vec<(String, bool)> {
        let models = client.ok("models.list", json!({"view": "all"}));
        let rows = models["models"].as_array().expect("rows").iter();
        let rows = rows.filter(|row| row["provider"] != "builtin" && row["provider"] != "openai");
        let mut rows: Vec<_> = rows
            .map(|row| (row["provider"].as_str().unwrap_or_default().to_owned(), row["available"] == true))
            .collect();
        rows.dedup();
        rows
    };
    assert_eq!(available(&mut client), [("lost".to_owned(), false), ("sound".to_owned(), true)]);
    assert_eq!(client.ok("status", json!({}))["degradedSecretOwners"], json!(["models.providers.lost.apiKey"]));
    // Nobody says that it is there now: it is looked for again by itself.
    vault.holds(json!({"sound": "key-one", "lost": "key-two"}));
    gateway.says("[secrets] recovered: every secret is resolved again");
    wait::until("the provider is back", || available(&mut client).iter().all(|(_, there)| *there).then_some(()));
}

#[test]
fn a_provider_that_is_away_at_a_reload_leaves_what_was_had_in_force() {
    let upstream = Upstream::friendly();
    let vault = Vault::new(json!({"key": "key-one"}));
    let config = json!({"secrets": vault.block(), "models": {"providers": {"mine": provider(&upstream, kept("key"))}}});
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    vault.fails();
    assert_eq!(client.ok("secrets.reload", json!({}))["warningCount"], 1);
    gateway.says("models.providers.mine.apiKey: secret is stale, the value from before stays");
    let models = client.ok("models.list", json!({})).to_string();
    assert!(models.contains("\"available\":true"), "{models}");
    let before = vault.asked();
    wait::until("it is asked again by itself", || (vault.asked() > before).then_some(()));
}

#[test]
fn profiles_are_tried_in_their_order_and_a_refused_one_rests() {
    let upstream = Upstream::script([
        Answer::Refuse(401, "invalid api key"),
        Answer::say("the second key works"),
        Answer::say("and again"),
    ]);
    let vault = Vault::new(json!({"one": "key-one", "two": "key-two"}));
    let mut config = upstream.config();
    let name = config["models"]["providers"].as_object().expect("providers").keys().next().expect("one").clone();
    gateway::merge(
        &mut config,
        json!({
            "secrets": vault.block(),
            "auth": {"profiles": {
                "p:a": {"provider": name, "mode": "api_key", "keyRef": kept("two")},
                "p:b": {"provider": name, "mode": "api_key", "keyRef": kept("one")},
            }, "order": {name: ["p:b", "p:a"]}},
        }),
    );
    let gateway = Gateway::start(config);
    let mut client = gateway.operator();
    for run in ["run-1", "run-2"] {
        send(&mut client, SESSION, "hello", run);
        client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    }
    let key = |headers: &[(String, String)]| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let keys: Vec<String> = upstream.asked().iter().map(|asked| key(&asked.headers)).collect();
    assert_eq!(keys, ["Bearer key-one", "Bearer key-two", "Bearer key-two"]);
    gateway.says("auth profile \"p:b\" of");
}

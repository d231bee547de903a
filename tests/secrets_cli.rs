//! `openclaw secrets`: what an operator does about secrets, from finding them in plain text to having none there.

#![cfg(unix)]

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway};
use crate::support::scratch::Scratch;

const PLAIN: &str = "sk-plain-canary-0123456789";

const CONFIG: &str = "{\n  // the operator's words\n  gateway: { mode: 'local' },\n  models: { providers: {\n    \
    mine: { baseUrl: 'https://models.example/v1', apiKey: 'sk-plain-canary-0123456789' }, // keep\n  } },\n}\n";

fn home(config: &str) -> Scratch {
    let home = Scratch::new();
    fs::create_dir_all(gateway::state_dir(home.path())).expect("made");
    fs::write(gateway::config_path(home.path()), config).expect("written");
    home
}

fn run(home: &Scratch, args: &[&str]) -> Output {
    gateway::run(home.path(), args, &[("FROM_ENV", "sk-from-env-canary")])
}

fn out(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("canary"), "a secret was printed: {text}");
    text
}

fn json_of(output: &Output) -> Value {
    out(output);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn plan(home: &Scratch, targets: Value) -> String {
    let path = home.path().join("plan.json");
    let plan = json!({"version": 1, "protocolVersion": 1, "targets": targets});
    fs::write(&path, plan.to_string()).expect("written");
    path.display().to_string()
}

#[test]
fn a_plain_secret_is_found_moved_for_good_and_not_found_again() {
    let home = home(CONFIG);
    let path = gateway::config_path(home.path());
    // An earlier change left a backup, and somebody keeps the key beside it.
    assert!(run(&home, &["config", "set", "logging.level", "debug"]).status.success());
    let dot_env = gateway::state_dir(home.path()).join(".env");
    fs::write(&dot_env, format!("KEEP=1\nMY_KEY={PLAIN}\n")).expect("written");

    let found = run(&home, &["secrets", "audit", "--check", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let report = json_of(&found);
    assert_eq!(
        (&report["status"], &report["findings"][0]["path"]),
        (&json!("findings"), &json!("models.providers.mine.apiKey"))
    );

    let target = |id: &str| {
        plan(
            &home,
            json!([{"type": "models.providers.apiKey", "path": "models.providers.mine.apiKey",
            "ref": {"source": "env", "provider": "default", "id": id}}]),
        )
    };
    let before = fs::read_to_string(&path).expect("read");
    let nowhere = run(&home, &["secrets", "apply", "--from", &target("NOT_THERE")]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", out(&nowhere));
    let dry = json_of(&run(&home, &["secrets", "apply", "--from", &target("FROM_ENV"), "--dry-run", "--json"]));
    assert_eq!((&dry["mode"], &dry["refsChecked"]), (&json!("dry-run"), &json!(1)));
    assert_eq!(fs::read_to_string(&path).expect("read"), before, "a dry run writes nothing");

    let applied = run(&home, &["secrets", "apply", "--from", &target("FROM_ENV")]);
    assert!(applied.status.success(), "{}", out(&applied));
    let after = fs::read_to_string(&path).expect("read");
    assert!(
        after.contains("// the operator's words") && after.contains("// keep") && after.contains("FROM_ENV"),
        "{after}"
    );
    for entry in fs::read_dir(gateway::state_dir(home.path())).expect("listed") {
        let file = entry.expect("an entry").path();
        let text = fs::read(&file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        assert!(!text.contains(PLAIN), "{} still holds the secret", file.display());
    }
    assert_eq!(fs::read_to_string(&dot_env).expect("read"), "KEEP=1\n");
    let clean = run(&home, &["secrets", "audit", "--check"]);
    assert!(clean.status.success(), "{}", out(&clean));
    let lost = gateway::run(home.path(), &["secrets", "audit"], &[]);
    assert_eq!(lost.status.code(), Some(2), "a reference that leads nowhere is a failure of its own");
}

#[test]
fn a_bad_plan_changes_nothing_and_says_which_target() {
    let home = home(CONFIG);
    let reference = json!({"source": "env", "provider": "default", "id": "FROM_ENV"});
    let bad = plan(
        &home,
        json!([
            {"type": "models.providers.apiKey", "path": "models.providers.mine.apiKey", "ref": reference},
            {"type": "models.providers.apiKey", "path": "models.providers.mine.baseUrl", "ref": reference},
        ]),
    );
    let refused = run(&home, &["secrets", "apply", "--from", &bad]);
    assert!(!refused.status.success());
    assert!(
        out(&refused).contains("Invalid plan target path for models.providers.apiKey: models.providers.mine.baseUrl")
    );
    let program = plan(
        &home,
        json!([{"type": "models.providers.apiKey", "path": "models.providers.mine.apiKey",
        "ref": {"source": "exec", "provider": "vault", "id": "x"}}]),
    );
    let refused = run(&home, &["secrets", "apply", "--from", &program]);
    assert!(out(&refused).contains("--allow-exec"));
    let missing = run(&home, &["secrets", "apply", "--from", &home.path().display().to_string()]);
    assert!(out(&missing).contains("is not a regular file"));
    assert_eq!(fs::read_to_string(gateway::config_path(home.path())).expect("read"), CONFIG);
}

#[test]
fn the_store_keeps_what_it_is_given_and_shows_no_secret() {
    let home = home("{ gateway: { mode: 'local' } }");
    let value = home.path().join("value");
    fs::write(&value, "sk-store-canary\n").expect("written");
    let value = value.display().to_string();
    assert_eq!(run(&home, &["secrets", "store", "set", "GROQ_API_KEY", "--value", "x"]).status.code(), Some(2));
    assert!(run(&home, &["secrets", "store", "set", "GROQ_API_KEY", "--value-file", &value]).status.success());
    assert!(run(&home, &["secrets", "store", "set", "LOG_LEVEL", "--value", "debug"]).status.success());
    let list = json_of(&run(&home, &["secrets", "store", "list", "--json"]));
    assert_eq!((&list["entries"][0]["kind"], &list["entries"][1]["value"]), (&json!("secret"), &json!("debug")));
    assert_eq!(run(&home, &["secrets", "store", "get", "GROQ_API_KEY"]).status.code(), Some(2));
    assert_eq!(run(&home, &["secrets", "store", "get", "NOT_THERE"]).status.code(), Some(3));
    assert_eq!(out(&run(&home, &["secrets", "store", "get", "LOG_LEVEL"])), "debug\n");
    assert!(run(&home, &["secrets", "store", "rm", "LOG_LEVEL", "--yes"]).status.success());
}

#[test]
fn a_store_entry_set_over_the_protocol_is_in_force_at_once() {
    let gateway = Gateway::start(json!({"models": {"providers": {"mine": {
        "baseUrl": "http://127.0.0.1:9/v1", "apiKey": {"source": "store", "provider": "default", "id": "MINE_KEY"},
        "models": [{"id": "m"}]}}}}));
    gateway.says("models.providers.mine.apiKey: unresolved secret: the secret store has no entry MINE_KEY");
    let mut client = gateway.operator();
    assert_eq!(client.ok("secrets.store.list", json!({})), json!({"entries": []}));
    let set = json!({"name": "MINE_KEY", "value": "sk-store-canary", "kind": "secret"});
    assert_eq!(client.ok("secrets.store.set", set), json!({"ok": true, "reloaded": true, "warningCount": 0}));
    let listed = client.ok("secrets.store.list", json!({}));
    assert_eq!(listed["entries"][0]["name"], "MINE_KEY");
    assert!(!listed.to_string().contains("canary"));
    let masked = json!({"name": "MINE_KEY", "value": "__OPENCLAW_REDACTED__", "kind": "secret"});
    assert_eq!(client.err("secrets.store.set", masked)["code"], "INVALID_REQUEST");
    let kept = json!({"name": "N", "value": "v", "kind": "secret", "allowedHosts": ["example.org"]});
    assert!(
        client.err("secrets.store.set", kept)["message"].as_str().is_some_and(|text| text.starts_with("allowedHosts"))
    );
    assert!(!gateway.log().contains("canary"));
}

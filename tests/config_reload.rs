//! A running gateway and its file: what is applied live, what restarts it, what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway, TOKEN};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Ws, raw, wait, ws};

const ADMIN: &[&str] = &["operator.admin", "operator.read", "operator.write"];

/// Changes the file as an editor that writes in place does.
fn edit(gateway: &Gateway, change: impl FnOnce(&mut Value)) {
    let path = gateway.config_path();
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    change(&mut config);
    std::fs::write(path, format!("{config:#}\n")).expect("written");
}

/// Changes it as an editor that puts a new file in place does.
fn replace(path: &Path, text: &str) {
    let temp = path.with_extension("tmp~");
    std::fs::write(&temp, text).expect("written");
    private(&temp);
    std::fs::rename(&temp, path).expect("renamed");
}

/// A new file that only we may read.
fn private(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("kept to ourselves");
}

#[test]
fn a_hot_change_is_in_force_at_once_and_nobody_is_dropped() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let begun = Instant::now();
    edit(&gateway, |config| {
        config["models"] = json!({"providers": {"mine": {
        "baseUrl": "http://127.0.0.1:9/v1", "apiKey": "k", "models": [{"id": "fresh-model", "name": "Fresh"}]}}})
    });
    let event = client.event("config.changed");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?} on a busy machine; 300 ms is the aim");
    assert!(event["payload"]["hash"].as_str().is_some_and(|hash| hash.starts_with("sha256:v1:")), "{event}");
    gateway.says("[reload] config change detected; evaluating reload (models.providers.mine");
    gateway.says("config hot reload applied (");
    let models = client.ok("models.list", json!({})).to_string();
    assert!(models.contains("fresh-model"), "{models}");
    assert_eq!(client.ok("health", json!({"probe": true}))["configReload"]["hotReloadStatus"], "active");
}

#[test]
fn a_file_put_in_place_of_the_old_one_is_noticed_again_and_again() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let text = std::fs::read_to_string(gateway.config_path()).expect("read");
    for level in ["debug", "warn", "info"] {
        let with = format!("\"logging\": {{ \"level\": {level:?} }},\n  \"gateway\"");
        replace(&gateway.config_path(), &text.replacen("\"gateway\"", &with, 1));
        client.event("config.changed");
    }
    client.ok("health", json!({}));
}

#[test]
fn an_invalid_file_changes_nothing_and_is_told_with_its_key() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    edit(&gateway, |config| config["gateway"]["prot"] = json!(1));
    gateway.says("config reload skipped (invalid config): openclaw.json:");
    gateway.says("gateway: Unrecognized key: \"prot\"");
    client.ok("health", json!({}));
    edit(&gateway, |config| {
        config["gateway"].as_object_mut().expect("a section").remove("prot");
        config["logging"] = json!({"level": "debug"});
    });
    gateway.says("config hot reload applied (logging.level)");
}

#[test]
fn stamps_and_rewritten_bytes_cause_no_action() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let text = std::fs::read_to_string(gateway.config_path()).expect("read");
    replace(&gateway.config_path(), &text);
    edit(&gateway, |config| config["meta"] = json!({"lastTouchedAt": "now"}));
    edit(&gateway, |config| config["logging"] = json!({"level": "debug"}));
    gateway.says("config hot reload applied (logging.level)");
    let log = gateway.log();
    assert!(log.matches("evaluating reload").count() == 1, "{log}");
    client.ok("health", json!({}));
}

#[test]
fn a_new_token_counts_for_open_connections_within_a_second() {
    const NEW: &str = "another-token-0123456789abcdef-0123456789";
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let begun = Instant::now();
    edit(&gateway, |config| config["gateway"]["auth"]["token"] = json!(NEW));
    assert_eq!(client.closed(), (4001, "gateway auth changed".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}; a second is the aim", begun.elapsed());
    let old = ws::backend(ADMIN);
    assert!(Ws::open(gateway.addr()).try_hello(old.clone()).is_err(), "the old token {TOKEN} is worth nothing now");
    let mut new = old;
    new["auth"]["token"] = json!(NEW);
    Ws::open(gateway.addr()).hello(new);
    let log = gateway.log();
    assert!(!log.contains(NEW) && !log.contains(TOKEN), "no token in the log");
}

#[test]
fn a_restart_class_change_restarts_once_in_the_same_process() {
    let mut gateway = Gateway::start(json!({}));
    let (pid, mut client) = (gateway.pid(), gateway.operator());
    edit(&gateway, |config| config["gateway"]["controlUi"] = json!({"enabled": false}));
    gateway.says("config change requires gateway restart (gateway.controlUi.enabled)");
    assert_eq!(client.closed(), (1012, "service restart".to_owned()));
    wait::until("it listens again", || (gateway.log().matches("listening on").count() == 2).then_some(()));
    assert!(gateway.is_running() && gateway.pid() == pid);
    gateway.operator().ok("health", json!({}));
    edit(&gateway, |config| config["gateway"]["controlUi"] = json!({"enabled": true}));
    gateway.says("(cool-down)");
    gateway.operator().ok("health", json!({}));
    assert!(gateway.stop().success());
}

#[test]
fn a_restart_waits_for_the_answer_that_is_being_given() {
    let upstream = Upstream::script([Answer::Hold(vec!["half ".into()], vec!["and half".into()])]);
    let gateway = Gateway::start(upstream.config());
    let mut client = gateway.operator();
    let sent = client
        .ok("chat.send", json!({"sessionKey": "main", "message": "hello", "idempotencyKey": "one", "deliver": false}));
    upstream.wait_asked(1);
    edit(&gateway, |config| config["gateway"]["controlUi"] = json!({"enabled": false}));
    gateway.says("restart (config reload: gateway.controlUi.enabled)");
    assert_eq!(gateway.log().matches("listening on").count(), 1, "{}", gateway.log());
    upstream.release();
    wait::until("it listens again", || (gateway.log().matches("listening on").count() == 2).then_some(()));
    let history = gateway.operator().ok("chat.history", json!({"sessionKey": "main"})).to_string();
    assert!(history.contains("half and half"), "{sent} {history}");
}

#[test]
fn a_new_token_of_the_webhooks_is_in_force_at_once() {
    const OLD: &str = "a-hook-token-of-some-length-0123456789";
    const NEW: &str = "b-hook-token-of-some-length-0123456789";
    let gateway = Gateway::start(json!({"hooks": {"enabled": true, "token": OLD}}));
    let wake = |token: &str| {
        let bearer = format!("Bearer {token}");
        raw::post(gateway.addr(), "/hooks/wake", &[("Authorization", &bearer)], &json!({"text": "hello"})).status
    };
    assert_eq!(wake(OLD), 200);
    edit(&gateway, |config| config["hooks"]["token"] = json!(NEW));
    gateway.says("config hot reload applied (hooks.token)");
    assert_eq!(wake(NEW), 200);
    assert_eq!(wake(OLD), 401);
}

#[test]
fn sigusr2_restarts_in_the_same_process_unless_it_is_forbidden() {
    let mut gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    gateway.signal(Signal::USR2);
    assert_eq!(client.closed(), (1012, "service restart".to_owned()));
    wait::until("it listens again", || (gateway.log().matches("listening on").count() == 2).then_some(()));
    assert!(gateway.is_running());
    let mut client = gateway.operator();
    edit(&gateway, |config| config["commands"] = json!({"restart": false}));
    client.event("config.changed");
    gateway.signal(Signal::USR2);
    gateway.says("SIGUSR2 restart ignored (not authorized; commands.restart=false).");
    client.ok("health", json!({}));
}

#[test]
fn off_leaves_everything_and_hot_leaves_what_needs_a_restart() {
    let gateway = Gateway::start(json!({"gateway": {"reload": {"mode": "off"}}}));
    let mut client = gateway.operator();
    assert_eq!(client.ok("health", json!({"probe": true}))["configReload"]["hotReloadStatus"], "disabled");
    edit(&gateway, |config| config["logging"] = json!({"level": "debug"}));
    gateway.says("config reload is off");
    edit(&gateway, |config| {
        config["gateway"]["reload"]["mode"] = json!("hot");
        config["gateway"]["controlUi"] = json!({"enabled": false});
    });
    gateway.says("config reload requires gateway restart; hot mode ignoring (gateway.controlUi.enabled)");
    client.ok("health", json!({}));
}

#[test]
fn the_protocol_writes_only_what_is_based_on_the_current_content() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let raw = r#"{"logging": {"level": "debug"}}"#;
    let message = |error: Value| error["message"].as_str().unwrap_or_default().to_owned();
    let missing = message(client.err("config.patch", json!({"raw": raw})));
    assert_eq!(missing, "config base hash required for logging.level; re-run config.get and retry with baseHash");
    let stale = message(client.err("config.patch", json!({"raw": raw, "baseHash": "x"})));
    assert_eq!(stale, "config changed since last load; re-run config.get and retry");
    let before = std::fs::read_to_string(gateway.config_path()).expect("read");
    let hash = client.err("config.patch", json!({"raw": "{", "baseHash": "x"}));
    assert!(message(hash).starts_with("SyntaxError: JSON5: "), "a text that is not JSON5");

    let event = |gateway: &Gateway| {
        edit(gateway, |config| config["logging"] = json!({"level": "warn"}));
    };
    event(&gateway);
    let hash = client.event("config.changed")["payload"]["hash"].as_str().expect("a hash").to_owned();
    let done = client.ok("config.patch", json!({"raw": raw, "baseHash": hash}));
    assert_eq!((&done["ok"], &done["changedPaths"]), (&json!(true), &json!(["logging.level"])));
    assert!(!done.to_string().contains(TOKEN), "secrets are hidden: {done}");
    let unknown = client.err("config.patch", json!({"raw": r#"{"nonexistent": 1}"#, "baseHash": done["hash"]}));
    assert_eq!(message(unknown.clone()), "invalid config: <root>: Unrecognized key: \"nonexistent\"", "{unknown}");

    // What a client was shown goes back with its stand-ins, and the secret stays.
    let shown = done["config"].to_string();
    let set = client.ok("config.set", json!({"raw": shown, "baseHash": done["hash"]}));
    assert_eq!(set["ok"], true);
    let after = std::fs::read_to_string(gateway.config_path()).expect("read");
    assert!(after.contains(TOKEN) && before.contains(TOKEN) && !after.contains("REDACTED"));
    assert_eq!(client.ok("config.schema.lookup", json!({"path": "gateway.port"}))["reloadKind"], "restart");
    let telegram = client.ok("config.schema.lookup", json!({"path": "channels.telegram"}));
    assert_eq!(
        (&telegram["children"][0]["key"], &telegram["children"][0]["required"]),
        (&json!("botToken"), &json!(true))
    );
    assert_eq!(client.ok("secrets.reload", json!({})), json!({"ok": true, "warningCount": 0}));
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    assert_eq!(reader.err("config.set", json!({"raw": "{}"}))["message"], "missing scope: operator.admin");
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_file_or_the_new_one() {
    let gateway = Gateway::start(json!({"gateway": {"reload": {"mode": "off"}}}));
    let (home, path) = (gateway.home().to_owned(), gateway.config_path());
    for round in 0..30_u32 {
        let before = std::fs::read_to_string(&path).expect("read");
        let level = if round % 2 == 0 { "debug" } else { "warn" };
        let mut writer = gateway::command(&home, &["config", "set", "logging.level", level]).spawn().expect("started");
        // The delay walks over the whole life of the command.
        std::thread::park_timeout(Duration::from_micros(u64::from(round) * 700));
        let _ = writer.kill();
        let _ = writer.wait();
        let now = std::fs::read_to_string(&path).expect("the file is always there");
        let tree: Value = serde_json::from_str(&now).unwrap_or_else(|error| panic!("round {round}: {error}\n{now}"));
        assert!(now == before || tree["logging"]["level"] == level, "round {round}: neither old nor new\n{now}");
    }
    let done = gateway::run(&home, &["config", "set", "logging.level", "info"], &[]);
    assert!(done.status.success(), "the killed ones hold nothing: {done:?}");
}

#[test]
fn setup_makes_a_gateway_that_starts() {
    let home = crate::support::scratch::Scratch::new();
    let setup = gateway::run(home.path(), &["setup", "--json"], &[]);
    assert!(setup.status.success(), "{setup:?}");
    let gateway = Gateway::unconfigured().home(home).start();
    assert_eq!(gateway.get("/healthz").status, 200);
    assert!(!gateway.log().contains("warning: no gateway token"), "{}", gateway.log());
}

#[test]
fn whatever_way_an_editor_saves_the_last_content_is_in_force() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let path = gateway.config_path();
    let text = std::fs::read_to_string(&path).expect("read");
    let with = |level: &str| {
        text.replacen("\"gateway\"", &format!("\"logging\": {{ \"level\": {level:?} }},\n  \"gateway\""), 1)
    };
    // Truncates, then writes in pieces.
    std::fs::write(&path, "").expect("truncated");
    let debug = with("debug");
    let (first, second) = debug.split_at(40);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opened");
    std::io::Write::write_all(&mut file, first.as_bytes()).expect("written");
    std::io::Write::write_all(&mut file, second.as_bytes()).expect("written");
    drop(file);
    client.event("config.changed");
    // Moves the old file away and writes a new one, as vi does.
    std::fs::rename(&path, path.with_extension("json~")).expect("moved");
    std::fs::write(&path, with("warn")).expect("written");
    private(&path);
    client.event("config.changed");
    // Writes twice, the first time something else.
    std::fs::write(&path, with("error")).expect("written");
    std::fs::write(&path, with("trace")).expect("written");
    client.event("config.changed");
    // Puts a new file in place, and removes its own copy.
    replace(&path, &with("info"));
    std::fs::remove_file(path.with_extension("json~")).expect("removed");
    client.event("config.changed");
    let config = client.ok("config.get", json!({}));
    assert_eq!(config["config"]["logging"]["level"], "info", "{config}");
    client.ok("health", json!({}));
}

#[test]
fn restart_mode_restarts_once_for_what_could_have_been_taken_over_live() {
    let gateway = Gateway::start(json!({"gateway": {"reload": {"mode": "restart"}}}));
    let mut client = gateway.operator();
    edit(&gateway, |config| config["meta"] = json!({"lastTouchedAt": "now"}));
    edit(&gateway, |config| config["logging"] = json!({"level": "debug"}));
    gateway.says("config change requires gateway restart (logging.level)");
    assert_eq!(client.closed(), (1012, "service restart".to_owned()));
    wait::until("it listens again", || (gateway.log().matches("listening on").count() == 2).then_some(()));
    gateway.operator().ok("health", json!({}));
    assert_eq!(gateway.log().matches("requires gateway restart").count(), 1, "{}", gateway.log());
}

#[test]
fn a_hundred_starts_leave_the_file_as_it_is() {
    use std::os::unix::fs::MetadataExt;

    // No stamps in it, and a mode of its own: nothing of that is anybody's business at a start.
    let mut home = crate::support::scratch::Scratch::new();
    std::fs::create_dir_all(gateway::state_dir(home.path())).expect("made");
    let path = gateway::config_path(home.path());
    let text = format!("{{ gateway: {{ mode: 'local', auth: {{ mode: 'token', token: '{TOKEN}' }} }} }} // no meta\n");
    std::fs::write(&path, &text).expect("written");
    let inode = std::fs::metadata(&path).expect("there").ino();
    for _ in 0..5 {
        let mut gateway = Gateway::unconfigured().home(home).start();
        assert!(gateway.stop().success());
        home = gateway.kill();
    }
    for _ in 0..95 {
        let read = gateway::run(home.path(), &["config", "validate", "--json"], &[]);
        assert!(read.status.success(), "{read:?}");
    }
    let path = gateway::config_path(home.path());
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
    assert_eq!(std::fs::metadata(&path).expect("there").ino(), inode);
}

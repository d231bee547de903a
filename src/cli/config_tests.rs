//! The commands that read and change the configuration, on files of their own.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::failure::Failure;
use super::gateway_run::GatewayOptions;
use super::output::Shell;
use super::run;
use crate::sys::Env;
use crate::sys::paths::Selector;

fn no_gateway(_: &GatewayOptions, _: &Env) -> Result<(), Failure> {
    Err(Failure::config("these commands start no gateway"))
}

struct Scene {
    dir: PathBuf,
    env: Vec<(String, String)>,
}

struct Ran {
    status: u8,
    out: String,
    err: String,
}

impl Scene {
    fn new(text: &str) -> Scene {
        let dir = crate::sys::scratch::dir("cli-config");
        let scene = Scene { dir, env: Vec::new() };
        if !text.is_empty() {
            std::fs::write(scene.file(), text).expect("written");
        }
        scene
    }

    fn file(&self) -> PathBuf {
        self.dir.join("openclaw.json")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).expect("there")
    }

    fn run(&self, args: &[&str]) -> Ran {
        let dir = self.dir.to_str().expect("UTF-8").to_owned();
        let own = [("HOME".to_owned(), dir.clone()), ("OPENCLAW_STATE_DIR".to_owned(), dir)];
        let env = Env::from_iter(own.into_iter().chain(self.env.iter().cloned()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut shell =
            Shell { out: &mut out, err: &mut err, env, selector: Selector::default(), log_level: None, colour: false };
        let status = run(args.iter().map(OsString::from), &mut shell, no_gateway);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { status, out: text(out), err: text(err) }
    }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

const MINE: &str = "{\n  // mine\n  gateway: { mode: 'local', port: 18789, auth: { token: 'canary-token-of-some-length' } },\n  \
                    models: { providers: { x: { baseUrl: 'http://127.0.0.1:1/v1', apiKey: '${KEY}', models: [] } } },\n}\n";

#[test]
fn a_value_is_read_changed_and_taken_out_and_the_rest_stays() {
    let scene = Scene::new(MINE);
    assert_eq!(scene.run(&["config", "get", "gateway.port"]).out, "18789\n");
    let ran = scene.run(&["config", "set", "gateway.port", "1234"]);
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (0, "Updated gateway.port. Restart the gateway to apply.\n"),
        "{}",
        ran.err
    );
    assert_eq!(scene.text(), MINE.replace("18789", "1234"));
    let ran = scene.run(&["config", "set", "logging.level", "debug"]);
    assert_eq!(ran.out, "Updated logging.level. Change will apply without restarting the gateway.\n");
    assert_eq!(scene.run(&["config", "set", "logging.level", "debug"]).out, "No change.\n");
    assert_eq!(scene.run(&["config", "unset", "logging"]).status, 0);
    assert_eq!(scene.text(), MINE.replace("18789", "1234"));
    let absent = scene.run(&["config", "unset", "logging"]);
    assert_eq!((absent.status, absent.out.as_str()), (1, ""));
}

#[test]
fn secrets_are_not_shown_and_substitutions_are_not_written() {
    let mut scene = Scene::new(MINE);
    scene.env.push(("KEY".to_owned(), "canary-key".to_owned()));
    for args in [
        &["config", "get", "gateway"][..],
        &["config", "get", "models", "--json"],
        &["config", "explain", "gateway.auth.token"],
    ] {
        let ran = scene.run(args);
        assert!(
            ran.status == 0 && !ran.out.contains("canary") && ran.out.contains("REDACTED"),
            "{args:?}: {}",
            ran.out
        );
    }
    assert_eq!(scene.run(&["config", "set", "gateway.port", "1"]).status, 0);
    assert!(scene.text().contains("'${KEY}'") && !scene.text().contains("canary-key"));
    let ran = scene.run(&["config", "set", "gateway.auth.token", "__OPENCLAW_REDACTED__"]);
    assert!(ran.status == 1 && ran.err.contains("stand-in"), "{}", ran.err);
    assert!(!scene.run(&["config", "diff"]).out.contains("canary"));
}

#[test]
fn what_would_not_start_is_refused_and_told_whole() {
    let scene = Scene::new(MINE);
    let ran = scene.run(&["config", "set", "gateway.port", "seventy"]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("gateway.port: Invalid input: expected number, received string"), "{}", ran.err);
    let ran = scene.run(&["config", "set", "gateway.prot", "1", "--dry-run", "--json"]);
    assert_eq!((ran.status, &ran.json()["errors"][0]["kind"]), (1, &json!("schema")));
    assert_eq!(scene.run(&["config", "unset", "gateway.mode"]).status, 1);
    assert_eq!(scene.text(), MINE);
    let ran = scene.run(&["config", "set", "gateway.port", "7", "--dry-run"]);
    assert!(ran.status == 0 && ran.out.starts_with("~ gateway.port: 18789 -> 7 (restart)\n"), "{}", ran.out);
    assert_eq!(scene.text(), MINE);
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let scene = Scene::new(MINE);
    let set =
        |flag: &[&str]| scene.run(&[&["config", "set", "gateway.port", "5", "--strict-json"], flag].concat()).status;
    assert_eq!(set(&["--expect-current-json", "1"]), 1);
    assert_eq!(set(&["--expect-current-absent"]), 1);
    assert_eq!(scene.text(), MINE);
    assert_eq!(set(&["--expect-current-json", "18789"]), 0);
}

#[test]
fn a_map_of_providers_is_not_lost_by_accident() {
    let scene = Scene::new(MINE);
    let other = r#"{"y": {"baseUrl": "http://127.0.0.1:2/v1", "models": []}}"#;
    assert_eq!(scene.run(&["config", "set", "models.providers", other]).status, 1);
    assert_eq!(scene.run(&["config", "set", "models.providers", other, "--merge"]).status, 0);
    assert!(scene.text().contains("${KEY}") && scene.text().contains(":2/v1"));
    assert_eq!(scene.run(&["config", "set", "models.providers", other, "--replace"]).status, 0);
    assert!(!scene.text().contains("${KEY}"));
}

#[test]
fn a_backup_is_compared_and_restored() {
    let scene = Scene::new(MINE);
    scene.run(&["config", "set", "gateway.port", "9"]);
    assert_eq!(scene.run(&["config", "diff"]).out, "~ gateway.port: 18789 -> 9 (restart)\n");
    let ran = scene.run(&["config", "restore"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(scene.text(), MINE);
    assert_eq!(scene.run(&["config", "diff"]).out, "~ gateway.port: 9 -> 18789 (restart)\n");
    assert_eq!(scene.run(&["config", "diff", "--backup", "7"]).status, 1);
}

#[test]
fn validation_tells_every_problem_with_its_place() {
    let scene = Scene::new("{\n  gateway: { prot: 1, port: 'x' },\n}\n");
    let ran = scene.run(&["config", "validate"]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("openclaw.json:2 — gateway: Unrecognized key: \"prot\""), "{}", ran.err);
    let json = scene.run(&["config", "validate", "--json"]).json();
    assert_eq!((&json["valid"], json["issues"].as_array().map(Vec::len)), (&json!(false), Some(2)));
    assert_eq!(Scene::new(MINE).run(&["config", "validate"]).status, 0);
    assert_eq!(Scene::new("").run(&["config", "validate"]).status, 1);
}

#[test]
fn explain_says_where_a_value_is_from_and_what_a_change_does() {
    let scene = Scene::new(MINE);
    let out = scene.run(&["config", "explain", "gateway.port"]).out;
    for part in
        ["value: 18789", "openclaw.json:3:35", "default: 18789", "change: restart", "OPENCLAW_GATEWAY_PORT (not set"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert!(scene.run(&["config", "explain", "gateway.reload.mode"]).out.contains("source: default"));
    assert_eq!(scene.run(&["config", "explain", "gateway.prot"]).status, 1);
    let unset = scene.run(&["config", "get", "gateway.reload.mode"]);
    assert!(unset.status == 1 && unset.err.contains("the default applies: hybrid"), "{}", unset.err);
}

#[test]
fn setup_makes_what_is_missing_and_overwrites_nothing() {
    let scene = Scene::new("");
    let first = scene.run(&["setup", "--json", "--gateway-port", "4242"]);
    assert_eq!(first.status, 0, "{}", first.err);
    let text = scene.text();
    assert_eq!(
        first.json()["added"],
        json!(["gateway.mode", "gateway.port", "gateway.auth.mode", "gateway.auth.token"])
    );
    assert!(text.contains("\"local\"") && text.contains("4242") && text.starts_with("//"), "{text}");
    assert!(scene.dir.join("workspace/AGENTS.md").is_file());
    let second = scene.run(&["setup", "--gateway-port", "1"]);
    assert_eq!((second.status, scene.text()), (0, text));
    assert_eq!(scene.run(&["config", "validate"]).status, 0);

    let mine = "// mine\n{ gateway: { auth: { mode: 'none' } } }\n";
    let scene = Scene::new(mine);
    assert_eq!(scene.run(&["setup"]).status, 0);
    assert_eq!(scene.text(), mine.replace("'none' } }", "'none' }, mode: \"local\" }"));
}

#[test]
fn a_patch_from_a_file_is_merged() {
    let scene = Scene::new(MINE);
    let patch = scene.dir.join("patch.json5");
    std::fs::write(&patch, "{ gateway: { port: null, bind: 'lan' } }").expect("written");
    let ran = scene.run(&["config", "patch", "--file", patch.to_str().expect("UTF-8")]);
    assert_eq!(
        (ran.status, scene.text()),
        (0, MINE.replace(" port: 18789,", "").replace("' } },\n  models", "' }, bind: \"lan\" },\n  models"))
    );
}

#[test]
fn doctor_names_what_is_wrong_and_mends_what_takes_no_guessing() {
    let scene =
        Scene::new("{\n  // mine\n  gateway: { mode: 'local', prot: 1, auth: { token: 'canary-short' } },\n}\n");
    let ran = scene.run(&["doctor"]);
    assert!(ran.status == 1 && ran.out.contains("Unrecognized key: \"prot\""), "{}", ran.out);
    assert!(scene.text().contains("prot"));
    let ran = scene.run(&["doctor", "--fix", "--yes", "--non-interactive", "--json"]);
    assert_eq!((ran.status, &ran.json()["ok"]), (0, &json!(true)), "{}", ran.out);
    assert!(ran.json()["fixed"].to_string().contains("gateway.prot was taken out (line 3)"), "{}", ran.out);
    assert!(!ran.out.contains("canary"));
    assert_eq!(scene.text(), "{\n  // mine\n  gateway: { mode: 'local', auth: { token: 'canary-short' } },\n}\n");
    assert_eq!(Scene::new("").run(&["doctor"]).status, 1);
}

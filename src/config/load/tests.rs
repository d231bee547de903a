//! Whole files, from bytes to snapshot or to the text a user sees.

use std::fs;

use serde_json::json;

use super::*;
use crate::config::{AuthMode, BindMode, ModelApi};
use crate::sys::paths::Selector;

/// An instance of its own whose configuration has this text.
fn instance(text: Option<&str>) -> (Paths, Env) {
    let home = crate::sys::scratch::dir("load");
    let env = Env::from_iter([("HOME", home.to_str().unwrap()), ("FROM_ENV", "process")]);
    let paths = Paths::resolve(&env, &Selector::default()).unwrap();
    fs::create_dir_all(&paths.state_dir).unwrap();
    if let Some(text) = text {
        fs::write(&paths.config, text).unwrap();
    }
    (paths, env)
}

fn loaded(text: &str) -> Config {
    let (paths, env) = instance(Some(text));
    load(&paths, &env).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    let (paths, env) = instance(Some(text));
    let error = load(&paths, &env).expect_err("must be refused").to_string();
    error.replace(paths.config.to_str().unwrap(), "<path>")
}

#[test]
fn a_missing_file_is_an_empty_configuration() {
    let (paths, env) = instance(None);
    let config = load(&paths, &env).unwrap();
    assert!(!config.exists);
    assert_eq!(config.hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(config.gateway.port, None);
    assert!(config.gateway.http.endpoints.chat_completions.enabled);
    assert!(config.gateway.control_ui.enabled);
    assert_eq!(config.gateway.auth.rate_limit.max_attempts, 10);
    assert_eq!(config.default_agent_id(), "main");
    assert_eq!(config.agent_workspace("main"), paths.state_dir.join("workspace"));
    assert!(config.warnings.is_empty());
    assert!(!paths.config.exists());
}

#[test]
fn a_full_file_comes_out_typed() {
    let config = loaded(
        r#"{
        // comments stay out of it
        $schema: "x",
        gateway: {mode: 'local', port: 0x4965, bind: "lan", auth: {mode: "token", token: "abc"},
                  controlUi: {allowedOrigins: ["https://a.example"]}, http: {endpoints: {chatCompletions: {enabled: false}},
                  securityHeaders: {strictTransportSecurity: false}}},
        models: {mode: "merge", providers: {local: {baseUrl: "http://127.0.0.1:8080/v1", apiKey: "k", api: "openai-completions",
                 headers: {"X-A": "b"}, models: [{id: "m", name: "M", contextWindow: 32e3, maxTokens: 4096, input: ["text", "image"],
                 cost: {input: .5, output: 1.5}}]}, g: {api: "google-vertex"}}},
        agents: {defaults: {model: {primary: "local/m", fallbacks: ["local/n"]}, models: {"local/m": {alias: "Fast"}}, workspace: "~/w"},
                 list: [{id: "Old One", default: false}], entries: {second: {model: "local/x", tools: {deny: ["exec"]}, default: true}}},
        tools: {profile: "coding", exec: {timeoutSec: 5}},
        session: {dmScope: "per-channel-peer", reset: {mode: "idle", idleMinutes: 10}},
        logging: {level: "debug"}, channels: {telegram: {botToken: "t"}},
        }"#,
    );
    assert!(config.exists && config.warnings.is_empty(), "{:?}", config.warnings);
    let gateway = &config.gateway;
    assert_eq!((gateway.port, gateway.bind), (Some(18789), Some(BindMode::Lan)));
    assert_eq!(gateway.auth.mode, Some(AuthMode::Token));
    assert_eq!(gateway.auth.token.as_ref().map(|token| token.expose()), Some("abc"));
    assert!(!gateway.http.endpoints.chat_completions.enabled && gateway.http.endpoints.responses.enabled);
    let provider = config.models.providers.get("local").expect("a provider");
    assert_eq!(provider.api, Some(ModelApi::OpenaiCompletions));
    assert_eq!(provider.models[0].context_window, Some(32_000));
    assert_eq!((provider.models[0].cost.input, provider.models[0].cost.output), (0.5, 1.5));
    assert_eq!(provider.headers.get("X-A").expect("a header").expose(), "b");
    assert_eq!(config.models.providers.get("g").expect("a provider").api, Some(ModelApi::Other));
    assert_eq!(config.agent_ids(), ["old-one", "second"]);
    assert_eq!(config.default_agent_id(), "second");
    assert_eq!(config.primary_model("second"), Some("local/x"));
    assert_eq!(config.fallbacks("second"), [""; 0]);
    assert_eq!(config.primary_model("old-one"), Some("local/m"));
    assert_eq!(config.fallbacks("old-one"), ["local/n"]);
    assert_eq!(config.model_for_alias("main", "fast"), Some("local/m"));
    let home = config.paths.as_ref().unwrap().home.clone();
    assert_eq!(config.agent_workspace("second"), home.join("w"));
    assert_eq!(config.agent_workspace("old-one"), home.join("w/old-one"));
    assert_eq!(config.tools.policy.profile.as_deref(), Some("coding"));
    assert_eq!(config.tools.exec.timeout_seconds, Some(5));
    assert_eq!(config.channels.get("telegram").expect("a channel")["botToken"], "t");
}

#[test]
fn all_mistakes_are_told_at_once_with_file_line_and_path() {
    let text =
        "{\n  gateway: {\n    prot: 1,\n    port: 'x'\n  },\n  agents: {list: [{id: 'a'}, {nmae: 1, id: 'b'}]}\n}";
    let lines: Vec<String> = refused(text).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "Invalid config at <path>:");
    assert!(
        lines[1].starts_with(
            "openclaw.json:3 — gateway: Unrecognized key: \"prot\" (did you mean \"port\"?); allowed here: "
        ),
        "{}",
        lines[1]
    );
    assert_eq!(lines[2], "openclaw.json:4 — gateway.port: Invalid input: expected number, received string");
    assert!(lines[3].starts_with("openclaw.json:6 — agents.list[1]: Unrecognized key: \"nmae\""), "{}", lines[3]);
    assert_eq!(lines[4], "Run \"openclaw doctor --fix\" to repair, then retry.");
    assert_eq!(lines.len(), 5);
}

#[test]
fn a_mistake_in_an_included_file_names_that_file() {
    let (paths, env) = instance(Some("{\n agents: {$include: './agents.json5'}}"));
    fs::write(paths.state_dir.join("agents.json5"), "{\n\n defaults: {wrkspace: 'x'}}").unwrap();
    let error = load(&paths, &env).unwrap_err().to_string();
    assert!(
        error
            .contains("agents.json5:3 — agents.defaults: Unrecognized key: \"wrkspace\" (did you mean \"workspace\"?)")
    );
}

#[test]
fn syntax_errors_say_where() {
    let error = refused("{\r\n  gateway: {\r\n    port 1\r\n}}");
    assert!(
        error.contains(
            "openclaw.json:3 — <root>: JSON5 parse failed: expected ':' after the key \"port\", found '1' at 3:10"
        ),
        "{error}"
    );
    assert!(refused("\u{0}").contains("openclaw.json:1 — <root>: JSON5 parse failed"));
}

#[test]
fn hostile_files_are_refused_quickly() {
    assert!(refused(&"{a:".repeat(100_000)).contains("nested more than 64 levels deep"));
    let (paths, env) = instance(Some(&" ".repeat(json5::MAX_BYTES + 1)));
    assert!(matches!(load(&paths, &env), Err(LoadError::Read { .. })));
    let (paths, env) = instance(None);
    fs::write(&paths.config, b"{a: '\xff'}").unwrap();
    assert!(load(&paths, &env).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error_and_not_an_empty_configuration() {
    let (paths, env) = instance(None);
    fs::create_dir(&paths.config).unwrap();
    assert!(matches!(load(&paths, &env), Err(LoadError::Read { .. })));
}

#[test]
fn keys_of_the_reference_without_effect_are_one_warning() {
    let config = loaded("{browser: {enabled: true}, gateway: {tailscale: {mode: 'off'}}, wizard: {lastRunAt: 'x'}}");
    assert_eq!(config.ignored, ["browser", "gateway.tailscale", "wizard"]);
    assert_eq!(config.warnings, ["config keys without effect in this gateway: browser, gateway.tailscale, wizard"]);
}

#[test]
fn variables_come_from_the_process_then_the_state_directory_then_the_file() {
    let (paths, env) = instance(Some(
        "{env: {vars: {FROM_FILE: 'file', FROM_DOT: 'no', FROM_ENV: 'no'}},
          messages: {responsePrefix: '${FROM_ENV} ${FROM_DOT} ${FROM_FILE} $${KEPT}'},
          gateway: {auth: {token: '${MISSING}'}}}",
    ));
    fs::write(paths.dot_env(), "# c\nexport FROM_DOT=\"dot\"\nFROM_ENV=no\nbad line\nX='a b' \nY=1 # c\n").unwrap();
    let config = load(&paths, &env).unwrap();
    assert_eq!(config.messages.response_prefix.as_deref(), Some("process dot file ${KEPT}"));
    assert_eq!((config.vars.get("X"), config.vars.get("Y")), (Some("a b"), Some("1")));
    assert!(config.gateway.auth.token.is_none());
    assert_eq!(config.unresolved[0].path, "gateway.auth.token");
    assert_eq!(config.warnings, ["gateway.auth.token: unresolved secret: environment variable MISSING is not set"]);
    assert_eq!(config.tree["gateway"]["auth"], json!({}));
}

#[test]
fn a_key_written_twice_is_a_warning_and_the_later_one_counts() {
    let config = loaded("{gateway: {port: 1,\n port: 2}}");
    assert_eq!(config.gateway.port, Some(2));
    assert_eq!(config.warnings, ["openclaw.json:1 — key \"port\" is written twice; the later one counts"]);
}

#[test]
fn loading_never_touches_the_file() {
    let (paths, env) = instance(Some("{gateway: {mode: 'local'}} // no meta"));
    let before = (fs::read(&paths.config).unwrap(), fs::metadata(&paths.config).unwrap().modified().unwrap());
    for _ in 0..3 {
        load(&paths, &env).unwrap();
    }
    let after = (fs::read(&paths.config).unwrap(), fs::metadata(&paths.config).unwrap().modified().unwrap());
    assert!(before == after);
    assert_eq!(fs::read_dir(&paths.state_dir).unwrap().count(), 1);
}

#[test]
fn debug_output_of_a_snapshot_holds_no_secret_of_a_typed_key() {
    let config = loaded("{gateway: {auth: {token: 'canary-token'}}, models: {providers: {x: {apiKey: 'canary-key'}}}}");
    let shown = format!("{:?} {:?}", config.gateway, config.models);
    assert!(!shown.contains("canary"), "{shown}");
}

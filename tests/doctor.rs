//! `openclaw doctor` and `openclaw setup` as a new user meets them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::scratch::Scratch;
use crate::support::{Gateway, gateway};

fn home(config: Option<&str>) -> Scratch {
    let home = Scratch::new();
    fs::create_dir_all(gateway::state_dir(home.path())).expect("made");
    if let Some(config) = config {
        fs::write(gateway::config_path(home.path()), config).expect("written");
    }
    home
}

fn run(home: &Scratch, args: &[&str]) -> Output {
    let root = home.path().join("root").display().to_string();
    gateway::run(home.path(), args, &[("OPENCLAW_SERVICE_ROOT", &root)])
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const OLDER: &str = "{\n  // mine\n  session: { idleMinutes: 30 }, // half an hour\n  gateway: { mode: 'local', bind: '0.0.0.0',\n    auth: { token: 'canary-token-0123456789abcdef' } },\n  wibble: 1,\n}\n";

#[cfg(unix)]
#[test]
fn older_spellings_are_named_at_a_start_and_moved_only_when_that_is_asked_for() {
    use std::os::unix::fs::PermissionsExt;

    let home = home(Some(OLDER));
    let path = gateway::config_path(home.path());
    let found = run(&home, &["doctor", "--json"]);
    assert!(!found.status.success());
    let text = report(&found).to_string();
    assert!(text.contains("older spelling: session.idleMinutes is called session.reset.idleMinutes now"), "{text}");
    assert_eq!(fs::read_to_string(&path).expect("read"), OLDER, "a report changes nothing");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode");
    let fixed = run(&home, &["doctor", "--fix", "--non-interactive", "--yes"]);
    let said = words(&fixed);
    assert!(fixed.status.success(), "{said}");
    for line in [
        "-   session: { idleMinutes: 30 }, // half an hour",
        "fixed: session.idleMinutes is called session.reset.idleMinutes now",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("canary"), "no secret in the difference: {said}");
    let after = fs::read_to_string(&path).expect("read");
    assert!(after.contains("// mine") && after.contains("\"lan\"") && !after.contains("wibble"), "{after}");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(path.with_extension("json.bak")).expect("a backup"), OLDER);
    assert!(run(&home, &["doctor", "--fix"]).status.success());
    assert_eq!(fs::read_to_string(&path).expect("read"), after, "a second time there is nothing to do");
}

#[test]
fn a_database_that_is_broken_is_found() {
    let mut gateway = Gateway::start(json!({}));
    let sound = run_in(&gateway, &["doctor", "--json"]);
    let text = report(&sound).to_string();
    assert!(text.contains("answers on port"), "{text}");
    assert!(!text.contains("\"area\":\"database\""), "{text}");
    assert!(gateway.stop().success());
    let file = gateway.state_dir().join("gateway.sqlite");
    let mut bytes = fs::read(&file).expect("read");
    let end = bytes.len().min(40_000);
    bytes[4096..end].fill(0x5a);
    fs::write(&file, bytes).expect("broken");
    let broken = run_in(&gateway, &["doctor", "--json"]);
    assert!(!broken.status.success() && report(&broken).to_string().contains("\"area\":\"database\""), "{broken:?}");
}

fn run_in(gateway: &Gateway, args: &[&str]) -> Output {
    let port = gateway.port.to_string();
    gateway::run(gateway.home(), args, &[("OPENCLAW_GATEWAY_PORT", &port)])
}

/// A provider that knows no key; it serves until the test ends.
pub fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut head = [0; 4096];
            // The whole head comes at once, and what it says does not matter.
            let _ = socket.read(&mut head);
            let body = r#"{"error":{"message":"invalid api key"}}"#;
            let head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(socket, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    addr
}

#[test]
fn setup_asks_the_provider_about_the_key_before_it_writes_it_down() {
    let base = format!("http://{}/v1", refusing());
    let home = home(None);
    let answers = [
        "onboard",
        "--non-interactive",
        "--accept-risk",
        "--auth-choice",
        "custom",
        "--custom-base-url",
        &base,
        "--custom-model-id",
        "m",
        "--api-key",
        "sk-wrong-canary",
    ];
    let refused = run(&home, &answers);
    assert!(!refused.status.success() && words(&refused).contains("refuses the key"), "{refused:?}");
    assert!(!gateway::config_path(home.path()).exists(), "nothing was written");
    assert!(!words(&refused).contains("canary"));
    let mut unchecked = answers.to_vec();
    unchecked.extend(["--skip-check", "--json"]);
    let done = run(&home, &unchecked);
    assert!(done.status.success(), "{done:?}");
    let added = report(&done)["added"].to_string();
    assert!(added.contains("models.providers.custom") && added.contains("gateway.auth.token"), "{added}");
    let text = fs::read_to_string(gateway::config_path(home.path())).expect("written");
    let again = run(&home, &unchecked);
    assert!(again.status.success());
    assert_eq!(fs::read_to_string(gateway::config_path(home.path())).expect("read"), text, "a second run adds nothing");
}

#[test]
fn setup_keeps_the_gateways_token_where_it_is_told_and_sets_up_a_client() {
    let there = home(None);
    let token = "a-token-from-outside-0123456789";
    let args = ["setup", "--gateway-token-ref-env", "MY_TOKEN", "--skip-bootstrap", "--json"];
    assert_eq!(run(&there, &args).status.code(), Some(2), "there is no such variable");
    let done = gateway::run(there.path(), &args, &[("MY_TOKEN", token)]);
    assert!(done.status.success(), "{done:?}");
    let text = fs::read_to_string(gateway::config_path(there.path())).expect("written");
    assert!(text.contains("MY_TOKEN") && !text.contains(token), "{text}");

    let client = home(None);
    let remote = ["setup", "--mode", "remote", "--remote-url", "wss://gateway.example:18789", "--remote-token", token];
    assert!(run(&client, &remote).status.success());
    let mode = run(&client, &["config", "get", "gateway.mode"]);
    assert_eq!(words(&mode).trim(), "remote");
}

#[test]
fn the_profile_for_trying_things_out_has_a_folder_and_a_port_of_its_own() {
    let home = Scratch::new();
    let run = |args: &[&str]| {
        let mut command = gateway::command(home.path(), args);
        command.env_remove("OPENCLAW_STATE_DIR").env_remove("OPENCLAW_CONFIG_PATH");
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).output().expect("it runs")
    };
    let done = run(&["--dev", "setup", "--non-interactive"]);
    assert!(words(&done).contains("Next: openclaw --dev gateway"), "{done:?}");
    assert!(home.path().join(".openclaw-dev/openclaw.json").exists());
    assert!(!home.path().join(".openclaw").exists(), "nothing but the profile's own folder is touched");
    assert!(words(&run(&["--dev", "config", "get", "gateway.port"])).contains("19001"));
    assert!(words(&run(&["--dev", "config", "explain", "gateway.port"])).contains("19001"));
}

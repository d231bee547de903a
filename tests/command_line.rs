//! The command line against a running gateway, and against none.

use serde_json::Value;

use crate::support::scratch::Scratch;
use crate::support::{Gateway, Upstream, gateway};

#[test]
fn the_command_line_holds_a_conversation() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let port = gateway.port.to_string();
    let env = [("OPENCLAW_GATEWAY_PORT", port.as_str())];
    let run = |args: &[&str]| {
        let output = gateway::run(gateway.home(), args, &env);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "openclaw {args:?}: {output:?}");
        text
    };
    assert!(run(&["agent", "--message", "hello", "--session-key", "cli"]).contains("Hello from upstream."));
    for args in [
        &["gateway", "call", "health", "--params", "{}", "--json"][..],
        &["gateway", "health", "--json"],
        &["gateway", "status", "--json", "--require-rpc"],
        &["health", "--json"],
        &["status", "--json"],
        &["sessions", "--json"],
        &["models", "list", "--json"],
        &["channels", "status", "--json"],
        &["agent", "--message", "hello again", "--json"],
    ] {
        let text = run(args);
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        assert!(parsed.is_ok(), "openclaw {args:?} printed more than JSON: {text}");
    }
    assert!(run(&["sessions"]).contains("agent:main:cli"));
    assert!(run(&["gateway", "status"]).contains("Connectivity probe: ok"));
    assert!(!run(&["logs"]).is_empty());
    let all = run(&["status", "--all"]);
    for words in ["Gateway target: ", "Service: ", "Sessions: ", "Log {"] {
        assert!(all.contains(words), "no {words:?} in {all}");
    }
    let deep: Value = serde_json::from_str(&run(&["status", "--deep", "--json"])).expect("JSON");
    assert!(deep["service"]["configAudit"]["ok"].is_boolean() && deep.get("log").is_none());
}

#[test]
fn the_command_line_says_when_nobody_answers() {
    let home = Scratch::new();
    let port = gateway::free_port().to_string();
    let env = [("OPENCLAW_GATEWAY_PORT", port.as_str()), ("OPENCLAW_GATEWAY_TOKEN", "x-0123456789abcdef0123456789")];
    let output = gateway::run(home.path(), &["gateway", "health", "--timeout", "2000"], &env);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "diagnostics go to stderr: {output:?}");
    assert!(!output.stderr.is_empty());
}

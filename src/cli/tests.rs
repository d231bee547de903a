//! The commands as a script sees them: arguments and environment in, exit status and two streams out.

use std::io;
use std::sync::{Arc, Mutex};

use argh::{ArgsInfo, CommandInfoWithArgs};
use serde_json::{Value, json};

use super::gateway_run::GatewayOptions;
use super::*;
use crate::client::fake::Fake;
use crate::config::{AuthMode, BindMode};

struct Ran {
    status: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|bad| panic!("not one JSON document ({bad}): {}", self.out))
    }
}

/// Runs a command line. `port` is the local gateway's.
fn openclaw(args: &[&str], port: u16) -> Ran {
    with_env(args, port, &[])
}

fn with_env(args: &[&str], port: u16, more: &[(&str, &str)]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = onto(&mut out, &mut err, args, port, more);
    Ran { status, out: String::from_utf8(out).expect("UTF-8"), err: String::from_utf8(err).expect("UTF-8") }
}

fn onto(out: &mut dyn io::Write, err: &mut dyn io::Write, args: &[&str], port: u16, more: &[(&str, &str)]) -> u8 {
    let home = crate::sys::scratch::dir("cli");
    let port = port.to_string();
    let base = [
        ("HOME", home.to_str().expect("UTF-8")),
        ("OPENCLAW_GATEWAY_PORT", port.as_str()),
        ("OPENCLAW_GATEWAY_TOKEN", SECRET),
        ("TMPDIR", home.to_str().expect("UTF-8")),
    ];
    let env = Env::from_iter(base.into_iter().chain(more.iter().copied()));
    let mut shell = Shell { out, err, env, selector: Selector::default(), log_level: None, colour: false };
    run(args.iter().map(OsString::from), &mut shell, refuse_to_run)
}

fn refuse_to_run(_: &GatewayOptions, _: &Env) -> Result<(), Failure> {
    Err(Failure::config("refusing to bind"))
}

fn port_of(fake: &Fake) -> u16 {
    fake.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
}

/// A port nobody listens on.
fn silence() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port").port()
}

/// Answers every method the commands use, with the least there is.
fn answers(method: &str, _: &Value) -> Result<Value, Value> {
    Ok(match method {
        "health" => json!({"ok": true, "ts": 61_000, "durationMs": 3, "defaultAgentId": "main",
            "agents": [{"agentId": "main", "heartbeat": {"enabled": false}, "sessions": {"count": 1}}],
            "sessions": {"recent": [{"key": "agent:main:main", "updatedAt": 1_000}]},
            "channels": {"telegram": {"configured": true, "running": true}}, "channelOrder": ["telegram"],
            "channelLabels": {"telegram": "Telegram"}}),
        "status" => json!({"runtimeVersion": "9.9.9", "pid": 77, "uptimeMs": 120_000,
            "processMemory": {"rssBytes": 6_400_000}, "sessions": {"count": 1, "defaults": {"model": "p/m"},
            "recent": []}, "heartbeat": {"agents": [{"agentId": "main", "enabled": false}]},
            "tasks": {"active": 0, "failures": 0}}),
        "sessions.list" => json!({"ts": 61_000, "totalCount": 2, "hasMore": true, "nextOffset": 1,
            "sessions": [{"key": "agent:main:main", "kind": "direct", "updatedAt": 1_000}]}),
        "logs.tail" => json!({"file": "/x.log", "cursor": 9, "size": 9, "lines":
            ["{\"time\":\"2026-11-22T08:35:31Z\",\"level\":\"info\",\"subsystem\":\"gateway\",\"message\":\"ready\"}"]}),
        "channels.status" => json!({"channelOrder": ["telegram"], "channelLabels": {"telegram": "Telegram"},
            "channelAccounts": {"telegram": [{"accountId": "default", "configured": true, "running": false,
            "lastError": "bad\u{1b}[31m token"}]}}),
        "models.list" => json!({"models": [{"id": "m", "provider": "p", "contextWindow": 128_000, "input": ["text"],
            "available": true, "local": true, "tags": ["default"]}]}),
        "device.pair.list" => json!({"pending": [{"requestId": "q1", "deviceId": "d1", "role": "operator",
            "scopes": ["operator.write"], "remoteIp": "10.9.8.7", "ts": 1_000, "isRepair": false}],
            "paired": [{"deviceId": "d2", "label": "phone", "roles": ["node"], "scopes": [], "connected": true,
            "tokens": [{"role": "node", "scopes": [], "revokedAtMs": 5}]}]}),
        "device.pair.approve" => json!({"requestId": "q1", "device": {"deviceId": "d1"}}),
        "device.pair.reject" => json!({"requestId": "q1", "deviceId": "d1"}),
        "device.pair.remove" => json!({"deviceId": "d2"}),
        "device.pair.rename" => json!({"deviceId": "d2", "label": "x"}),
        "device.token.rotate" => json!({"deviceId": "d2", "role": "node", "tokenDelivery": "withheld-cross-device"}),
        "device.token.revoke" => json!({"deviceId": "d2", "role": "node", "revokedAtMs": 1}),
        "device.pair.setupCode" => json!({"setupCode": "eyJ1cmwiOiJ3czovL2d3In0", "gatewayUrl": "ws://gw:1",
            "joinUrl": "http://gw:1/j/abc", "access": "full"}),
        "node.pair.list" => json!({"pending": [{"requestId": "q1", "nodeId": "n1", "platform": "linux", "ts": 1_000,
            "commands": ["system.which"], "requiredApproveScopes": ["operator.pairing", "operator.admin"]}],
            "paired": [{"nodeId": "n1", "displayName": "attic", "platform": "linux", "commands": []}]}),
        "node.list" => json!({"ts": 9, "nodes": [{"nodeId": "n1", "displayName": "attic", "platform": "linux",
            "commands": ["system.which"], "approvalState": "approved", "connected": true, "hostStats": {
            "cpuCount": 2, "loadAverage": [1.0, 1.0, 1.0], "memoryTotalBytes": 4096, "memoryFreeBytes": 1024}}]}),
        "node.describe" => json!({"ts": 9, "nodeId": "n1", "caps": [], "commands": [], "connected": false}),
        "node.pair.approve" => json!({"requestId": "q1", "node": {"nodeId": "n1", "commands": ["system.which"]}}),
        "node.pair.reject" => json!({"requestId": "q1", "nodeId": "n1"}),
        "node.pair.remove" => json!({"nodeId": "n1"}),
        "node.rename" => json!({"nodeId": "n1", "displayName": "x"}),
        "node.invoke" => json!({"ok": true, "nodeId": "n1", "payload": {"bins": {}}}),
        "system-presence" => json!([{"host": "box", "mode": "gateway"}]),
        "agent" => json!({"runId": "r", "status": "ok", "result": {"payloads": [{"text": "Hello."}]}}),
        other => return Err(json!({"code": "INVALID_REQUEST", "message": format!("unknown method: {other}")})),
    })
}

#[test]
fn the_version_and_the_help_are_results() {
    let version = openclaw(&["--version"], 1);
    assert_eq!((version.status, version.out.as_str()), (0, "openclaw 0.1.0\n"));
    for args in [&["--help"][..], &["help"], &[], &["-h", "--bogus"]] {
        let help = openclaw(args, 1);
        assert_eq!((help.status, help.err.as_str()), (0, ""), "{args:?}");
        for (words, command) in leaves() {
            let line = help.out.lines().find(|line| line.trim_start().starts_with(&format!("{words} ")));
            assert!(line.is_some_and(|line| line.ends_with(command.description)), "{words}: {}", help.out);
        }
    }
    for (words, command) in leaves() {
        let args: Vec<&str> = words.split(' ').chain(["--help"]).collect();
        let help = openclaw(&args, 1);
        assert_eq!(help.status, 0, "{words}");
        for flag in command.flags {
            assert!(help.out.contains(flag.long), "{words} --help does not name {}", flag.long);
        }
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_so_on_stderr() {
    let cases: &[&[&str]] = &[
        &["bogus"],
        &["status", "--bogus"],
        &["status", "--timeout"],
        &["status", "--timeout", "soon"],
        &["status", "--timeout", "0"],
        &["status", "--port", "70000"],
        &["status", "--url", "ws://127.0.0.1:1"],
        &["status", "--url", "ws://127.0.0.1:1", "--port", "1"],
        &["gateway", "call"],
        &["gateway", "call", "x", "--params", "[1]"],
        &["gateway", "call", "x", "--params", "{"],
        &["gateway", "status", "--no-probe", "--require-rpc"],
        &["gateway", "--bind", "moon"],
        &["gateway", "--auth", "magic"],
        &["agent"],
        &["agent", "--message", " "],
        &["agent", "--message", "x", "--session-key", ""],
        &["sessions", "--limit", "0"],
        &["channels"],
        &["--log-level", "loud", "status"],
        &["--profile", "../x", "config", "path"],
        &["--dev", "--profile", "work", "config", "path"],
    ];
    for args in cases {
        let ran = openclaw(args, 1);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    }
}

#[test]
fn with_json_a_failure_is_json_too() {
    let port = silence();
    for (args, kind, status) in [
        (&["health", "--json"][..], "gateway_transport_error", 1),
        (&["health", "--json", "--bogus"], "cli_error", 2),
        (&["nonsense", "--json"], "cli_error", 2),
    ] {
        let ran = openclaw(args, port);
        assert_eq!(
            (ran.status, &ran.json()["ok"], &ran.json()["error"]["type"]),
            (status, &json!(false), &json!(kind))
        );
    }
}

#[test]
fn nobody_there_is_told_with_the_target_and_how_it_was_found() {
    let port = silence();
    let ran = openclaw(&["health"], port);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines[0].starts_with("error: gateway connect failed: "), "{}", ran.err);
    assert_eq!(lines[1], format!("Gateway target: ws://127.0.0.1:{port}"));
    assert_eq!(lines[2], "Source: local loopback");
    assert!(lines[3].starts_with("Config: /") && lines[3].ends_with("openclaw.json"));
    assert_eq!(lines[4], "Bind: loopback");
}

#[test]
fn a_refusal_quotes_the_gateway_and_gives_no_secret_away() {
    let fake = Fake::start(1, |peer| {
        peer.challenge();
        let connect = peer.request().expect("connect");
        assert_eq!(connect["params"]["auth"]["token"], SECRET);
        peer.say(&json!({"type": "res", "id": connect["id"], "ok": false, "error": {"code": "INVALID_REQUEST",
            "message": "unauthorized: gateway token mismatch", "details": {"code": "AUTH_TOKEN_MISMATCH"}}}));
        peer.close(1008, "unauthorized: gateway token mismatch");
    });
    let ran = openclaw(&["sessions"], port_of(&fake));
    assert_eq!(ran.status, 1);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines[0], "error: gateway connect failed: unauthorized: gateway token mismatch");
    assert_eq!(lines[1], "gateway closed (1008 policy violation): unauthorized: gateway token mismatch");
    assert!(lines[2].starts_with("Gateway target: ") && ran.err.contains("OPENCLAW_GATEWAY_TOKEN"));
    assert!(!ran.err.contains(SECRET));
}

#[test]
fn a_gateway_that_is_starting_is_asked_again() {
    let fake = Fake::start(2, {
        let first = std::sync::atomic::AtomicBool::new(true);
        move |peer| {
            if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                peer.challenge();
                let connect = peer.request().expect("connect");
                peer.say(&json!({"type": "res", "id": connect["id"], "ok": false, "error": {"code": "UNAVAILABLE",
                    "message": "gateway starting; retry shortly", "retryable": true, "retryAfterMs": 1}}));
                return peer.close(1013, "gateway starting");
            }
            peer.greet();
            let asked = peer.request().expect("health");
            peer.say(&json!({"type": "res", "id": asked["id"], "ok": true, "payload": {"ok": true}}));
            peer.request();
        }
    });
    let ran = openclaw(&["gateway", "health"], port_of(&fake));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Gateway Health: OK ("));
}

#[test]
fn json_output_is_nothing_but_json() {
    let commands: &[(&[&str], usize)] = &[
        (&["health", "--json"], 1),
        (&["health", "--json", "--verbose"], 1),
        (&["status", "--json"], 1),
        (&["gateway", "status", "--json"], 1),
        (&["gateway", "status", "--json", "--require-rpc"], 2),
        (&["gateway", "status", "--json", "--no-probe"], 0),
        (&["protocol", "coverage", "--json"], 0),
        (&["gateway", "health", "--json"], 1),
        (&["gateway", "probe", "--json"], 1),
        (&["gateway", "call", "status", "--json"], 1),
        (&["agent", "-m", "hi", "--json"], 1),
        (&["sessions", "--json"], 1),
        (&["channels", "status", "--json"], 1),
        (&["models", "list", "--json"], 1),
        (&["system", "presence"], 1),
        (&["devices", "--json"], 1),
        (&["devices", "approve", "q1", "--json"], 2),
        (&["devices", "reject", "q1", "--json"], 1),
        (&["devices", "remove", "d2", "--json"], 1),
        (&["devices", "rename", "--device", "d2", "--name", "x", "--json"], 1),
        (&["devices", "rotate", "--device", "d2", "--role", "node", "--json"], 1),
        (&["devices", "revoke", "--device", "d2", "--role", "node", "--json"], 1),
        (&["devices", "clear", "--yes", "--json"], 1),
        (&["nodes", "--json"], 1),
        (&["nodes", "list", "--json"], 1),
        (&["nodes", "pending", "--json"], 1),
        (&["nodes", "describe", "--node", "attic", "--json"], 1),
        (&["nodes", "approve", "q1", "--json"], 2),
        (&["nodes", "reject", "q1", "--json"], 1),
        (&["nodes", "remove", "--node", "n1", "--json"], 1),
        (&["nodes", "rename", "--node", "n1", "--name", "x", "--json"], 1),
        (&["nodes", "invoke", "--node", "attic", "--command", "system.which", "--json"], 1),
        (&["nodes", "notify", "--node", "attic", "--title", "hi", "--json"], 1),
        (&["qr", "--json"], 1),
        (&["config", "path", "--json"], 0),
    ];
    for (args, connections) in commands {
        let fake = Fake::polite(*connections, answers);
        let ran = openclaw(args, port_of(&fake));
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(ran.json().is_object() || ran.json().is_array(), "{args:?}");
    }
}

#[test]
fn people_read_short_aligned_text() {
    let table: &[(&[&str], usize, &[&str])] = &[
        (
            &["health"],
            1,
            &[
                "Gateway: ok (3 ms)",
                "Telegram: running",
                "Agent: main: 1 sessions, heartbeat off",
                "  agent:main:main (1m ago)",
            ],
        ),
        (&["status"], 1, &["Process: pid 77, up 2m, 6.4 MB", "Model: p/m", "Sessions: 1", "Channel Telegram: running"]),
        (&["sessions"], 1, &["Key              Kind    Age  Model  Tokens  State", "agent:main:main  direct  1m"]),
        (
            &["models"],
            1,
            &["Model  Input  Context  Local  Available  Tags", "p/m    text   128k     yes    yes        default"],
        ),
        (&["channels", "status"], 1, &["- Telegram default: stopped, last error: bad[31m token"]),
        (&["agent", "--message", "hi"], 1, &["Hello."]),
        (
            &["devices"],
            1,
            &[
                "Device  Name   Roles  Scopes  Seen       Tokens",
                "d2      phone  node           connected  node (revoked)",
            ],
        ),
        (&["devices", "approve"], 2, &["Approved d1"]),
        (&["devices", "clear", "--yes"], 1, &["Rejected 1, removed 1"]),
        (&["qr", "--setup-code-only"], 1, &["eyJ1cmwiOiJ3czovL2d3In0"]),
        (&["qr"], 1, &["Setup code: eyJ1cmwiOiJ3czovL2d3In0", "Link (good once): http://gw:1/j/abc", "Access: full"]),
        (&["logs", "--utc"], 1, &["2026-11-22T08:35:31.000+00:00 info  [gateway] ready"]),
        (&["gateway", "probe"], 1, &["Reachable: yes", "Capability: read-only", "Read probe: ok"]),
        (
            &["gateway", "status"],
            1,
            &[
                "Service: not installed",
                "Runtime: running",
                "Connectivity probe: ok",
                "Capability: read-only",
                "Version: 9.9.9",
            ],
        ),
        (&["gateway", "status", "--require-rpc"], 2, &["Runtime: running (pid 77)", "RPC probe: ok"]),
        (
            &["protocol", "coverage", "--lacking"],
            0,
            &[
                "message.action                           partial  Only `send`; in which turn it was asked for is not looked at.",
                "connect                                  absent   The handshake itself; it is answered before the table is asked.",
            ],
        ),
    ];
    for (args, connections, wanted) in table {
        let fake = Fake::polite(*connections, answers);
        let ran = openclaw(args, port_of(&fake));
        assert_eq!(ran.status, 0, "{args:?}: {}", ran.err);
        for line in *wanted {
            assert!(ran.out.lines().any(|got| got == *line), "{args:?} lacks {line:?}:\n{}", ran.out);
        }
    }
}

#[test]
fn status_of_a_stopped_gateway_is_a_report_unless_rpc_is_required() {
    let port = silence();
    let ran = openclaw(&["gateway", "status"], port);
    assert_eq!(ran.status, 0);
    for line in [
        "Runtime: stopped",
        "Connectivity probe: failed",
        &format!("Probe target: ws://127.0.0.1:{port}"),
        &format!("Dashboard: http://127.0.0.1:{port}/"),
    ] {
        assert!(ran.out.lines().any(|got| got == line), "{line}:\n{}", ran.out);
    }
    assert!(ran.out.lines().any(|line| line.starts_with("Config (cli): ") && line.ends_with(" (missing)")));
    assert_eq!(openclaw(&["gateway", "status", "--require-rpc"], port).status, 1);
    assert_eq!(openclaw(&["gateway", "probe"], port).status, 1);
    let json = openclaw(&["gateway", "status", "--json"], port).json();
    assert_eq!(json["service"]["runtime"]["status"], "stopped");
    assert_eq!(json["rpc"]["ok"], false);
    assert_eq!(openclaw(&["status"], port).status, 0);
    assert_eq!(openclaw(&["status", "--json"], port).json()["gateway"]["reachable"], false);
    let channels = openclaw(&["channels", "status"], port);
    assert!(channels.status == 0 && channels.out.contains("No channels are configured."));
}

#[test]
fn each_command_asks_for_the_least_scopes() {
    let table: &[(&[&str], &str, &[&str])] = &[
        (&["health"], "cli/cli", &["operator.read"]),
        (&["sessions"], "cli/cli", &["operator.read"]),
        (&["agent", "-m", "hi"], "cli/cli", &["operator.write"]),
        (&["agent", "-m", "/reset"], "cli/cli", &["operator.admin"]),
        (&["logs"], "gateway-client/backend", &["operator.read"]),
        (&["models"], "gateway-client/backend", &["operator.read"]),
        (&["devices"], "cli/cli", &["operator.pairing"]),
        (&["devices", "remove", "d2"], "cli/cli", &["operator.pairing"]),
        (
            &["devices", "rotate", "--device", "d2", "--role", "node"],
            "cli/cli",
            &["operator.pairing", "operator.admin"],
        ),
        (&["qr"], "cli/cli", &["operator.admin"]),
        (&["gateway", "status"], "cli/probe", &["operator.read"]),
        (&["gateway", "call", "status"], "cli/cli", &["operator.read"]),
    ];
    for (args, client, scopes) in table {
        let seen = Arc::new(Mutex::new(Value::Null));
        let fake = Fake::start(1, {
            let seen = seen.clone();
            move |peer| {
                *seen.lock().expect("whole") = peer.greet();
                while let Some(asked) = peer.request() {
                    let payload = answers(asked["method"].as_str().expect("a method"), &Value::Null).expect("known");
                    peer.say(&json!({"type": "res", "id": asked["id"], "ok": true, "payload": payload}));
                }
            }
        });
        assert_eq!(openclaw(args, port_of(&fake)).status, 0, "{args:?}");
        drop(fake);
        let connect = seen.lock().expect("whole").take();
        let id =
            format!("{}/{}", connect["client"]["id"].as_str().unwrap(), connect["client"]["mode"].as_str().unwrap());
        assert_eq!((id.as_str(), &connect["scopes"]), (*client, &json!(scopes)), "{args:?}");
    }
}

#[test]
fn a_turn_that_failed_fails_the_command_after_its_output() {
    for (status, code) in [("ok", 0), ("error", 1), ("timeout", 1)] {
        let fake = Fake::polite(2, move |_, params| {
            assert!(params["idempotencyKey"].as_str().is_some_and(|key| key.len() == 36));
            assert_eq!((&params["sessionKey"], &params["timeout"]), (&json!("agent:main:x"), &json!(5)));
            Ok(json!({"status": status, "summary": "why", "result": {"payloads": [{"text": "partial"}]}}))
        });
        let args = ["agent", "-m", "hi", "--session-key", "agent:main:x", "--timeout", "5"];
        let ran = openclaw(&args, port_of(&fake));
        assert_eq!((ran.status, ran.out.as_str()), (code, "partial\n"), "{}", ran.err);
        let json = openclaw(&[&args[..], &["--json"]].concat(), port_of(&fake));
        assert_eq!((json.status, &json.json()["status"]), (code, &json!(status)));
    }
}

#[test]
fn all_sessions_are_fetched_page_by_page() {
    let fake = Fake::polite(1, |_, params| {
        let offset = params["offset"].as_u64().unwrap_or_default();
        Ok(json!({"totalCount": 3, "hasMore": offset < 2, "sessions": [{"key": format!("k{offset}")}]}))
    });
    let all = openclaw(&["sessions", "list", "--limit", "all", "--json"], port_of(&fake)).json();
    assert_eq!((&all["count"], &all["sessions"][2]["key"], &all["hasMore"]), (&json!(3), &json!("k2"), &json!(false)));
}

#[test]
fn a_reader_that_leaves_ends_following_with_success() {
    /// Takes one write, then the pipe is closed.
    struct Pipe(u8);
    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let fake = Fake::polite(1, answers);
    let mut err = Vec::new();
    let status = onto(&mut Pipe(4), &mut err, &["logs", "--follow", "--interval", "100"], port_of(&fake), &[]);
    assert_eq!((status, String::from_utf8_lossy(&err).as_ref()), (0, ""));
}

#[test]
fn log_lines_as_json_are_one_record_each() {
    let fake = Fake::polite(1, answers);
    let ran = openclaw(&["logs", "--json"], port_of(&fake));
    let records: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&records[0]["type"], &records[1]["type"]), (&json!("meta"), &json!("log")));
    assert_eq!(records[1]["message"], "ready");
}

#[test]
fn without_a_gateway_the_last_log_file_is_read_but_not_followed() {
    let dir = crate::sys::scratch::dir("cli-logs");
    let (config, log) = (dir.join("openclaw.json"), dir.join("x.log"));
    std::fs::write(&log, "one\ntwo\nthree\n").expect("written");
    std::fs::write(&config, format!("{{logging: {{file: {:?}}}}}", log.display())).expect("written");
    let env = [("OPENCLAW_CONFIG_PATH", config.to_str().expect("UTF-8"))];
    let ran = with_env(&["logs", "--limit", "2"], silence(), &env);
    assert_eq!((ran.status, ran.out.as_str()), (0, "two\nthree\n"), "{}", ran.err);
    assert!(ran.err.starts_with("[logs] gateway connect failed: "));
    let elsewhere = ["logs", "--url", &format!("ws://127.0.0.1:{}", silence()), "--token", "t"];
    assert_eq!(with_env(&elsewhere, 1, &env).status, 1);
}

#[test]
fn a_broken_configuration_is_reported_and_nothing_stops_working() {
    let config = crate::sys::scratch::dir("cli-broken").join("openclaw.json");
    std::fs::write(&config, "{gateway: {port: ").expect("written");
    let env = [("OPENCLAW_CONFIG_PATH", config.to_str().expect("UTF-8"))];
    let status = with_env(&["gateway", "status"], silence(), &env);
    assert!(status.status == 0 && status.out.contains("openclaw.json (invalid)"), "{}", status.out);
    assert!(status.err.starts_with("Config issue: "), "{}", status.err);
    let health = with_env(&["health"], silence(), &env);
    assert!(
        health.err.lines().any(|line| line.starts_with("Config: ") && line.contains("(invalid: ")),
        "{}",
        health.err
    );
}

#[test]
fn an_rpc_error_is_told_with_its_code() {
    let fake = Fake::polite(1, answers);
    let ran = openclaw(&["gateway", "call", "no.such"], port_of(&fake));
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_eq!(ran.err, "error: no.such failed: unknown method: no.such (INVALID_REQUEST)\n");
}

#[test]
fn the_flags_of_the_gateway_arrive_and_its_refusal_is_78() {
    fn check(options: &GatewayOptions, _: &Env) -> Result<(), Failure> {
        assert_eq!(
            (options.port, options.bind, options.auth),
            (Some(7), Some(BindMode::Lan), Some(AuthMode::Password))
        );
        assert!(options.force && options.allow_unconfigured && options.dev && options.verbose && options.selector.dev);
        assert_eq!(options.password.as_ref().map(|secret| secret.expose()), Some("p"));
        assert!(options.token.is_none(), "an empty flag is no token");
        Err(Failure::config("refusing to bind gateway"))
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = Env::from_iter([("HOME", "/nowhere")]);
    let mut shell =
        Shell { out: &mut out, err: &mut err, env, selector: Selector::default(), log_level: None, colour: false };
    let args = "gateway --port=7 --bind lan --auth password --password p --token= --force --allow-unconfigured --dev --verbose";
    assert_eq!(run(args.split(' ').map(OsString::from), &mut shell, check), 78);
    assert_eq!(String::from_utf8(err).expect("UTF-8"), "error: refusing to bind gateway\n");
    assert_eq!(openclaw(&["gateway"], 1).status, 78);
}

#[test]
fn the_profile_chooses_the_configuration() {
    let path = |args: &[&str]| openclaw(args, 1).out.trim_end().to_owned();
    assert!(path(&["config", "path"]).ends_with("/.openclaw/openclaw.json"));
    assert!(path(&["--dev", "config", "path"]).ends_with("/.openclaw-dev/openclaw.json"));
    assert!(path(&["config", "file", "--profile", "work"]).ends_with("/.openclaw-work/openclaw.json"));
}

/// Every command that does something, by its words.
pub fn leaves() -> Vec<(String, CommandInfoWithArgs)> {
    fn walk(words: &str, command: CommandInfoWithArgs, into: &mut Vec<(String, CommandInfoWithArgs)>) {
        if command.commands.is_empty() {
            return into.push((words.to_owned(), command));
        }
        for sub in command.commands {
            walk(&format!("{words} {}", sub.name), sub.command, into);
        }
    }
    let mut all = Vec::new();
    Cli::get_args_info().commands.into_iter().for_each(|sub| walk(sub.name, sub.command, &mut all));
    all
}

const SECRET: &str = "correct-horse-battery";

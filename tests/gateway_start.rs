//! Starting and stopping: which port and address win, what refuses to start and how it says so, how it ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::gateway::{self, TOKEN, config_path, free_port};
use crate::support::scratch::Scratch;
use crate::support::{Answer, Gateway, Upstream, Ws, wait, ws};

/// Configuration errors, refused binds and taken ports: what supervisors are told not to restart.
const EX_CONFIG: Option<i32> = Some(78);

/// An idle gateway has nothing to wait for. The promise is 500 ms; the rest is for a busy test machine.
const IDLE_STOP: Duration = Duration::from_secs(3);

#[test]
fn the_port_flag_wins_over_the_environment_and_the_file() {
    let (flag, env, file) = (free_port(), free_port(), free_port());
    let config = json!({ "gateway": { "port": file } });
    let by_flag = Gateway::with(config.clone()).port(flag).env("OPENCLAW_GATEWAY_PORT", &env.to_string()).start();
    assert_eq!(by_flag.get("/healthz").status, 200);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, env)).is_err(), "the environment's port is left alone");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, file)).is_err(), "the file's port is left alone");
}

#[test]
fn the_environments_port_wins_over_the_file() {
    let (env, file) = (free_port(), free_port());
    let setup = Gateway::with(json!({ "gateway": { "port": file } }));
    let by_env = setup.without_port_flag(env).env("OPENCLAW_GATEWAY_PORT", &env.to_string()).start();
    assert_eq!(by_env.get("/healthz").status, 200);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, file)).is_err(), "the file's port is left alone");
}

#[test]
fn the_files_port_is_used_when_nothing_else_names_one() {
    let file = free_port();
    let by_file = Gateway::with(json!({ "gateway": { "port": file } })).without_port_flag(file).start();
    assert_eq!(by_file.get("/healthz").status, 200);
}

#[test]
fn a_flag_and_its_value_may_be_joined_by_an_equals_sign() {
    let port = free_port();
    let gateway = Gateway::with(json!({})).without_port_flag(port).arg(&format!("--port={port}")).start();
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn run_is_another_way_to_say_gateway() {
    let port = free_port();
    let gateway = Gateway::with(json!({})).without_port_flag(port).arg("run").arg(&format!("--port={port}")).start();
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn loopback_is_the_default_bind_in_both_address_families() {
    let gateway = Gateway::start(json!({}));
    assert_eq!(listeners(gateway.port), vec![SocketAddr::from((Ipv4Addr::LOCALHOST, gateway.port))]);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, gateway.port)).is_ok(), "::1 is served, too");
    }
}

#[test]
fn lan_listens_everywhere_and_the_flag_takes_it_back() {
    let lan = json!({ "gateway": { "bind": "lan" } });
    let wide = Gateway::start(lan.clone());
    assert_eq!(listeners(wide.port), vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, wide.port))]);
    wide.says("listening beyond this host (");
    let narrow = Gateway::with(lan).arg("--bind").arg("loopback").start();
    assert_eq!(listeners(narrow.port), vec![SocketAddr::from((Ipv4Addr::LOCALHOST, narrow.port))]);
    assert!(!narrow.log().contains("listening beyond this host"), "{}", narrow.log());
}

#[test]
fn a_custom_host_is_listened_on() {
    let port = free_port();
    let config = json!({ "gateway": { "bind": "custom", "customBindHost": "127.0.0.2" } });
    let mut gateway = Gateway::with(config).spawn(Scratch::new(), port);
    wait::until("127.0.0.2 is served", || {
        assert!(gateway.is_running(), "it ended: {}", gateway.log());
        crate::support::raw::try_get(([127, 0, 0, 2], port).into(), "/healthz").filter(|reply| reply.status == 200)
    });
}

#[test]
fn beyond_loopback_it_does_not_start_without_auth() {
    for auth in [json!(null), json!({ "mode": "none" })] {
        let mut config = json!({ "gateway": { "mode": "local", "bind": "lan" } });
        if !auth.is_null() {
            config["gateway"]["auth"] = auth;
        }
        let port = free_port();
        let ended = Gateway::exactly(config).port(port).refused();
        assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
        let words = format!(
            "refusing to bind gateway to 0.0.0.0:{port} without auth (set gateway.auth.token/password, or set \
             OPENCLAW_GATEWAY_TOKEN/OPENCLAW_GATEWAY_PASSWORD"
        );
        assert!(ended.output.contains(&words), "{}", ended.output);
    }
}

#[test]
fn a_port_served_by_another_gateway_is_left_to_it() {
    let first = Gateway::start(json!({}));
    let began = Instant::now();
    let second = Gateway::with(json!({})).port(first.port).refused();
    assert_eq!(second.code, EX_CONFIG, "{}", second.output);
    let words = format!(
        "another gateway instance is already listening on ws://127.0.0.1:{} (pid {}, profile default)",
        first.port,
        first.pid()
    );
    assert!(second.output.contains(&words), "{}", second.output);
    assert!(began.elapsed() < Duration::from_secs(5), "a healthy owner is found at once");
    assert_eq!(first.get("/healthz").status, 200, "the first one did not notice");
}

#[test]
fn a_port_taken_by_another_program_is_named_with_the_cause() {
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).expect("take a port");
    let port = stranger.local_addr().expect("it is bound").port();
    let ended = Gateway::with(json!({})).port(port).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    let words = format!("failed to bind gateway socket on ws://127.0.0.1:{port}: ");
    assert!(ended.output.contains(&words), "{}", ended.output);
}

#[test]
fn a_state_directory_has_one_gateway() {
    let first = Gateway::with(json!({})).env("OPENCLAW_PROFILE", "work").start();
    let state = first.state_dir();
    let second = Gateway::with(json!({})).env("OPENCLAW_STATE_DIR", &state.display().to_string()).refused();
    assert_eq!(second.code, EX_CONFIG, "{}", second.output);
    let words = format!("gateway already running (pid {}); lock timeout after ", first.pid());
    assert!(second.output.contains(&words), "{}", second.output);
    let whose = format!("(state directory {}, profile work)", state.display());
    assert!(second.output.contains(&whose), "{}", second.output);
}

#[test]
fn without_a_configuration_it_says_how_to_make_one() {
    let ended = Gateway::unconfigured().refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    let words = "Missing config. Run `openclaw setup` or set gateway.mode=local (or pass --allow-unconfigured).";
    assert!(ended.output.contains(words), "{}", ended.output);
}

#[test]
fn without_a_configuration_it_starts_when_told_to() {
    let gateway = Gateway::unconfigured().arg("--allow-unconfigured").start();
    assert_eq!(gateway.get("/healthz").status, 200);
    assert_ne!(gateway.get("/v1/models").status, 200, "nothing is open to everybody");
}

#[test]
fn a_configuration_for_a_remote_gateway_starts_none_here() {
    let ended = Gateway::with(json!({ "gateway": { "mode": "remote" } })).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    let words = "Gateway start blocked: set gateway.mode=local (current: remote) or pass --allow-unconfigured.";
    assert!(ended.output.contains(words), "{}", ended.output);
}

#[test]
fn a_configuration_without_a_mode_is_damaged() {
    let ended = Gateway::exactly(json!({ "gateway": { "auth": { "mode": "token", "token": TOKEN } } })).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    assert!(ended.output.contains("existing config is missing gateway.mode"), "{}", ended.output);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_file_stays_as_it_is() {
    let home = Scratch::new();
    let text = "{\n  gateway: {\n    mode: 'local',\n    // a comment\n    prot: 1,\n  },\n}\n";
    write_config(&home, text);
    let path = config_path(home.path());
    let before = (std::fs::metadata(&path).expect("it is there").ino(), text.to_owned());
    // `refused` would remove the home before the file can be looked at.
    let mut gateway = Gateway::with(json!({})).spawn(home, free_port());
    let status = gateway.ended();
    assert_eq!(status.code(), EX_CONFIG, "{}", gateway.log());
    gateway.says(&format!("Invalid config at {}:", path.display()));
    gateway.says("openclaw.json:5 — gateway: Unrecognized key: \"prot\"");
    gateway.says("Run \"openclaw doctor --fix\" to repair, then retry.");
    let after = std::fs::read_to_string(&path).expect("it is still there");
    assert_eq!((std::fs::metadata(&path).expect("it is there").ino(), after), before);
}

#[test]
fn text_that_is_no_json5_is_named_with_its_place() {
    let home = Scratch::new();
    write_config(&home, "{\n  gateway: {\n    mode: 'local',,\n  },\n}\n");
    let ended = Gateway::with(json!({})).home(home).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    assert!(ended.output.contains("Invalid config at "), "{}", ended.output);
    assert!(ended.output.contains("openclaw.json:3"), "{}", ended.output);
}

#[test]
fn a_start_does_not_touch_the_configuration() {
    let mut gateway = Gateway::start(json!({}));
    let look = |gateway: &Gateway| {
        let meta = std::fs::metadata(gateway.config_path()).expect("it is there");
        (meta.ino(), meta.mtime_nsec(), std::fs::read(gateway.config_path()).expect("it can be read"))
    };
    let before = look(&gateway);
    gateway.operator().ok("health", json!({}));
    assert!(gateway.stop().success());
    assert_eq!(look(&gateway), before);
}

#[test]
fn tokens_that_are_no_secret_are_refused() {
    for token in ["", "   ", "undefined", "null"] {
        let ended = Gateway::with(json!({ "gateway": { "auth": { "token": token } } })).refused();
        assert_eq!(ended.code, EX_CONFIG, "token {token:?}: {}", ended.output);
    }
}

#[test]
fn a_token_may_come_from_the_environment_or_the_flag() {
    let secret = "another-secret-0123456789abcdef-0123";
    let bare = json!({ "gateway": { "mode": "local" } });
    let by_env = Gateway::exactly(bare.clone()).env("OPENCLAW_GATEWAY_TOKEN", secret).start();
    let by_flag = Gateway::exactly(bare).arg("--token").arg(secret).start();
    for gateway in [by_env, by_flag] {
        let mut params = ws::backend(&["operator.read"]);
        params["auth"]["token"] = secret.into();
        let hello = Ws::open(gateway.addr()).hello(params);
        assert_eq!(hello["auth"]["method"], "token");
        assert!(!gateway.log().contains(secret), "the secret is in the log");
    }
}

#[test]
fn a_password_may_come_from_the_flag() {
    let secret = "a password, with spaces in it";
    let bare = json!({ "gateway": { "mode": "local" } });
    let gateway = Gateway::exactly(bare).arg("--auth").arg("password").arg("--password").arg(secret).start();
    let mut params = ws::backend(&["operator.read"]);
    params["auth"] = json!({ "password": secret });
    assert_eq!(Ws::open(gateway.addr()).hello(params)["auth"]["method"], "password");
    assert!(!gateway.log().contains(secret), "the secret is in the log");
}

#[test]
fn force_ends_the_listener_and_says_so() {
    let mut first = Gateway::start(json!({}));
    let second = Gateway::with(json!({})).port(first.port).arg("--force").start();
    first.ended();
    second.says(&format!("force: killed pid {} on port {}", first.pid(), first.port));
    assert_eq!(second.get("/healthz").status, 200);
}

#[test]
fn force_on_a_free_port_kills_nobody() {
    let gateway = Gateway::with(json!({})).arg("--force").start();
    assert!(!gateway.log().contains("force: killed"), "{}", gateway.log());
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let ended = Gateway::with(json!({})).arg("--no-such-flag").refused();
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert!(ended.output.contains("--no-such-flag"), "{}", ended.output);
}

#[test]
fn a_port_that_is_no_port_is_a_usage_error() {
    for port in ["70000", "-1", "http"] {
        let setup = Gateway::with(json!({})).without_port_flag(free_port()).arg(&format!("--port={port}"));
        let ended = setup.refused();
        assert_eq!(ended.code, Some(2), "--port={port}: {}", ended.output);
    }
}

#[test]
fn the_log_tells_the_phases_of_a_start() {
    let gateway = Gateway::start(json!({}));
    for words in ["loading configuration", "resolving authentication", "starting...", "ready"] {
        gateway.says(words);
    }
}

#[test]
fn verbose_says_more() {
    let quiet = Gateway::start(json!({}));
    let loud = Gateway::with(json!({})).arg("--verbose").start();
    for gateway in [&quiet, &loud] {
        gateway.operator().ok("health", json!({}));
    }
    wait::until("the verbose log is longer", || (loud.log().len() > quiet.log().len()).then_some(()));
}

#[test]
fn a_stop_is_announced_and_closes_with_1012() {
    let mut gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let began = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(client.event("shutdown")["payload"], json!({ "reason": "gateway stopping" }));
    assert_eq!(client.closed(), (1012, "service restart".to_owned()));
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
    assert!(began.elapsed() < IDLE_STOP, "an idle stop took {:?}", began.elapsed());
    gateway.says("received SIGTERM; shutting down");
    gateway.says("[shutdown] completed cleanly in ");
}

#[test]
fn an_interrupt_stops_it_as_well() {
    let mut gateway = Gateway::start(json!({}));
    gateway.signal(Signal::INT);
    assert_eq!(gateway.ended().code(), Some(0), "{}", gateway.log());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let upstream = Upstream::script([Answer::Silent]);
    let mut gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    client.ok("chat.send", json!({ "sessionKey": "main", "message": "hold on", "idempotencyKey": "run-1" }));
    upstream.wait_asked(1);
    gateway.signal(Signal::TERM);
    gateway.says("shutting down");
    let began = Instant::now();
    if gateway.is_running() {
        gateway.signal(Signal::TERM);
    }
    gateway.ended();
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

#[test]
fn a_stop_with_a_silent_upstream_ends_within_its_budget() {
    let upstream = Upstream::script([Answer::Silent]);
    let mut gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    client.ok("chat.send", json!({ "sessionKey": "main", "message": "hold on", "idempotencyKey": "run-1" }));
    upstream.wait_asked(1);
    assert_eq!(gateway.stop().code(), Some(0), "{}", gateway.log());
}

#[test]
fn the_same_port_serves_again_after_a_stop() {
    let mut first = Gateway::start(json!({}));
    let mut client = first.operator();
    assert!(first.stop().success());
    // The gateway closed first: its side of this connection now sits in TIME_WAIT on the port.
    client.closed();
    let port = first.port;
    let second = Gateway::with(json!({})).home(first.kill()).port(port).start();
    assert_eq!(second.get("/healthz").status, 200);
}

#[test]
fn the_state_directory_is_for_its_owner_only() {
    let gateway = Gateway::start(json!({}));
    for entry in walk(&gateway.state_dir()) {
        if entry == gateway.config_path() || entry == gateway.state_dir() {
            // Made by the test, not by the gateway.
            continue;
        }
        let mode = std::fs::metadata(&entry).expect("it is there").mode() & 0o077;
        assert_eq!(mode, 0, "{} is open to others: {mode:o}", entry.display());
    }
}

#[test]
fn version_and_help_need_nothing() {
    let home = Scratch::new();
    let version = gateway::run(home.path(), &["--version"], &[]);
    assert!(version.status.success());
    let text = String::from_utf8(version.stdout).expect("a version is text");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text:?}");
    for args in [&["--help"][..], &["gateway", "--help"], &["gateway", "status", "--help"]] {
        let help = gateway::run(home.path(), args, &[]);
        assert!(help.status.success(), "{args:?}: {help:?}");
        assert!(!help.stdout.is_empty(), "{args:?} says nothing");
    }
    assert!(std::fs::read_dir(home.path()).expect("the home is there").next().is_none(), "nothing is created");
}

/// Where something listens on this port, from the kernel's table of IPv4 sockets.
fn listeners(port: u16) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("read the table of sockets");
    let mut found = Vec::new();
    for row in table.lines().skip(1) {
        let mut columns = row.split_whitespace().skip(1);
        let (Some(local), Some(state)) = (columns.next(), columns.nth(1)) else { continue };
        let Some((ip, hex)) = local.split_once(':') else { continue };
        if state == LISTEN && u16::from_str_radix(hex, 16) == Ok(port) {
            let ip = u32::from_str_radix(ip, 16).expect("an address is hexadecimal");
            found.push((Ipv4Addr::from(ip.to_ne_bytes()), port).into());
        }
    }
    found
}

fn write_config(home: &Scratch, text: &str) {
    let path = config_path(home.path());
    std::fs::create_dir_all(path.parent().expect("it lies in the state directory")).expect("create it");
    std::fs::write(path, text).expect("write the configuration");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            found.extend(std::fs::read_dir(path).expect("read a folder").flatten().map(|entry| entry.path()));
        }
    }
    found
}

#[test]
fn the_systems_log_may_keep_the_log() {
    let dir = Scratch::new();
    let path = dir.path().join("log");
    let log = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    log.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let upstream = Upstream::friendly();
    let config = json!({ "logging": { "file": format!("syslog:{}", path.display()), "level": "debug" } });
    let mut gateway = Gateway::start(upstream.config_and(config));
    let mut line = [0; 9000];
    let heard = wait::until("the line that it is ready", || {
        let amount = log.recv(&mut line).expect("a line");
        let text = String::from_utf8_lossy(&line[..amount]).into_owned();
        text.ends_with("[gateway] ready").then_some(text)
    });
    // Facility daemon, severity info; then the time, as syslog(3) writes it.
    assert!(heard.starts_with("<30>") && heard.contains(&format!(" openclaw[{}]: ", gateway.pid())), "{heard}");
    let mut client = gateway.operator();
    let none = client.err("logs.tail", json!({}));
    assert!(none["message"].as_str().is_some_and(|text| text.contains("no log file")), "{none}");
    // A log that reads nothing any more holds nobody up.
    for n in 0..400 {
        client.call("health", json!({ "bogus": n })).expect_err("a wrong field");
    }
    drop(log);
    assert_eq!(client.ok("health", json!({}))["ok"], true);
    assert!(gateway.stop().success());
}

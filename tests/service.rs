//! The gateway as a service: what its manager hears, and what the commands make of a host, with a host that only records.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway};
use crate::support::scratch::Scratch;
use crate::support::talk::{SESSION, send};
use crate::support::{Answer, Upstream, wait};

/// A started gateway says something at once; a busy machine takes its time.
const HEAR: Duration = Duration::from_secs(30);

/// A host with systemd whose `systemctl` writes down its arguments and plays one answer.
struct Host {
    home: Scratch,
    path: String,
}

impl Host {
    fn new() -> Host {
        let home = Scratch::new();
        let bin = home.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(home.path().join("root/run/systemd/system")).unwrap();
        fs::create_dir_all(home.path().join(".openclaw")).unwrap();
        fs::write(home.path().join(".openclaw/openclaw.json"), "{gateway: {mode: 'local', port: 19321}}").unwrap();
        let record = home.path().join("record");
        let script = |answer: &str| format!("#!/bin/sh\necho \"${{0##*/}} $*\" >> {}\n{answer}\n", record.display());
        let show = "case \"$*\" in *show*) printf 'ActiveState=active\\nSubState=running\\nMainPID=4711\\n\
            UnitFileState=enabled\\nNRestarts=0\\nNeedDaemonReload=no\\n';; esac";
        for (name, answer) in [("systemctl", show), ("loginctl", "echo no")] {
            let path = bin.join(name);
            fs::write(&path, script(answer)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", bin.display());
        Host { home, path }
    }

    fn run(&self, args: &[&str], more: &[(&str, &str)]) -> (Option<i32>, String, String) {
        let root = self.home.path().join("root").display().to_string();
        let mut env = vec![("PATH", self.path.as_str()), ("OPENCLAW_SERVICE_ROOT", root.as_str())];
        // Blank is "not set": the profile decides where things are.
        env.extend([("OPENCLAW_STATE_DIR", ""), ("OPENCLAW_CONFIG_PATH", "")]);
        env.extend(more);
        let output = gateway::run(self.home.path(), args, &env);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn json(&self, args: &[&str]) -> Value {
        let (_, out, err) = self.run(args, &[]);
        serde_json::from_str(&out).unwrap_or_else(|bad| panic!("{bad}: {out}{err}"))
    }

    /// The commands since the last look.
    fn heard(&self) -> Vec<String> {
        let path = self.home.path().join("record");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    fn unit(&self) -> PathBuf {
        self.home.path().join(".config/systemd/user/openclaw-gateway.service")
    }
}

#[test]
fn a_service_is_installed_looked_at_stopped_and_removed() {
    let host = Host::new();
    assert_eq!(host.json(&["gateway", "status", "--no-probe", "--json"])["service"]["loaded"], false);
    let (code, out, err) = host.run(&["gateway", "install"], &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Installed the systemd user service openclaw-gateway.service"), "{out}");
    assert!(out.contains("sudo loginctl enable-linger"), "{out}");
    assert_eq!(
        host.heard()[..2],
        ["systemctl --user daemon-reload", "systemctl --user enable openclaw-gateway.service"]
    );
    let unit = fs::read_to_string(host.unit()).unwrap();
    assert!(unit.contains("gateway --port 19321\n") && unit.contains("Type=notify"), "{unit}");

    let status = host.json(&["gateway", "status", "--no-probe", "--json"]);
    assert_eq!(status["service"]["runtime"], json!({"status": "running", "pid": 4711}));
    assert_eq!(status["service"]["command"]["port"], 19321);
    assert_eq!(status["service"]["configAudit"]["ok"], true, "{status:#}");
    let (_, out, _) = host.run(&["gateway", "status", "--no-probe"], &[]);
    assert!(
        out.contains("Service: systemd user (enabled)\n") && out.contains("Runtime: running (pid 4711)\n"),
        "{out}"
    );

    assert_eq!(host.json(&["gateway", "start", "--json"])["result"], "already-running");
    host.heard();
    assert_eq!(host.json(&["gateway", "stop", "--disable", "--json"])["result"], "stopped");
    assert_eq!(host.heard(), ["systemctl --user disable --now openclaw-gateway.service"]);
    assert_eq!(host.json(&["gateway", "uninstall", "--json"])["result"], "uninstalled");
    assert!(!host.unit().exists());
    assert_eq!(host.json(&["gateway", "stop", "--json"])["result"], "not-installed");
    assert_eq!(host.run(&["gateway", "start"], &[]).0, Some(1));
}

#[test]
fn drift_is_shown_and_an_install_by_force_repairs_it() {
    let host = Host::new();
    assert_eq!(host.run(&["gateway", "install", "--port", "19322"], &[]).0, Some(0));
    let (_, out, _) = host.run(&["gateway", "status", "--no-probe"], &[]);
    assert!(
        out.contains("Service config issue: the service starts on port 19322, the configuration says 19321"),
        "{out}"
    );
    assert!(out.contains("Recommendation: openclaw gateway install --force"), "{out}");
    assert_eq!(host.json(&["gateway", "install", "--json"])["result"], "drifted");
    assert_eq!(host.json(&["gateway", "install", "--force", "--json"])["result"], "installed");
    let status = host.json(&["gateway", "status", "--no-probe", "--json"]);
    assert_eq!(status["service"]["configAudit"]["issues"], json!([]));
}

#[test]
fn a_service_of_the_host_keeps_a_second_one_away_and_deep_status_finds_it() {
    let host = Host::new();
    let dir = host.home.path().join("root/etc/systemd/system");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("openclaw-old.service"), "[Service]\nExecStart=/opt/openclaw gateway --port 19321\n").unwrap();
    let (code, _, err) = host.run(&["gateway", "install"], &[]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("System-level OpenClaw gateway service detected") && err.contains("systemctl disable --now"),
        "{err}"
    );
    assert!(host.heard().is_empty() && !host.unit().exists());
    let (_, out, _) = host.run(&["gateway", "status", "--no-probe"], &[]);
    assert!(!out.contains("Other gateway-like services"), "{out}");
    let (_, out, _) = host.run(&["gateway", "status", "--no-probe", "--deep"], &[]);
    assert!(out.contains("Other gateway-like services detected (best effort):"), "{out}");
    assert!(out.contains("Cleanup hint: sudo systemctl disable --now openclaw-old.service"), "{out}");
    let (code, _, err) = host.run(&["gateway", "install"], &[("OPENCLAW_SERVICE_REPAIR_POLICY", "external")]);
    assert_eq!(code, Some(1));
    assert!(err.contains("another supervisor owns this gateway"), "{err}");
}

#[test]
fn profiles_are_services_of_their_own() {
    let host = Host::new();
    fs::create_dir_all(host.home.path().join(".openclaw-ops")).unwrap();
    fs::write(host.home.path().join(".openclaw-ops/openclaw.json"), "{gateway: {mode: 'local', port: 19321}}").unwrap();
    assert_eq!(host.run(&["gateway", "install"], &[]).0, Some(0));
    let (code, _, err) = host.run(&["--profile", "ops", "gateway", "install"], &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("another gateway service starts on port 19321"), "{err}");
    assert_eq!(host.run(&["--profile", "ops", "gateway", "install", "--port", "19441"], &[]).0, Some(0));
    let unit = fs::read_to_string(host.home.path().join(".config/systemd/user/openclaw-gateway-ops.service")).unwrap();
    assert!(
        unit.contains("--port 19441\n") && unit.contains("OPENCLAW_PROFILE=ops") && unit.contains("/.openclaw-ops"),
        "{unit}"
    );
    let default = host.json(&["gateway", "status", "--no-probe", "--json"]);
    assert_eq!(default["service"]["unit"], "openclaw-gateway.service");
}

#[test]
fn the_manager_hears_that_the_gateway_is_ready_alive_and_stopping() {
    let place = Scratch::new();
    let socket = place.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(HEAR)).unwrap();
    let mut running =
        Gateway::with(json!({})).env("NOTIFY_SOCKET", socket.to_str().unwrap()).env("WATCHDOG_USEC", "3000000").start();
    let hear = || {
        let mut buffer = [0; 256];
        let count = manager.recv(&mut buffer).expect("the gateway says something in time");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    // The sockets, for the next process of the service.
    assert_eq!(hear(), "FDSTOREREMOVE=1\nFDNAME=openclaw");
    assert_eq!(hear(), "FDSTORE=1\nFDNAME=openclaw");
    assert!(hear().starts_with("READY=1\nSTATUS=listening on ws://127.0.0.1:"));
    assert_eq!(hear(), "WATCHDOG=1");
    assert_eq!(hear(), "WATCHDOG=1");
    running.stop();
    let last = std::iter::from_fn(|| Some(hear())).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1\nSTATUS=stopping"));
}

#[test]
fn a_command_of_the_agent_dies_with_a_killed_gateway() {
    let script = "echo $$ > pid.tmp && mv pid.tmp pid && exec sleep 600";
    let upstream = Upstream::script([Answer::Call { name: "exec", arguments: json!({ "command": script }) }]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    send(&mut client, SESSION, "go", "run-1");
    let file = gateway.workspace().join("pid");
    wait::until("the command runs", || file.exists().then_some(()));
    let pid = fs::read_to_string(file).unwrap().trim().to_owned();
    let runs = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(runs());
    let _home = gateway.kill();
    wait::until("the command is gone", || (!runs()).then_some(()));
}

//! What needs links, pipes, signals or a shell.

use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

#[test]
fn links_lead_nowhere_they_should_not() {
    let mut place = Place::new();
    fs::write(place.root.join("secret"), "s3cret").unwrap();
    fs::create_dir(place.root.join("dir")).unwrap();
    place.put("real.txt", "real");
    symlink(place.root.join("secret"), place.home().join("out")).unwrap();
    symlink(place.root.join("dir"), place.home().join("outdir")).unwrap();
    symlink("real.txt", place.home().join("in")).unwrap();
    symlink(place.root.join("gone"), place.home().join("dangling")).unwrap();
    symlink("loop", place.home().join("loop")).unwrap();

    place.limits.workspace_only = true;
    for path in ["out", "outdir/new", "in", "dangling", "loop", "outdir/../real.txt"] {
        assert!(place.run("read", json!({"path": path})).is_error, "{path}");
        assert!(place.run("write", json!({"path": path, "content": "y"})).is_error, "{path}");
    }
    assert!(!place.good("grep", json!({"pattern": "s3"})).contains("s3cret"));

    place.limits.workspace_only = false;
    place.limits.denied_roots = vec![place.root.join("secret"), place.root.join("dir")];
    for path in ["out", "outdir/new", "dangling", "loop"] {
        assert!(place.run("write", json!({"path": path, "content": "y"})).is_error, "{path}");
    }
    place.good("write", json!({"path": "in", "content": "through"}));
    assert_eq!(place.text("real.txt"), "through");
    assert!(place.home().join("in").symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_to_string(place.root.join("secret")).unwrap(), "s3cret");
    assert!(!place.root.join("gone").exists());
}

#[test]
fn a_working_directory_is_open_like_the_workspace_and_no_more() {
    let mut place = Place::new();
    let state = place.root.join("state");
    fs::create_dir_all(state.join("work/keys")).unwrap();
    fs::write(state.join("token"), "s3cret").unwrap();
    fs::write(state.join("work/keys/key"), "s3cret").unwrap();
    place.put("mine", "of the workspace");
    place.limits.denied_roots = vec![state.clone(), state.join("work/keys")];
    place.limits.cwd = Some(state.join("work"));
    for only in [false, true] {
        place.limits.workspace_only = only;
        place.good("write", json!({"path": "made", "content": "here"}));
        assert_eq!(fs::read_to_string(state.join("work/made")).unwrap(), "here");
        place.good("read", json!({"path": place.home().join("mine")}));
        for path in ["../token", "keys/key"] {
            place.bad("read", json!({ "path": path }));
        }
    }
    place.limits.cwd = Some(state.clone());
    assert!(place.bad("read", json!({"path": "token"})).contains("gateway itself"), "a root stays closed");
    place.limits.cwd = Some("/".into());
    if cfg!(target_os = "linux") {
        assert!(place.bad("read", json!({"path": "proc/self/environ"})).contains("inside of a process"));
    }
    place.limits.cwd = Some(state.join("gone"));
    assert!(place.bad("read", json!({"path": "x"})).contains("working directory"));
}

#[test]
fn pipes_devices_and_processes_are_no_files() {
    let place = Place::new();
    let pipe = place.home().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(place.bad("read", json!({"path": "pipe"})).contains("not a regular file"));
    assert!(place.bad("write", json!({"path": "pipe", "content": ""})).contains("not a regular file"));
    assert!(place.bad("read", json!({"path": "/dev/zero"})).contains("not a regular file"));
    if cfg!(target_os = "linux") {
        for path in ["/proc/self/environ", "/proc/thread-self/environ", "/proc/1/environ", "/proc/self/mem"] {
            place.bad("read", json!({"path": path}));
        }
        assert!(place.bad("read", json!({"path": "/proc/self/environ"})).contains("inside of a process"));
        place.good("read", json!({"path": "/proc/meminfo"}));
    }
}

#[test]
fn exec_tells_output_code_and_place() {
    let place = Place::new();
    let outcome = place.run("exec", json!({"command": "echo out; echo err >&2; exit 3"}));
    assert_eq!(outcome.text(), "out\nerr\n\n(Command exited with code 3)");
    assert!(!outcome.is_error);
    let details = exec_details(&outcome);
    assert_eq!((details.exit_code, details.exit_reason, details.status), (Some(3), "exit", ExecStatus::Completed));
    assert_eq!((details.aggregated.as_str(), details.cwd.as_str()), ("out\nerr", place.home().to_str().unwrap()));
    let json = serde_json::to_value(&outcome.details).unwrap();
    let keys =
        ["status", "exitCode", "exitSignal", "exitReason", "durationMs", "aggregated", "noOutputTimedOut", "cwd"];
    assert!(keys.iter().all(|key| json.get(key).is_some()), "{json}");
    assert_eq!(json["status"], "completed");
    assert_eq!(place.good("exec", json!({"command": "true"})), "(no output)");
    let killed = place.run("exec", json!({"command": "kill -9 $$"}));
    assert_eq!(exec_details(&killed).exit_signal.as_deref(), Some("SIGKILL"));
    assert!(killed.is_error);
}

#[test]
fn exec_runs_where_and_with_what_it_is_told() {
    let mut place = Place::new();
    fs::create_dir(place.home().join("sub")).unwrap();
    place.limits.path_prepend = vec![place.home().join("bin")];
    let script = "pwd; echo $GREETING $OPENCLAW_SHELL; echo ${PATH%%:*}; cat";
    let text = place.good("exec", json!({"command": script, "workdir": "sub", "env": {"GREETING": "hi"}}));
    let home = place.home();
    assert_eq!(text, format!("{0}/sub\nhi exec\n{0}/bin", home.display()));
    assert!(place.bad("exec", json!({"command": "true", "env": {"LD_PRELOAD": "x"}})).contains("LD_PRELOAD"));
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let place = Place::new();
    let start = Instant::now();
    let outcome = place.run("exec", json!({"command": "echo begun; sleep 30", "timeoutSeconds": 0.2}));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(outcome.is_error);
    assert!(outcome.text().starts_with("begun\n\nCommand timed out after 0.2 seconds"), "{}", outcome.text());
    assert_eq!(exec_details(&outcome).exit_reason, "overall-timeout");
    let mut place = place;
    place.limits.exec_time_max = Duration::from_millis(100);
    assert!(exec_details(&place.run("exec", json!({"command": "sleep 30", "timeoutSeconds": 0}))).timed_out);
}

#[test]
fn an_abort_kills_the_whole_group_at_once() {
    let place = Place::new();
    // The shell and its grandchild both ignore the polite request.
    let script = "trap '' TERM; : > pids; (trap '' TERM; echo $$ > pids; sh -c 'echo $$ >> pids; exec sleep 60') & \
                  while [ $(wc -l < pids) -lt 2 ]; do :; done; echo ready; wait";
    let abort = place.abort.clone();
    let mut fired = None;
    let outcome = place.run_text("exec", &json!({"command": script}).to_string(), &mut |_| {
        fired = Some(Instant::now());
        abort.fire();
    });
    let took = fired.expect("the command said that it is ready").elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(exec_details(&outcome).exit_reason, "aborted");
    for pid in place.text("pids").lines() {
        gone(pid.parse().unwrap());
    }
    assert!(place.bad("read", json!({"path": "pids"})).contains("aborted before"));
}

#[test]
fn nothing_in_the_background_outlives_the_call() {
    let place = Place::new();
    let start = Instant::now();
    let text = place.good("exec", json!({"command": "sleep 60 & echo $!"}));
    assert!(start.elapsed() < Duration::from_secs(5));
    gone(text.trim().parse().unwrap());
}

/// Waits until no such process runs (a zombie waiting for its new parent counts as gone).
fn gone(pid: i32) {
    let end = Instant::now() + Duration::from_secs(5);
    let stat = format!("/proc/{pid}/stat");
    let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    while cfg!(target_os = "linux") && runs() {
        assert!(Instant::now() < end, "process {pid} still runs");
        std::thread::yield_now();
    }
}

#[test]
fn of_a_flood_the_head_and_the_tail_are_kept() {
    let mut place = Place::new();
    place.limits.exec_output = 2000;
    let script = "echo first; i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo last";
    let text = place.good("exec", json!({"command": script}));
    assert!(text.starts_with("first\nline 0\n") && text.ends_with("line 4999\nlast"), "{text}");
    assert!(text.contains("bytes left out") && text.len() < 2100, "{}", text.len());
}

#[test]
fn progress_shows_the_tail_while_it_runs() {
    let place = Place::new();
    let mut seen = Vec::new();
    place.run_text("exec", r#"{"command":"echo one; echo two"}"#, &mut |progress| seen.push(progress));
    let first = serde_json::to_value(&seen[0]).unwrap();
    assert_eq!(first["status"], "running");
    assert!(first["tail"].as_str().unwrap().starts_with("one\n"));
    assert!(first["startedAt"].as_i64().unwrap() > 0);
}

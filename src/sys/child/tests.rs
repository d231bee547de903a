//! Real commands, each ended in another way.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::*;

fn sh(script: &str) -> Spec {
    Spec {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        cwd: None,
        base: Env::of_process(),
        extra: Vec::new(),
        time_limit: Duration::from_secs(20),
        output_cap: 4096,
    }
}

fn ran(spec: &Spec) -> Outcome {
    run(spec, &Abort::new(), &mut |_| {}).unwrap()
}

#[test]
fn output_and_errors_come_in_order_with_the_exit_code() {
    let mut seen: Vec<u8> = Vec::new();
    let outcome = run(&sh("echo one; echo two >&2; echo three; exit 3"), &Abort::new(), &mut |chunk| {
        seen.extend_from_slice(chunk)
    })
    .unwrap();
    assert_eq!(outcome.output, "one\ntwo\nthree\n");
    assert_eq!(seen, outcome.output.as_bytes());
    assert_eq!((outcome.exit_code, outcome.signal), (Some(3), None));
    assert!(!outcome.timed_out && !outcome.aborted);
}

#[test]
fn a_command_that_does_not_exist_is_an_error_that_names_it() {
    let error = run(&Spec { argv: vec!["/no/such".to_owned()], ..sh("") }, &Abort::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "start \"/no/such\"");
    let error = run(&Spec { argv: vec![], ..sh("") }, &Abort::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "no command was given");
}

#[test]
fn the_time_limit_ends_a_command_that_sleeps() {
    let outcome = ran(&Spec { time_limit: Duration::from_millis(100), ..sh("echo before; sleep 30") });
    assert!(outcome.timed_out);
    assert_eq!(outcome.output, "before\n");
    assert_eq!(outcome.signal, Some(15));
    assert!(outcome.duration_ms < 5_000, "{}", outcome.duration_ms);
}

#[test]
fn the_time_limit_ends_a_command_that_never_stops_talking() {
    let outcome = ran(&Spec { time_limit: Duration::from_millis(100), ..sh("while :; do echo y; done") });
    assert!(outcome.timed_out);
    assert!(outcome.truncated_bytes > 0);
    assert!(outcome.output.len() < 4096 + 64);
}

#[test]
fn an_abort_kills_the_whole_group_at_once() {
    let abort = Abort::new();
    let (started, ready) = mpsc::channel();
    let firing = abort.clone();
    let other = thread::spawn(move || {
        ready.recv_timeout(Duration::from_secs(10)).unwrap();
        firing.fire();
        Instant::now()
    });
    let outcome = run(&sh("sleep 30 & echo started; wait"), &abort, &mut |_| {
        let _ = started.send(());
    })
    .unwrap();
    let late = other.join().unwrap().elapsed();
    assert!(outcome.aborted && !outcome.timed_out);
    assert_eq!(outcome.signal, Some(9));
    assert!(late < Duration::from_millis(1500), "{late:?}");
}

#[test]
fn an_abort_that_fired_before_ends_the_command_too() {
    let abort = Abort::new();
    abort.fire();
    let outcome = run(&sh("sleep 30"), &abort, &mut |_| {}).unwrap();
    assert!(outcome.aborted);
}

#[test]
fn what_a_command_leaves_running_is_killed_with_it() {
    let outcome = ran(&sh("sleep 30 & echo $!"));
    assert_eq!(outcome.exit_code, Some(0));
    assert!(outcome.duration_ms < 5_000, "{}", outcome.duration_ms);
    let leftover = outcome.output.trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(5);
    while running(&leftover) {
        assert!(Instant::now() < deadline, "pid {leftover} still runs");
        thread::yield_now();
    }
}

#[test]
fn a_command_that_closes_its_output_is_still_waited_for() {
    let outcome = ran(&sh("exec >&- 2>&-; sleep 0.2; exit 7"));
    assert_eq!(outcome.exit_code, Some(7));
}

#[test]
fn a_command_sees_its_directory_its_environment_and_no_input() {
    let dir = crate::sys::scratch::dir("child");
    let spec = Spec {
        cwd: Some(dir.clone()),
        base: Env::from_iter([("PATH", "/usr/bin:/bin"), ("OPENCLAW_GATEWAY_TOKEN", "hunter2")]),
        extra: vec![("GREETING".to_owned(), "hi".to_owned())],
        ..sh("pwd; echo $GREETING; echo \"[$OPENCLAW_GATEWAY_TOKEN]\"; cat")
    };
    let outcome = ran(&spec);
    let lines: Vec<&str> = outcome.output.lines().collect();
    assert_eq!(Path::new(lines[0]).file_name(), dir.file_name());
    assert_eq!(&lines[1..], ["hi", "[]"]);
}

/// A zombie does not count: whoever inherits it will collect it.
fn running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

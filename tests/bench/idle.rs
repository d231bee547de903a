//! What the gateway does when nobody asks anything.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::budgets::Board;
use crate::support::gateway::Gateway;
use crate::support::wait;

/// Long enough to see a timer that fires every ten seconds.
const SPAN: Duration = Duration::from_secs(20);

/// Start-up work that may still run after the first answer.
const SETTLE: Duration = Duration::from_secs(2);

pub fn measure(board: &mut Board) {
    let gateway = Gateway::start(json!({}));
    pass(SETTLE);
    let before = (switches(gateway.pid()), written(gateway.pid()));
    pass(SPAN);
    let after = (switches(gateway.pid()), written(gateway.pid()));
    board.figure("idle_wakeups_per_second", after.0.saturating_sub(before.0) as f64 / SPAN.as_secs_f64());
    board.figure("idle_written_bytes", (after.1 - before.1) as f64);
}

/// Lets time pass: the time itself is what is measured.
fn pass(span: Duration) {
    let end = Instant::now() + span;
    assert!(wait::within(span * 2, || (Instant::now() >= end).then_some(())).is_some());
}

/// Context switches of all threads so far, asked for and not.
fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("read the gateway's threads");
    let numbers = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    numbers
        .map(|status| field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:"))
        .sum()
}

/// Bytes the gateway caused to be written to disk so far.
fn written(pid: u32) -> u64 {
    field(&std::fs::read_to_string(format!("/proc/{pid}/io")).expect("read the gateway's io"), "write_bytes:")
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).expect("the kernel reports the field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("the field is a number")
}

//! From exec to an answer, with a state directory that has been used before.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::budgets::{Board, median};
use crate::support::gateway::{self, Gateway, free_port};
use crate::support::scratch::Scratch;
use crate::support::{Ws, raw, ws};

/// Starts of each kind; the median is reported.
const STARTS: usize = 15;

const LIMIT: Duration = Duration::from_secs(20);

pub fn measure(board: &mut Board) {
    let mut first = Gateway::with(json!({})).start();
    assert!(first.stop().success(), "the gateway stops well: {}", first.log());
    let mut home = Some(first.kill());
    let mut healthz = Vec::new();
    let mut hello = Vec::new();
    for _ in 0..STARTS {
        healthz.push(start(&mut home, |gateway| {
            raw::try_get(gateway.addr(), "/healthz").is_some_and(|reply| reply.status == 200)
        }));
        hello.push(start(&mut home, |gateway| {
            let Ok(mut ws) = Ws::open_with(gateway.addr(), "/", &[]) else { return false };
            ws.try_hello(ws::backend(&["operator.read"])).is_ok()
        }));
    }
    board.figure("exec_to_healthz_ms", median(healthz));
    board.figure("exec_to_hello_ms", median(hello));

    let gateway = Gateway::start(json!({}));
    let port = gateway.addr().port().to_string();
    board.figure("version_ms", command(&gateway, &["--version"], "openclaw "));
    board.figure(
        "gateway_status_ms",
        command(&gateway, &["gateway", "status", "--port", &port], "Connectivity probe: ok"),
    );
}

/// Milliseconds a command takes from exec to its end, having said `words`.
fn command(gateway: &Gateway, args: &[&str], words: &str) -> f64 {
    let times = (0..STARTS).map(|_| {
        let began = Instant::now();
        let output = gateway::run(gateway.home(), args, &[]);
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(words), "{args:?}: {said}");
        took.as_secs_f64() * 1e3
    });
    median(times.collect())
}

/// Milliseconds from exec until `answered`.
fn start(home: &mut Option<Scratch>, answered: impl Fn(&Gateway) -> bool) -> f64 {
    let setup = Gateway::with(json!({}));
    let port = free_port();
    let began = Instant::now();
    let mut gateway = setup.spawn(home.take().expect("put back after each start"), port);
    while !answered(&gateway) {
        assert!(began.elapsed() < LIMIT && gateway.is_running(), "the gateway does not serve: {}", gateway.log());
        std::thread::park_timeout(Duration::from_micros(100));
    }
    let took = began.elapsed();
    gateway.signal(Signal::TERM);
    gateway.ended();
    *home = Some(gateway.kill());
    took.as_secs_f64() * 1e3
}

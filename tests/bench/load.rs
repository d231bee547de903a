//! How long one question takes, and how many are answered in a second.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::budgets::{Board, median};
use crate::fast_upstream;
use crate::support::gateway::{Gateway, bearer};
use crate::support::{Raw, raw, ws};

/// Questions asked before the clock starts, so that pages and caches are warm.
const WARM_UP: usize = 50;

const CALLS: usize = 3000;

const COMPLETIONS: usize = 300;

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(3);

const CLIENTS: usize = 8;

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

pub fn measure(board: &mut Board) {
    let upstream = fast_upstream::start();
    let gateway = Gateway::start(fast_upstream::config(upstream));

    board.figure("health_call_p50_ms", median(health_calls(gateway.addr())));
    board.figure("healthz_per_second", keep_alive_rate(gateway.addr(), HEALTHZ));

    let direct = median(completions(upstream));
    board.note("upstream called directly p50 ms", direct);
    let through = median(completions(gateway.addr()));
    board.figure("streamed_completion_p50_ms", through);
    board.note("through the gateway / directly", through / direct);
    board.figure("streamed_completions_per_second", completion_rate(gateway.addr()));
}

/// Milliseconds of each `health` call on one connection.
fn health_calls(addr: SocketAddr) -> Vec<f64> {
    let mut socket = Raw::open(addr);
    socket.upgrade();
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": ws::backend(&["operator.read"]) });
    socket.send_frame(raw::TEXT, connect.to_string().as_bytes());
    answer(&mut socket);
    let health = br#"{"type":"req","id":"h","method":"health","params":{}}"#;
    let took = (0..CALLS + WARM_UP).map(|_| {
        let began = Instant::now();
        socket.send_frame(raw::TEXT, health);
        answer(&mut socket);
        began.elapsed().as_secs_f64() * 1e3
    });
    took.skip(WARM_UP).collect()
}

/// Reads up to the next response; events in between are thrown away.
fn answer(socket: &mut Raw) {
    while !socket.frame().payload.starts_with(br#"{"type":"res""#) {}
}

/// Two threads with four connections each, one request outstanding on every connection.
pub fn keep_alive_rate(addr: SocketAddr, request: &[u8]) -> f64 {
    rate(2, |until| {
        let mut sockets: Vec<Raw> = (0..CLIENTS / 2).map(|_| Raw::open(addr)).collect();
        let mut done = 0;
        while Instant::now() < until {
            for socket in &mut sockets {
                socket.send(request);
            }
            for socket in &mut sockets {
                assert_eq!(socket.reply().status, 200);
                done += 1;
            }
        }
        done
    })
}

fn completion_rate(addr: SocketAddr) -> f64 {
    rate(CLIENTS, |until| {
        let mut socket = Raw::open(addr);
        let request = request();
        let mut done = 0;
        while Instant::now() < until {
            complete(&mut socket, &request);
            done += 1;
        }
        done
    })
}

/// Milliseconds of each streamed completion, one client with a keep-alive connection.
fn completions(addr: SocketAddr) -> Vec<f64> {
    let mut socket = Raw::open(addr);
    let request = request();
    let took = (0..COMPLETIONS + WARM_UP).map(|_| {
        let began = Instant::now();
        complete(&mut socket, &request);
        began.elapsed().as_secs_f64() * 1e3
    });
    took.skip(WARM_UP).collect()
}

/// The same bytes for the gateway and for the upstream.
pub fn request() -> Vec<u8> {
    let body = json!({ "model": "openclaw", "stream": true, "messages": [{ "role": "user", "content": "say words" }] });
    let auth = bearer();
    let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/json")];
    raw::request_bytes("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes())
}

/// One streamed completion to its end.
pub fn complete(socket: &mut Raw, request: &[u8]) {
    socket.send(request);
    let head = socket.head();
    assert_eq!(head.status, 200, "{head:?}");
    let mut last = Vec::new();
    while let Some(chunk) = socket.chunk().expect("the stream ends with its closing chunk") {
        last = chunk;
    }
    assert!(last.ends_with(b"data: [DONE]\n\n"), "ends with {:?}", String::from_utf8_lossy(&last));
}

/// Runs `work` on so many threads for [`SPAN`] and adds up what they got done, per second.
fn rate(threads: usize, work: impl Fn(Instant) -> u64 + Sync) -> f64 {
    let done = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| done.fetch_add(work(began + SPAN), Ordering::Relaxed));
        }
    });
    done.into_inner() as f64 / began.elapsed().as_secs_f64()
}

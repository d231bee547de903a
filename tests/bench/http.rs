//! The HTTP face: what an application waits for and what it costs the host.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::budgets::{Board, median};
use crate::fast_upstream::{self, now};
use crate::load;
use crate::support::gateway::{Gateway, bearer};
use crate::support::{Raw, raw};

const COMPLETIONS: usize = 300;

const WARM_UP: usize = 50;

/// Deltas that are waited for one by one.
const DELTAS: usize = 400;

/// A fast model's pace.
const GAP: Duration = Duration::from_millis(5);

const STREAMS: usize = 256;

/// Bytes of one picture, decoded; two of them in base64 nearly fill the 20 MiB of a body.
const PICTURE: usize = 7_300_000;

pub fn measure(board: &mut Board) {
    let upstream = fast_upstream::start();
    let gateway = Gateway::start(fast_upstream::config(upstream));
    board.figure("models_per_second", models_rate(gateway.addr()));
    let plain = request(false);
    let direct = median(completions(upstream, true));
    let through = median(whole(gateway.addr(), &plain));
    board.figure("plain_completion_added_p50_ms", through - direct);
    drop(gateway);

    let paced = fast_upstream::paced(GAP);
    let gateway = Gateway::start(fast_upstream::config(paced));
    let direct = median(deltas(paced));
    board.figure("streamed_delta_added_p50_ms", median(deltas(gateway.addr())) - direct);

    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..STREAMS {
            let (addr, failed) = (gateway.addr(), &failed);
            let stream = move || {
                let whole = std::panic::catch_unwind(|| load::complete(&mut Raw::open(addr), &load::request()));
                failed.fetch_add(u64::from(whole.is_err()), Ordering::Relaxed);
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, stream).expect("a client's thread");
        }
    });
    board.figure("failed_of_256_streams", failed.into_inner() as f64);
    board.figure("rss_of_256_streams_bytes", gateway.peak_rss() as f64);
    drop(gateway);

    for (name, body) in [("picture", pictures()), ("text", long_text())] {
        let gateway = Gateway::start(fast_upstream::config(upstream));
        whole(gateway.addr(), &plain);
        let before = gateway.peak_rss();
        let reply = Raw::open(gateway.addr()).send(&body).reply();
        assert_eq!(reply.status, 200, "{}", reply.text());
        board.figure(&format!("{name}_body_peak_share"), (gateway.peak_rss() - before) as f64 / body.len() as f64);
    }
}

fn models_rate(addr: SocketAddr) -> f64 {
    let auth = bearer();
    let request = raw::request_bytes("GET", "/v1/models", &[("Authorization", &auth)], b"");
    load::keep_alive_rate(addr, &request)
}

/// The same question, streamed or not.
fn request(stream: bool) -> Vec<u8> {
    post(&json!({ "model": "openclaw", "stream": stream, "messages": [{ "role": "user", "content": "say words" }] }))
}

fn post(body: &Value) -> Vec<u8> {
    let auth = bearer();
    let headers = [("Authorization", auth.as_str()), ("Content-Type", "application/json")];
    raw::request_bytes("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes())
}

fn completions(addr: SocketAddr, stream: bool) -> Vec<f64> {
    let mut socket = Raw::open(addr);
    let request = request(stream);
    timed(|| load::complete(&mut socket, &request))
}

fn whole(addr: SocketAddr, request: &[u8]) -> Vec<f64> {
    let mut socket = Raw::open(addr);
    timed(|| {
        let reply = socket.send(request).reply();
        assert_eq!(reply.status, 200, "{}", reply.text());
    })
}

/// Milliseconds of each.
fn timed(mut once: impl FnMut()) -> Vec<f64> {
    let took = (0..COMPLETIONS + WARM_UP).map(|_| {
        let began = Instant::now();
        once();
        began.elapsed().as_secs_f64() * 1e3
    });
    took.skip(WARM_UP).collect()
}

/// Milliseconds between a delta's leaving the upstream and its arrival here.
fn deltas(addr: SocketAddr) -> Vec<f64> {
    let mut socket = Raw::open(addr);
    let request = request(true);
    let mut took = Vec::new();
    while took.len() < DELTAS {
        socket.send(&request);
        assert_eq!(socket.head().status, 200);
        while let Some(chunk) = socket.chunk().expect("the stream ends with its closing chunk") {
            let arrived = now();
            for sent in String::from_utf8_lossy(&chunk).split('"').filter_map(|word| word.parse::<u64>().ok()) {
                took.push((arrived - sent) as f64 / 1e6);
            }
        }
    }
    took
}

fn pictures() -> Vec<u8> {
    use base64::Engine;
    let picture = base64::engine::general_purpose::STANDARD.encode(vec![7; PICTURE]);
    let part = json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{picture}") } });
    post(&json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "look" }, part, part] }] }))
}

fn long_text() -> Vec<u8> {
    let text = "all work and no play makes a long letter. ".repeat(450_000);
    post(&json!({ "messages": [{ "role": "user", "content": text }] }))
}

//! A gateway after years of use, and one that many look at: lists and histories of what has piled up, and what everybody
//! is told at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use openclaw::store::transcript::{NewEntry, append};
use openclaw::store::{Store, sessions};
use serde_json::{Value, json};

use crate::budgets::{Board, median};
use crate::support::gateway::{Gateway, state_dir};
use crate::support::scratch::Scratch;
use crate::support::{Raw, raw, wait, ws};

const SESSIONS: usize = 2000;

/// Of each session, and of each message in it.
const SESSION_BYTES: usize = 200 << 10;
const MESSAGE_BYTES: usize = 10 << 10;

/// The session everybody writes to.
const LONG: &str = "agent:main:long";
const LONG_BYTES: usize = 100 << 20;

const CALLS: usize = 30;

/// Health calls on each of eight connections before the next answer is waited for.
const DEEP: usize = 4;
const SPAN: Duration = Duration::from_secs(3);

/// What everybody is told of, and the rest between two of them.
const EVENTS: usize = 100;
const REST: Duration = Duration::from_millis(20);

const HELD: usize = 1000;

pub fn measure(board: &mut Board) {
    let home = Scratch::new();
    fill(&home);
    let gateway = Gateway::with(json!({})).home(home).start();
    let mut socket = operator(gateway.addr());
    let (took, bytes) = asked(&mut socket, "sessions.list", &json!({}));
    board.figure("sessions_list_ms", took);
    board.figure("sessions_list_bytes", bytes as f64);
    let (took, bytes) = asked(&mut socket, "chat.history", &json!({ "sessionKey": LONG, "limit": 200 }));
    board.figure("long_history_ms", took);
    board.note("its bytes", bytes as f64);
    board.figure("rss_after_long_history_bytes", gateway.rss() as f64);
    drop((socket, gateway));

    let gateway = Gateway::start(json!({}));
    board.figure("pipelined_health_per_second", pipelined(gateway.addr()));
    let mut crowd: Vec<Raw> = Vec::new();
    for (size, figure) in [(100, "event_to_100_p99_ms"), (500, "event_to_500_p99_ms")] {
        crowd.resize_with(size, || operator(gateway.addr()));
        board.figure(figure, percentile(told(&mut crowd), 0.99));
    }
    drop(crowd);
    drop(gateway);

    let gateway = Gateway::start(json!({}));
    let held: Vec<Raw> = (0..HELD).map(|_| operator(gateway.addr())).collect();
    board.figure("rss_of_1000_connections_bytes", gateway.rss() as f64);
    drop(held);
}

/// Writes what years would have left behind.
fn fill(home: &Scratch) {
    let state = state_dir(home.path());
    std::fs::create_dir_all(&state).expect("a state directory");
    let store = Store::open(&state.join("gateway.sqlite")).expect("a database");
    let text = "what was said on a day long ago ".repeat(MESSAGE_BYTES / 32);
    let message = |role: &str| json!({ "role": role, "content": [{ "type": "text", "text": text }], "timestamp": 1 });
    let messages = [message("user").to_string(), message("assistant").to_string()];
    let keys = (0..SESSIONS).map(|n| (format!("agent:main:dashboard:{n}"), SESSION_BYTES));
    for (key, bytes) in keys.chain([(LONG.to_owned(), LONG_BYTES)]) {
        let messages = messages.clone();
        let job = move |conn: &_| {
            let (row, _) = sessions::ensure(conn, &key, "main", 1_700_000_000_000, None)?;
            for n in 0..bytes / MESSAGE_BYTES {
                let role = ["user", "assistant"][n % 2];
                let entry =
                    NewEntry { role, ts_ms: 1_700_000_000_000, message: &messages[n % 2], ..NewEntry::default() };
                append(conn, &row.session_id, &entry)?;
            }
            Ok(())
        };
        store.write("fill", job).expect("written");
    }
    assert!(store.close(wait::LIMIT));
}

fn operator(addr: SocketAddr) -> Raw {
    let mut socket = Raw::open(addr);
    socket.upgrade();
    let scopes = ["operator.read", "operator.write"];
    let connect = json!({ "type": "req", "id": "c", "method": "connect", "params": ws::backend(&scopes) });
    socket.send_frame(raw::TEXT, connect.to_string().as_bytes());
    answer(&mut socket);
    socket
}

/// The next response; events in between are thrown away.
fn answer(socket: &mut Raw) -> Vec<u8> {
    loop {
        let frame = socket.frame();
        if frame.payload.starts_with(br#"{"type":"res""#) {
            return frame.payload;
        }
    }
}

/// Milliseconds of a call, and the bytes of its answer.
fn asked(socket: &mut Raw, method: &str, params: &Value) -> (f64, usize) {
    let request = json!({ "type": "req", "id": "q", "method": method, "params": params }).to_string();
    let mut bytes = 0;
    let took = (0..CALLS).map(|_| {
        let began = Instant::now();
        socket.send_frame(raw::TEXT, request.as_bytes());
        let reply = answer(socket);
        assert!(reply.windows(9).any(|part| part == br#""ok":true"#), "{:?}", String::from_utf8_lossy(&reply));
        bytes = reply.len();
        began.elapsed().as_secs_f64() * 1e3
    });
    (median(took.collect()), bytes)
}

/// `health` answered in a second: two threads with four connections each, [`DEEP`] calls outstanding on every one.
fn pipelined(addr: SocketAddr) -> f64 {
    let health = raw::frame(raw::TEXT, br#"{"type":"req","id":"h","method":"health","params":{}}"#, raw::mask());
    let deep = health.repeat(DEEP);
    let began = Instant::now();
    let done: u64 = std::thread::scope(|scope| {
        let one = || {
            let mut sockets: Vec<Raw> = (0..4).map(|_| operator(addr)).collect();
            let mut done = 0;
            while began.elapsed() < SPAN {
                for socket in &mut sockets {
                    socket.send(&deep);
                }
                for socket in &mut sockets {
                    for _ in 0..DEEP {
                        answer(socket);
                        done += 1;
                    }
                }
            }
            done
        };
        let threads = [scope.spawn(one), scope.spawn(one)];
        threads.map(|thread| thread.join().expect("a client ends")).iter().sum()
    });
    done as f64 / began.elapsed().as_secs_f64()
}

/// Milliseconds from a request that everybody is told of to the event's arrival at each of the connections.
fn told(crowd: &mut [Raw]) -> Vec<f64> {
    let mut took = Vec::new();
    let mut id = String::new();
    for event in 0..EVENTS {
        let request = match event % 2 {
            0 => json!({ "type": "req", "id": "s", "method": "taskSuggestions.create", "params":
                         { "title": "A card", "prompt": "Do it.", "tldr": "It.", "cwd": "/srv", "sessionKey": "main" } }),
            _ => json!({ "type": "req", "id": "s", "method": "taskSuggestions.dismiss", "params": { "taskId": id } }),
        };
        let began = Instant::now();
        crowd[0].send_frame(raw::TEXT, request.to_string().as_bytes());
        for socket in &mut *crowd {
            while !socket.frame().payload.starts_with(br#"{"type":"event","event":"task.suggestion""#) {}
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let reply: Value = serde_json::from_slice(&answer(&mut crowd[0])).expect("JSON");
        if let Some(made) = reply["payload"]["taskId"].as_str() {
            made.clone_into(&mut id);
        }
        std::thread::park_timeout(REST);
    }
    took
}

fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

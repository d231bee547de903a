//! Days of use in minutes: many turns over many sessions, many clients coming and going, and no growth.

use serde_json::json;

use crate::budgets::Board;
use crate::fast_upstream;
use crate::support::Raw;
use crate::support::gateway::{Gateway, bearer};
use crate::support::raw;

const TURNS: usize = 10_000;

const SESSIONS: usize = 200;

const CONNECTIONS: usize = 1_000;

/// Turns before the first look, so that every session exists and every cache has what it holds at most.
const WARM_UP: usize = 2_000;

pub fn measure(board: &mut Board) {
    let gateway = Gateway::start(fast_upstream::config(fast_upstream::start()));
    let mut socket = Raw::open(gateway.addr());
    for turn in 0..WARM_UP {
        say(&mut socket, turn);
    }
    let before = gateway.rss();
    board.note("rss before", before as f64);
    for turn in 0..TURNS {
        say(&mut socket, turn);
        if turn % (TURNS / 10) == 0 {
            board.note(&format!("rss after {turn} turns"), gateway.rss() as f64);
        }
    }
    for _ in 0..CONNECTIONS {
        let mut client = gateway.operator();
        client.ok("health", json!({}));
        client.close();
    }
    board.figure("soak_growth_bytes", gateway.rss().saturating_sub(before) as f64);
}

/// One streamed turn of the session whose turn it is.
fn say(socket: &mut Raw, turn: usize) {
    let body = json!({ "model": "openclaw", "user": format!("soak-{}", turn % SESSIONS), "stream": true,
                       "messages": [{ "role": "user", "content": format!("turn {turn}") }] });
    let headers = [("Authorization", &*bearer()), ("Content-Type", "application/json")];
    let request = raw::request_bytes("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes());
    crate::load::complete(socket, &request);
}

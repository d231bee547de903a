//! What the gateway weighs: on disk, when ready, after work, per socket, after a flood.

use serde_json::{Value, json};

use crate::budgets::Board;
use crate::fast_upstream;
use crate::load;
use crate::support::gateway::{Gateway, binary};
use crate::support::telegram::Telegram;
use crate::support::{Raw, raw, wait};

const COMPLETIONS: usize = 100;

const SOCKETS: usize = 200;

const ACCOUNTS: usize = 20;

const FLOODERS: usize = 20;

/// Below maxPayload, so that the gateway takes it whole before it can find it useless.
const FLOOD_BYTES: usize = 4 << 20;

/// What a gateway weighs whose messenger accounts are all connected and have polled.
fn with_accounts(count: usize) -> u64 {
    let telegram = Telegram::start();
    let accounts: serde_json::Map<String, Value> =
        (0..count).map(|n| (format!("a{n}"), telegram.section(json!({ "allowFrom": [1] })))).collect();
    let gateway = Gateway::start(json!({ "channels": { "telegram": { "accounts": accounts } } }));
    telegram.wait_called("getUpdates", 3 * count);
    gateway.rss()
}

pub fn measure(board: &mut Board) {
    let binary = std::fs::metadata(binary()).expect("the program is built");
    board.figure("binary_bytes", binary.len() as f64);

    let gateway = Gateway::start(fast_upstream::config(fast_upstream::start()));
    board.figure("rss_ready_bytes", gateway.rss() as f64);
    board.note("threads when ready", gateway.threads() as f64);

    let mut socket = Raw::open(gateway.addr());
    let request = load::request();
    for _ in 0..COMPLETIONS {
        load::complete(&mut socket, &request);
    }
    drop(socket);
    board.figure("rss_after_100_completions_bytes", gateway.rss() as f64);

    let gateway = Gateway::start(json!({}));
    // One comes and goes first: what the first socket ever costs is not the price of a socket.
    drop(gateway.operator());
    let before = gateway.rss();
    let sockets: Vec<_> = (0..SOCKETS).map(|_| gateway.operator()).collect();
    board.figure("rss_per_idle_socket_bytes", (gateway.rss().saturating_sub(before)) as f64 / SOCKETS as f64);
    drop(sockets);

    let (few, many) = (with_accounts(1), with_accounts(1 + ACCOUNTS));
    board.figure("rss_per_account_bytes", many.saturating_sub(few) as f64 / ACCOUNTS as f64);

    let gateway = Gateway::start(json!({}));
    let junk = raw::frame(raw::TEXT, &vec![b'x'; FLOOD_BYTES], raw::mask());
    for _ in 0..FLOODERS {
        let mut flooder = Raw::open(gateway.addr());
        flooder.upgrade();
        let connect =
            json!({ "type": "req", "id": "c", "method": "connect", "params": crate::support::ws::backend(&[]) });
        flooder.send_frame(raw::TEXT, connect.to_string().as_bytes());
        while !flooder.frame().payload.starts_with(br#"{"type":"res""#) {}
        flooder.send(&junk);
        flooder.send_frame(raw::CLOSE, &1000u16.to_be_bytes());
        flooder.closed();
    }
    let calm = wait::until("the flooders' threads are gone", || (gateway.threads() < 12).then(|| gateway.rss()));
    board.figure("rss_after_flood_bytes", calm as f64);
}

//! An upstream that costs next to nothing: its answer is encoded once and written piece by piece, at once or in a
//! model's pace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Deltas of every answer.
pub const DELTAS: usize = 20;

/// Where the clock of the stamps begins.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Stands where a paced answer has its stamp.
const STAMP: &str = "00000000000000000000";

/// Serves until the process ends; gives its address.
pub fn start() -> SocketAddr {
    serving(Duration::ZERO)
}

/// The same with `gap` before each delta, and with the nanoseconds of [`now`] as what the delta says.
pub fn paced(gap: Duration) -> SocketAddr {
    serving(gap)
}

/// Nanoseconds on the clock of the stamps.
pub fn now() -> u64 {
    BEGAN.elapsed().as_nanos() as u64
}

fn serving(gap: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind the upstream");
    let addr = listener.local_addr().expect("a bound listener has an address");
    let pieces = Arc::new(answer(gap.is_zero()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pieces = pieces.clone();
            // An error is the client leaving: nothing to do about it.
            std::thread::spawn(move || serve(stream, &pieces, gap).ok());
        }
    });
    addr
}

/// The configuration that makes it the default model.
pub fn config(addr: SocketAddr) -> Value {
    let model = json!({ "id": "stub-model", "name": "Stub Model", "contextWindow": 128000, "maxTokens": 4096 });
    let provider = json!({ "baseUrl": format!("http://{addr}/v1"), "apiKey": "sk-bench",
                           "api": "openai-completions", "models": [model] });
    json!({ "agents": { "defaults": { "model": { "primary": "stub/stub-model" } } },
            "models": { "providers": { "stub": provider } } })
}

fn serve(stream: TcpStream, pieces: &[Vec<u8>], gap: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                if line == "\r\n" { break } else { continue }
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        for piece in pieces {
            if gap.is_zero() {
                (&stream).write_all(piece)?;
                continue;
            }
            let at = piece.windows(STAMP.len()).position(|bytes| bytes == STAMP.as_bytes());
            let Some(at) = at else {
                (&stream).write_all(piece)?;
                continue;
            };
            std::thread::park_timeout(gap);
            let mut piece = piece.clone();
            piece[at..at + STAMP.len()].copy_from_slice(format!("{:020}", now()).as_bytes());
            (&stream).write_all(&piece)?;
        }
    }
}

/// Head, deltas and end, as the writes they go out in.
fn answer(words: bool) -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "stub-model",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    let framed = |text: String| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut pieces = vec![head.as_bytes().to_vec()];
    for word in 0..DELTAS {
        let delta = chunk(json!({ "content": if words { format!("word{word} ") } else { STAMP.into() } }), Value::Null);
        pieces.push(framed(format!("data: {delta}\n\n")));
    }
    let mut usage = chunk(json!({}), Value::Null);
    usage["choices"] = json!([]);
    usage["usage"] = json!({ "prompt_tokens": 11, "completion_tokens": DELTAS, "total_tokens": 11 + DELTAS });
    let stop = chunk(json!({}), "stop".into());
    let mut last = framed(format!("data: {stop}\n\ndata: {usage}\n\ndata: [DONE]\n\n"));
    last.extend(b"0\r\n\r\n");
    pieces.push(last);
    pieces
}

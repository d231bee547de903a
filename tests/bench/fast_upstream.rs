//! An upstream that costs next to nothing: its answer is encoded once and written piece by piece.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

/// Deltas of every answer.
pub const DELTAS: usize = 20;

/// Serves until the process ends; gives its address.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind the upstream");
    let addr = listener.local_addr().expect("a bound listener has an address");
    let pieces = Arc::new(answer());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pieces = pieces.clone();
            // An error is the client leaving: nothing to do about it.
            std::thread::spawn(move || serve(stream, &pieces).ok());
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

fn serve(stream: TcpStream, pieces: &[Vec<u8>]) -> std::io::Result<()> {
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
            (&stream).write_all(piece)?;
        }
    }
}

/// Head, deltas and end, as the writes they go out in.
fn answer() -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "stub-model",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    let framed = |text: String| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut pieces = vec![head.as_bytes().to_vec()];
    for word in 0..DELTAS {
        let delta = chunk(json!({ "content": format!("word{word} ") }), Value::Null);
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

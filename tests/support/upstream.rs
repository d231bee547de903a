//! A model provider that does as it is told: answers well, slowly, wrongly or not at all, and remembers who asked.
//!
//! It speaks OpenAI chat completions and Anthropic messages, told apart by the path, on 127.0.0.1 with a thread per
//! connection. Answers are scripted by order or chosen by the request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateway::merge;
use super::wait;

/// What to do with one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Streams these pieces and stops.
    Say(Vec<String>),
    /// Asks for one tool call.
    Call { name: &'static str, arguments: Value },
    /// Streams the first pieces, waits for [`Upstream::release`], streams the others.
    Hold(Vec<String>, Vec<String>),
    /// Takes the request and never says a byte.
    Silent,
    /// Streams these pieces and then nothing more, with the connection open.
    Stall(Vec<String>),
    /// Streams these pieces and cuts the connection.
    Die(Vec<String>),
    /// Answers 200 and streams something that is no answer.
    Rubbish,
    /// Refuses with a status and an error object; 429 also says when to try again.
    Refuse(u16, &'static str),
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub at: Instant,
    /// When the client closed its side; only seen for answers that hold, stall or stay silent.
    pub left: Option<Instant>,
}

/// A running upstream. It ends with the test.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

/// What every answered turn is said to have cost.
pub const USAGE: (u64, u64) = (11, 7);

/// Longer than any test waits for anything.
const HOLD_LIMIT: Duration = Duration::from_secs(120);

type Choose = Box<dyn FnMut(&Asked) -> Answer + Send>;

struct Shared {
    choose: Mutex<Choose>,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    asked: Vec<Asked>,
    released: usize,
    over: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    OpenAi,
    Anthropic,
}

impl Answer {
    pub fn say(text: &str) -> Answer {
        Answer::Say(pieces(text))
    }
}

/// A text cut before every space: the pieces joined are the text.
pub fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

impl Upstream {
    /// Answers every request with the same friendly words.
    pub fn friendly() -> Upstream {
        Upstream::script([Answer::say("Hello from upstream.")])
    }

    /// Answers in this order; the last one again and again.
    pub fn script(answers: impl IntoIterator<Item = Answer>) -> Upstream {
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        Upstream::by(move |_| match answers.len() {
            0 | 1 => answers.front().cloned().expect("a script has at least one answer"),
            _ => answers.pop_front().expect("two answers are left"),
        })
    }

    /// Chooses the answer by the request.
    pub fn by(choose: impl FnMut(&Asked) -> Answer + Send + 'static) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind the upstream");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let shared =
            Arc::new(Shared { choose: Mutex::new(Box::new(choose)), seen: Mutex::default(), changed: Condvar::new() });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.seen().over {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = accepting.clone();
                std::thread::spawn(move || {
                    // An error here is the client's doing; what it did is in `left`.
                    let _ = shared.serve(stream);
                });
            }
        });
        Upstream { addr, shared }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Configuration that makes this the default model, `stub/stub-model`.
    pub fn config(&self) -> Value {
        json!({
            "agents": { "defaults": { "model": { "primary": "stub/stub-model" } } },
            "models": { "providers": { "stub": self.provider("openai-completions") } },
        })
    }

    /// [`Upstream::config`] with something laid over it.
    pub fn config_and(&self, more: Value) -> Value {
        let mut config = self.config();
        merge(&mut config, more);
        config
    }

    /// One provider's entry.
    pub fn provider(&self, api: &str) -> Value {
        let base = if api == "anthropic-messages" { "" } else { "/v1" };
        json!({
            "baseUrl": format!("http://{}{base}", self.addr),
            "apiKey": "sk-upstream-canary-5fb1",
            "api": api,
            "models": [{
                "id": "stub-model",
                "name": "Stub Model",
                "reasoning": false,
                "input": ["text"],
                "cost": { "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0 },
                "contextWindow": 128000,
                "maxTokens": 4096,
            }],
        })
    }

    /// Everything asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.seen().asked.clone()
    }

    /// Waits until so many requests came.
    #[track_caller]
    pub fn wait_asked(&self, count: usize) -> Vec<Asked> {
        let asked = self.shared.wait(wait::LIMIT, |seen| (seen.asked.len() >= count).then(|| seen.asked.clone()));
        asked.unwrap_or_else(|| panic!("the upstream was not asked {count} times: {:#?}", self.asked()))
    }

    /// When the client of this request left before its end; `None` if it did not within the limit.
    pub fn left(&self, index: usize, limit: Duration) -> Option<Instant> {
        self.shared.wait(limit, |seen| seen.asked.get(index).and_then(|asked| asked.left))
    }

    /// Lets one [`Answer::Hold`] go on.
    pub fn release(&self) {
        self.shared.seen().released += 1;
        self.shared.changed.notify_all();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.seen().over = true;
        self.shared.changed.notify_all();
        // Wakes the accept loop; refused means that it is gone already.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while holding it")
    }

    fn wait<T>(&self, limit: Duration, mut look: impl FnMut(&mut Seen) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut seen = self.seen();
        loop {
            if let Some(found) = look(&mut seen) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            seen = self.changed.wait_timeout(seen, left).expect("nobody panics while holding it").0;
        }
    }

    fn serve(self: &Arc<Self>, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some((path, headers, body)) = read_request(&mut reader)? {
            if path.ends_with("/models") {
                let list = json!({ "object": "list", "data": [{ "id": "stub-model", "object": "model" }] });
                send_json(&mut stream, 200, &list, "")?;
                continue;
            }
            if path.ends_with("/embeddings") {
                let list = embeddings(&body);
                self.seen().asked.push(Asked { path, headers, body, at: Instant::now(), left: None });
                self.changed.notify_all();
                send_json(&mut stream, 200, &list, "")?;
                continue;
            }
            let dialect = if path.contains("/messages") { Dialect::Anthropic } else { Dialect::OpenAi };
            let streamed = body["stream"] == true;
            let asked = Asked { path, headers, body, at: Instant::now(), left: None };
            // Chosen before it is announced: a test that waits for the request may count on the choice.
            let answer = (self.choose.lock().expect("a script does not panic"))(&asked);
            let index = {
                let mut seen = self.seen();
                seen.asked.push(asked);
                seen.asked.len() - 1
            };
            self.changed.notify_all();
            // Only an answer that is over for sure leaves the connection fit for another request.
            let last = !matches!(answer, Answer::Say(_) | Answer::Call { .. });
            let mut reply = Streamed { stream: &mut stream, dialect, last, text: String::new() };
            match answer {
                Answer::Say(pieces) if !streamed => {
                    send_json(&mut stream, 200, &whole(dialect, &pieces.concat()), "")?;
                }
                Answer::Say(pieces) => {
                    reply.start(&pieces)?;
                    reply.finish("stop")?;
                }
                Answer::Call { name, arguments } => {
                    reply.start(&[])?;
                    reply.call(&format!("call_{index}"), name, &arguments)?;
                    reply.finish("tool_calls")?;
                }
                Answer::Hold(before, after) => {
                    reply.start(&before)?;
                    self.watch(&reader, index);
                    let go_on = self.wait(HOLD_LIMIT, |seen| match seen.asked[index].left {
                        Some(_) => Some(false),
                        None if seen.over => Some(false),
                        None if seen.released > 0 => {
                            seen.released -= 1;
                            Some(true)
                        }
                        None => None,
                    });
                    if go_on != Some(true) {
                        return Ok(());
                    }
                    reply.say(&after)?;
                    reply.finish("stop")?;
                    // Ends the watching thread, too.
                    return stream.shutdown(Shutdown::Both);
                }
                Answer::Silent => return self.until_left(&mut reader, index),
                Answer::Stall(pieces) => {
                    reply.start(&pieces)?;
                    return self.until_left(&mut reader, index);
                }
                Answer::Die(pieces) => return reply.start(&pieces),
                Answer::Rubbish => {
                    stream.write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\
                          data: {\"choices\": [{\"delta\": \n\n\x00\xff\xfe<html>data: not an answer</html>\n\n",
                    )?;
                    return Ok(());
                }
                Answer::Refuse(status, message) => {
                    let body = json!({ "error": { "message": message, "type": "stub_error" } });
                    let more = if status == 429 { "Retry-After: 0\r\n" } else { "" };
                    send_json(&mut stream, status, &body, more)?;
                }
            }
        }
        Ok(())
    }

    /// Blocks until the client closes its side, and notes when.
    fn until_left(&self, reader: &mut BufReader<TcpStream>, index: usize) -> std::io::Result<()> {
        // An error (a reset) is a way of leaving, too.
        let _ = std::io::copy(reader, &mut std::io::sink());
        self.seen().asked[index].left = Some(Instant::now());
        self.changed.notify_all();
        Ok(())
    }

    /// Notes, from a thread of its own, when the client closes its side.
    fn watch(self: &Arc<Self>, reader: &BufReader<TcpStream>, index: usize) {
        let shared = self.clone();
        let Ok(stream) = reader.get_ref().try_clone() else { return };
        std::thread::spawn(move || shared.until_left(&mut BufReader::new(stream), index));
    }
}

/// A streamed answer in the client's dialect, as a chunked body.
struct Streamed<'a> {
    stream: &'a mut TcpStream,
    dialect: Dialect,
    /// The connection carries no further request.
    last: bool,
    /// What the next write sends, so that one step is one packet.
    text: String,
}

impl Streamed<'_> {
    fn start(&mut self, pieces: &[String]) -> std::io::Result<()> {
        let connection = if self.last { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: {connection}\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())?;
        if self.dialect == Dialect::Anthropic {
            let usage = json!({ "input_tokens": USAGE.0, "output_tokens": 1 });
            let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "stub-model",
                                  "content": [], "stop_reason": null, "usage": usage });
            self.event(&json!({ "type": "message_start", "message": message }));
        }
        self.say(pieces)
    }

    fn say(&mut self, pieces: &[String]) -> std::io::Result<()> {
        if self.dialect == Dialect::Anthropic && !pieces.is_empty() {
            let block = json!({ "type": "text", "text": "" });
            self.event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }));
        }
        for piece in pieces {
            match self.dialect {
                Dialect::OpenAi => self.event(&chunk(json!({ "content": piece }), Value::Null)),
                Dialect::Anthropic => {
                    let delta = json!({ "type": "text_delta", "text": piece });
                    self.event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
                }
            }
            self.flush()?;
        }
        self.flush()
    }

    fn call(&mut self, id: &str, name: &str, arguments: &Value) -> std::io::Result<()> {
        let arguments = arguments.to_string();
        // In two halves, as models send them.
        let middle = (0..=arguments.len() / 2).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
        let (first, second) = arguments.split_at(middle);
        match self.dialect {
            Dialect::OpenAi => {
                let call = json!({ "index": 0, "id": id, "type": "function",
                                   "function": { "name": name, "arguments": first } });
                self.event(&chunk(json!({ "tool_calls": [call] }), Value::Null));
                let rest = json!({ "index": 0, "function": { "arguments": second } });
                self.event(&chunk(json!({ "tool_calls": [rest] }), Value::Null));
            }
            Dialect::Anthropic => {
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                self.event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }));
                for half in [first, second] {
                    let delta = json!({ "type": "input_json_delta", "partial_json": half });
                    self.event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
                }
            }
        }
        self.flush()
    }

    fn finish(&mut self, reason: &str) -> std::io::Result<()> {
        match self.dialect {
            Dialect::OpenAi => {
                self.event(&chunk(json!({}), reason.into()));
                let usage = json!({ "prompt_tokens": USAGE.0, "completion_tokens": USAGE.1,
                                    "total_tokens": USAGE.0 + USAGE.1 });
                let mut last = chunk(json!({}), Value::Null);
                last["choices"] = json!([]);
                last["usage"] = usage;
                self.event(&last);
                self.text.push_str("data: [DONE]\n\n");
            }
            Dialect::Anthropic => {
                self.event(&json!({ "type": "content_block_stop", "index": 0 }));
                let reason = if reason == "stop" { "end_turn" } else { "tool_use" };
                self.event(&json!({ "type": "message_delta", "delta": { "stop_reason": reason },
                                    "usage": { "output_tokens": USAGE.1 } }));
                self.event(&json!({ "type": "message_stop" }));
            }
        }
        self.flush()?;
        self.stream.write_all(b"0\r\n\r\n")
    }

    fn event(&mut self, data: &Value) {
        if self.dialect == Dialect::Anthropic {
            self.text.push_str(&format!("event: {}\n", data["type"].as_str().unwrap_or_default()));
        }
        self.text.push_str(&format!("data: {data}\n\n"));
    }

    /// Sends what was collected as one chunk.
    fn flush(&mut self) -> std::io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let bytes = format!("{:x}\r\n{}\r\n", self.text.len(), self.text);
        self.text.clear();
        self.stream.write_all(bytes.as_bytes())
    }
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({ "id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": "stub-model",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn whole(dialect: Dialect, text: &str) -> Value {
    match dialect {
        Dialect::OpenAi => json!({
            "id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": "stub-model",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": USAGE.0, "completion_tokens": USAGE.1, "total_tokens": USAGE.0 + USAGE.1 },
        }),
        Dialect::Anthropic => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "stub-model", "stop_reason": "end_turn",
            "content": [{ "type": "text", "text": text }],
            "usage": { "input_tokens": USAGE.0, "output_tokens": USAGE.1 },
        }),
    }
}

/// A vector per input: its length and its place; the last one first, for the order is in `index`.
fn embeddings(body: &Value) -> Value {
    let inputs = body["input"].as_array().cloned().unwrap_or_default();
    let rows = inputs.iter().enumerate().rev().map(|(index, text)| {
        let length = text.as_str().map_or(0, str::len);
        json!({ "object": "embedding", "index": index, "embedding": [length as f64, index as f64] })
    });
    json!({ "object": "list", "model": "stub-embedder", "data": rows.collect::<Vec<_>>(),
            "usage": { "prompt_tokens": USAGE.0, "total_tokens": USAGE.0 } })
}

fn send_json(stream: &mut TcpStream, status: u16, body: &Value, more: &str) -> std::io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

type Request = (String, Vec<(String, String)>, Value);

/// Reads one request; `None` at the end of the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if header("transfer-encoding") == Some("chunked") {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    } else {
        body.resize(header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0), 0);
        reader.read_exact(&mut body)?;
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    Ok(Some((path, headers, body)))
}

//! A signal-cli daemon that does as it is told: events as a stream, and JSON-RPC.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use super::wait;

pub const NUMBER: &str = "+15550001111";

#[derive(Default)]
struct World {
    events: Vec<Value>,
    calls: Vec<(String, Value)>,
    shown: Vec<(String, String)>,
    refusals: Vec<(String, i64, &'static str)>,
    streams: usize,
    cut: bool,
    over: bool,
    made: u64,
    numbers: Vec<String>,
}

/// A running daemon. It ends with the test.
pub struct Signal {
    pub root: String,
    world: Arc<Mutex<World>>,
}

impl Signal {
    pub fn start() -> Signal {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the daemon");
        let root = format!("http://{}", listener.local_addr().expect("bound"));
        let world = Arc::new(Mutex::new(World { numbers: vec![NUMBER.into()], ..World::default() }));
        let own = world.clone();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if locked(&own).over {
                    return;
                }
                let world = own.clone();
                std::thread::spawn(move || serve(&socket, &world));
            }
        });
        Signal { root, world }
    }

    /// Somebody writes directly, with something laid over the message.
    pub fn says(&self, number: &str, text: &str, more: Value) {
        let mut world = locked(&self.world);
        world.made += 1;
        let at = 1_700_000_000_000 + world.made;
        let mut data = json!({"timestamp": at, "message": text});
        super::gateway::merge(&mut data, more);
        let envelope = json!({"sourceNumber": number, "sourceUuid": format!("uuid-of{number}"), "sourceName": "Ada",
                              "timestamp": at, "dataMessage": data});
        world.events.push(json!({"envelope": envelope, "account": NUMBER}));
    }

    /// The next call of a method is refused.
    pub fn refuse(&self, method: &str, code: i64, words: &'static str) {
        locked(&self.world).refusals.push((method.into(), code, words));
    }

    /// Ends the streams there are.
    pub fn cut(&self) {
        locked(&self.world).cut = true;
    }

    pub fn knows(&self, numbers: &[&str]) {
        locked(&self.world).numbers = numbers.iter().map(|number| (*number).to_owned()).collect();
    }

    #[track_caller]
    pub fn wait_streams(&self, count: usize) {
        wait::until(&format!("{count} streams"), || (locked(&self.world).streams >= count).then_some(()));
    }

    pub fn calls(&self, method: &str) -> Vec<Value> {
        locked(&self.world).calls.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }

    #[track_caller]
    pub fn wait_shown(&self, chat: &str, count: usize) -> Vec<String> {
        wait::until(&format!("{chat} shows {count} messages"), || {
            let world = locked(&self.world);
            let shown: Vec<String> =
                world.shown.iter().filter(|(to, _)| to == chat).map(|(_, text)| text.clone()).collect();
            (shown.len() >= count).then_some(shown)
        })
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        locked(&self.world).over = true;
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.root.trim_start_matches("http://")));
    }
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().expect("nobody panics while holding the world")
}

fn serve(socket: &TcpStream, world: &Mutex<World>) {
    let mut reader = BufReader::new(socket);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        if first.starts_with("GET /api/v1/events?account=%2B15550001111 ") {
            return stream(socket, world);
        }
        let call: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let answer = answer(&call, &mut locked(world)).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        if (&*socket).write_all((head + &answer).as_bytes()).is_err() {
            return;
        }
    }
}

fn stream(mut socket: &TcpStream, world: &Mutex<World>) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:\n";
    if socket.write_all(head.as_bytes()).is_err() {
        return;
    }
    let own = {
        let mut world = locked(world);
        world.streams += 1;
        world.cut = false;
        world.streams
    };
    loop {
        let text: String = {
            let mut world = locked(world);
            if world.over || world.cut || world.streams != own {
                return;
            }
            world.events.drain(..).map(|event| format!("event:receive\ndata:{event}\n\n")).collect()
        };
        if socket.write_all(text.as_bytes()).is_err() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn answer(call: &Value, world: &mut World) -> Value {
    let (method, params) = (call["method"].as_str().unwrap_or_default().to_owned(), call["params"].clone());
    world.calls.push((method.clone(), params.clone()));
    let refused = world.refusals.iter().position(|(name, ..)| *name == method);
    if let Some((_, code, words)) = refused.map(|at| world.refusals.remove(at)) {
        return json!({"jsonrpc": "2.0", "id": "1", "error": {"code": code, "message": words}});
    }
    let result = match method.as_str() {
        "listAccounts" => world.numbers.iter().map(|number| json!({"number": number})).collect(),
        "getAttachment" => json!({"data": "c29tZSBub3Rlcw=="}),
        "send" => {
            let group = params["groupId"].as_str().map(|id| format!("group:{id}"));
            let to = group.or_else(|| params["recipient"][0].as_str().map(str::to_owned)).unwrap_or_default();
            world.shown.push((to, params["message"].as_str().unwrap_or_default().to_owned()));
            world.made += 1;
            json!({"timestamp": 1_700_000_000_000 + world.made})
        }
        _ => json!({}),
    };
    json!({"jsonrpc": "2.0", "id": "1", "result": result})
}

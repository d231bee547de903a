//! Random clients that come, speak, stop, leave and come again, against what always holds: numbers grow on every
//! connection, every request has its one answer, every run has one end.
//!
//! Each round is made of its number; a failure names it. `OPENCLAW_ROUNDS=200` plays for minutes.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::talk::chat_state;
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;
use crate::support::ws::Ws;

const CLIENTS: usize = 5;
const STEPS: usize = 160;
const SESSIONS: [&str; 3] = ["agent:main:main", "agent:main:a", "agent:main:b"];

/// A small generator: the same seed, the same numbers (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// A connection and what it asked for; `agent` asks for two answers.
struct Client {
    ws: Ws,
    asked: HashMap<String, Asked>,
}

#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Once,
    Agent,
}

impl Asked {
    /// How many answers belong to a request, now that some are known.
    fn answers(self, frames: &[Value], id: &str) -> usize {
        let accepted = |frame: &Value| frame["id"] == id && frame["payload"]["status"] == "accepted";
        if self == Asked::Agent && frames.iter().any(accepted) { 2 } else { 1 }
    }
}

fn answered(frames: &[Value], id: &str) -> usize {
    frames.iter().filter(|frame| frame["type"] == "res" && frame["id"] == id).count()
}

impl Client {
    fn come(gateway: &Gateway) -> Client {
        Client { ws: gateway.operator(), asked: HashMap::new() }
    }

    fn ask(&mut self, method: &str, params: Value) {
        let id = self.ws.request(method, params);
        self.asked.insert(id, if method == "agent" { Asked::Agent } else { Asked::Once });
    }

    /// Holds everything that came on this connection against what was asked.
    fn judge(mut self, round: u64) {
        // Some answers take their time: a wait, a reset that waits for a run.
        let mut frames = Vec::new();
        let all = wait::within(wait::LIMIT, || {
            frames.extend(self.ws.so_far());
            self.asked.iter().all(|(id, asked)| answered(&frames, id) >= asked.answers(&frames, id)).then_some(())
        });
        assert!(all.is_some(), "round {round}: somebody still waits for an answer");
        frames.extend(self.ws.so_far());
        let seqs: Vec<u64> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "round {round}: numbers on one connection: {seqs:?}");
        let mut answers: HashMap<&str, Vec<&Value>> = HashMap::new();
        for frame in frames.iter().filter(|frame| frame["type"] == "res") {
            answers.entry(frame["id"].as_str().expect("an id")).or_default().push(frame);
        }
        for (id, asked) in &self.asked {
            let got = answers.remove(id.as_str()).unwrap_or_default();
            let wanted = asked.answers(&frames, id);
            assert_eq!(got.len(), wanted, "round {round}: answers to {id}: {got:#?}");
        }
        assert!(answers.is_empty(), "round {round}: answers nobody asked for: {answers:#?}");
    }
}

#[test]
fn whatever_clients_do_every_request_has_one_answer_and_every_run_one_end() {
    let mut dice = Dice(0x5eed);
    let upstream = Upstream::by(move |_| match dice.roll(8) {
        0 => Answer::Refuse(400, "no"),
        1 => Answer::Die(vec!["half".into()]),
        2 | 3 => Answer::Stall(vec!["and then".into()]),
        _ => Answer::say("some words that come in pieces"),
    });
    let gateway = Gateway::on(&upstream);
    let rounds = std::env::var("OPENCLAW_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    for number in 1..=rounds {
        round(&gateway, number);
    }
}

fn round(gateway: &Gateway, number: u64) {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut watcher = gateway.operator();
    watcher.ok("sessions.subscribe", json!({}));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::come(gateway)).collect();
    for step in 0..STEPS {
        let at = dice.roll(clients.len());
        let session = SESSIONS[dice.roll(SESSIONS.len())];
        let client = &mut clients[at];
        // Some keys are used again.
        let key = format!("{number}-{}", if dice.roll(6) == 0 { step / 2 } else { step });
        match dice.roll(12) {
            0..=2 => client.ask("chat.send", json!({ "sessionKey": session, "message": "hi", "idempotencyKey": key })),
            3 => client.ask("agent", json!({ "sessionKey": session, "message": "hi", "idempotencyKey": key })),
            4 | 5 => client.ask("chat.abort", json!({ "sessionKey": session })),
            6 => client.ask("sessions.reset", json!({ "key": session })),
            7 => client.ask("agent.wait", json!({ "runId": key, "timeoutMs": 50 })),
            8 => client.ask("chat.history", json!({ "sessionKey": session })),
            9 => client.ask("sessions.list", json!({ "limit": dice.roll(9) })),
            10 => client.ask("nobody.knows", json!({})),
            _ if dice.roll(2) == 0 => clients[at] = Client::come(gateway),
            _ => std::mem::replace(client, Client::come(gateway)).judge_late(number, gateway),
        }
    }
    quiet(&mut watcher);
    for client in clients {
        client.judge(number);
    }
    runs_ended_once(number, &watcher.so_far());
}

impl Client {
    /// Leaves when all is said.
    fn judge_late(self, round: u64, gateway: &Gateway) {
        quiet(&mut gateway.operator());
        self.judge(round);
    }
}

/// Stops everything and waits until nothing is made.
fn quiet(client: &mut Ws) {
    wait::until("no run is left", || {
        for session in SESSIONS {
            client.ok("chat.abort", json!({ "sessionKey": session }));
        }
        let tasks = client.ok("tasks.list", json!({ "status": ["queued", "running"] }));
        (tasks["tasks"] == json!([])).then_some(())
    });
}

/// Every run that a reader heard of has one last chat state, and nothing of it comes after that.
fn runs_ended_once(round: u64, frames: &[Value]) {
    let mut begun = HashSet::new();
    let mut ended: HashMap<&str, usize> = HashMap::new();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for frame in frames {
        let payload = &frame["payload"];
        let Some(run) = payload["runId"].as_str() else { continue };
        match frame["event"].as_str() {
            Some("chat") => {
                begun.insert(run);
                match chat_state(frame) {
                    Some("final" | "aborted" | "error") => *ended.entry(run).or_default() += 1,
                    _ => assert!(!ended.contains_key(run), "round {round}: after the end of its run: {frame}"),
                }
            }
            Some("agent") => {
                begun.insert(run);
                let count = payload["seq"].as_u64().expect("a run counts its events");
                let last = counts.insert(run, count).unwrap_or(0);
                assert!(last < count, "round {round}: {run} counted {last}, then {count}");
            }
            _ => {}
        }
    }
    for run in begun {
        let told = || frames.iter().filter(|frame| frame["payload"]["runId"] == run).collect::<Vec<_>>();
        assert_eq!(ended.get(run), Some(&1), "round {round}: ends of {run}: {:#?}", told());
    }
}

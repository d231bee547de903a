//! The few steps every conversation in the tests is made of.

use serde_json::{Value, json};

use super::Ws;

/// The main session of the main agent.
pub const SESSION: &str = "agent:main:main";

/// Sends a message and gives the acknowledgement.
#[track_caller]
pub fn send(client: &mut Ws, session: &str, message: &str, run: &str) -> Value {
    client.ok("chat.send", json!({ "sessionKey": session, "message": message, "idempotencyKey": run }))
}

/// Sends a message and waits for its final event.
#[track_caller]
pub fn say(client: &mut Ws, session: &str, message: &str, run: &str) {
    send(client, session, message, run);
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == run);
}

pub fn chat_state(frame: &Value) -> Option<&str> {
    (frame["event"] == "chat").then(|| frame["payload"]["state"].as_str()).flatten()
}

pub fn payloads<'a>(frames: &'a [Value], event: &str) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame["event"] == event).map(|frame| &frame["payload"]).collect()
}

pub fn roles(history: &Value) -> Vec<&str> {
    history["messages"].as_array().expect("messages").iter().filter_map(|message| message["role"].as_str()).collect()
}

//! The configuration: how long a large one takes to load, and how soon a change is in force.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use openclaw::config::load;
use openclaw::sys::Env;
use openclaw::sys::paths::{Paths, Selector};
use serde_json::json;

use crate::budgets::{Board, median};
use crate::support::gateway::Gateway;

/// Loads, and changes; the median is reported.
const LOADS: usize = 50;
const CHANGES: usize = 15;

/// Lines of the large configuration.
const LINES: usize = 2000;

pub fn measure(board: &mut Board) {
    let text = large();
    let env = Env::from_iter([("HOME", "/nowhere")]);
    let paths = Paths::resolve(&env, &Selector::default()).expect("resolved");
    let mut took = Vec::new();
    for _ in 0..LOADS {
        let begun = Instant::now();
        let config = load::parse(&text, &paths, &env).unwrap_or_else(|error| panic!("{error}"));
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    board.figure("config_2000_lines_ms", median(took));

    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let path = gateway.config_path();
    let text = std::fs::read_to_string(&path).expect("read");
    let mut took = Vec::new();
    for round in 0..CHANGES {
        let level = ["debug", "warn"][round % 2];
        let with = format!("\"logging\": {{ \"level\": {level:?} }},\n  \"gateway\"");
        let begun = Instant::now();
        std::fs::write(&path, text.replacen("\"gateway\"", &with, 1)).expect("written");
        client.event("config.changed");
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    board.figure("hot_change_ms", median(took));
    board.figure("reload_stops_state_ms", longest_stop());
}

/// How long nobody was answered while a large configuration was taken over, again and again: the longest of many calls
/// that the state thread answers, each the median of what three rounds came to.
fn longest_stop() -> f64 {
    let gateway = Gateway::start(json!({}));
    let (mut client, mut caller) = (gateway.operator(), gateway.operator());
    let path = gateway.config_path();
    let own = std::fs::read_to_string(&path).expect("read");
    let own = own.trim_end().strip_suffix('}').expect("an object").trim_end();
    let text = large();
    let rest = text.split_once("  models: {").expect("a section").1;
    let mut rounds = Vec::new();
    for round in 0..3 {
        let done = AtomicBool::new(false);
        let longest = std::thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let mut longest = 0f64;
                while !done.load(Relaxed) {
                    let begun = Instant::now();
                    caller.ok("system-presence", json!({}));
                    longest = longest.max(begun.elapsed().as_secs_f64() * 1e3);
                }
                longest
            });
            for change in 0..5 {
                let agents = text.replacen("Model 1\"", &format!("Model 1 of {round}.{change}\""), 1);
                let rest = agents.split_once("  models: {").map_or(rest, |(_, rest)| rest);
                std::fs::write(&path, format!("{own},\n  models: {{{rest}")).expect("written");
                client.event("config.changed");
            }
            done.store(true, Relaxed);
            calls.join().expect("the calls")
        });
        rounds.push(longest);
    }
    median(rounds)
}

/// Providers with models and agents, one key a line, as people write them.
fn large() -> String {
    let mut text = String::from(
        "// A large house.\n{\n  gateway: {\n    mode: \"local\",\n    port: 18789,\n  },\n  models: {\n    providers: {\n",
    );
    let mut lines = 8;
    let mut number = 0;
    while lines < LINES * 3 / 4 {
        number += 1;
        text.push_str(&format!(
            "      p{number}: {{ // provider {number}\n        baseUrl: \"https://models{number}.example/v1\",\n        api: 'openai-completions',\n        apiKey: \"key-{number}\",\n        models: [\n          {{\n            id: \"m{number}\",\n            name: \"Model {number}\",\n            contextWindow: 128000,\n            maxTokens: 4096,\n            cost: {{ input: 0.5, output: 1.5, }},\n          }},\n        ],\n      }},\n"
        ));
        lines += 14;
    }
    text.push_str("    },\n  },\n  agents: {\n    entries: {\n");
    lines += 4;
    while lines < LINES - 3 {
        number += 1;
        text.push_str(&format!(
            "      a{number}: {{\n        name: \"Agent {number}\",\n        model: {{ primary: \"p1/m1\", fallbacks: [\"p2/m2\"] }},\n        tools: {{ profile: \"coding\", deny: [\"exec\"] }},\n      }},\n"
        ));
        lines += 5;
    }
    text.push_str("    },\n  },\n}\n");
    text
}

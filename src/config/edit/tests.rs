use serde_json::json;

use super::super::keys::split;
use super::*;
use crate::config::json5;

const MINE: &str = "// my gateway\n{\n  gateway: { // where\n    mode: 'local',\n    port: 0x4965, // hex, mine\n    \
    auth: { token: \"${TOKEN}\" },\n  },\n\n  /* agents */\n  agents: {\n    list: [\n      // first\n      { id: 'a' },\n      \
    { id: 'b' }, // second\n    ],\n  },\n  unknown: [1, 2, 3],\n}\n";

fn set_at(text: &str, path: &str, value: Value) -> String {
    set(text, &split(path), &value).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn without(text: &str, path: &str) -> String {
    unset(text, &split(path)).unwrap_or_else(|error| panic!("{path}: {error}")).expect("it was there")
}

#[test]
fn a_replaced_value_is_the_only_difference() {
    assert_eq!(set_at(MINE, "gateway.port", json!(1)), MINE.replace("0x4965", "1"));
    assert_eq!(set_at(MINE, "gateway.port", json!(18789)), MINE, "0x4965 is 18789 already");
    assert_eq!(set_at(MINE, "agents.list[1].id", json!("c")), MINE.replace("'b'", "\"c\""));
}

#[test]
fn a_new_key_looks_like_its_neighbours() {
    let text = set_at(MINE, "gateway.bind", json!("lan"));
    assert_eq!(text, MINE.replace("},\n  },\n\n", "},\n    bind: \"lan\",\n  },\n\n"));
    let text = set_at(MINE, "gateway.auth.mode", json!("token"));
    assert_eq!(text, MINE.replace("\"${TOKEN}\" }", "\"${TOKEN}\", mode: \"token\" }"));
    let text = set_at("{\r\n\t\"a\": 1\r\n}\r\n", "b.c", json!([true]));
    assert_eq!(text, "{\r\n\t\"a\": 1,\r\n\t\"b\": {\r\n\t\t\"c\": [true]\r\n\t}\r\n}\r\n");
    assert_eq!(set_at("{a:1}", "b", json!({"x y": 1})), "{a:1, b: { \"x y\": 1 }}");
    assert_eq!(set_at("{ a: 1 // x\n}", "b", json!(2)), "{ a: 1, // x\n  b: 2\n}");
    assert_eq!(set_at("{ a: {} }", "a.b", json!(2)), "{ a: { b: 2 } }");
}

#[test]
fn an_empty_file_becomes_an_object_and_its_comments_stay() {
    assert_eq!(set_at("", "gateway.mode", json!("local")), "{\n  \"gateway\": {\n    \"mode\": \"local\"\n  }\n}\n");
    assert_eq!(set_at("// mine\n", "a", json!(1)), "// mine\n{\n  \"a\": 1\n}\n");
    assert_eq!(set_at("{ /* none yet */ }\n", "a", json!(1)), "{ /* none yet */\n  \"a\": 1\n}\n");
}

#[test]
fn a_removed_key_takes_its_line_and_leaves_the_comments_above() {
    assert_eq!(without(MINE, "gateway.port"), MINE.replace("    port: 0x4965, // hex, mine\n", ""));
    assert_eq!(without(MINE, "agents.list[0]"), MINE.replace("      { id: 'a' },\n", ""));
    assert_eq!(without("{\n  \"a\": 1, // x\n  \"b\": 2\n}", "b"), "{\n  \"a\": 1 // x\n}");
    assert_eq!(without("{ a: 1, b: 2 }", "b"), "{ a: 1 }");
    assert_eq!(without("{ a: 1, b: 2 }", "a"), "{ b: 2 }");
    assert_eq!(without("[1, 2, 3]", "[1]"), "[1, 3]");
    assert_eq!(unset(MINE, &split("gateway.nope")), Ok(None));
}

#[test]
fn lists_grow_at_their_end_and_shrink_where_they_differ() {
    assert_eq!(set_at(MINE, "unknown[3]", json!(4)), MINE.replace("[1, 2, 3]", "[1, 2, 3, 4]"));
    assert_eq!(set_at(MINE, "unknown", json!([1, 3])), MINE.replace("[1, 2, 3]", "[1, 3]"));
    let text = set_at(MINE, "agents.list[2]", json!({"id": "c"}));
    assert!(text.contains("// second\n      {\n        id: \"c\"\n      },\n    ],"), "{text}");
}

#[test]
fn a_patch_merges_objects_and_null_removes() {
    let text = patch(MINE, &json!({"gateway": {"port": null, "bind": "lan"}, "unknown": [9]}), &[]).unwrap();
    let tree = json5::parse(&text, 0).unwrap().root.to_value();
    assert_eq!(tree["gateway"], json!({"mode": "local", "auth": {"token": "${TOKEN}"}, "bind": "lan"}));
    assert_eq!(tree["unknown"], json!([9]));
    assert!(text.contains("// where") && text.contains("// first") && text.contains("${TOKEN}"));
    let text = patch(MINE, &json!({"gateway": {"auth": {"mode": "none"}}}), &["gateway.auth".to_owned()]).unwrap();
    assert!(!text.contains("TOKEN"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let failed = |path: &str| set(MINE, &split(path), &json!(1)).unwrap_err().to_string();
    assert_eq!(failed("gateway.mode.x"), "gateway.mode is a string: nothing can be below it");
    assert_eq!(failed("agents.list[5]"), "agents.list has 2 items; the next one is [2]");
    assert!(set("{a: 1, a: 2}", &split("a"), &json!(3)).unwrap_err().to_string().contains("written twice"));
    assert!(set("{a: ", &split("a"), &json!(3)).unwrap_err().to_string().starts_with("JSON5 parse failed"));
}

/// xorshift: the same edits in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap_or(0)
    }
}

/// Every path of a tree, the root's excluded.
fn paths(tree: &Value, here: &str, out: &mut Vec<String>) {
    match tree {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let path = super::super::keys::join(here, key);
            out.push(path.clone());
            paths(value, &path, out);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
            let path = format!("{here}[{index}]");
            out.push(path.clone());
            paths(value, &path, out);
        }),
        _ => {}
    }
}

/// Real-looking files: bare and quoted keys, tabs, CRLF, one line, commas first, no comma at the end.
fn corpus() -> Vec<String> {
    let json = "{\n\t\"gateway\": {\n\t\t\"mode\": \"local\",\n\t\t\"port\": 18789\n\t},\n\t\"tools\": {\"deny\": [\"exec\", \
                \"fs\"]},\n\t\"empty\": {}\n}\n";
    let first = "{ a: 1 // one\n, b: [ 1\n     , 2 /* two */\n     ]\n, c: { d: null, /* tail */ }\n}";
    let line = "{\"a\":{\"b\":[1,2,{\"c\":\"x\"}]},\"d\":\"e\"}";
    [MINE, json, first, line].into_iter().flat_map(|text| [text.to_owned(), text.replace('\n', "\r\n")]).collect()
}

/// The comments of a text, each with its words.
fn comments(text: &str) -> Vec<String> {
    let words = ["my gateway", "where", "hex, mine", "agents", "first", "second", "one", "two", "tail"];
    words.iter().filter(|word| text.contains(*word)).map(|word| (*word).to_owned()).collect()
}

#[test]
fn random_edits_mean_what_was_asked_and_keep_every_other_line() {
    let values =
        [json!(7), json!("new"), json!({"x": {"y": [1, {}]}}), json!([]), json!(null), json!(5.0), json!("a\"b")];
    for (number, original) in corpus().into_iter().enumerate() {
        let mut dice = Dice(0x9e37_79b9 + number as u64);
        for round in 0..150 {
            let tree = json5::parse(&original, 0).unwrap().root.to_value();
            let mut known = Vec::new();
            paths(&tree, "", &mut known);
            let path = known[dice.below(known.len())].clone();
            let value = values[dice.below(values.len())].clone();
            let sub = format!("{path}.fresh{round}");
            let path =
                if dice.below(2) == 0 && at(&tree, &split(&path)).is_some_and(Value::is_object) { sub } else { path };
            let seed = format!("file {number}, round {round}, {path} = {value}");

            let mut wanted = tree.clone();
            put(&mut wanted, &split(&path), value.clone()).unwrap();
            let edited = set(&original, &split(&path), &value).unwrap_or_else(|error| panic!("{seed}: {error}"));
            let normal = json5::parse(&wanted.to_string(), 0).unwrap().root.to_value();
            assert_eq!(json5::parse(&edited, 0).unwrap().root.to_value(), normal, "{seed}\n{edited}");
            if path.contains("fresh") {
                assert_eq!(comments(&edited), comments(&original), "{seed}\n{edited}");
                let gone = without(&edited, &path);
                let same = |text: &str| text.split_whitespace().collect::<String>();
                assert_eq!(same(&gone), same(&original), "{seed}: there and back\n{gone}");
            }
            let removed = without(&edited, &path);
            take(&mut wanted, &split(&path));
            let normal = json5::parse(&wanted.to_string(), 0).unwrap().root.to_value();
            assert_eq!(json5::parse(&removed, 0).unwrap().root.to_value(), normal, "{seed}\n{removed}");
            if original.contains("\r\n") {
                assert_eq!(
                    removed.matches('\n').count(),
                    removed.matches("\r\n").count(),
                    "{seed}: line ends\n{removed:?}"
                );
            }
        }
    }
}

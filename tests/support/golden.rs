//! Comparing what came with what was expected, printing both sides when they differ.

use serde_json::Value;

/// Compares two JSON values; on a difference prints both, pretty, and the first path where they part.
#[track_caller]
pub fn same(got: &Value, want: &Value) {
    if let Some(path) = first_difference(got, want, String::new()) {
        panic!("differs at {}\n--- got\n{got:#}\n--- want\n{want:#}", if path.is_empty() { "the root" } else { &path });
    }
}

/// Compares only the fields `want` names, at any depth; arrays must have equal length.
#[track_caller]
pub fn has(got: &Value, want: &Value) {
    same(&only(got, want), want);
}

/// The shape of a value: the same value with every string, number and boolean replaced by its type's name, and arrays
/// reduced to the shape of their first element.
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(items) => items.iter().take(1).map(shape).collect::<Vec<_>>().into(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
    }
}

/// Every field of `want` must stand in `got` with the same type; `got` may have more.
#[track_caller]
pub fn has_shape(got: &Value, want: &Value) {
    same(&only(&shape(got), &shape(want)), &shape(want));
}

fn only(got: &Value, want: &Value) -> Value {
    match (got, want) {
        (Value::Object(got), Value::Object(want)) => {
            want.iter().filter_map(|(key, want)| got.get(key).map(|got| (key.clone(), only(got, want)))).collect()
        }
        (Value::Array(got), Value::Array(want)) if got.len() == want.len() => {
            got.iter().zip(want).map(|(got, want)| only(got, want)).collect()
        }
        _ => got.clone(),
    }
}

fn first_difference(got: &Value, want: &Value, path: String) -> Option<String> {
    match (got, want) {
        (Value::Object(got), Value::Object(want)) => {
            let keys = want.keys().chain(got.keys().filter(|key| !want.contains_key(*key)));
            keys.into_iter().find_map(|key| match (got.get(key), want.get(key)) {
                (Some(got), Some(want)) => first_difference(got, want, format!("{path}/{key}")),
                _ => Some(format!("{path}/{key}")),
            })
        }
        (Value::Array(got), Value::Array(want)) if got.len() == want.len() => got
            .iter()
            .zip(want)
            .enumerate()
            .find_map(|(index, (got, want))| first_difference(got, want, format!("{path}/{index}"))),
        _ => (got != want).then_some(path),
    }
}

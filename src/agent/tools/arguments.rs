//! From the JSON text a model wrote to a tool's typed arguments.
//!
//! Forgiving where models slip (empty text, `null` for "not given", `"5"` or `5.0` for a count, snake_case names), strict
//! where a guess could do harm. The error names the field. Nothing here looks at values beyond their type.

use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::{Refusal, cut};
use crate::wire::misfit;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

/// A tool's arguments, and the names among them that mean nothing to it.
pub(super) struct Decoded<T> {
    pub(super) known: T,
    pub(super) ignored: Vec<String>,
}

/// Decodes the arguments of `tool`; `schema` says which names it knows.
pub(super) fn decode<T: DeserializeOwned>(tool: &str, schema: &str, json: &str) -> Result<Decoded<T>, Refusal> {
    let json = if json.trim().is_empty() { "{}" } else { json };
    let wrong = |what: String| {
        Refusal(format!("Wrong arguments for {tool}: {what}. Expected a JSON object: {}", compact(schema)))
    };
    let given: Sorted<String, IgnoredAny> = misfit::read(json).map_err(|error| wrong(error.to_string()))?;
    let known = misfit::read(json).map_err(|misfit| {
        wrong(if misfit.path.is_empty() {
            misfit.sentence()
        } else {
            format!("{}: {}", misfit.indexed(), misfit.reason)
        })
    })?;
    let ignored = given.into_keys().filter(|name| !is_known(schema, name)).take(MOST_IGNORED);
    Ok(Decoded { known, ignored: ignored.map(|name| cut(&name, 64).to_owned()).collect() })
}

/// A count that may also come as `3.0` or `"3"`.
pub(super) fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    Ok(seconds(from)?.map(|number| number as usize))
}

/// Like [`count`], with a fraction.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(f64),
        Quoted(String),
        Other(IgnoredAny),
    }
    let number = match Option::<Number>::deserialize(from)? {
        None => return Ok(None),
        Some(Number::Plain(number)) => Some(number),
        Some(Number::Quoted(text)) => text.trim().parse().ok(),
        Some(Number::Other(_)) => None,
    };
    match number {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(D::Error::custom("expected a number, not negative")),
    }
}

objects! { lenient:
    struct Schema {
        properties: Sorted<String, IgnoredAny>,
    }
}

fn is_known(schema: &str, name: &str) -> bool {
    let schema: Schema = misfit::read(schema).expect("a table test parses every schema");
    schema.properties.contains_key(name) || ALIASES.contains(&name)
}

/// The schema on one line.
pub(super) fn compact(schema: &str) -> String {
    schema.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names other gateways and models use for ours; each is a `serde(alias)` somewhere.
const ALIASES: &[&str] = &["cmd", "cwd", "file_path", "new_string", "new_text", "old_string", "old_text", "timeout"];

/// A model that invents a hundred arguments is told about the first few.
const MOST_IGNORED: usize = 8;

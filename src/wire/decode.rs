//! Params become typed values here, with the words of the protocol when they do not fit.
//!
//! The reference validates with a JSON Schema and says `invalid <method> params: at /limit: must be integer`. We decode
//! with serde and translate its complaint, so that scripts that match those texts keep working.

use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde_json::value::RawValue;

use super::error::RpcError;
use super::misfit::{self, Misfit, Step};

/// Decodes params of `method`. Absent params are an empty object.
pub fn params<P: DeserializeOwned>(method: &str, raw: Option<&RawValue>) -> Result<P, RpcError> {
    let text = object_text(raw.map_or("{}", |r| r.get()));
    text.and_then(|text| misfit::read(text).map_err(described)).map_err(|why| refused(method, &why))
}

/// Decodes one closed object; the error is the protocol's sentence without its beginning.
pub fn object<P: DeserializeOwned>(text: &str) -> Result<P, String> {
    misfit::read(object_text(text)?).map_err(described)
}

// What is the same for every type stands by itself: inlined into each of them it would be 0.2 MB of the program.

/// serde would also read a struct from an array, field by field.
#[inline(never)]
fn object_text(text: &str) -> Result<&str, String> {
    if text.trim_start().starts_with('{') { Ok(text) } else { Err("must be object".into()) }
}

#[inline(never)]
fn refused(method: &str, why: &str) -> RpcError {
    RpcError::invalid(format!("invalid {method} params: {why}"))
}

#[inline(never)]
fn described(misfit: Misfit) -> String {
    let path = misfit.path.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => path + "/" + key,
        Step::Index(index) => format!("{path}/{index}"),
    });
    sentence(&path, &misfit.sentence())
}

/// ``missing field `x` `` -> `must have required property 'x'`.
fn sentence(path: &str, inner: &str) -> String {
    let inner = inner.rsplit_once(" at line ").map_or(inner, |(text, _)| text);
    let quoted = inner.split('`').nth(1).unwrap_or("");
    let parent = path.rsplit_once('/').map_or("", |(parent, last)| if last == quoted { parent } else { path });
    let at = |place: &str| if place.is_empty() { String::new() } else { format!("at {place}: ") };
    if inner.starts_with("missing field") {
        return format!("{}must have required property '{quoted}'", at(path));
    }
    if inner.starts_with("unknown field") {
        let place = if parent.is_empty() { "root" } else { parent };
        return format!("at {place}: unexpected property '{quoted}'");
    }
    if inner.starts_with("unknown variant") {
        return format!("{}must be equal to one of the allowed values", at(path));
    }
    if let Some(expected) = inner.strip_prefix("invalid type: ").or(inner.strip_prefix("invalid value: ")) {
        let expected = expected.rsplit_once("expected ").map_or(expected, |(_, e)| e);
        return format!("{}must be {}", at(path), json_type(expected));
    }
    format!("{}{inner}", at(path))
}

fn json_type(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" => "string",
        "a boolean" => "boolean",
        "a sequence" => "array",
        "f64" | "f32" => "number",
        e if e.starts_with("struct ") || e == "a map" => "object",
        e if e.starts_with('u') || e.starts_with('i') => "integer",
        e => e,
    }
}

/// A string of 1 to `MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MAX: usize>(pub String);

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        limited(String::deserialize(from)?, MAX).map(Text).map_err(de::Error::custom)
    }
}

fn limited(text: String, max: usize) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not have fewer than 1 characters".into());
    }
    if text.len() > max && text.chars().count() > max {
        return Err(format!("must not have more than {max} characters"));
    }
    Ok(text)
}

/// A string of any length but none.
pub type Name = Text<{ usize::MAX }>;

/// A member that may be missing, null or a value.
#[derive(Debug, Clone)]
pub struct Given<T>(pub Option<Option<T>>);

impl<T> Default for Given<T> {
    fn default() -> Given<T> {
        Given(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Given<T>, D::Error> {
        Option::<T>::deserialize(from).map(|value| Given(Some(value)))
    }
}

/// An integer from `MIN` to `MAX`. Accepts `5.0`, as JSON Schema does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<const MIN: u64, const MAX: u64>(pub u64);

/// An integer of at least 0.
pub type Whole = Int<0, { u64::MAX }>;

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number<const MIN: u64, const MAX: u64>(PhantomData<()>);
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Number<MIN, MAX> {
            type Value = Int<MIN, MAX>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("integer")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
                match n {
                    n if n < MIN => Err(E::custom(format!("must be >= {MIN}"))),
                    n if n > MAX => Err(E::custom(format!("must be <= {MAX}"))),
                    n => Ok(Int(n)),
                }
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
                if n < 0 { Err(E::custom(format!("must be >= {MIN}"))) } else { self.visit_u64(n as u64) }
            }
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Self::Value, E> {
                if n.fract() != 0.0 || !(-9.0e15..=9.0e15).contains(&n) {
                    return Err(E::custom("must be integer"));
                }
                self.visit_i64(n as i64)
            }
        }
        from.deserialize_any(Number(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code)]
        session_key: Text<8>,
        #[serde(default)]
        #[allow(dead_code)]
        limit: Option<Int<1, 1000>>,
        #[serde(default)]
        #[allow(dead_code)]
        flag: Option<bool>,
    }

    fn complaint(text: &str) -> String {
        let raw = RawValue::from_string(text.into()).expect("JSON");
        params::<Sample>("x", Some(&raw)).expect_err("must not fit").message
    }

    #[test]
    fn complaints_are_the_protocol_s() {
        assert_eq!(complaint("{}"), "invalid x params: must have required property 'sessionKey'");
        assert_eq!(
            complaint(r#"{"sessionKey":"a","bogus":1}"#),
            "invalid x params: at root: unexpected property 'bogus'"
        );
        assert_eq!(complaint(r#"{"sessionKey":"a","limit":0}"#), "invalid x params: at /limit: must be >= 1");
        assert_eq!(complaint(r#"{"sessionKey":"a","limit":1.5}"#), "invalid x params: at /limit: must be integer");
        assert_eq!(complaint(r#"{"sessionKey":"a","limit":"5"}"#), "invalid x params: at /limit: must be integer");
        assert_eq!(
            complaint(r#"{"sessionKey":"","limit":5}"#),
            "invalid x params: at /sessionKey: must not have fewer than 1 characters"
        );
        assert_eq!(
            complaint(r#"{"sessionKey":"123456789"}"#),
            "invalid x params: at /sessionKey: must not have more than 8 characters"
        );
        assert_eq!(complaint(r#"{"sessionKey":1}"#), "invalid x params: at /sessionKey: must be string");
        assert_eq!(complaint(r#"{"sessionKey":"a","flag":3}"#), "invalid x params: at /flag: must be boolean");
        assert_eq!(complaint(r#"["a",5,true]"#), "invalid x params: must be object");
        assert_eq!(complaint("3"), "invalid x params: must be object");
    }
}

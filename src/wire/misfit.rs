//! JSON text becomes typed values here, and what does not fit gets a place.
//!
//! Every type is compiled against one reader (see `json`). Wording is the callers' part.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::Reader;

/// Why a text did not become a value.
#[derive(Debug)]
pub struct Misfit {
    /// Steps from the root to the value that is wrong; empty for the root and for text that is not JSON.
    pub path: Vec<Step>,
    /// The reader's words, without the position.
    pub reason: String,
    /// Line and column of text that is not JSON, counted from 1; nothing where the JSON is right and the value wrong.
    pub syntax: Option<(usize, usize)>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

impl Misfit {
    /// The path with a word for each step: `join("/")` is `messages/0/content`.
    pub fn joined(&self, between: &str) -> String {
        let words = self.path.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        });
        words.collect::<Vec<_>>().join(between)
    }

    /// The path as programs write it: `messages[0].content`.
    pub fn indexed(&self) -> String {
        self.path.iter().fold(String::new(), |path, step| match step {
            Step::Index(index) => format!("{path}[{index}]"),
            Step::Key(key) if path.is_empty() => key.clone(),
            Step::Key(key) => path + "." + key,
        })
    }

    /// The reason, and where the text is no JSON.
    pub fn sentence(&self) -> String {
        match self.syntax {
            Some((line, column)) => format!("{} at line {line} column {column}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// Where it is wrong and why, as programs write it.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.sentence()),
            false => write!(f, "{}: {}", self.indexed(), self.sentence()),
        }
    }
}

/// Reads one value and nothing after it.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Misfit> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|stopped| misfit(&reader, stopped.0))
}

#[inline(never)] // the same for every type
fn misfit(reader: &Reader<'_>, reason: String) -> Misfit {
    match reader.syntax() {
        Some(place) => Misfit { path: Vec::new(), reason, syntax: Some(place) },
        None => {
            let path = reader.steps().map(|step| step.map_or_else(Step::Index, Step::Key)).collect();
            Misfit { path, reason, syntax: None }
        }
    }
}

/// [`read`] from bytes that should be UTF-8.
pub fn read_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Misfit> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
            Err(Misfit { path: Vec::new(), reason: "invalid UTF-8".into(), syntax: Some((line, column)) })
        }
    }
}

/// Reads a value that was parsed already, through its text: rare enough, and one reader less in the program.
pub fn convert<T: for<'de> Deserialize<'de>>(value: &impl Serialize) -> Result<T, Misfit> {
    let text = serde_json::to_string(value).map_err(|error| Misfit {
        path: Vec::new(),
        reason: error.to_string(),
        syntax: None,
    })?;
    read(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        either: Option<Either>,
        #[serde(default)]
        name: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        count: u8,
        #[serde(default)]
        text: String,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Either {
        Yes(bool),
        Many(Vec<u8>),
    }

    #[track_caller]
    fn place(text: &str, expected: &str) {
        let misfit = read::<Outer>(text).expect_err("does not fit");
        assert_eq!(misfit.joined("/"), expected, "{misfit:?}");
        assert!(misfit.syntax.is_none(), "{misfit:?}");
    }

    #[test]
    fn the_member_that_is_wrong_is_named() {
        place(r#"{"name":5}"#, "name");
        place(r#"{"name": 5 , "list":[]}"#, "name");
        place(r#"{"name": {"a":1}}"#, "name");
        place(r#"{"list":{"a":[1,2]}}"#, "list");
        place(r#"{"list":[{"count":1},{"count":"x"}]}"#, "list/1/count");
        place(r#"{"list":[{"count":1}, {"count":2,"text":[1]} ]}"#, "list/1/text");
        place(r#"{"list":[ 3 , {"count":1}]}"#, "list/0");
        place(r#"{"list":[{"count":1},{"count":300}],"name":"\"}{"}"#, "list/1/count");
        place("{\n \"name\":\n  true\n}", "name");
    }

    #[test]
    fn a_container_that_lacks_a_member_is_named_itself() {
        place(r#"{"list":[{"count":1},{"text":""}]}"#, "list/1");
        place(r#"{"list":[{"text":""},{"count":1}]}"#, "list/0");
    }

    #[test]
    fn a_value_refused_after_it_was_read_is_found_too() {
        place(r#"{"either":"no","name":""}"#, "either");
        place(r#"{"name":"","either":"no"}"#, "either");
        place(r#"{"either":[1,"x"] }"#, "either");
    }

    #[test]
    fn text_that_is_no_json_has_a_line_and_a_column_instead() {
        let misfit = read::<Outer>("{\n  \"name\" 5}").expect_err("no JSON");
        assert_eq!((misfit.path.len(), misfit.syntax), (0, Some((2, 10))), "{misfit:?}");
        let misfit = read_bytes::<Outer>(b"{\n\"name\":\"\xff\"}").expect_err("no UTF-8");
        assert_eq!(misfit.sentence(), "invalid UTF-8 at line 2 column 9");
        assert!(read::<Outer>("{} {}").expect_err("two values").syntax.is_some());
    }

    #[test]
    fn everything_serde_json_reads_is_read_alike() {
        use serde_json::Value;
        for text in [
            "0",
            "-0",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "1e3",
            "1.5E-2",
            "0.1",
            "100000000000000000000",
            "\"\"",
            r#""a\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00z""#,
            "\"\u{e9}\u{1f600}\"",
            "null",
            "true",
            "false",
            "[]",
            "{}",
            " [ 1 , [ ] , { \"a\" : null , \"b\" : [ { } ] } ] ",
            r#"{"a":{"b":{"c":[1,"x",-2.5]}},"":0}"#,
        ] {
            let ours: Value = read(text).unwrap_or_else(|misfit| panic!("{text}: {misfit:?}"));
            assert_eq!(ours, serde_json::from_str::<Value>(text).expect("JSON"), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_wherever_it_is_cut() {
        use serde::de::IgnoredAny;
        for text in [
            "",
            "nul",
            "tru",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "1e999",
            "[1,]",
            "[1 2]",
            "[,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "{1:1}",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00x\"",
            "\"\u{1}\"",
            "[}",
            "{]",
            "]",
            "1 1",
            "\u{feff}1",
            "NaN",
            "'a'",
        ] {
            for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                let (ours, theirs) =
                    (read::<serde_json::Value>(&text[..cut]), serde_json::from_str::<serde_json::Value>(&text[..cut]));
                assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", &text[..cut]);
                assert_eq!(read::<IgnoredAny>(&text[..cut]).is_ok(), theirs.is_ok(), "{:?}", &text[..cut]);
            }
        }
        assert!(read::<IgnoredAny>(&"[".repeat(1 << 20)).is_err());
        assert!(read::<IgnoredAny>(&("[".repeat(100) + &"]".repeat(100))).is_ok());
    }

    #[test]
    fn raw_values_and_all_kinds_of_enums_are_read() {
        use serde_json::value::RawValue;
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        enum Kind {
            Alone,
            Holds(u8),
            Pair(u8, u8),
            Named { a: u8 },
        }
        #[derive(serde::Deserialize)]
        struct Mixed<'a> {
            #[serde(borrow)]
            raw: &'a RawValue,
            own: Box<RawValue>,
            kinds: Vec<Kind>,
            counts: std::collections::BTreeMap<u16, Option<f32>>,
            text: &'a str,
        }
        let text = r#"{"raw": [1, {"x":null}] ,"own":"y","kinds":["alone",{"holds":1},{"pair":[2,3]},{"named":{"a":4}}],"counts":{"7":1.5,"8":null},"text":"t"}"#;
        let mixed: Mixed = read(text).expect("fits");
        assert_eq!((mixed.raw.get(), mixed.own.get(), mixed.text), (r#"[1, {"x":null}]"#, r#""y""#, "t"));
        assert_eq!(mixed.kinds, [Kind::Alone, Kind::Holds(1), Kind::Pair(2, 3), Kind::Named { a: 4 }]);
        assert_eq!(mixed.counts.into_iter().collect::<Vec<_>>(), [(7, Some(1.5)), (8, None)]);
        assert!(read::<Kind>(r#""holds""#).is_err() && read::<Kind>(r#"{"alone":1}"#).is_err());
        assert!(read::<Kind>(r#"{"holds":1,"pair":[1,2]}"#).is_err());
    }
}

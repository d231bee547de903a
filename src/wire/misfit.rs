//! JSON text becomes typed values here, and what does not fit gets a place.
//!
//! serde says where in the text it stopped; a scan of the text up to there finds which member that was. Nothing is tracked
//! while a text fits, and every type is compiled against one reader only: a second one for paths would be a tenth of the
//! program. Wording is the callers' part.

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// Reads one value and nothing after it.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Misfit> {
    serde_json::from_str(text).map_err(|error| explain(text, &error))
}

/// [`read`] from bytes that should be UTF-8.
pub fn read_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
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
pub fn convert<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, Misfit> {
    let text = serde_json::to_string(value).map_err(|error| Misfit {
        path: Vec::new(),
        reason: error.to_string(),
        syntax: None,
    })?;
    read(&text)
}

fn explain(text: &str, error: &serde_json::Error) -> Misfit {
    let said = error.to_string();
    let reason = said.rsplit_once(" at line ").map_or(&*said, |(reason, _)| reason).to_owned();
    if !error.is_data() {
        return Misfit { path: Vec::new(), reason, syntax: Some((error.line(), error.column())) };
    }
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let stopped = (line_start + error.column()).min(text.len());
    Misfit { path: locate(text.as_bytes(), stopped, &reason), reason, syntax: None }
}

/// The path of the value at which reading stopped.
///
/// serde_json stops where a container begins that nobody wanted, just after a value that was refused, or behind the comma
/// or bracket that follows it; which of these it was, the reason tells.
fn locate(text: &[u8], stopped: usize, reason: &str) -> Vec<Step> {
    let begins = reason.starts_with("invalid type: map") || reason.starts_with("invalid type: sequence");
    let lacks = reason.starts_with("missing field");
    // The member each open container is at; a map has none before its first key.
    let mut open: Vec<Option<Step>> = Vec::new();
    let mut at = 0;
    let mut key_next = false;
    while at < stopped {
        match text[at] {
            b'{' => {
                open.push(None);
                key_next = true;
                at += 1;
            }
            b'[' => {
                open.push(Some(Step::Index(0)));
                at += 1;
            }
            bracket @ (b'}' | b']') => {
                at += 1;
                // Closed, and only then refused: what came last in it was wrong, unless it is itself incomplete.
                if at == stopped && !(lacks && bracket == b'}') {
                    break;
                }
                open.pop();
                key_next = false;
            }
            b',' => {
                let next = at + 1 + text[at + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if next >= stopped && !begins {
                    break;
                }
                at = next;
                match open.last_mut() {
                    Some(Some(Step::Index(index))) => *index += 1,
                    _ => key_next = true,
                }
            }
            b'"' => {
                let end = string_end(text, at);
                if std::mem::take(&mut key_next)
                    && let Some(member) = open.last_mut()
                {
                    let key = String::from_utf8_lossy(&text[at..end]);
                    let plain = serde_json::from_str::<String>(&key);
                    *member = Some(Step::Key(plain.unwrap_or_else(|_| key.trim_matches('"').to_owned())));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    open.into_iter().flatten().collect()
}

/// Just after the closing quote of the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
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
        place(r#"{"a\"b":1}"#, "a\"b");
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
    fn a_scan_never_leaves_the_text() {
        for text in ["", "[", "{\"", "{\"a\\", ",,,", "]]]", "{\"a\":[,\"b\"]}"] {
            for stopped in 0..=text.len() {
                for reason in ["", "missing field `x`", "invalid type: map"] {
                    locate(text.as_bytes(), stopped, reason);
                }
            }
        }
    }
}

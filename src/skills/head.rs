//! The head of a SKILL.md: what a skill is called, when it helps, and what it needs.
//!
//! Format: <https://agentskills.io>, with `metadata.openclaw` as the reference's page on skills describes it.

use serde_json::{Map, Value};

use super::yaml;

/// Longer names and descriptions are cut, in characters.
const NAME: usize = 64;
const DESCRIPTION: usize = 1024;
/// Of every list of needs, and bytes of one of its items.
const NEEDS: usize = 64;
const NEED: usize = 256;

/// What a head says. A head without a name or a description is no skill's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub name: String,
    pub description: String,
    pub homepage: Option<String>,
    pub emoji: Option<String>,
    /// People may call for it by name (`user-invocable`).
    pub user_invocable: bool,
    /// Only people may call for it (`disable-model-invocation`).
    pub hidden: bool,
    /// Its name in `skills.entries`; the skill's own unless set.
    pub key: Option<String>,
    /// The variable that `skills.entries.<key>.apiKey` becomes.
    pub primary_env: Option<String>,
    /// Needs no more than its operating system.
    pub always: bool,
    pub needs: Needs,
}

/// What must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Programs, all of them.
    pub bins: Vec<String>,
    /// Programs, one of them.
    pub any_bins: Vec<String>,
    /// Variables.
    pub env: Vec<String>,
    /// Settings that are not off.
    pub config: Vec<String>,
    /// `linux`, `darwin`, `win32`; none: any.
    pub os: Vec<String>,
}

impl Head {
    /// Reads a file's beginning; `folder` is the name of a skill that does not say its own. The error says what is wrong.
    pub fn read(text: &str, folder: &str) -> Result<Head, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let rest = text.strip_prefix("---").and_then(|rest| rest.split_once('\n'));
        let Some((_, rest)) = rest.filter(|(line, _)| line.trim().is_empty()) else {
            return Err("it does not begin with a line of three dashes".into());
        };
        let mut length = 0;
        let end = rest.split_inclusive('\n').find_map(|line| {
            let here = length;
            length += line.len();
            (line.trim_end() == "---").then_some(here)
        });
        let Some(end) = end else { return Err("its head has no end: a line of three dashes is missing".into()) };
        // A head that is no YAML still has lines that anybody can read.
        let map = yaml::parse(&rest[..end]).or_else(|mistake| match single_lines(&rest[..end]) {
            map if map.contains_key("description") => Ok(map),
            _ => Err(format!("line {} of its head: {}", mistake.line, mistake.what)),
        })?;
        let name = text_of(&map, "name").unwrap_or_else(|| folder.to_owned());
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME).collect();
        if name.is_empty() {
            return Err("it has no name".into());
        }
        let Some(description) = text_of(&map, "description") else {
            return Err("it has no description, so that nobody would know when to use it".into());
        };
        let own = map.get("metadata").and_then(metadata).unwrap_or_default();
        let needs = own.get("requires").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Head {
            name,
            description: cut(&description.split_whitespace().collect::<Vec<_>>().join(" ")),
            homepage: text_of(&own, "homepage").or_else(|| text_of(&map, "homepage")),
            emoji: text_of(&own, "emoji"),
            user_invocable: flag(&map, "user-invocable").unwrap_or(true),
            hidden: flag(&map, "disable-model-invocation").unwrap_or(false),
            key: text_of(&own, "skillKey"),
            primary_env: text_of(&own, "primaryEnv"),
            always: flag(&own, "always").unwrap_or(false),
            needs: Needs {
                bins: list(&needs, "bins"),
                any_bins: list(&needs, "anyBins"),
                env: list(&needs, "env"),
                config: list(&needs, "config"),
                os: list(&own, "os"),
            },
        })
    }
}

/// `metadata.openclaw`, or by its older name; written as a mapping or as text.
fn metadata(value: &Value) -> Option<Map<String, Value>> {
    let parsed;
    let map = match value {
        Value::String(text) => {
            parsed = yaml::flow(text)?;
            parsed.as_object()?
        }
        value => value.as_object()?,
    };
    map.get("openclaw").or_else(|| map.get("clawdbot"))?.as_object().cloned()
}

/// The lines that are `name: value` by themselves.
fn single_lines(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter(|line| !line.starts_with([' ', '\t', '#']));
    lines.filter_map(|line| yaml::parse(line).ok()).flatten().collect()
}

fn text_of(map: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match map.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn flag(map: &Map<String, Value>, name: &str) -> Option<bool> {
    match map.get(name)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A list of words; one word alone is a list, too.
fn list(map: &Map<String, Value>, name: &str) -> Vec<String> {
    let items = match map.get(name) {
        Some(Value::Array(items)) => items.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        _ => return Vec::new(),
    };
    let words = items.iter().filter_map(Value::as_str).map(str::trim);
    words.filter(|word| !word.is_empty() && word.len() <= NEED).take(NEEDS).map(str::to_owned).collect()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DESCRIPTION) {
        Some((at, _)) => format!("{}\u{2026}", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_the_skill_needs() {
        let text = "---\nname: image-lab\ndescription: >\n  Generate or edit\n  images\nhomepage: https://a.example\n\
                    metadata:\n  { \"openclaw\": { \"requires\": { \"bins\": [\"uv\"], \"env\": [\"KEY\"], \"config\": \
                    [\"browser.enabled\"] }, \"primaryEnv\": \"KEY\", \"os\": [\"linux\"], \"emoji\": \"x\" } }\n---\n\
                    Body\n---\n";
        let head = Head::read(text, "folder").expect("a head");
        assert_eq!((head.name.as_str(), head.description.as_str()), ("image-lab", "Generate or edit images"));
        assert_eq!(head.needs.bins, ["uv"]);
        assert_eq!(head.needs.config, ["browser.enabled"]);
        assert_eq!(head.needs.os, ["linux"]);
        assert_eq!(head.primary_env.as_deref(), Some("KEY"));
        assert_eq!(head.homepage.as_deref(), Some("https://a.example"));
        assert!(head.user_invocable && !head.hidden && !head.always);
    }

    #[test]
    fn names_come_from_the_folder_and_older_metadata_still_counts() {
        let text = "---\r\ndescription: d\r\nuser-invocable: no\r\nmetadata: '{\"clawdbot\": {\"always\": true, \
                    \"skillKey\": \"k\"}}'\r\n---\r\n";
        let head = Head::read(text, "folder").expect("a head");
        assert_eq!((head.name.as_str(), head.key.as_deref()), ("folder", Some("k")));
        assert!(head.always && !head.user_invocable);
    }

    #[test]
    fn lines_that_can_be_read_are_enough() {
        let text = "---\nname: x\ndescription: d\nmetadata: {\"openclaw\": \n---\n";
        assert_eq!(Head::read(text, "f").expect("a head").description, "d");
    }

    #[test]
    fn what_is_no_skill_says_why() {
        for (text, why) in [
            ("# Title\n", "three dashes"),
            ("---\nname: x\n", "has no end"),
            ("---\nname: x\n---\n", "no description"),
            ("---\nname: [\n---\n", "line 1 of its head"),
            ("---x\nname: x\n---\n", "three dashes"),
        ] {
            let said = Head::read(text, "f").expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
        let long = format!("---\nname: {}\ndescription: {}\n---\n", "n".repeat(500), "d ".repeat(5000));
        let head = Head::read(&long, "f").expect("cut, not refused");
        assert_eq!((head.name.chars().count(), head.description.chars().count()), (NAME, DESCRIPTION + 1));
    }
}

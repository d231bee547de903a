//! What a service file says, against what it should say.
//!
//! Reads files people have written by hand, too: what is not understood is not judged. Pure.

use std::path::Path;

use super::ServiceSpec;

/// What a service file says about its gateway. `None`: it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    pub program: Option<String>,
    pub port: Option<u16>,
    pub config: Option<String>,
    pub state_dir: Option<String>,
    pub profile: Option<String>,
    /// Names of secrets whose values stand in the file.
    pub secrets: Vec<String>,
}

impl Recorded {
    /// Takes in a command line.
    pub fn command(&mut self, words: impl Iterator<Item = String>) {
        let mut words = words.peekable();
        self.program = words.next().or(self.program.take());
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (word.clone(), words.peek().cloned()),
            };
            match flag.as_str() {
                "--port" => self.port = value.and_then(|port| port.parse().ok()),
                "--profile" => self.profile = value,
                "--dev" => self.profile = Some("dev".to_owned()),
                "--token" | "--password" => self.secrets.push(flag),
                _ => {}
            }
        }
    }

    /// Takes in a `NAME=value`.
    pub fn assignment(&mut self, assignment: &str) {
        let Some((name, value)) = assignment.split_once('=') else { return };
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "OPENCLAW_CONFIG_PATH" => self.config = value,
            "OPENCLAW_STATE_DIR" => self.state_dir = value,
            "OPENCLAW_PROFILE" => self.profile = value,
            "OPENCLAW_GATEWAY_PORT" if self.port.is_none() => {
                self.port = value.and_then(|port| port.parse().ok());
            }
            _ if is_secret(name) && value.is_some() => self.secrets.push(name.to_owned()),
            _ => {}
        }
    }
}

fn is_secret(name: &str) -> bool {
    ["_TOKEN", "_PASSWORD", "_API_KEY", "_SECRET"].iter().any(|end| name.ends_with(end))
}

/// One way in which the service is not what the command line would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `port`, `program`, `config`, `state`, `secret` or `text`.
    pub what: &'static str,
    /// A sentence for the operator; never a secret.
    pub text: String,
}

/// Compares. `texts` is the file as it is and as it would be written now.
pub fn differences(recorded: &Recorded, spec: &ServiceSpec, texts: (&str, &str)) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |what, text| found.push(Difference { what, text });
    if let Some(port) = recorded.port.filter(|port| *port != spec.port) {
        add("port", format!("the service starts on port {port}, the configuration says {}", spec.port));
    }
    for (what, is, should) in [
        ("program", &recorded.program, &spec.program),
        ("config", &recorded.config, &spec.config),
        ("state", &recorded.state_dir, &spec.state_dir),
    ] {
        if let Some(is) = is.as_ref().filter(|is| Path::new(is) != should) {
            let noun = match what {
                "program" => "program",
                "config" => "configuration",
                _ => "state directory",
            };
            add(what, format!("the service uses the {noun} {is}, this command {}", should.display()));
        }
    }
    if let Some(program) =
        recorded.program.as_ref().filter(|path| path.contains(['/', '\\']) && !Path::new(path).exists())
    {
        add("program", format!("the service's program {program} does not exist"));
    }
    for name in &recorded.secrets {
        add("secret", format!("the service file holds the value of {name}; it belongs into the configuration"));
    }
    let (is, should) = texts;
    if found.is_empty() && is != should && is.contains(OURS) {
        let text = "the service file is not what this version writes".to_owned();
        found.push(Difference { what: "text", text });
    }
    found
}

/// Stands in every text we write.
pub const OURS: &str = "openclaw gateway install";

/// Words of a line with quotes and backslashes, as shells and systemd read them.
pub fn words(line: &str) -> Vec<String> {
    split(line, true)
}

/// Words of a line in which a backslash is a letter.
pub fn words_as_typed(line: &str) -> Vec<String> {
    split(line, false)
}

fn split(line: &str, backslash: bool) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) if backslash => word.extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => (quote, begun) = (Some(c), true),
            (c, None) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (c, None) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_with_their_quotes() {
        assert_eq!(words(r#"a "b c" 'd e'f g\ h "" "#), ["a", "b c", "d ef", "g h", ""]);
        assert_eq!(words_as_typed(r#""C:\a b\x.exe" gateway"#), [r"C:\a b\x.exe", "gateway"]);
    }

    #[test]
    fn a_command_line_and_its_environment_are_read() {
        let mut recorded = Recorded::default();
        recorded.command(words("/bin/openclaw --profile ops gateway --port=19001 --token x").into_iter());
        recorded.assignment("OPENCLAW_GATEWAY_PORT=1");
        recorded.assignment("OPENCLAW_CONFIG_PATH=/c");
        recorded.assignment("OPENAI_API_KEY=sk");
        assert_eq!(recorded.port, Some(19001));
        assert_eq!(recorded.profile.as_deref(), Some("ops"));
        assert_eq!(recorded.config.as_deref(), Some("/c"));
        assert_eq!(recorded.secrets, ["--token", "OPENAI_API_KEY"]);
    }
}

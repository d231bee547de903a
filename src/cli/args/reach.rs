//! The flags that choose a gateway, the same for every command that talks to one.
//!
//! They are taken out of the command line before argh reads it and put into one word, `--reach`, which is no flag for
//! people: [`shown`] puts the real ones back where argh writes help.

/// What the flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    url: Option<String>,
    port: Option<u16>,
    token: Option<String>,
    password: Option<String>,
    fingerprint: Option<String>,
}

/// The flags that choose a gateway.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    pub url: Option<&'a str>,
    pub port: Option<u16>,
    pub token: Option<&'a str>,
    pub password: Option<&'a str>,
    pub fingerprint: Option<&'a str>,
}

impl Wanted<'_> {
    pub fn of(reach: Option<&Reach>) -> Wanted<'_> {
        let Some(reach) = reach else { return Wanted::default() };
        Wanted {
            url: reach.url.as_deref(),
            port: reach.port,
            token: reach.token.as_deref(),
            password: reach.password.as_deref(),
            fingerprint: reach.fingerprint.as_deref(),
        }
    }
}

/// The word for argh.
pub const FLAG: &str = "--reach";
/// The flag that only commands have that talk to a gateway.
pub const MARK: &str = "--tls-fingerprint";
/// The flags, in the order of help.
const FLAGS: [&str; 5] = ["--url", "--port", "--token", "--password", MARK];

/// Takes the flags out of a command's and puts them into one. An error is a sentence for the user.
pub fn gathered(flags: Vec<(String, Option<String>)>) -> Result<Vec<(String, Option<String>)>, String> {
    let (own, others): (Vec<_>, Vec<_>) = flags.into_iter().partition(|(name, _)| FLAGS.contains(&name.as_str()));
    if own.is_empty() {
        return Ok(others);
    }
    let mut words: [Option<String>; 5] = Default::default();
    for (name, value) in own {
        let value = value.ok_or_else(|| format!("No value provided for option '{name}'."))?;
        let at = FLAGS.iter().position(|flag| *flag == name).unwrap_or(0);
        if name == "--port" {
            let bad = |why| format!("Error parsing option '--port' with value '{value}': {why}");
            super::port(&value).map_err(bad)?;
        }
        words[at] = Some(value);
    }
    let word = serde_json::to_string(&words).map_err(|error| error.to_string())?;
    Ok(std::iter::once((FLAG.to_owned(), Some(word))).chain(others).collect())
}

/// Reads the word.
pub fn reach(word: &str) -> Result<Box<Reach>, String> {
    let words: [Option<String>; 5] = serde_json::from_str(word).map_err(|error| error.to_string())?;
    let [url, port, token, password, fingerprint] = words;
    let port = port.as_deref().map(super::port).transpose()?;
    Ok(Box::new(Reach { url, port, token, password, fingerprint }))
}

/// Help as argh writes it, with the flags for the word.
pub fn shown(help: &str) -> String {
    let usage = "[--url <url>] [--port <port>] [--token <token>] [--password <password>] [--tls-fingerprint <sha256>]";
    help.replacen("[--reach <gateway>]", usage, 1).replacen("  --reach           the gateway\n", OPTIONS, 1)
}

const OPTIONS: &str = "  --url             address of the gateway, as in ws://127.0.0.1:18789; needs
                    its own --token or --password
  --port            a gateway on this host that listens on this port
  --token           token to connect with
  --password        password to connect with
  --tls-fingerprint the only TLS certificate to accept, by its SHA-256
";

#[cfg(test)]
mod tests {
    use argh::FromArgs;

    use super::super::{Cli, Command};
    use super::*;

    #[test]
    fn the_flags_reach_the_command_whatever_they_hold() {
        let flag = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let given = vec![flag("--token", "a \"b\" \u{1f}"), flag("--timeout", "7"), flag("--port", " 18789 ")];
        let gathered = gathered(given).expect("legal");
        assert_eq!(gathered[1], flag("--timeout", "7"));
        let reach = reach(gathered[0].1.as_deref().expect("a value")).expect("read back");
        let wanted = Wanted::of(Some(&reach));
        assert_eq!((wanted.token, wanted.port, wanted.url), (Some("a \"b\" \u{1f}"), Some(18789), None));
        let bad = super::gathered(vec![flag("--port", "0")]).expect_err("no port");
        assert_eq!(bad, "Error parsing option '--port' with value '0': a port is a number from 1 to 65535");
        let none = super::gathered(vec![("--url".into(), None)]).expect_err("no value");
        assert_eq!(none, "No value provided for option '--url'.");
    }

    #[test]
    fn help_shows_the_flags_and_not_the_word() {
        let early = Cli::from_args(&["openclaw"], &["health", "--help"]).expect_err("help");
        let help = shown(&early.output);
        assert!(FLAGS.iter().all(|flag| help.contains(&format!("  {flag} "))), "{help}");
        assert!(!help.contains("reach"), "{help}");
        let cli = Cli::from_args(&["openclaw"], &["health"]).expect("legal");
        assert!(matches!(cli.command, Some(Command::Health(health)) if health.wanted().url.is_none()));
    }
}

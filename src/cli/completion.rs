//! `openclaw completion SHELL`: prints what makes the shell complete our commands and flags.
//!
//! Everything is made from the tables behind [`Cli`]: the commands, the flags, the words a flag takes where its
//! description lists them, and the configuration's keys. The scripts never start the program. Writing into anybody's shell
//! profile is deliberately absent; packages put the scripts where the shells look for them.

use std::fmt::Write as _;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind};

use super::args::{Cli, Completion};
use super::argv::DEFAULTS;
use super::failure::Failure;
use super::output::Shell;
use crate::config::keys::KEYS;
use crate::wire::sorted::Sorted;

/// Prints the script.
pub fn run(shell: &mut Shell, args: &Completion) -> Result<(), Failure> {
    let wanted = args.name.as_deref().or(args.shell.as_deref());
    let of_environment = shell.env.get("SHELL").and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let script = match wanted.unwrap_or(of_environment) {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        other => {
            let failure = Failure::usage(format!("no completion for the shell {other:?}"));
            return Err(failure.hint("Name one: openclaw completion bash, zsh or fish"));
        }
    };
    shell.line(script.trim_end())
}

/// A place on the command line: the words so far, and what may follow.
struct Place {
    /// ` gateway status`, with a blank before each word; empty at the beginning.
    words: String,
    /// Names and descriptions.
    commands: Vec<(&'static str, &'static str)>,
    flags: Vec<&'static FlagInfo<'static>>,
    takes_key: bool,
}

fn places() -> Vec<Place> {
    fn walk(words: String, command: &CommandInfoWithArgs, root: &'static [FlagInfo<'static>], into: &mut Vec<Place>) {
        let default = DEFAULTS.iter().find(|(name, _)| words == format!(" {name}")).map(|(_, word)| *word);
        let of_default = command.commands.iter().filter(|sub| default == Some(sub.name));
        let mut flags: Vec<&FlagInfo> = command.flags.iter().collect();
        for flag in of_default.flat_map(|sub| sub.command.flags).chain(root) {
            if flags.iter().all(|known| known.long != flag.long) {
                flags.push(flag);
            }
        }
        let commands = command.commands.iter().map(|sub| (sub.name, sub.command.description)).collect();
        let takes_key = command.positionals.first().is_some_and(|word| word.description.starts_with("the key"));
        into.push(Place { words: words.clone(), commands, flags, takes_key });
        for sub in &command.commands {
            walk(format!("{words} {}", sub.name), &sub.command, root, into);
        }
    }
    let (root, mut all) = (Cli::get_args_info(), Vec::new());
    walk(String::new(), &root, root.flags, &mut all);
    all
}

/// What may stand after a flag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Words(String),
    File,
    Unknown,
}

/// Every flag that takes a value, long and short, by what may follow.
fn values(places: &[Place]) -> Sorted<Value, Vec<String>> {
    let mut of_flag = Sorted::new();
    for flag in places.iter().flat_map(|place| &place.flags) {
        let FlagInfoKind::Option { arg_name } = flag.kind else { continue };
        let value = match (listed(flag.description), arg_name) {
            (Some(words), _) => Value::Words(words),
            (None, "path" | "file" | "dir") => Value::File,
            _ => Value::Unknown,
        };
        // One flag may be two things at two commands; words are worth more than none.
        let known = of_flag.get_or_insert_with(flag.long.to_owned(), || value.clone());
        if *known > value {
            *known = value.clone();
        }
        if let Some(short) = flag.short {
            of_flag.insert(format!("-{short}"), value);
        }
    }
    let mut all: Sorted<Value, Vec<String>> = Sorted::new();
    for (flag, value) in of_flag {
        all.get_or_insert_with(value, Vec::new).push(flag);
    }
    all
}

/// The words of `where to listen: loopback, lan, tailnet, auto or custom`, with blanks between them.
fn listed(description: &str) -> Option<String> {
    let (_, list) = description.rsplit_once(": ")?;
    let words: Vec<&str> = list.split(", ").flat_map(|part| part.split(" or ")).collect();
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    (words.len() > 1 && words.iter().all(is_word)).then(|| words.join(" "))
}

/// Keys that are written as they are: no list items, no names of the user's.
fn keys() -> String {
    let plain = KEYS.iter().map(|key| key.path).filter(|path| !path.contains(['*', '[']));
    plain.collect::<Vec<_>>().join(" ")
}

/// The patterns of all places but the first, to find out where the cursor is.
fn known(places: &[Place]) -> String {
    let quoted = places.iter().skip(1).map(|place| format!("'{}'", place.words));
    quoted.collect::<Vec<_>>().join("|")
}

fn bash() -> String {
    let places = places();
    let mut out = format!(
        "# openclaw for bash; from \"openclaw completion bash\"\n_openclaw() {{\n  local at='' word i \
         cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}}\n  COMPREPLY=()\n  \
         for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${{COMP_WORDS[i]}}\n    case \"$at $word\" in \
         {}) at=\"$at $word\" ;; esac\n  done\n  case $prev in\n",
        known(&places)
    );
    for (value, flags) in values(&places) {
        let then = match value {
            Value::Words(words) => format!("COMPREPLY=($(compgen -W '{words}' -- \"$cur\")); return"),
            Value::File => "COMPREPLY=($(compgen -f -- \"$cur\")); return".to_owned(),
            Value::Unknown => "return".to_owned(),
        };
        let _ = writeln!(out, "    {}) {then} ;;", flags.join("|")); // writing to a String cannot fail
    }
    out.push_str("  esac\n  local words='' flags=''\n  case $at in\n");
    for place in &places {
        let commands: Vec<&str> = place.commands.iter().map(|(name, _)| *name).collect();
        let words = if place.takes_key { keys() } else { commands.join(" ") };
        let flags: Vec<&str> = place.flags.iter().map(|flag| flag.long).collect();
        let _ = writeln!(out, "    '{}') words='{words}' flags='{}' ;;", place.words, flags.join(" "));
    }
    out + "  esac\n  case $cur in -*) words=$flags ;; esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n\
           complete -F _openclaw openclaw\n"
}

fn zsh() -> String {
    let places = places();
    let described = |name: &str, what: &str| format!("'{name}:{}'", what.replace('\'', "'\\''"));
    let mut out = format!(
        "#compdef openclaw\n# openclaw for zsh; from \"openclaw completion zsh\"\n_openclaw() {{\n  local at='' word\n  \
         local -a found flags\n  for word in ${{words[2,CURRENT-1]}}; do\n    case \"$at $word\" in ({}) at=\"$at $word\" \
         ;; esac\n  done\n  case ${{words[CURRENT-1]}} in\n",
        known(&places)
    );
    for (value, flags) in values(&places) {
        let then = match value {
            Value::Words(words) => format!("compadd {words}; return"),
            Value::File => "_files; return".to_owned(),
            Value::Unknown => "return".to_owned(),
        };
        let _ = writeln!(out, "    ({}) {then} ;;", flags.join("|"));
    }
    out.push_str("  esac\n  case $at in\n");
    for place in &places {
        let words = match place.takes_key {
            true => keys(),
            false => place.commands.iter().map(|(name, what)| described(name, what)).collect::<Vec<_>>().join(" "),
        };
        let flags: Vec<String> = place.flags.iter().map(|flag| described(flag.long, flag.description)).collect();
        let _ = writeln!(out, "    ('{}') found=({words}) flags=({}) ;;", place.words, flags.join(" "));
    }
    out + "  esac\n  if [[ ${words[CURRENT]} == -* ]]; then\n    _describe -o flag flags\n  elif (( $#found )); then\n    \
           _describe word found\n  fi\n}\nif [ \"$funcstack[1]\" = _openclaw ]; then _openclaw \"$@\"; else compdef _openclaw \
           openclaw; fi\n"
}

fn fish() -> String {
    let places = places();
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut out = format!(
        "# openclaw for fish; from \"openclaw completion fish\"\nfunction __openclaw_at\n  set -l at ''\n  for word in \
         (commandline -opc)[2..]\n    switch \"$at $word\"\n      case {}\n        set at \"$at $word\"\n    end\n  end\n  test \
         \"$at\" = \"$argv[1]\"\nend\ncomplete -c openclaw -f\n",
        known(&places).replace('|', " ")
    );
    let values = values(&places);
    for place in &places {
        let here = format!("complete -c openclaw -n '__openclaw_at \"{}\"'", place.words);
        for (name, what) in &place.commands {
            let _ = writeln!(out, "{here} -a {name} -d {}", quoted(what));
        }
        if place.takes_key {
            let _ = writeln!(out, "{here} -a '{}'", keys());
        }
        for flag in &place.flags {
            let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let value = values.iter().find(|(_, flags)| flags.iter().any(|name| name == flag.long));
            let takes = match value.map(|(value, _)| value) {
                None => String::new(),
                Some(Value::File) => " -r -F".to_owned(),
                Some(Value::Unknown) => " -x".to_owned(),
                Some(Value::Words(words)) => format!(" -x -a '{words}'"),
            };
            let name = flag.long.trim_start_matches("--");
            let _ = writeln!(out, "{here}{short} -l {name}{takes} -d {}", quoted(flag.description));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_flag_are_read_from_its_description() {
        let rows = [
            ("where to listen: loopback, lan or custom", Some("loopback lan custom")),
            ("which of its tokens: operator or node", Some("operator node")),
            ("how long to wait, in milliseconds (10000)", None),
            ("the method, as in sessions.list", None),
            ("a thing: one", None),
        ];
        for (text, words) in rows {
            assert_eq!(listed(text).as_deref(), words, "{text}");
        }
    }

    #[test]
    fn every_command_and_flag_is_in_every_script() {
        for (script, flag) in [(bash(), "--"), (zsh(), "--"), (fish(), "-l ")] {
            for place in places() {
                assert!(script.contains(&place.words), "{}", place.words);
                for (name, _) in &place.commands {
                    assert!(script.contains(name), "{name}");
                }
                for found in &place.flags {
                    let name = found.long.trim_start_matches("--");
                    assert!(script.contains(&format!("{flag}{name}")), "{name}");
                }
            }
            assert!(script.contains("loopback lan tailnet auto custom") && script.contains("gateway.auth.mode"));
        }
    }
}

//! Puts a command line into the one order argh reads: global flags, command words, flags, positionals.
//!
//! People write `--flag=value`, global flags after the command, the flags of `gateway status` before the word `status`,
//! the same flag twice, and `--help` anywhere. All that is legal here and none of it is in argh. What is not understood
//! is left for argh to refuse.
//!
//! Knows no command by name except the default words of [`DEFAULTS`]; everything else comes from the tables behind
//! [`Cli`]. Reads no environment and prints nothing.

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind};

use super::args::{Cli, reach};
use crate::wire::sorted::Sorted;

/// A command line in normal order.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// For argh, without the program's name.
    pub args: Vec<String>,
    /// The command words alone, as in `["gateway", "status"]`.
    pub words: Vec<String>,
    /// Whether help was asked for.
    pub help: bool,
    /// Whether `--json` was given: failures are then JSON as well.
    pub json: bool,
}

/// The word that is meant when a command is given without one.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("gateway", "run"),
    ("sessions", "list"),
    ("models", "list"),
    ("devices", "list"),
    ("approvals", "get"),
    ("cron", "list"),
    ("nodes", "status"),
    ("skills", "list"),
    ("tokens", "list"),
];

/// Other words for commands, by how deep they stand.
const ALIASES: &[(usize, &str, &str)] =
    &[(1, "automations", "cron"), (2, "create", "add"), (2, "delete", "rm"), (2, "ls", "list")];

fn meant(depth: usize, word: &str) -> &str {
    ALIASES.iter().find(|(at, alias, _)| *at == depth && *alias == word).map_or(word, |(_, _, name)| name)
}

/// Reads the arguments after the program's name. An error is a sentence for the user.
pub fn normalise(args: &[String]) -> Result<Line, String> {
    let root = Cli::get_args_info();
    let mut takes_value = Sorted::new();
    collect(&root, &mut takes_value);

    let mut path = vec![&root];
    let mut flags: Vec<(String, Option<String>)> = Vec::new();
    let mut positionals: Vec<String> = Vec::new();
    let (mut help, mut only_positionals) = (false, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if only_positionals || arg == "-" || !arg.starts_with('-') {
            let here = *path.last().expect("the root is always there");
            // A command's own name comes before another word for a different one.
            let named = |word: &str| here.commands.iter().find(|sub| sub.name == word);
            let meant = named(arg).or_else(|| named(meant(path.len(), arg)));
            match meant.filter(|_| positionals.is_empty()) {
                Some(sub) => path.push(&sub.command),
                None if arg == "help" && positionals.is_empty() && !only_positionals => help = true,
                None => positionals.push(arg.clone()),
            }
            continue;
        }
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        match name {
            "--" => only_positionals = true,
            "--help" | "-h" => help = true,
            "-v" if path.len() == 1 => put(&mut flags, "--version", None),
            _ => match takes_value.get(name) {
                Some((long, true)) => {
                    let value = inline.or_else(|| rest.next().cloned());
                    put(&mut flags, long, value);
                }
                Some((long, false)) if inline.is_none() => put(&mut flags, long, None),
                Some((long, false)) => return Err(format!("{long} takes no value")),
                None => flags.push((arg.clone(), None)),
            },
        }
    }

    let leaf = *path.last().expect("the root is always there");
    if let Some(unknown) = positionals.first().filter(|_| !leaf.commands.is_empty()) {
        return Err(unknown_command(&path, unknown));
    }
    let mut words: Vec<String> = path.iter().skip(1).map(|command| command.name.to_owned()).collect();
    let default = DEFAULTS.iter().find(|(command, _)| !help && words == [*command]);
    let mut leaf = leaf;
    if let Some((_, word)) = default {
        words.push((*word).to_owned());
        leaf = &leaf.commands.iter().find(|sub| sub.name == *word).expect("a default is a command").command;
    }
    let json = flags.iter().any(|(name, _)| name == "--json");
    if help {
        let args = words.iter().cloned().chain(["--help".to_owned()]).collect();
        return Ok(Line { args, words, help, json });
    }

    let is_global = |name: &str| has_flag(&root, name) && !has_flag(leaf, name);
    let (globals, own): (Vec<_>, Vec<_>) = flags.into_iter().partition(|(name, _)| is_global(name));
    let own = if has_flag(leaf, reach::MARK) { reach::gathered(own)? } else { own };
    let flat = |flags: Vec<(String, Option<String>)>| {
        flags.into_iter().flat_map(|(name, value)| std::iter::once(name).chain(value))
    };
    let mut out: Vec<String> = flat(globals).collect();
    out.extend(words.iter().cloned());
    out.extend(flat(own));
    if !positionals.is_empty() {
        out.push("--".to_owned());
        out.append(&mut positionals);
    }
    Ok(Line { args: out, words, help, json })
}

/// Every flag of the tree, long and short, with its long name and whether a value follows.
fn collect(command: &CommandInfoWithArgs, into: &mut Sorted<String, (&'static str, bool)>) {
    for flag in command.flags {
        let entry = (flag.long, matches!(flag.kind, FlagInfoKind::Option { .. }));
        into.insert(flag.long.to_owned(), entry);
        if let Some(short) = flag.short {
            into.insert(format!("-{short}"), entry);
        }
    }
    for sub in &command.commands {
        collect(&sub.command, into);
    }
}

/// The last one of two equal flags counts, as everywhere else; argh would refuse.
fn put(flags: &mut Vec<(String, Option<String>)>, name: &str, value: Option<String>) {
    flags.retain(|(known, _)| known != name);
    flags.push((name.to_owned(), value));
}

fn has_flag(command: &CommandInfoWithArgs, name: &str) -> bool {
    command.flags.iter().any(|flag| flag.long == name)
}

fn unknown_command(path: &[&CommandInfoWithArgs], unknown: &str) -> String {
    let here = *path.last().expect("the root is always there");
    let known = here.commands.iter().map(|sub| sub.name);
    // Of equally near words the one as long as what was typed: letters are swapped more often than lost.
    let near = known.map(|name| (distance(name, unknown), name.len().abs_diff(unknown.len()), name));
    let near = near.min().filter(|(steps, ..)| *steps <= 2);
    let within: String = path.iter().skip(1).map(|command| format!("{} ", command.name)).collect();
    match near {
        Some((.., name)) => format!("unknown command: {within}{unknown} (did you mean {name}?)"),
        None => format!("unknown command: {within}{unknown}"),
    }
}

/// How many letters must be added, removed or changed to turn one word into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(WORD_LEN).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Longer than any command: a pasted page is not worth comparing.
const WORD_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use argh::FromArgs;

    use super::*;
    use crate::cli::args::{Command, GatewayCommand};

    fn line(text: &str) -> String {
        let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        normalise(&args).map_or_else(|refused| format!("! {refused}"), |line| line.args.join(" "))
    }

    #[test]
    fn every_way_to_write_it_becomes_one() {
        let table = [
            ("", ""),
            ("gateway", "gateway run"),
            ("gateway --port=1", "gateway run --port 1"),
            ("gateway --port 1 run", "gateway run --port 1"),
            ("gateway --port 19001 status", r#"gateway status --reach [null,"19001",null,null,null]"#),
            ("gateway status --port 2 --port=3", r#"gateway status --reach [null,"3",null,null,null]"#),
            ("--json status", "status --json"),
            ("status --json --dev", "--dev status --json"),
            ("gateway --dev", "gateway run --dev"),
            ("--dev gateway status", "--dev gateway status"),
            ("status --profile work --no-color", "--profile work --no-color status"),
            ("--log-level=debug health", "--log-level debug health"),
            ("--version", "--version"),
            ("-V", "--version"),
            ("-v", "--version"),
            ("status --version", "--version status"),
            ("--help", "--help"),
            ("help", "--help"),
            ("help gateway status", "gateway status --help"),
            ("gateway status --help --json", "gateway status --help"),
            ("gateway help", "gateway --help"),
            ("gateway -h --bogus", "gateway --help"),
            ("sessions --limit 5", "sessions list --limit 5"),
            ("models --json", "models list --json"),
            ("agent -m --help", "agent --message --help"),
            ("agent --message=a=b", "agent --message a=b"),
            ("logs -f", "logs --follow"),
            ("gateway call health", "gateway call -- health"),
            ("gateway call --params {} health", "gateway call --params {} -- health"),
            ("gateway call -- --odd", "gateway call -- --odd"),
            ("-- config path", "config path"),
            ("status --bogus", "status --bogus"),
            ("status --json=true", "! --json takes no value"),
            ("statsu", "! unknown command: statsu (did you mean status?)"),
            ("gateway stauts", "! unknown command: gateway stauts (did you mean status?)"),
            ("qqqqqqqq", "! unknown command: qqqqqqqq"),
        ];
        for (given, wanted) in table {
            assert_eq!(line(given), wanted, "openclaw {given}");
        }
    }

    #[test]
    fn a_flag_takes_a_value_everywhere_or_nowhere() {
        fn check(command: &CommandInfoWithArgs, seen: &mut Sorted<&'static str, bool>) {
            for flag in command.flags {
                let takes = matches!(flag.kind, FlagInfoKind::Option { .. });
                assert_eq!(*seen.get_or_insert_with(flag.long, || takes), takes, "{}", flag.long);
            }
            command.commands.iter().for_each(|sub| check(&sub.command, seen));
        }
        check(&Cli::get_args_info(), &mut Sorted::new());
    }

    #[test]
    fn no_command_flag_hides_a_global_one_but_dev() {
        fn check(root: &CommandInfoWithArgs, command: &CommandInfoWithArgs) {
            for flag in command.flags.iter().filter(|flag| !matches!(flag.long, "--help" | "--dev")) {
                assert!(!has_flag(root, flag.long), "{} of {}", flag.long, command.name);
            }
            command.commands.iter().for_each(|sub| check(root, &sub.command));
        }
        let root = Cli::get_args_info();
        root.commands.iter().for_each(|sub| check(&root, &sub.command));
    }

    #[test]
    fn the_normal_order_is_what_argh_reads() {
        let args: Vec<String> =
            ["gateway", "--port=7", "call", "--params", "{}", "x.y", "--dev"].iter().map(|s| s.to_string()).collect();
        let line = normalise(&args).expect("legal");
        let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
        let cli = Cli::from_args(&["openclaw"], &args).expect("argh agrees");
        assert!(cli.dev);
        let Some(Command::Gateway(gateway)) = cli.command else { panic!("gateway") };
        let GatewayCommand::Call(call) = gateway.command else { panic!("call") };
        assert_eq!((call.method.as_str(), call.wanted().port), ("x.y", Some(7)));
    }
}

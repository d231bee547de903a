//! `openclaw --help`: every command with one line, not only the first level.

use std::fmt::Write as _;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfoKind};

use super::args::Cli;
use super::argv::DEFAULTS;
use super::failure::Failure;
use super::output::Shell;

/// Prints the overview.
pub fn print(shell: &mut Shell) -> Result<(), Failure> {
    shell.line(overview().trim_end())
}

/// The overview, made from the tables behind [`Cli`].
pub fn overview() -> String {
    let root = Cli::get_args_info();
    let mut rows = Vec::new();
    for sub in &root.commands {
        commands(sub.name, &sub.command, &mut rows);
    }
    let flags: Vec<(String, &str)> = root.flags.iter().map(|flag| (shown(flag), flag.description)).collect();
    let width = rows.iter().map(|(name, _)| name.len()).chain(flags.iter().map(|(name, _)| name.len())).max();
    let width = width.unwrap_or_default();
    let mut text =
        format!("openclaw: {}\n\nUsage: openclaw [flags] <command> [flags]\n\nCommands:\n", root.description);
    for (name, what) in rows {
        let _ = writeln!(text, "  {name:<width$}  {what}"); // writing to a String cannot fail
    }
    text.push_str("\nFlags before or after the command:\n");
    for (name, what) in flags {
        let _ = writeln!(text, "  {name:<width$}  {what}");
    }
    text.push_str("\nFlags of one command: openclaw <command> --help. More: man openclaw.\n");
    text
}

fn commands(name: &str, command: &CommandInfoWithArgs, rows: &mut Vec<(String, &'static str)>) {
    if command.commands.is_empty() || DEFAULTS.iter().any(|(word, _)| *word == name) {
        rows.push((name.to_owned(), command.description));
    }
    for sub in &command.commands {
        commands(&format!("{name} {}", sub.name), &sub.command, rows);
    }
}

fn shown(flag: &argh::FlagInfo) -> String {
    let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    match flag.kind {
        FlagInfoKind::Switch => format!("{short}{}", flag.long),
        FlagInfoKind::Option { arg_name } => format!("{short}{} <{arg_name}>", flag.long),
    }
}

//! Questions a command asks, on standard error, so that standard output holds nothing but the result.
//!
//! Invariant: a command asks only when somebody is at the terminal; otherwise every answer must have come by a flag.

use super::failure::Failure;
use super::output::Shell;
use crate::sys::terminal;

/// How often a wrong answer may be given.
const TRIES: usize = 5;

/// A line of text; an empty answer is `default`.
pub fn text(shell: &mut Shell, question: &str, default: &str) -> Result<String, Failure> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    prompt(shell, &format!("{question}{shown}: "))?;
    let answer = terminal::line()?.ok_or_else(gone)?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

/// A line that is not shown.
pub fn secret(shell: &mut Shell, question: &str) -> Result<String, Failure> {
    prompt(shell, &format!("{question} (not shown): "))?;
    let answer = terminal::hidden()?.ok_or_else(gone)?;
    shell.note("")?;
    Ok(answer.trim().to_owned())
}

/// Yes or no.
pub fn yes(shell: &mut Shell, question: &str, default: bool) -> Result<bool, Failure> {
    for _ in 0..TRIES {
        let answer = text(shell, &format!("{question} ({})", if default { "Y/n" } else { "y/N" }), "")?;
        match answer.to_ascii_lowercase().as_str() {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => shell.note("Please answer y or n.")?,
        }
    }
    Err(gone())
}

/// One of several, by number or by word; answers its index.
pub fn choice(shell: &mut Shell, question: &str, choices: &[&str], default: usize) -> Result<usize, Failure> {
    shell.note(question)?;
    for (index, choice) in choices.iter().enumerate() {
        shell.note(format!("  {}. {choice}", index + 1))?;
    }
    for _ in 0..TRIES {
        let answer = text(shell, "Number", &(default + 1).to_string())?;
        let number = answer.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let word = choices.iter().position(|choice| choice.split_whitespace().next() == Some(&answer));
        match number.filter(|index| *index < choices.len()).or(word) {
            Some(index) => return Ok(index),
            None => shell.note(format!("Please answer a number from 1 to {}.", choices.len()))?,
        }
    }
    Err(gone())
}

fn prompt(shell: &mut Shell, text: &str) -> Result<(), Failure> {
    shell.out.flush()?;
    write!(shell.err, "{text}")?;
    Ok(shell.err.flush()?)
}

fn gone() -> Failure {
    Failure::usage("no answer; nothing was changed").hint("Every question can be answered by a flag; see --help.")
}

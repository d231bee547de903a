//! The promised numbers, and the verdict on what was measured.

use std::process::ExitCode;

const FILE: &str = include_str!("budgets.toml");

/// CI machines are shared and slow: a timing fails only when it is this far off.
const NOISE: f64 = 5.0;

/// Promises that are not kept yet: the section of the ceilings they must stay below meanwhile.
const BEHIND: &str = "behind";

/// Collects figures, prints each as it comes, remembers which ones failed.
pub struct Board {
    budgets: Vec<Budget>,
    failed: Vec<&'static str>,
    behind: Vec<&'static str>,
}

struct Budget {
    section: &'static str,
    name: &'static str,
    number: f64,
}

impl Board {
    pub fn open() -> Board {
        Board { budgets: read(FILE), failed: Vec::new(), behind: Vec::new() }
    }

    /// Judges one figure; its name must stand in the budgets file.
    pub fn figure(&mut self, name: &str, measured: f64) {
        let promised = |budget: &&Budget| budget.name == name && budget.section != BEHIND;
        let budget = self.budgets.iter().find(promised);
        let ceiling = self.budgets.iter().find(|budget| budget.name == name && budget.section == BEHIND);
        let Budget { section, name, number } = budget.unwrap_or_else(|| panic!("budgets.toml has no {name}"));
        let (within, good) = match *section {
            "size_and_memory" => (measured <= *number, measured <= ceiling.map_or(*number, |ceiling| ceiling.number)),
            "timing" => (measured <= *number, measured <= number * NOISE),
            "rate" => (measured >= *number, measured >= number / NOISE),
            other => panic!("budgets.toml has a section {other} nobody knows"),
        };
        if !within && good && ceiling.is_some() {
            self.behind.push(name);
        }
        let word = match (within, good) {
            (true, _) => "ok",
            (false, true) if ceiling.is_some() => "BEHIND the promise, below its ceiling",
            (false, true) => "over, within the noise allowed",
            (false, false) => "FAILED",
        };
        if !good {
            self.failed.push(name);
        }
        let share = if *number == 0.0 { String::from("-") } else { format!("{:.2}", measured / number) };
        println!("  {name:<36} {:>14}  budget {:>12}  x{share:<6} {word}", shown(measured), shown(*number));
    }

    /// A figure without a budget, for comparison.
    pub fn note(&self, name: &str, measured: f64) {
        println!("  {name:<36} {:>14}", shown(measured));
    }

    pub fn close(self) -> ExitCode {
        if !self.behind.is_empty() {
            println!("\nbehind the promise: {}", self.behind.join(", "));
        }
        if self.failed.is_empty() {
            println!("\nfigures: ok");
            return ExitCode::SUCCESS;
        }
        println!("\nfigures: FAILED: {}", self.failed.join(", "));
        ExitCode::FAILURE
    }
}

/// The middle of the sorted values.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(number: f64) -> String {
    if number.fract() == 0.0 || number >= 1000.0 { format!("{number:.0}") } else { format!("{number:.3}") }
}

/// Sections and `name = number` lines: the part of TOML the file uses.
fn read(text: &'static str) -> Vec<Budget> {
    let mut section = "";
    let mut budgets = Vec::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, number)) = line.split_once('=') {
            let number = number.trim().replace('_', "").parse().expect("a budget is a number");
            budgets.push(Budget { section, name: name.trim(), number });
        }
    }
    budgets
}

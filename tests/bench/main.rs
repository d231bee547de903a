//! Measures the built gateway against `budgets.toml`.
//!
//! `cargo bench` measures everything but the soak; `cargo bench -- memory idle` what is named. It prints each figure beside
//! its budget and fails when a size or memory budget is passed, or a timing by more than five times.

mod budgets;
mod config;
mod fast_upstream;
mod grown;
mod http;
mod idle;
mod load;
mod memory;
#[path = "../long/soak.rs"]
mod soak;
mod startup;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use budgets::Board;

/// A group of measurements: its name on the command line, and what it does.
type Group = (&'static str, fn(&mut Board));

const GROUPS: [Group; 8] = [
    ("startup", startup::measure),
    ("config", config::measure),
    ("memory", memory::measure),
    ("load", load::measure),
    ("http", http::measure),
    ("grown", grown::measure),
    ("idle", idle::measure),
    (SOAK, soak::measure),
];

/// Takes long: measured only when named.
const SOAK: &str = "soak";

fn main() -> ExitCode {
    // Cargo adds `--bench`; it is not for us.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| GROUPS.iter().all(|(group, _)| group != name)) {
        eprintln!("unknown group {unknown:?}; there are {}", GROUPS.map(|(group, _)| group).join(", "));
        return ExitCode::from(2);
    }
    let mut board = Board::open();
    for (name, measure) in GROUPS {
        if wanted.is_empty() && name != SOAK || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}");
            measure(&mut board);
        }
    }
    board.close()
}

//! `openclaw`: the command. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    openclaw::cli::main(std::env::args_os().skip(1))
}

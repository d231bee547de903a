//! `openclaw`: the command. Everything is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use openclaw::{cli, sys};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|first| first == sys::child::stub::ARGUMENT).is_some() {
        return become_a_child(args);
    }
    if args.next_if(|first| first == sys::pdf::ARGUMENT).is_some() {
        let args: Vec<String> = args.filter_map(|arg| arg.into_string().ok()).collect();
        return sys::pdf::child(&args);
    }
    sys::child::stub::offer();
    cli::main(args)
}

/// The hidden way in: the gateway starts its commands through its own program, so that they die with it.
fn become_a_child(args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let args: Result<Vec<String>, _> = args.map(std::ffi::OsString::into_string).collect();
    match args {
        Ok(args) => eprintln!("openclaw: {}", sys::child::exec_stub(&args)),
        Err(odd) => eprintln!("openclaw: not UTF-8: {}", odd.display()),
    }
    ExitCode::from(sys::child::stub::NOT_STARTED)
}

//! `openclaw`: the command. Everything is in the library.
fn main() {}

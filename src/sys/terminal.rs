//! Questions to the person at the terminal.
//!
//! Invariants: a secret is not shown while it is typed, and the terminal is put back whichever way reading ends; an
//! answer has at most [`MAX`] bytes.

use std::io::{self, BufRead, IsTerminal, Read};

/// Longest answer (bytes); a private key fits.
const MAX: u64 = 64 << 10;

/// Whether somebody is there to be asked.
pub fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line; `None` at the end of input.
pub fn line() -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX).read_line(&mut text)?;
    Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// One line that is not shown.
#[cfg(unix)]
pub fn hidden() -> io::Result<Option<String>> {
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// Shows again what is typed.
    struct Restore(Termios);
    impl Drop for Restore {
        fn drop(&mut self) {
            // A terminal that is gone needs no restoring.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }

    let was = tcgetattr(io::stdin())?;
    let mut quiet = was.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    let _restore = Restore(was);
    tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
    line()
}

/// There it is shown; the caller's question should say so.
#[cfg(not(unix))]
pub fn hidden() -> io::Result<Option<String>> {
    line()
}

/// Everything on standard input.
pub fn piped(cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("standard input is larger than {cap} bytes")));
    }
    Ok(bytes)
}

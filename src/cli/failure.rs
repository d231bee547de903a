//! How a command fails: a kind, a sentence, and what to do next.
//!
//! The kinds are few because the exit codes are few; [`Failure::exit_code`] is the only place where the numbers live.
//! Never holds a credential: the texts it is made from do not.

use std::io;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence, or several lines when each is a fact of its own.
    pub message: String,
    /// The next step, when there is one.
    pub hint: Option<String>,
}

/// What went wrong, as far as a script must tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line itself is wrong.
    Usage,
    /// The configuration forbids it.
    Config,
    /// No gateway could be spoken to.
    Unreachable,
    /// The gateway said no, or the work failed.
    Refused,
    /// This program or this machine failed.
    Internal,
    /// A part of the gateway ended by itself: the supervisor should start it again (EX_SOFTWARE).
    Broken,
    /// The reader of our output went away: that is not a failure.
    Hangup,
    /// The report was printed in full and says no: nothing is left to print.
    Told,
    /// The same, and a reference leads nowhere.
    ToldUnresolved,
    /// What was asked for is not there.
    Missing,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), hint: None }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, message)
    }

    pub fn config(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Config, message)
    }

    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Refused, message)
    }

    /// The command has printed everything; only the exit code is missing.
    pub fn told() -> Failure {
        Failure::new(Kind::Told, "")
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The status the process ends with. 78 is EX_CONFIG: a supervisor must not restart after it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status())
    }

    pub fn status(&self) -> u8 {
        match self.kind {
            Kind::Hangup => 0,
            Kind::Unreachable | Kind::Refused | Kind::Internal | Kind::Told => 1,
            Kind::Usage | Kind::ToldUnresolved => 2,
            Kind::Missing => 3,
            Kind::Config => 78,
            Kind::Broken => 70,
        }
    }

    /// The word scripts find under `error.type` with `--json`.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Unreachable => "gateway_transport_error",
            _ => "cli_error",
        }
    }
}

/// Failures of our own output: a closed pipe is the reader's good right.
impl From<io::Error> for Failure {
    fn from(failed: io::Error) -> Failure {
        match failed.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Kind::Hangup, ""),
            _ => Failure::new(Kind::Internal, format!("write the output: {failed}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_exit_code() {
        let codes = [
            (Kind::Hangup, 0),
            (Kind::Unreachable, 1),
            (Kind::Refused, 1),
            (Kind::Internal, 1),
            (Kind::Told, 1),
            (Kind::Usage, 2),
            (Kind::ToldUnresolved, 2),
            (Kind::Missing, 3),
            (Kind::Config, 78),
        ];
        for (kind, code) in codes {
            assert_eq!(Failure::new(kind, "x").status(), code, "{kind:?}");
        }
    }

    #[test]
    fn a_closed_pipe_is_success() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).status(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).status(), 1);
    }
}

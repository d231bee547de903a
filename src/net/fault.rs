//! What can be wrong with a request, and the one place where that becomes a status.
//!
//! Does not print a body: the layer above may dress a fault as it likes; what is refused before that layer is asked gets
//! [`Fault::explain`] as plain text.

use std::{fmt, io};

/// Why a request cannot be served.
#[derive(Debug)]
pub enum Fault {
    /// Not HTTP, or HTTP that two readers could understand differently. Says what.
    Malformed(&'static str),
    /// The head is longer, or has more fields, than we read.
    HeadTooLarge,
    /// The body is longer than its route takes.
    TooLarge,
    /// Head or body was not complete at its deadline.
    TooSlow,
    /// Understood and not offered: a version, an expectation, a WebSocket version. The number is the status.
    Unsupported(u16, &'static str),
    /// The peer left; nobody is there to be answered.
    Closed,
    /// The socket failed; nobody is there to be answered.
    Io(io::Error),
}

impl Fault {
    /// The status to answer with. For [`Fault::Closed`] and [`Fault::Io`] it is 400, which nobody will read.
    pub fn status(&self) -> u16 {
        match self {
            Fault::Malformed(_) | Fault::Closed | Fault::Io(_) => 400,
            Fault::TooSlow => 408,
            Fault::TooLarge => 413,
            Fault::HeadTooLarge => 431,
            Fault::Unsupported(status, _) => *status,
        }
    }

    /// One line for the client: what was wrong, without a word of what it sent.
    pub fn explain(&self) -> &'static str {
        match self {
            Fault::Malformed(what) | Fault::Unsupported(_, what) => what,
            Fault::TooSlow => "The request took too long to arrive",
            Fault::TooLarge => "The request body is too large",
            Fault::HeadTooLarge => "The request head is too large",
            Fault::Closed => "The client left",
            Fault::Io(_) => "The connection failed",
        }
    }

    /// Whether somebody may still be there to read an answer.
    pub fn answerable(&self) -> bool {
        !matches!(self, Fault::Closed | Fault::Io(_))
    }
}

impl From<io::Error> for Fault {
    /// A read that ran into its deadline is the peer's slowness, not a failure of the socket.
    fn from(error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fault::TooSlow,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Fault::Closed
            }
            _ => Fault::Io(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain())
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}

//! Why a WebSocket ended. Every ending has a name; the first one wins.
//!
//! The only place where close codes live. Does not send anything.

use std::borrow::Cow;

/// Bytes of a close reason on the wire. A control frame takes 123; the protocol's own cut is 120.
const REASON: usize = 120;

/// What ended a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent a Close frame; 1005 stands for one without a code.
    PeerClosed { code: u16, text: String },
    /// The peer's stream ended, or was reset, without a Close frame.
    PeerVanished,
    /// Not admitted in time.
    HandshakeTimeout,
    /// A message above the limit that holds now.
    TooBig,
    /// A frame against the protocol. Says what, for the log.
    BadFrame(&'static str),
    /// A text message that is not UTF-8.
    BadText,
    /// More was waiting for the peer than may wait.
    SlowConsumer,
    /// No sign of life since the last ping.
    Silent,
    /// The peer took nothing for the write timeout.
    Stalled,
    /// The server ended what was left when it stopped.
    Kicked,
    /// The code that served the connection panicked.
    Panicked,
    /// The app's own decision: its code and text.
    Policy { code: u16, text: Cow<'static, str> },
}

impl CloseReason {
    /// The app's own decision.
    pub fn policy(code: u16, text: impl Into<Cow<'static, str>>) -> CloseReason {
        CloseReason::Policy { code, text: text.into() }
    }

    /// The code on the wire; 1006 where no Close frame is sent.
    pub fn code(&self) -> u16 {
        match self {
            CloseReason::PeerClosed { code, .. } | CloseReason::Policy { code, .. } => *code,
            CloseReason::HandshakeTimeout => 1000,
            CloseReason::BadFrame(_) => 1002,
            CloseReason::BadText => 1007,
            CloseReason::SlowConsumer => 1008,
            CloseReason::TooBig => 1009,
            CloseReason::Panicked => 1011,
            CloseReason::PeerVanished | CloseReason::Silent | CloseReason::Stalled | CloseReason::Kicked => 1006,
        }
    }

    /// The text on the wire, at most 120 bytes, whole characters.
    pub fn text(&self) -> &str {
        let text = match self {
            CloseReason::PeerClosed { text, .. } => text,
            CloseReason::Policy { text, .. } => text.as_ref(),
            CloseReason::SlowConsumer => "slow consumer",
            _ => "",
        };
        let end = (0..=REASON.min(text.len())).rfind(|at| text.is_char_boundary(*at));
        &text[..end.unwrap_or(0)]
    }

    /// One phrase for the log. What a peer wrote is not in it.
    pub fn explain(&self) -> &'static str {
        match self {
            CloseReason::PeerClosed { .. } => "the client closed",
            CloseReason::PeerVanished => "the client vanished",
            CloseReason::HandshakeTimeout => "the client was not admitted in time",
            CloseReason::TooBig => "a message was too big",
            CloseReason::BadFrame(what) => what,
            CloseReason::BadText => "a text message was not UTF-8",
            CloseReason::SlowConsumer => "the client reads too slowly",
            CloseReason::Silent => "the client does not answer pings",
            CloseReason::Stalled => "the client stopped reading",
            CloseReason::Kicked => "the server stopped",
            CloseReason::Panicked => "serving the client panicked",
            CloseReason::Policy { .. } => "the server closed",
        }
    }

    /// Whether a Close frame is ours to send.
    pub(super) fn is_said(&self) -> bool {
        !matches!(self, CloseReason::PeerClosed { .. }) && self.code() != 1006
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = CloseReason::policy(1008, "ü".repeat(100));
        assert_eq!(long.text().len(), 120);
        let odd = CloseReason::policy(1008, format!("a{}", "ü".repeat(100)));
        assert_eq!((odd.text().len(), odd.text().chars().last()), (119, Some('ü')));
    }

    #[test]
    fn an_ending_without_a_close_frame_is_1006() {
        assert_eq!(CloseReason::Silent.code(), 1006);
        assert!(!CloseReason::Silent.is_said());
        assert!(CloseReason::TooBig.is_said());
        assert_eq!(CloseReason::TooBig.text(), "");
    }
}

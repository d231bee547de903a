//! Lines that are said again and again: the first one is shown, then how often it came.

/// While one line repeats, it is shown again once in this time (milliseconds), with the number.
const AGAIN: u64 = 60_000;

/// The last line.
#[derive(Default)]
pub struct Repeats {
    level: Option<log::Level>,
    subsystem: String,
    message: String,
    shown_ms: u64,
    hidden: u64,
}

/// What becomes of a line.
pub struct Said {
    /// To be told before it.
    pub before: Option<(log::Level, String)>,
    pub shown: bool,
}

impl Repeats {
    pub fn note(&mut self, level: log::Level, subsystem: &str, message: &str, now_ms: u64) -> Said {
        let same = self.level == Some(level) && self.subsystem == subsystem && self.message == message;
        if same && now_ms.abs_diff(self.shown_ms) < AGAIN {
            self.hidden += 1;
            return Said { before: None, shown: false };
        }
        let before = match (std::mem::take(&mut self.hidden), self.level) {
            (0, _) | (_, None) => None,
            (1, Some(level)) => Some((level, "the last line came once more".to_owned())),
            (times, Some(level)) => Some((level, format!("the last line came {times} more times"))),
        };
        if !same {
            self.level = Some(level);
            subsystem.clone_into(&mut self.subsystem);
            message.clone_into(&mut self.message);
        }
        self.shown_ms = now_ms;
        Said { before, shown: true }
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn what_repeats_is_counted_and_told_with_the_next_line_or_after_a_minute() {
        let mut repeats = Repeats::default();
        let mut note = |level, text: &str, at| {
            let said = repeats.note(level, "net", text, at);
            (said.shown, said.before.map(|(_, text)| text))
        };
        assert_eq!(note(Level::Warn, "full", 0), (true, None));
        assert_eq!(note(Level::Warn, "full", 1), (false, None));
        assert_eq!(note(Level::Warn, "full", 2), (false, None));
        assert_eq!(note(Level::Info, "full", 3), (true, Some("the last line came 2 more times".into())));
        assert_eq!(note(Level::Info, "full", 4), (false, None));
        assert_eq!(note(Level::Info, "full", AGAIN + 3), (true, Some("the last line came once more".into())));
        assert_eq!(note(Level::Info, "other", AGAIN + 4), (true, None));
        // A clock that jumps back hides nothing for long.
        assert_eq!(note(Level::Info, "other", 5), (false, None));
        assert_eq!(note(Level::Info, "else", 5), (true, Some("the last line came once more".into())));
    }
}

//! When a conversation starts over by itself: `session.reset`, daily at an hour or after a time of silence.
//!
//! Deliberately pure: the configuration, the clock and the time zone come in, two moments come out. Whoever writes the
//! next message of a session compares its row with them.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::config::sections::{ResetConfig, ResetMode};
use crate::store::sessions::SessionRow;

/// The hour of a daily reset when the configuration names none.
const HOUR: i8 = 4;

/// Sessions older than this begin anew. Unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The transcript must have begun since.
    pub begun_since: Option<i64>,
    /// Somebody must have said something since.
    pub spoken_since: Option<i64>,
}

impl Expiry {
    /// What the policy means at a moment. Both limits may hold; the first that is passed ends the session.
    pub fn of(policy: &ResetConfig, now_ms: i64, zone: &TimeZone) -> Expiry {
        let idle = || Some(now_ms - i64::try_from(policy.idle_minutes?.checked_mul(60_000)?).ok()?);
        match policy.mode {
            None | Some(ResetMode::None) => Expiry::default(),
            Some(ResetMode::Daily) => {
                let hour = policy.at_hour.and_then(|hour| i8::try_from(hour).ok()).unwrap_or(HOUR);
                Expiry { begun_since: last_hour(now_ms, hour, zone), spoken_since: idle() }
            }
            Some(ResetMode::Idle) => Expiry { begun_since: None, spoken_since: idle() },
        }
    }

    /// Whether a session that has said something is over.
    pub fn ended(&self, row: &SessionRow) -> bool {
        let spoken = row.last_interaction_at_ms.unwrap_or(row.started_at_ms);
        let late = |moment: i64, since: Option<i64>| since.is_some_and(|since| moment < since);
        row.message_count > 0 && (late(row.started_at_ms, self.begun_since) || late(spoken, self.spoken_since))
    }
}

/// The last time it was this hour, in a zone that may have skipped or repeated it today.
fn last_hour(now_ms: i64, hour: i8, zone: &TimeZone) -> Option<i64> {
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(zone.clone());
    let today = now.date().at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?;
    let last = if today <= now {
        today
    } else {
        let yesterday = now.date().checked_sub(Span::new().days(1)).ok()?;
        yesterday.at(hour, 0, 0, 0).to_zoned(zone.clone()).ok()?
    };
    Some(last.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    fn row(started: &str, spoken: &str) -> SessionRow {
        SessionRow {
            started_at_ms: at(started),
            last_interaction_at_ms: Some(at(spoken)),
            message_count: 2,
            ..SessionRow::default()
        }
    }

    fn policy(mode: ResetMode, at_hour: Option<u8>, idle_minutes: Option<u64>) -> ResetConfig {
        ResetConfig { mode: Some(mode), at_hour, idle_minutes }
    }

    #[test]
    fn without_a_policy_a_session_lasts() {
        let expiry = Expiry::of(&ResetConfig::default(), at("2026-11-22T12:00:00Z"), &TimeZone::UTC);
        assert!(!expiry.ended(&row("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z")));
    }

    #[test]
    fn a_day_ends_at_its_hour() {
        let daily = policy(ResetMode::Daily, None, None);
        let night = Expiry::of(&daily, at("2026-11-22T03:59:00Z"), &TimeZone::UTC);
        let morning = Expiry::of(&daily, at("2026-11-22T04:00:00Z"), &TimeZone::UTC);
        let evening = row("2026-11-21T20:00:00Z", "2026-11-22T03:00:00Z");
        assert!(!night.ended(&evening) && morning.ended(&evening));
        assert!(night.ended(&row("2026-11-21T03:00:00Z", "2026-11-21T05:00:00Z")), "from the day before yesterday");
    }

    #[test]
    fn silence_ends_a_session_and_a_word_keeps_it() {
        let idle = Expiry::of(&policy(ResetMode::Idle, None, Some(60)), at("2026-11-22T12:00:00Z"), &TimeZone::UTC);
        assert!(idle.ended(&row("2026-11-22T08:00:00Z", "2026-11-22T10:59:00Z")));
        assert!(!idle.ended(&row("2020-01-01T00:00:00Z", "2026-11-22T11:01:00Z")));
    }

    #[test]
    fn an_hour_that_a_zone_skips_still_ends_the_day() {
        let berlin = TimeZone::get("Europe/Berlin").expect("the zone is bundled");
        let daily = policy(ResetMode::Daily, Some(2), None);
        let expiry = Expiry::of(&daily, at("2026-03-29T06:00:00Z"), &berlin);
        assert_eq!(expiry.begun_since, Some(at("2026-03-29T01:00:00Z")), "02:00 was 03:00 that day");
    }
}

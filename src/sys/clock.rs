//! Time as numbers and as text.
//!
//! Wall time is for people and records; everything that waits or measures uses `Instant`, because a router boots in 1970
//! and jumps. This module formats without locale; only [`local_date`] and [`local_zone`] know of time zones.
//!
//! Invariant: no function here fails or panics for any `u64`.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01T00:00:00Z; 0 when the clock stands before that.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-09-21T10:20:30.456Z`.
pub fn iso(ms: u64) -> String {
    let t = Civil::of(ms / 1000);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.year, t.month, t.day, t.hour, t.minute, t.second, ms % 1000)
}

/// [`iso`] of now.
pub fn iso_now() -> String {
    iso(now_ms())
}

/// `2026-09-21` in this machine's time zone; UTC when there is no zone data.
pub fn local_date(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match stamp {
        Some(stamp) => stamp.to_zoned(local_zone()).date().to_string(),
        None => iso(ms)[..10].to_owned(),
    }
}

/// This machine's time zone; UTC when there is no zone data.
///
/// `/etc/localtime` is read for itself where `TZ` says nothing: the library would walk the whole zone database to name it,
/// which a router feels. Read again on each call; that is a kilobyte, and people do change it.
pub fn local_zone() -> TimeZone {
    let own = || {
        let bytes = fs::read(LOCAL).ok()?;
        let link = fs::read_link(LOCAL).unwrap_or_default();
        let name = link.to_str().and_then(|link| link.split_once("zoneinfo/")).map_or("", |(_, name)| name);
        TimeZone::tzif(name, &bytes).ok()
    };
    let named = std::env::var_os("TZ").is_some();
    (!named).then(own).flatten().unwrap_or_else(TimeZone::system)
}

/// Where Unix systems keep the zone, mostly as a link into the zone database.
const LOCAL: &str = "/etc/localtime";

/// A moment in UTC, taken apart.
struct Civil {
    year: u64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Civil {
    /// Proleptic Gregorian calendar, counted in eras of 400 years from 0000-03-01, so that leap days come last.
    fn of(seconds: u64) -> Civil {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let small = |n: u64| u8::try_from(n).unwrap_or(u8::MAX);
        Civil {
            year,
            month: small(month),
            day: small(day),
            hour: small(rest / 3_600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_moments_are_written_right() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (784_111_777_000, "1994-11-06T08:49:37.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in table {
            assert_eq!(iso(ms), text);
        }
    }

    #[test]
    fn the_far_future_does_not_panic() {
        assert!(iso(u64::MAX).ends_with('Z'));
        assert!(!local_date(u64::MAX).is_empty());
    }

    #[test]
    fn local_dates_have_ten_characters() {
        assert_eq!(local_date(now_ms()).len(), 10);
    }
}

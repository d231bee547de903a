//! Days as a caller means them: of UTC, of the gateway's host, or of the caller's own time zone.
//!
//! Source: the reference's page concepts/usage-tracking, "Usage date ranges". Use is counted per quarter of an hour
//! ([`usage::SLOT_MS`]), where the days of every zone in use begin; an offset that is none of these is rounded down to
//! one.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::store::usage;
use crate::wire::error::RpcError;
use crate::wire::usage::DayMode;

/// Days of one answer, and when the caller names none.
pub const DAYS_MAX: i64 = usage::DAYS_KEPT;
pub const DAYS: i64 = 30;
const EPOCH: Date = Date::constant(1970, 1, 1);
const DAY_SECONDS: i64 = 86_400;

/// What a caller said of the days it wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    pub mode: DayMode,
    pub time_zone: Option<&'a str>,
    pub utc_offset: Option<&'a str>,
    pub start_date: Option<&'a str>,
    pub end_date: Option<&'a str>,
    /// Up to today; `None` is all that is known.
    pub days: Option<i64>,
}

/// Whole days, both included.
#[derive(Debug)]
pub struct Days {
    zone: TimeZone,
    /// Since 1970-01-01.
    pub first: i64,
    pub last: i64,
}

impl Days {
    /// `oldest` is the first slot anything is counted in.
    ///
    /// Fails when a date is none, when one comes without the other, or when the time zone is unknown.
    pub fn of(wanted: &Wanted<'_>, now_ms: i64, oldest: Option<i64>) -> Result<Days, RpcError> {
        let zone = zone(wanted)?;
        let today = day_at(&zone, now_ms);
        let start = wanted.start_date.map(|date| day_of("startDate", date)).transpose()?;
        let end = wanted.end_date.map(|date| day_of("endDate", date)).transpose()?;
        let (first, last) = match (start, end) {
            (Some(start), Some(end)) => (start, end),
            (None, None) => {
                let since = oldest.map_or(today, |slot| day_at(&zone, slot * usage::SLOT_MS));
                let first = wanted.days.map_or(since.clamp(today + 1 - DAYS_MAX, today), |days| today + 1 - days);
                (first, today)
            }
            _ => return Err(RpcError::invalid("startDate and endDate must be provided together")),
        };
        if first > last {
            return Err(RpcError::invalid("startDate must not be after endDate"));
        }
        if last - first >= DAYS_MAX {
            return Err(RpcError::invalid(format!("a range has 1 to {DAYS_MAX} days")));
        }
        Ok(Days { zone, first, last })
    }

    /// The slots of these days, for the table.
    pub fn range(&self) -> usage::Range<'static> {
        let from = usage::slot(self.start_ms(self.first));
        usage::Range { from, to: usage::slot(self.start_ms(self.last + 1)) - 1, ..usage::Range::default() }
    }

    /// Milliseconds since 1970, the end not included.
    pub fn span_ms(&self) -> std::ops::Range<i64> {
        self.start_ms(self.first)..self.start_ms(self.last + 1)
    }

    /// The day of a slot.
    pub fn day(&self, slot: i64) -> i64 {
        day_at(&self.zone, slot.saturating_mul(usage::SLOT_MS))
    }

    /// Where midnight does not exist, because clocks are put forward then, a day begins when they have been.
    fn start_ms(&self, day: i64) -> i64 {
        let midnight = date(day).at(0, 0, 0, 0);
        self.zone.to_timestamp(midnight).map_or(day * DAY_SECONDS * 1000, Timestamp::as_millisecond)
    }
}

/// `YYYY-MM-DD` of a day since 1970-01-01.
pub fn written(day: i64) -> String {
    date(day).to_string()
}

fn date(day: i64) -> Date {
    jiff::Span::new().try_days(day).and_then(|days| EPOCH.checked_add(days)).unwrap_or(EPOCH)
}

fn day_at(zone: &TimeZone, ms: i64) -> i64 {
    let seconds = ms.div_euclid(1000);
    let offset = Timestamp::from_second(seconds).map_or(0, |at| zone.to_offset(at).seconds());
    (seconds + i64::from(offset)).div_euclid(DAY_SECONDS)
}

fn day_of(name: &str, text: &str) -> Result<i64, RpcError> {
    let wrong = || RpcError::invalid(format!("invalid {name}: expected a valid YYYY-MM-DD calendar date"));
    let digits = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date: Date = text.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    Ok(i64::from(date.since(EPOCH).map_err(|_| wrong())?.get_days()))
}

fn zone(wanted: &Wanted<'_>) -> Result<TimeZone, RpcError> {
    match wanted.mode {
        DayMode::Utc => return Ok(TimeZone::UTC),
        DayMode::Gateway => return Ok(TimeZone::system()),
        DayMode::Specific => {}
    }
    let offset = wanted.utc_offset.filter(|text| !text.trim().is_empty());
    let fixed = offset.and_then(|text| offset_seconds(text.trim()));
    let fixed = fixed.and_then(|seconds| jiff::tz::Offset::from_seconds(seconds).ok()).map(TimeZone::fixed);
    if let Some(name) = wanted.time_zone {
        // A host without zoneinfo knows no names; the offset is what older clients send anyway.
        let named = TimeZone::get(name.trim()).ok();
        return named.or(fixed).ok_or_else(|| RpcError::invalid("invalid timeZone: expected a valid IANA time zone"));
    }
    match (offset, fixed) {
        (Some(_), None) => Err(RpcError::invalid("invalid utcOffset: expected UTC-12:00 through UTC+14:00")),
        (_, fixed) => Ok(fixed.unwrap_or(TimeZone::UTC)),
    }
}

/// `UTC+5:30` -> 19800.
fn offset_seconds(text: &str) -> Option<i32> {
    let rest = text.strip_prefix("UTC")?;
    let sign = match rest.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = rest[1..].split_once(':').unwrap_or((&rest[1..], "00"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = digits(hours) && digits(minutes) && matches!(hours.len(), 1 | 2) && minutes.len() == 2;
    let minutes: i32 = minutes.parse().ok().filter(|minutes| whole && *minutes < 60)?;
    let all = sign * (hours.parse::<i32>().ok()? * 60 + minutes);
    (-720..=840).contains(&all).then_some(all * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-29T22:30:00Z: the day clocks went forward in Berlin, where it is past midnight of the next.
    const NIGHT: i64 = 1_774_823_400_000;

    fn days(wanted: &Wanted<'_>) -> (String, String) {
        let days = Days::of(wanted, NIGHT, None).expect("days");
        (written(days.first), written(days.last))
    }

    fn refused(wanted: &Wanted<'_>) -> String {
        Days::of(wanted, NIGHT, None).expect_err("refused").message
    }

    fn zoned(name: &str) -> Wanted<'_> {
        Wanted { mode: DayMode::Specific, time_zone: Some(name), days: Some(2), ..Wanted::default() }
    }

    #[test]
    fn today_depends_on_the_zone() {
        let utc = Wanted { days: Some(2), ..Wanted::default() };
        assert_eq!(days(&utc), ("2026-03-28".into(), "2026-03-29".into()));
        assert_eq!(days(&zoned("Europe/Berlin")), ("2026-03-29".into(), "2026-03-30".into()));
        let east = Wanted { mode: DayMode::Specific, utc_offset: Some("UTC+5:30"), ..utc };
        assert_eq!(days(&east).1, "2026-03-30");
        let unknown = Wanted { time_zone: Some("Middle/Earth"), ..east };
        assert_eq!(days(&unknown).1, "2026-03-30", "the offset stands in for a zone nobody knows");
        let all = Days::of(&Wanted::default(), NIGHT, Some(usage::slot(NIGHT) - 96 * 3)).expect("days");
        assert_eq!(written(all.first), "2026-03-26");
        let ages = Days::of(&Wanted::default(), NIGHT, Some(0)).expect("days");
        assert_eq!(ages.last - ages.first + 1, DAYS_MAX);
    }

    #[test]
    fn a_day_has_the_hours_its_zone_gives_it() {
        let day = |date| Wanted { start_date: Some(date), end_date: Some(date), ..zoned("Europe/Berlin") };
        let slots = |date| {
            let range = Days::of(&day(date), NIGHT, None).expect("a day").range();
            range.to - range.from + 1
        };
        assert_eq!((slots("2026-03-28"), slots("2026-03-29"), slots("2026-10-25")), (96, 92, 100));
        let spring = Days::of(&day("2026-03-29"), NIGHT, None).expect("a day");
        let range = spring.range();
        assert_eq!((spring.day(range.from - 1), spring.day(range.from)), (spring.first - 1, spring.first));
        assert_eq!((spring.day(range.to), spring.day(range.to + 1)), (spring.first, spring.first + 1));
        assert!(spring.span_ms().contains(&(range.to * usage::SLOT_MS)));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        let dates = |start, end| Wanted { start_date: start, end_date: end, ..Wanted::default() };
        assert!(refused(&dates(Some("2026-02-30"), Some("2026-03-01"))).contains("invalid startDate"));
        assert!(refused(&dates(Some("2026-02-01"), Some("20260301"))).contains("invalid endDate"));
        assert!(refused(&dates(Some("2026-02-01"), None)).contains("together"));
        assert!(refused(&dates(Some("2026-02-02"), Some("2026-02-01"))).contains("must not be after"));
        assert!(refused(&dates(Some("2020-02-02"), Some("2026-02-01"))).contains("1 to 400 days"));
        assert!(refused(&zoned("Middle/Earth")).contains("invalid timeZone"));
        for offset in ["UTC", "UTC+15", "UTC-12:01", "UTC+1:6", "UTC+001", "+1", "UTC++1"] {
            let wanted = Wanted { mode: DayMode::Specific, utc_offset: Some(offset), ..Wanted::default() };
            assert!(refused(&wanted).contains("invalid utcOffset"), "{offset}");
        }
    }
}

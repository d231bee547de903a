//! Cron expressions: five fields, or six with seconds in front, and the next moment they name in a time zone.
//!
//! What the reference's users write: lists, ranges, steps, names of months and weekdays, `L`, `5L`, `1#2`, `?`, the
//! `@daily` family; of day and weekday either is enough unless the weekday begins with `+`. Deliberately absent: `W` and
//! years. The crates for this either bring a second calendar or know neither `L` nor `#`; this is a few kilobytes.
//!
//! Invariants: the moment named is always later than the one asked about; a search ends after nine years.
//!
//! Clock changes: an expression with fixed hours names a wall-clock time, which happens once on every day that has it
//! (skipped: moved behind the gap; repeated: the first). One with `*` for the hour counts real hours: it runs through a
//! repeated hour twice and knows no skipped one.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

/// Characters of an expression at most.
const LONGEST: usize = 256;
/// Leap days are at most eight years apart.
const DAYS_SEARCHED: usize = 366 * 9;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    /// By weekday: bit 0 the last of the month, bits 1 to 5 the nth.
    nth: [u8; 7],
    any_day: bool,
    any_weekday: bool,
    both: bool,
    any_hour: bool,
}

impl Expr {
    /// Reads an expression; the error is a sentence for people.
    pub fn parse(text: &str) -> Result<Expr, String> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(format!("a cron expression has at most {LONGEST} characters"));
        }
        let text = match text.to_ascii_lowercase().as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ => text,
        };
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (seconds, fields) = match fields.as_slice() {
            [seconds, rest @ ..] if rest.len() == 5 => (*seconds, rest),
            rest if rest.len() == 5 => ("0", rest),
            _ => return Err("a cron expression has five fields, or six with seconds".into()),
        };
        let mut expr = Expr {
            seconds: set(seconds, "second", 0, 59, &[])?,
            minutes: set(fields[0], "minute", 0, 59, &[])?,
            hours: set(fields[1], "hour", 0, 23, &[])?,
            days: 0,
            last_day: false,
            months: set(fields[3], "month", 1, 12, &MONTHS)?,
            weekdays: 0,
            nth: [0; 7],
            any_day: is_any(fields[2]),
            any_weekday: is_any(fields[4]),
            both: fields[4].starts_with('+'),
            any_hour: is_any(fields[1]),
        };
        for item in fields[2].split(',') {
            match item {
                "L" | "l" => expr.last_day = true,
                item => expr.days |= set(item, "day of the month", 1, 31, &[])?,
            }
        }
        for item in fields[4].strip_prefix('+').unwrap_or(fields[4]).split(',') {
            expr.weekday(item)?;
        }
        // 7 is another name of Sunday.
        expr.weekdays = (expr.weekdays | expr.weekdays >> 7) & 0x7f;
        Ok(expr)
    }

    fn weekday(&mut self, item: &str) -> Result<(), String> {
        let day = |text: &str| number(text, "weekday", 0, 7, &WEEKDAYS).map(|day| day as usize % 7);
        if let Some((which, n)) = item.split_once('#') {
            let n = match n {
                "L" | "l" => 0,
                n => number(n, "week of the month", 1, 5, &[])?,
            };
            self.nth[day(which)?] |= 1 << n;
        } else if let Some(which) = item.strip_suffix(['L', 'l']).filter(|which| !which.is_empty()) {
            self.nth[day(which)?] |= 1;
        } else {
            self.weekdays |= set(item, "weekday", 0, 7, &WEEKDAYS)?;
        }
        Ok(())
    }

    /// The first moment after `after_ms` that it names. Unix milliseconds.
    pub fn next(&self, after_ms: i64, zone: &TimeZone) -> Option<i64> {
        let after = Timestamp::from_second(after_ms.div_euclid(1000)).ok()?;
        if self.any_hour { self.next_real(after, zone) } else { self.next_wall(after, zone) }
    }

    /// Wall-clock times: each is had once.
    fn next_wall(&self, after: Timestamp, zone: &TimeZone) -> Option<i64> {
        let mut from = zone.to_datetime(after).checked_add(SECOND).ok()?;
        loop {
            let wall = self.next_civil(from)?;
            // In a gap this is the time behind it, in a fold the first of the two.
            let moment = zone.to_timestamp(wall).ok()?;
            if moment > after {
                return Some(moment.as_millisecond());
            }
            from = wall.checked_add(SECOND).ok()?;
        }
    }

    /// Real hours: from one change of the clock to the next, each stretch with its own offset.
    fn next_real(&self, after: Timestamp, zone: &TimeZone) -> Option<i64> {
        let mut from = after.checked_add(SECOND).ok()?;
        loop {
            let offset = zone.to_offset(from);
            let moment = offset.to_timestamp(self.next_civil(offset.to_datetime(from))?).ok()?;
            let change = zone.following(from.checked_sub(SECOND).ok()?).next().map(|change| change.timestamp());
            match change.filter(|change| *change > from) {
                Some(change) if moment >= change => from = change,
                _ => return Some(moment.as_millisecond()),
            }
        }
    }

    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut time) = (from.date(), [from.hour(), from.minute(), from.second()]);
        for _ in 0..DAYS_SEARCHED {
            if self.months >> date.month() & 1 == 1
                && self.has_day(date)
                && let Some([hour, minute, second]) = self.next_time(time)
            {
                return Some(date.at(hour, minute, second, 0));
            }
            date = date.tomorrow().ok()?;
            time = [0; 3];
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let last = date.days_in_month();
        let day = self.days >> date.day() & 1 == 1 || self.last_day && date.day() == last;
        let at = match date.weekday() {
            Weekday::Sunday => 0,
            other => other.to_monday_one_offset() as usize,
        };
        let nth = self.nth[at];
        let weekday = self.weekdays >> at & 1 == 1
            || nth >> ((date.day() - 1) / 7 + 1) & 1 == 1
            || nth & 1 == 1 && date.day() + 7 > last;
        match (self.any_day, self.any_weekday) {
            (true, _) => weekday,
            (_, true) => day,
            _ if self.both => day && weekday,
            _ => day || weekday,
        }
    }

    /// The first time of a day that is not before this one.
    fn next_time(&self, [hour, minute, second]: [i8; 3]) -> Option<[i8; 3]> {
        let first = |set: u64, from: i8| (from < 64).then(|| set >> from << from).filter(|set| *set != 0);
        let lowest = |set: u64| set.trailing_zeros() as i8;
        let found_hour = lowest(first(self.hours, hour)?);
        if found_hour > hour {
            return Some([found_hour, lowest(self.minutes), lowest(self.seconds)]);
        }
        if let Some(minutes) = first(self.minutes, minute) {
            let found = lowest(minutes);
            if found > minute {
                return Some([hour, found, lowest(self.seconds)]);
            }
            if let Some(seconds) = first(self.seconds, second) {
                return Some([hour, minute, lowest(seconds)]);
            }
            if let Some(later) = first(self.minutes, minute + 1) {
                return Some([hour, lowest(later), lowest(self.seconds)]);
            }
        }
        first(self.hours, hour + 1).map(|hours| [lowest(hours), lowest(self.minutes), lowest(self.seconds)])
    }
}

fn is_any(field: &str) -> bool {
    matches!(field.strip_prefix('+').unwrap_or(field), "*" | "?")
}

/// One field as a set of bits.
fn set(field: &str, what: &str, min: u8, max: u8, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step, "step", 1, max.max(1), &[])?)),
            None => (item, None),
        };
        let (from, to) = match range {
            "*" | "?" => (min, max),
            range => match range.split_once('-') {
                Some((from, to)) => (number(from, what, min, max, names)?, number(to, what, min, max, names)?),
                None => {
                    let at = number(range, what, min, max, names)?;
                    (at, if step.is_some() { max } else { at })
                }
            },
        };
        if from > to {
            return Err(format!("the range {range:?} of the {what} ends before it begins"));
        }
        let mut at = from;
        while at <= to {
            bits |= 1 << at;
            at += step.unwrap_or(1);
        }
    }
    Ok(bits)
}

fn number(text: &str, what: &str, min: u8, max: u8, names: &[&str]) -> Result<u8, String> {
    let named = names.iter().position(|name| text.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(name)));
    let digits = text.len() <= 2 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = match named {
        // Months count from one.
        Some(at) => Some(at as u8 + min.min(1)),
        None if digits => text.parse().ok(),
        None => None,
    };
    let value = value.filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| format!("{text:?} is no {what} ({min} to {max})"))
}

const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").expect("a host with time zones")
    }

    /// The next `n` moments, as UTC.
    fn nexts(expr: &str, zone: &TimeZone, after: &str, n: usize) -> Vec<String> {
        let expr = Expr::parse(expr).expect("an expression");
        let mut now = at(after);
        (0..n)
            .map(|_| {
                now = expr.next(now, zone).expect("a next one");
                Timestamp::from_millisecond(now).expect("a time").to_string()
            })
            .collect()
    }

    #[test]
    fn fields_lists_ranges_steps_and_names() {
        let utc = TimeZone::UTC;
        assert_eq!(
            nexts("*/15 9-10 * * MON-FRI", &utc, "2026-11-20T10:40:00Z", 3),
            ["2026-11-20T10:45:00Z", "2026-11-23T09:00:00Z", "2026-11-23T09:15:00Z"]
        );
        assert_eq!(
            nexts("30 0 8 1,15 jan,Jul ?", &utc, "2026-01-15T08:00:30Z", 2),
            ["2026-07-01T08:00:30Z", "2026-07-15T08:00:30Z"]
        );
        assert_eq!(nexts("0 12 * * 7", &utc, "2026-11-22T12:00:00Z", 1), ["2026-11-29T12:00:00Z"]);
        assert_eq!(nexts("5/20 * * * *", &utc, "2026-11-22T12:05:00.999Z", 2)[1], "2026-11-22T12:45:00Z");
        assert_eq!(nexts("@monthly", &utc, "2026-11-22T12:00:00Z", 1), ["2026-12-01T00:00:00Z"]);
    }

    #[test]
    fn last_days_nth_weekdays_and_leap_days() {
        let utc = TimeZone::UTC;
        assert_eq!(
            nexts("0 0 L * *", &utc, "2028-01-31T00:00:00Z", 2),
            ["2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"]
        );
        assert_eq!(
            nexts("0 0 * * 5L", &utc, "2026-11-01T00:00:00Z", 2),
            ["2026-11-27T00:00:00Z", "2026-12-25T00:00:00Z"]
        );
        assert_eq!(nexts("0 0 * * tue#2", &utc, "2026-11-01T00:00:00Z", 1), ["2026-11-10T00:00:00Z"]);
        assert_eq!(nexts("0 0 29 2 *", &utc, "2096-03-01T00:00:00Z", 1), ["2104-02-29T00:00:00Z"]);
    }

    #[test]
    fn day_and_weekday_are_either_or_unless_told_otherwise() {
        let utc = TimeZone::UTC;
        assert_eq!(
            nexts("0 9 15 * 1", &utc, "2026-11-10T00:00:00Z", 3),
            ["2026-11-15T09:00:00Z", "2026-11-16T09:00:00Z", "2026-11-23T09:00:00Z"]
        );
        assert_eq!(nexts("0 9 15 * +1", &utc, "2026-11-10T00:00:00Z", 1), ["2027-02-15T09:00:00Z"]);
    }

    #[test]
    fn a_time_the_clock_skips_is_had_behind_the_gap_and_once() {
        // 2026-03-29: 02:00 becomes 03:00.
        assert_eq!(
            nexts("30 2 * * *", &berlin(), "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            nexts("30 2,3 * * *", &berlin(), "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
            "half past two and half past three were the same moment"
        );
    }

    #[test]
    fn a_time_the_clock_repeats_is_had_once() {
        // 2026-10-25: 03:00 becomes 02:00 again.
        assert_eq!(
            nexts("30 2 * * *", &berlin(), "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            nexts("30 2 * * *", &berlin(), "2026-10-25T01:10:00Z", 1),
            ["2026-10-26T01:30:00Z"],
            "asked in the second of the two hours"
        );
    }

    #[test]
    fn every_half_hour_is_a_real_half_hour() {
        assert_eq!(
            nexts("*/30 * * * *", &berlin(), "2026-10-25T00:00:00Z", 4),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]
        );
        assert_eq!(
            nexts("0 * * * *", &berlin(), "2026-03-29T00:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]
        );
        let lord_howe = TimeZone::get("Australia/Lord_Howe").expect("a zone that moves by half an hour");
        let moments = nexts("0 * * * *", &lord_howe, "2026-04-04T13:00:00Z", 4);
        assert!(moments.windows(2).all(|w| w[0] < w[1]), "{moments:?}");
    }

    #[test]
    fn the_next_moment_is_always_later() {
        let expr = Expr::parse("* * * * * *").expect("every second");
        let mut now = at("2026-10-25T00:59:58.500Z");
        for _ in 0..10 {
            let next = expr.next(now, &berlin()).expect("a second");
            assert!(next > now && next - now <= 1000);
            now = next;
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "* * 15W * *",
            "1,,2 * * * *",
            "* * * * 1#6",
            "-1 * * * *",
        ] {
            assert!(Expr::parse(text).is_err_and(|why| !why.is_empty()), "{text:?}");
        }
        assert!(Expr::parse(&"*".repeat(999)).is_err());
        let never = Expr::parse("0 0 30 2 *").expect("well formed");
        assert_eq!(never.next(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), None, "there is no 30 February");
    }
}

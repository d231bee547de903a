//! When a job runs: its next slot, and what becomes of a slot that is late because the gateway was not there, the host
//! slept, or the clock was set.
//!
//! Deliberately pure: the clock and the zone come in. Moments are Unix milliseconds.
//!
//! Invariants: a slot is handed out once ([`Slots::used`] only grows until a clock that was plainly wrong is put
//! right); the next slot is later than now.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::expr::Expr;

/// A slot this late still runs, once; an older one is passed over and said so.
pub const GRACE_MS: i64 = 5 * 60_000;
/// Before this (2024-01-01) the clock was never set: a router without a battery starts in 1970 and learns the time from
/// the network a minute later. Nothing is due until then.
pub const CLOCK_SET_MS: i64 = 1_704_067_200_000;
/// A run remembered from further in the future than this was made by a clock that was wrong.
const WRONG_MS: i64 = 24 * 3_600_000;

/// A schedule, ready to be asked.
#[derive(Debug, Clone)]
pub enum Schedule {
    At(i64),
    Every { every_ms: i64, anchor_ms: i64 },
    Cron { expr: Box<Expr>, zone: TimeZone, stagger_ms: i64 },
}

/// What is remembered of a job's slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slots {
    pub next: Option<i64>,
    /// The latest slot that was handed out.
    pub used: Option<i64>,
}

/// What is to be done about a job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing before this moment; None: never again.
    Wait(Option<i64>),
    /// Run for this slot; afterwards the next one is due.
    Run { slot: i64, next: Option<i64> },
    /// The slot is too old.
    Missed { slot: i64, next: Option<i64> },
}

/// What becomes of slots that are later than [`GRACE_MS`]... and of the others, if so configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catching {
    /// One late run for all that were missed within the grace.
    Once,
    /// None (`cron.skipMissedJobs`), when the gateway starts.
    Never,
}

impl Schedule {
    /// The first slot after a moment.
    pub fn next(&self, after: i64) -> Option<i64> {
        match self {
            Schedule::At(at) => (*at > after).then_some(*at),
            Schedule::Every { every_ms, anchor_ms } => {
                let every = (*every_ms).max(1);
                let steps = (after - anchor_ms).max(-1).div_euclid(every) + 1;
                steps.checked_mul(every)?.checked_add(*anchor_ms)
            }
            Schedule::Cron { expr, zone, stagger_ms } => {
                expr.next(after.checked_sub(*stagger_ms)?, zone).and_then(|slot| slot.checked_add(*stagger_ms))
            }
        }
    }

    fn is_once(&self) -> bool {
        matches!(self, Schedule::At(_))
    }

    /// What to do now.
    pub fn plan(&self, slots: Slots, now: i64, catching: Catching) -> Plan {
        if now < CLOCK_SET_MS {
            return Plan::Wait(slots.next);
        }
        if let Schedule::At(at) = self {
            // However late: a reminder is not lost, and not given twice.
            return match slots.used {
                Some(_) => Plan::Wait(None),
                None if now < *at => Plan::Wait(Some(*at)),
                None => Plan::Run { slot: *at, next: None },
            };
        }
        let Some(next) = slots.next else {
            return Plan::Wait(self.after_used(slots.used, now));
        };
        if now < next {
            let wrong = |moment: Option<i64>| moment.is_some_and(|moment| moment > now + WRONG_MS);
            // Ran under a clock that was far ahead, or was planned by one that was far behind.
            let stale = wrong(slots.used) || self.next(now).is_some_and(|fresh| fresh > next);
            return Plan::Wait(if stale { self.next(now) } else { Some(next) });
        }
        let slot = self.latest(next, now);
        let fresh = self.next(now);
        if now - slot > GRACE_MS || catching == Catching::Never {
            return Plan::Missed { slot, next: fresh };
        }
        Plan::Run { slot, next: fresh }
    }

    /// The first slot after now that was not handed out.
    fn after_used(&self, used: Option<i64>, now: i64) -> Option<i64> {
        let from = used.filter(|used| *used <= now + WRONG_MS).map_or(now, |used| used.max(now));
        self.next(from)
    }

    /// The last slot up to now, from one that has passed.
    fn latest(&self, mut slot: i64, now: i64) -> i64 {
        match self {
            Schedule::Every { every_ms, .. } => slot + (now - slot).div_euclid((*every_ms).max(1)) * (*every_ms).max(1),
            _ => {
                // Only those within the grace matter, and of those only the last.
                if slot < now - GRACE_MS {
                    let Some(recent) = self.next(now - GRACE_MS - 1).filter(|recent| *recent <= now) else {
                        return slot;
                    };
                    slot = recent;
                }
                while let Some(later) = self.next(slot).filter(|later| *later <= now) {
                    slot = later;
                }
                slot
            }
        }
    }

    /// The next slot is not before this moment: a job that keeps failing is tried less and less often.
    pub fn not_before(&self, next: Option<i64>, moment: i64) -> Option<i64> {
        match next {
            Some(next) if next < moment && !self.is_once() => self.next(moment - 1),
            next => next,
        }
    }
}

/// `2027-02-01T16:00:00Z`, with another offset, or without one (UTC).
pub fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok().map(|at| at.as_millisecond())
}

/// A zone by its name; None names the host's.
pub fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        None => Ok(TimeZone::system()),
        Some(name) if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("z") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!(
                "time zone \"{}\" is not known on this host (is its time zone database installed?)",
                crate::wire::frame::cut(name, 64)
            )
        }),
    }
}

/// A share of the stagger window that follows from the job's id: the same after every start.
pub fn stagger(id: &str, window_ms: u64) -> i64 {
    if window_ms == 0 {
        return 0;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let head = digest.as_ref().iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    i64::try_from(head % window_ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn at(text: &str) -> i64 {
        moment(text).expect("a time")
    }

    fn cron(expr: &str) -> Schedule {
        Schedule::Cron { expr: Box::new(Expr::parse(expr).expect("parses")), zone: TimeZone::UTC, stagger_ms: 0 }
    }

    fn every(minutes: i64, anchor: &str) -> Schedule {
        Schedule::Every { every_ms: minutes * MINUTE, anchor_ms: at(anchor) }
    }

    fn slots(next: &str, used: Option<&str>) -> Slots {
        Slots { next: Some(at(next)), used: used.map(at) }
    }

    #[test]
    fn an_interval_keeps_its_grid_over_restarts() {
        let hourly = every(60, "2026-11-22T09:30:00Z");
        assert_eq!(hourly.next(at("2026-11-22T09:30:00Z")), Some(at("2026-11-22T10:30:00Z")));
        assert_eq!(hourly.next(at("2026-11-22T09:29:59Z")), Some(at("2026-11-22T09:30:00Z")), "its anchor is a slot");
        let plan = hourly.plan(
            slots("2026-11-22T10:30:00Z", Some("2026-11-22T09:30:00Z")),
            at("2026-11-22T09:50:00Z"),
            Catching::Once,
        );
        assert_eq!(plan, Plan::Wait(Some(at("2026-11-22T10:30:00Z"))), "a restart does not start the hour again");
    }

    #[test]
    fn a_slot_a_little_late_runs_once_for_all_that_were_missed() {
        let minutely = cron("* * * * *");
        let now = at("2026-11-22T10:04:30Z");
        let plan = minutely.plan(slots("2026-11-22T10:01:00Z", None), now, Catching::Once);
        assert_eq!(plan, Plan::Run { slot: at("2026-11-22T10:04:00Z"), next: Some(at("2026-11-22T10:05:00Z")) });
        let plan = minutely.plan(slots("2026-11-22T10:01:00Z", None), now, Catching::Never);
        assert!(matches!(plan, Plan::Missed { .. }));
    }

    #[test]
    fn a_slot_that_is_too_old_is_passed_over() {
        let daily = cron("0 9 * * *");
        let due = slots("2026-11-22T09:00:00Z", Some("2026-11-21T09:00:00Z"));
        let run = Plan::Run { slot: at("2026-11-22T09:00:00Z"), next: Some(at("2026-11-23T09:00:00Z")) };
        assert_eq!(daily.plan(due, at("2026-11-22T09:05:00Z"), Catching::Once), run);
        assert_eq!(
            daily.plan(due, at("2026-11-22T09:05:01Z"), Catching::Once),
            Plan::Missed { slot: at("2026-11-22T09:00:00Z"), next: Some(at("2026-11-23T09:00:00Z")) }
        );
    }

    #[test]
    fn after_a_week_of_sleep_only_the_last_slot_counts() {
        let half_hourly = every(30, "2026-11-01T00:00:00Z");
        let due = slots("2026-11-10T00:30:00Z", Some("2026-11-10T00:00:00Z"));
        assert_eq!(
            half_hourly.plan(due, at("2026-11-17T08:31:00Z"), Catching::Once),
            Plan::Run { slot: at("2026-11-17T08:30:00Z"), next: Some(at("2026-11-17T09:00:00Z")) }
        );
        assert_eq!(
            half_hourly.plan(due, at("2026-11-17T08:40:00Z"), Catching::Once),
            Plan::Missed { slot: at("2026-11-17T08:30:00Z"), next: Some(at("2026-11-17T09:00:00Z")) }
        );
        let secondly = cron("* * * * * *");
        let plan = secondly.plan(slots("1990-01-01T00:00:00Z", None), at("2026-11-17T08:31:00Z"), Catching::Once);
        assert!(matches!(plan, Plan::Run { slot, .. } if slot == at("2026-11-17T08:31:00Z")), "and is found quickly");
    }

    #[test]
    fn a_clock_that_starts_in_1970_runs_nothing_until_it_is_set() {
        let daily = cron("0 9 * * *");
        let due = slots("2026-11-22T09:00:00Z", Some("2026-11-21T09:00:00Z"));
        let boot = 95_000;
        assert_eq!(daily.plan(due, boot, Catching::Once), Plan::Wait(due.next));
        assert_eq!(every(30, "2026-11-01T00:00:00Z").plan(Slots::default(), boot, Catching::Once), Plan::Wait(None));
        // The network has told it the time.
        assert_eq!(daily.plan(due, at("2026-11-22T08:59:00Z"), Catching::Once), Plan::Wait(due.next));
        assert!(matches!(daily.plan(due, at("2026-11-22T09:01:00Z"), Catching::Once), Plan::Run { .. }));
        // A job made while it was 1970 has a slot in 1970: no storm, no backlog.
        let born_early = slots("1970-01-01T09:00:00Z", None);
        assert_eq!(
            daily.plan(born_early, at("2026-11-22T12:00:00Z"), Catching::Once),
            Plan::Missed { slot: at("1970-01-01T09:00:00Z"), next: Some(at("2026-11-23T09:00:00Z")) }
        );
        assert_eq!(
            Schedule::At(at("2026-11-22T10:00:00Z")).plan(Slots::default(), boot, Catching::Once),
            Plan::Wait(None)
        );
    }

    #[test]
    fn a_clock_put_back_a_little_repeats_nothing() {
        let daily = cron("0 9 * * *");
        let ran = slots("2026-11-23T09:00:00Z", Some("2026-11-22T09:00:00Z"));
        for now in ["2026-11-22T08:30:00Z", "2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z"] {
            assert_eq!(daily.plan(ran, at(now), Catching::Once), Plan::Wait(ran.next), "{now}");
        }
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_does_not_silence_a_job_for_a_year() {
        let daily = cron("0 9 * * *");
        let ran = slots("2027-11-23T09:00:00Z", Some("2027-11-22T09:00:00Z"));
        let now = at("2026-11-22T10:00:00Z");
        assert_eq!(daily.plan(ran, now, Catching::Once), Plan::Wait(Some(at("2026-11-23T09:00:00Z"))));
    }

    #[test]
    fn a_reminder_is_given_once_however_late() {
        let reminder = Schedule::At(at("2026-11-22T10:00:00Z"));
        let never = Slots { next: Some(at("2026-11-22T10:00:00Z")), used: None };
        assert_eq!(reminder.plan(never, at("2026-11-22T09:00:00Z"), Catching::Once), Plan::Wait(never.next));
        assert_eq!(
            reminder.plan(never, at("2026-12-24T09:00:00Z"), Catching::Never),
            Plan::Run { slot: at("2026-11-22T10:00:00Z"), next: None }
        );
        let given = Slots { next: None, used: never.next };
        assert_eq!(reminder.plan(given, at("2026-12-24T09:00:00Z"), Catching::Once), Plan::Wait(None));
    }

    #[test]
    fn any_walk_of_the_clock_hands_out_each_slot_once() {
        // A clock that is set forth and back by seconds to hours, with restarts in between.
        let (schedule, mut slots) = (every(10, "2026-11-01T00:00:00Z"), Slots::default());
        let (mut now, mut seed, mut last) = (at("2026-11-02T00:00:00Z"), 7u64, i64::MIN);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let step = (seed >> 33) as i64 % (3 * HOUR);
            now += if seed >> 62 == 3 { -step / 4 } else { step / 8 };
            match schedule.plan(slots, now, Catching::Once) {
                Plan::Wait(next) => slots.next = next,
                Plan::Missed { next, .. } => slots.next = next,
                Plan::Run { slot, next } => {
                    assert!(slot > last, "a slot twice");
                    assert!(next.is_none_or(|next| next > now));
                    last = slot;
                    slots = Slots { next, used: Some(slot) };
                }
            }
        }
    }

    #[test]
    fn failures_push_the_next_slot_away() {
        let minutely = cron("* * * * *");
        let next = minutely.not_before(Some(at("2026-11-22T10:01:00Z")), at("2026-11-22T10:05:00Z"));
        assert_eq!(next, Some(at("2026-11-22T10:05:00Z")));
        let far = Some(at("2026-11-23T10:01:00Z"));
        assert_eq!(minutely.not_before(far, at("2026-11-22T10:05:00Z")), far);
    }

    #[test]
    fn staggering_keeps_a_job_at_the_same_place() {
        let share = stagger("job", 300_000);
        assert!((0..300_000).contains(&share) && share == stagger("job", 300_000));
        assert_eq!(stagger("job", 0), 0);
        let Schedule::Cron { expr, zone, .. } = cron("0 * * * *") else { unreachable!("it is one") };
        let moved = Schedule::Cron { expr, zone, stagger_ms: 7_000 };
        assert_eq!(moved.next(at("2026-11-22T10:00:05Z")), Some(at("2026-11-22T10:00:07Z")));
        assert_eq!(moved.next(at("2026-11-22T10:00:07Z")), Some(at("2026-11-22T11:00:07Z")));
    }

    #[test]
    fn moments_are_read_with_and_without_an_offset() {
        assert_eq!(moment("2027-02-01T16:00:00"), moment("2027-02-01T17:00:00+01:00"));
        assert_eq!(moment("2027-02-01"), moment("2027-02-01T00:00:00Z"));
        assert_eq!(moment("tomorrow"), None);
        assert!(zone(Some("Mars/Olympus")).is_err() && zone(Some("utc")).is_ok());
    }
}

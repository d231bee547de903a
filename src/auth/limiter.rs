//! Guesses are slow: who fails too often must wait.
//!
//! Remote addresses: 10 failures within 60 s lock the address out for 300 s, even with the right secret. Loopback is
//! never locked out (a shared host would lock its owner out), but each failure in a row waits longer, 250 ms to 5 s.
//! A page in a browser is remote whatever its address. Counters of one class never reset another's (T15).
//!
//! Owner: shared by all connection threads behind one short lock; memory is capped at [`ROWS`] addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Failures an address may have within [`WINDOW`].
const LIMIT: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
const LOCKOUT: Duration = Duration::from_secs(300);
/// Loopback waits: doubled per failure in a row.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LAST_DELAY: Duration = Duration::from_secs(5);
/// Addresses remembered, about 100 bytes each: spoofing a million leaves 400 KB.
const ROWS: usize = 4096;

/// What to do with an attempt before looking at its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Try,
    /// Locked out for so long.
    Locked(Duration),
}

/// Failures by address.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Row>>);

#[derive(Debug, Clone, Copy)]
struct Row {
    failures: u32,
    since: Instant,
    locked_until: Option<Instant>,
}

impl Attempts {
    /// `exempt`: a direct loopback client that is no browser page.
    pub fn may_try(&self, ip: IpAddr, exempt: bool, now: Instant) -> Verdict {
        if exempt {
            return Verdict::Try;
        }
        match self.rows().get(&ip).and_then(|row| row.locked_until) {
            Some(until) if until > now => Verdict::Locked(until - now),
            _ => Verdict::Try,
        }
    }

    /// Notes a failure; the answer is how long to hold it back.
    pub fn failed(&self, ip: IpAddr, exempt: bool, now: Instant) -> Duration {
        let mut rows = self.rows();
        if rows.len() >= ROWS && !rows.contains_key(&ip) {
            rows.retain(|_, row| row.locked_until.is_some_and(|until| until > now) || now - row.since < WINDOW);
            if rows.len() >= ROWS
                && let Some(oldest) = rows.iter().min_by_key(|(_, row)| row.since).map(|(ip, _)| *ip)
            {
                rows.remove(&oldest);
            }
        }
        let row = rows.entry(ip).or_insert(Row { failures: 0, since: now, locked_until: None });
        let expired = row.locked_until.is_some_and(|until| until <= now);
        if expired || (row.locked_until.is_none() && now - row.since >= WINDOW) {
            *row = Row { failures: 0, since: now, locked_until: None };
        }
        row.failures += 1;
        if exempt {
            let doublings = (row.failures - 1).min(8);
            return (FIRST_DELAY * 2u32.pow(doublings)).min(LAST_DELAY);
        }
        if row.failures >= LIMIT {
            row.locked_until = Some(now + LOCKOUT);
        }
        Duration::ZERO
    }

    /// A success forgets the failures of that address, but not a lockout.
    pub fn succeeded(&self, ip: IpAddr) {
        let mut rows = self.rows();
        if rows.get(&ip).is_some_and(|row| row.locked_until.is_none()) {
            rows.remove(&ip);
        }
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Row>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 8, 7));

    #[test]
    fn ten_failures_in_a_minute_lock_for_five() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(attempts.may_try(REMOTE, false, now), Verdict::Try);
            attempts.failed(REMOTE, false, now);
        }
        assert_eq!(attempts.may_try(REMOTE, false, now), Verdict::Locked(LOCKOUT));
        attempts.succeeded(REMOTE);
        assert_eq!(
            attempts.may_try(REMOTE, false, now + Duration::from_secs(299)),
            Verdict::Locked(Duration::from_secs(1))
        );
        assert_eq!(attempts.may_try(REMOTE, false, now + LOCKOUT), Verdict::Try);
    }

    #[test]
    fn slow_failures_are_forgotten() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..30 {
            attempts.failed(REMOTE, false, now + Duration::from_secs(7 * i));
            assert_eq!(attempts.may_try(REMOTE, false, now + Duration::from_secs(7 * i)), Verdict::Try);
        }
    }

    #[test]
    fn loopback_is_delayed_but_never_locked() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let own = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let delays: Vec<u128> = (0..7).map(|_| attempts.failed(own, true, now).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(attempts.may_try(own, true, now), Verdict::Try);
    }

    #[test]
    fn spoofed_addresses_do_not_fill_memory() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for i in 0..(ROWS as u32 * 2) {
            attempts.failed(IpAddr::V4(std::net::Ipv4Addr::from_bits(i)), false, now);
        }
        assert!(attempts.rows().len() <= ROWS);
    }
}

//! Wrong hook tokens are counted: 20 within a minute, and the address waits for the minute to end.
//!
//! Loopback is not exempt: senders are programs, and relays on this host speak for strangers. The counter is apart from
//! that of the gateway's own secret.
//!
//! Owner: shared by all connection threads behind one short lock; memory is capped at [`ROWS`] addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LIMIT: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered.
const ROWS: usize = 2048;

/// Failures by address.
#[derive(Default)]
pub struct Guard(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Guard {
    /// Notes a failure; over the limit the answer is how long to wait.
    pub fn failed(&self, ip: IpAddr, now: Instant) -> Option<Duration> {
        let mut rows = self.rows();
        if rows.len() >= ROWS && !rows.contains_key(&ip) {
            rows.retain(|_, (_, since)| now.saturating_duration_since(*since) < WINDOW);
            if rows.len() >= ROWS {
                // Too many guessers at once to tell them apart.
                return Some(WINDOW);
            }
        }
        let (failures, since) = rows.entry(ip).or_insert((0, now));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*failures, *since) = (0, now);
        }
        *failures += 1;
        (*failures > LIMIT).then(|| WINDOW.saturating_sub(now.saturating_duration_since(*since)))
    }

    pub fn succeeded(&self, ip: IpAddr) {
        self.rows().remove(&ip);
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<IpAddr, (u32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_first_wrong_token_of_a_minute_waits() {
        let (guard, now) = (Guard::default(), Instant::now());
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert!((0..20).all(|_| guard.failed(ip, now).is_none()));
        assert_eq!(guard.failed(ip, now + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(guard.failed(ip, now + WINDOW), None, "a new minute");
        guard.failed(ip, now + WINDOW);
        guard.succeeded(ip);
        assert!(guard.rows().is_empty());
    }

    #[test]
    fn spoofed_addresses_do_not_fill_memory() {
        let (guard, now) = (Guard::default(), Instant::now());
        for number in 0..(ROWS as u32 + 9) {
            guard.failed(IpAddr::V4(std::net::Ipv4Addr::from_bits(number)), now);
        }
        assert!(guard.rows().len() <= ROWS);
    }
}

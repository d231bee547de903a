//! Guesses are slow: who fails too often must wait.
//!
//! Remote addresses: so many failures within a window lock the address out for a while, even with the right secret.
//! Loopback is never locked out unless the configuration says so (a shared host would lock its owner out), but each
//! failure in a row waits longer, 250 ms to 5 s. A page in a browser is remote whatever its address. Each class of
//! credential is counted by itself: a success of one never resets another's counter (T15).
//!
//! A network of IPv6 counts as one address: whoever has one has 2^64 of them. When there are too many, those that failed
//! longest ago are forgotten first, and locked ones last, so that nobody guesses more by borrowing addresses.
//!
//! Owner: shared by all connection threads behind one short lock; memory is capped at [`ROWS`] addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::config::gateway::RateLimitConfig;
use crate::sys::order;
use crate::wire::connect::ConnectAuth;

/// Loopback waits: doubled per failure in a row.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LAST_DELAY: Duration = Duration::from_secs(5);
/// Addresses remembered per class, about 100 bytes each: spoofing a million leaves 400 KB.
const ROWS: usize = 4096;

/// What was guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The gateway's token or password.
    Shared,
    Device,
    Bootstrap,
}

impl Class {
    /// The classes a client tries its luck with. An empty credential is no guess.
    pub fn offered(auth: Option<&ConnectAuth>) -> Vec<Class> {
        let Some(auth) = auth else { return Vec::new() };
        let given = |field: &Option<String>| field.as_deref().is_some_and(|value| !value.is_empty());
        [
            (given(&auth.token) || given(&auth.password), Class::Shared),
            (given(&auth.device_token), Class::Device),
            (given(&auth.bootstrap_token), Class::Bootstrap),
        ]
        .into_iter()
        .filter_map(|(given, class)| given.then_some(class))
        .collect()
    }
}

/// How many guesses an address has (`gateway.auth.rateLimit`).
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Failures within `window` that lock out.
    pub limit: u32,
    pub window: Duration,
    pub lockout: Duration,
    pub exempt_loopback: bool,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates::from(&RateLimitConfig::default())
    }
}

impl From<&RateLimitConfig> for Rates {
    fn from(config: &RateLimitConfig) -> Rates {
        Rates {
            limit: config.max_attempts.max(1),
            window: Duration::from_millis(config.window_ms),
            lockout: Duration::from_millis(config.lockout_ms),
            exempt_loopback: config.exempt_loopback,
        }
    }
}

/// What to do with an attempt before looking at its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Try,
    /// Locked out for so long.
    Locked(Duration),
}

/// Failures by address and class.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<(IpAddr, Class), Row>>);

#[derive(Debug, Clone, Copy)]
struct Row {
    failures: u32,
    since: Instant,
    locked_until: Option<Instant>,
}

impl Row {
    fn locked(&self, now: Instant) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }
}

/// What failures are counted by: an address, or the network of an IPv6 one.
fn counted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip => ip,
    }
}

/// Makes room for a quarter more, so that a flood does not look at all rows each time.
fn forget_some(rows: &mut HashMap<(IpAddr, Class), Row>, now: Instant) {
    let mut known: Vec<(bool, Instant, (IpAddr, Class))> =
        rows.iter().map(|(key, row)| (row.locked(now), row.since, *key)).collect();
    order::by(&mut known, |a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    for (_, _, key) in known.iter().take(ROWS / 4) {
        rows.remove(key);
    }
}

impl Attempts {
    /// `direct`: a loopback client that is no browser page.
    pub fn may_try(&self, ip: IpAddr, class: Class, direct: bool, rates: &Rates, now: Instant) -> Verdict {
        if direct && rates.exempt_loopback {
            return Verdict::Try;
        }
        match self.rows().get(&(counted(ip), class)).and_then(|row| row.locked_until) {
            Some(until) if until > now => Verdict::Locked(until - now),
            _ => Verdict::Try,
        }
    }

    /// Notes a failure; the answer is how long to hold it back.
    pub fn failed(&self, ip: IpAddr, class: Class, direct: bool, rates: &Rates, now: Instant) -> Duration {
        let (mut rows, key) = (self.rows(), (counted(ip), class));
        if rows.len() >= ROWS && !rows.contains_key(&key) {
            rows.retain(|_, row| row.locked(now) || now - row.since < rates.window);
            if rows.len() >= ROWS {
                forget_some(&mut rows, now);
            }
        }
        let row = rows.entry(key).or_insert(Row { failures: 0, since: now, locked_until: None });
        let expired = row.locked_until.is_some_and(|until| until <= now);
        if expired || (row.locked_until.is_none() && now - row.since >= rates.window) {
            *row = Row { failures: 0, since: now, locked_until: None };
        }
        row.failures += 1;
        if direct && rates.exempt_loopback {
            let doublings = (row.failures - 1).min(8);
            return (FIRST_DELAY * 2u32.pow(doublings)).min(LAST_DELAY);
        }
        if row.failures >= rates.limit {
            row.locked_until = Some(now + rates.lockout);
        }
        Duration::ZERO
    }

    /// A success forgets the failures of that address with that class, but not a lockout.
    pub fn succeeded(&self, ip: IpAddr, class: Class) {
        let mut rows = self.rows();
        let key = (counted(ip), class);
        if rows.get(&key).is_some_and(|row| row.locked_until.is_none()) {
            rows.remove(&key);
        }
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, HashMap<(IpAddr, Class), Row>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 8, 7));

    fn rates() -> Rates {
        Rates::default()
    }

    #[test]
    fn t14_ten_failures_in_a_minute_lock_for_five() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        let ask = |at| attempts.may_try(REMOTE, Class::Shared, false, &rates, at);
        for _ in 0..10 {
            assert_eq!(ask(now), Verdict::Try);
            attempts.failed(REMOTE, Class::Shared, false, &rates, now);
        }
        assert_eq!(ask(now), Verdict::Locked(rates.lockout));
        attempts.succeeded(REMOTE, Class::Shared);
        assert_eq!(ask(now + Duration::from_secs(299)), Verdict::Locked(Duration::from_secs(1)));
        assert_eq!(ask(now + rates.lockout), Verdict::Try);
    }

    #[test]
    fn t15_success_of_one_class_leaves_the_others_counted() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        for _ in 0..9 {
            attempts.failed(REMOTE, Class::Shared, false, &rates, now);
        }
        attempts.succeeded(REMOTE, Class::Device);
        attempts.failed(REMOTE, Class::Shared, false, &rates, now);
        assert!(matches!(attempts.may_try(REMOTE, Class::Shared, false, &rates, now), Verdict::Locked(_)));
        assert_eq!(attempts.may_try(REMOTE, Class::Device, false, &rates, now), Verdict::Try);
    }

    #[test]
    fn slow_failures_are_forgotten() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        for i in 0..30 {
            let at = now + Duration::from_secs(7 * i);
            attempts.failed(REMOTE, Class::Shared, false, &rates, at);
            assert_eq!(attempts.may_try(REMOTE, Class::Shared, false, &rates, at), Verdict::Try);
        }
    }

    #[test]
    fn loopback_is_delayed_and_locked_only_when_it_is_not_exempt() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        let own = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let failed = |rates: &Rates| attempts.failed(own, Class::Shared, true, rates, now).as_millis();
        let delays: Vec<u128> = (0..7).map(|_| failed(&rates)).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(attempts.may_try(own, Class::Shared, true, &rates, now), Verdict::Try);
        let strict = Rates { exempt_loopback: false, limit: 8, ..rates };
        failed(&strict);
        assert!(matches!(attempts.may_try(own, Class::Shared, true, &strict, now), Verdict::Locked(_)));
    }

    #[test]
    fn t14_a_million_spoofed_addresses_fill_no_memory_and_free_nobody() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        for _ in 0..rates.limit {
            attempts.failed(REMOTE, Class::Shared, false, &rates, now);
        }
        for i in 0..1_000_000 {
            let at = now + Duration::from_micros(u64::from(i));
            attempts.failed(IpAddr::V4(std::net::Ipv4Addr::from_bits(i)), Class::Shared, false, &rates, at);
            if i % 1000 == 0 {
                assert!(attempts.rows().len() <= ROWS);
            }
        }
        let rows = attempts.rows();
        let bytes = rows.capacity() * (size_of::<((IpAddr, Class), Row)>() + 1);
        assert!(rows.len() <= ROWS && bytes <= 1 << 20, "{bytes} bytes");
        drop(rows);
        let verdict = attempts.may_try(REMOTE, Class::Shared, false, &rates, now + Duration::from_secs(2));
        assert!(matches!(verdict, Verdict::Locked(_)), "who is locked out stays so");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_itself() {
        let (attempts, now, rates) = (Attempts::default(), Instant::now(), rates());
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        for last in 0..rates.limit {
            attempts.failed(ip(&format!("2001:db8:1:2::{last:x}")), Class::Shared, false, &rates, now);
        }
        let locked = |text| matches!(attempts.may_try(ip(text), Class::Shared, false, &rates, now), Verdict::Locked(_));
        assert!(locked("2001:db8:1:2:ffff::1") && !locked("2001:db8:1:3::1"));
        for _ in 0..rates.limit {
            attempts.failed(ip("::ffff:10.9.8.7"), Class::Shared, false, &rates, now);
        }
        assert!(locked("10.9.8.7") && !locked("10.9.8.6"));
    }
}

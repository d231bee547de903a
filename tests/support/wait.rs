//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once. Generous: two busy cores run the whole suite.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Between two looks at a condition that cannot announce itself (a port, a file, a process table).
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// Looks until `look` finds something; panics with `what` when `LIMIT` has passed.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, look).unwrap_or_else(|| panic!("waited {LIMIT:?} in vain until {what}"))
}

/// Looks until `look` finds something or the limit has passed.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

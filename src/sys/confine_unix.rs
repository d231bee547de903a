//! `setrlimit`, and on Linux the parent's death signal and the kernel's choice of whom to kill.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) fn confine(memory_bytes: u64, time: Duration) -> io::Result<()> {
    let at_most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Cpu, at_most(time.as_secs().max(1)))?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Data, at_most(memory_bytes))?;
    of_linux()
}

#[cfg(target_os = "linux")]
fn of_linux() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // A kernel without /proc still has the limits above.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn of_linux() -> io::Result<()> {
    Ok(())
}

pub(super) fn descriptors(wanted: usize) -> usize {
    let now = getrlimit(Resource::Nofile);
    let count = |limit: Option<u64>| limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if count(now.current) >= wanted {
        return count(now.current);
    }
    let raised = wanted.min(count(now.maximum));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised as u64), maximum: now.maximum }) {
        Ok(()) => raised,
        Err(_) => count(now.current),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_raised_as_far_as_the_host_allows_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        let now = usize::try_from(before.current.expect("a test has a limit")).expect("a count");
        assert_eq!(descriptors(1), now);
        let hard = before.maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let got = descriptors(now + 1);
        assert_eq!(got, hard.min(now + 1));
        assert_eq!(getrlimit(Resource::Nofile).current, Some(got as u64));
    }
}

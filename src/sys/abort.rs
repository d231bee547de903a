//! One wish, sent to everything that works on the same thing: stop now.
//!
//! A run holds one [`Abort`]; whoever blocks on its behalf (an upstream call, a child process) registers how it is
//! woken. Firing is quick and never blocks: hooks shut a socket down or signal a process, nothing more.
//!
//! Invariants: a hook runs at most once; a hook registered after the firing runs at once, on the registering thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, bounded};

type Hook = Box<dyn FnOnce() + Send>;

/// A cloneable handle to one wish to stop. Clones share the wish.
#[derive(Clone, Default)]
pub struct Abort(Arc<Shared>);

#[derive(Default)]
struct Shared {
    fired: AtomicBool,
    next: AtomicU64,
    hooks: Mutex<Vec<(u64, Hook)>>,
}

/// A registered hook; dropping it takes the hook back.
#[must_use = "dropping the guard takes the hook back at once"]
pub struct HookGuard {
    abort: Abort,
    id: u64,
}

impl Abort {
    pub fn new() -> Abort {
        Abort::default()
    }

    /// Asks everything that listens to stop. Later calls do nothing.
    pub fn fire(&self) {
        let hooks = {
            let mut hooks = self.hooks();
            if self.0.fired.swap(true, Ordering::SeqCst) {
                return;
            }
            std::mem::take(&mut *hooks)
        };
        for (_, hook) in hooks {
            hook();
        }
    }

    pub fn fired(&self) -> bool {
        self.0.fired.load(Ordering::SeqCst)
    }

    /// Registers how to wake a blocked thread. Runs `hook` at once when the wish was already sent.
    pub fn on_fire(&self, hook: impl FnOnce() + Send + 'static) -> HookGuard {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut hooks = self.hooks();
        if self.fired() {
            drop(hooks);
            hook();
        } else {
            hooks.push((id, Box::new(hook)));
        }
        HookGuard { abort: self.clone(), id }
    }

    /// A channel on which firing is heard, for a thread that waits for several things; as long as the guard lives.
    pub fn heard(&self) -> (Receiver<()>, HookGuard) {
        let (stop, stopped) = bounded(1);
        let guard = self.on_fire(move || {
            // It holds one already.
            let _ = stop.try_send(());
        });
        (stopped, guard)
    }

    /// A poisoned lock only means that some hook panicked; the list itself is whole.
    fn hooks(&self) -> MutexGuard<'_, Vec<(u64, Hook)>> {
        self.0.hooks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        self.abort.hooks().retain(|(id, _)| *id != self.id);
    }
}

impl std::fmt::Debug for Abort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Abort").field("fired", &self.fired()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_runs_once_and_a_late_one_at_once() {
        let count = Arc::new(AtomicU64::new(0));
        let abort = Abort::new();
        let seen = count.clone();
        let _guard = abort.on_fire(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        abort.fire();
        abort.fire();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let seen = count.clone();
        let _late = abort.on_fire(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_dropped_guard_takes_its_hook_back() {
        let abort = Abort::new();
        drop(abort.on_fire(|| panic!("was taken back")));
        abort.fire();
        assert!(abort.fired());
    }
}

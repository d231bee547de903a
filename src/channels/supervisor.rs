//! One account at work: a thread that listens, started anew when it fails, and one that delivers.
//!
//! Nothing here knows a messenger. What a channel reports goes to the state thread as [`ChannelEvent`]s; what the state
//! thread wants goes into small channels and never waits. A listener that ends by itself comes back after 1 s, then 2 s,
//! up to 60 s, each with some chance in it; one that worked for a minute starts over at 1 s. A terminal error ends the
//! attempts: somebody has to do something.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::account::Account;
use super::delivery;
use super::inbound::Inbound;
use super::message::{ChannelError, Target};
use super::{Channel, ChannelEvent, Host};
use crate::sys::{clock, random};

/// The first wait after a failure, and the longest.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// A listener that lasted so long had a working connection.
const LASTED: Duration = Duration::from_secs(60);
/// TLS, JSON and a few frames of ours.
const STACK: usize = crate::sys::stack(256 << 10);
/// An old life may take this long to end: one call to the service.
const HANDOVER: Duration = Duration::from_secs(30);
/// Previews that may wait; they are worth nothing later, so a full queue drops them.
const PREVIEWS: usize = 16;

/// The wish to stop, as a channel sees it.
#[derive(Clone)]
pub struct Stop {
    fired: Arc<AtomicBool>,
    /// Says nothing; disconnects when it is time.
    gone: Receiver<()>,
}

/// A wish of one's own, for a thread a plug starts itself.
pub struct Ending {
    stop: Stop,
    alive: std::sync::Mutex<Option<Sender<()>>>,
}

impl Ending {
    /// Says that it is time; once is enough.
    pub fn fire(&self) {
        self.stop.fired.store(true, Ordering::SeqCst);
        *self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Waits at most so long. True: it is time to stop.
    pub fn wait(&self, limit: Duration) -> bool {
        self.stop.wait(limit)
    }
}

impl Stop {
    /// Not the supervisor's: fired by whoever holds it.
    pub fn own() -> Ending {
        let (alive, gone) = bounded(0);
        Ending { stop: Stop { fired: Arc::default(), gone }, alive: std::sync::Mutex::new(Some(alive)) }
    }

    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Waits at most so long. True: it is time to stop.
    pub fn wait(&self, limit: Duration) -> bool {
        self.fired() || matches!(self.gone.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }

    /// For a wait on several things: disconnects when it is time to stop.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.gone
    }
}

/// Something to show while an answer is made. Lost when there is no time for it.
pub enum Preview {
    /// We are at it.
    Typing(Target),
    /// The answer so far.
    Draft { run: String, to: Target, text: String },
}

/// An account that runs. Dropping it stops it.
pub struct Running {
    pub channel: Arc<dyn Channel>,
    pub inbound: Arc<Inbound>,
    pub life: u64,
    /// Says nothing; disconnects when both threads have ended.
    ended: Receiver<()>,
    fired: Arc<AtomicBool>,
    poke: Sender<()>,
    previews: Sender<Preview>,
    /// Dropped to wake those who wait for the end.
    alive: Option<Sender<()>>,
}

impl Running {
    /// The outbox has something new. Never waits.
    pub fn poke(&self) {
        match self.poke.try_send(()) {
            // Full: it will look anyway. Gone: it is ending.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// Disconnects when the account's threads have ended.
    pub fn ended(&self) -> Receiver<()> {
        self.ended.clone()
    }

    /// Shows something, if there is time. Never waits.
    pub fn show(&self, preview: Preview) {
        // Lost on purpose: the next one says more.
        drop(self.previews.try_send(preview));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.fired.store(true, Ordering::SeqCst);
        self.alive = None;
        self.channel.interrupt();
    }
}

/// Opens an account and gives it its threads, which wait until those of its life `before` have ended: two lives must not
/// deliver the same message. No network is touched on this thread.
pub fn start(
    host: &Host,
    account: Arc<Account>,
    life: u64,
    before: Option<Receiver<()>>,
) -> Result<Running, ChannelError> {
    if let Some(why) = &account.unresolved {
        let next = "mend the reference or its provider, then openclaw secrets reload".to_owned();
        return Err(ChannelError::Terminal(why.clone(), next));
    }
    let channel: Arc<dyn Channel> = (account.spec.open)(&account)?.into();
    let (alive, gone) = bounded(0);
    let fired = Arc::new(AtomicBool::new(false));
    let (poke, poked) = bounded(1);
    let (previews, shown) = bounded(PREVIEWS);
    let inbound = Arc::new(Inbound {
        account,
        host: host.clone(),
        life,
        loops: Default::default(),
        overheard: Default::default(),
    });
    let (working, ended) = bounded(0);
    let running = Running {
        channel: channel.clone(),
        inbound: inbound.clone(),
        life,
        ended,
        fired: fired.clone(),
        poke,
        previews,
        alive: Some(alive),
    };
    let stop = Stop { fired, gone };
    let name = format!("ch {}", inbound.account.key);
    let (own, own_stop, own_channel) = (inbound.clone(), stop.clone(), channel.clone());
    let outbox = delivery::Outbox { channel, inbound, stop, poked, shown };
    let threads: [(String, Box<dyn FnOnce() + Send>); 2] = [
        (format!("{name} out"), Box::new(move || outbox.run())),
        (name, Box::new(move || listen(&*own_channel, &own, &own_stop))),
    ];
    for (name, body) in threads {
        let (working, before): (Sender<()>, _) = (working.clone(), before.clone());
        let spawned = std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            if let Some(before) = before {
                // Over the limit something is stuck in there; the new life must not be lost with it.
                let _ = before.recv_timeout(HANDOVER);
            }
            body();
            drop(working);
        });
        spawned.map_err(|error| ChannelError::Unreached(format!("start a thread: {error}")))?;
    }
    Ok(running)
}

fn listen(channel: &dyn Channel, inbound: &Inbound, stop: &Stop) {
    let key = &inbound.account.key;
    let mut wait = BACKOFF_FIRST;
    let mut attempts = 0;
    while !stop.fired() {
        inbound.report(ChannelEvent::Started);
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| channel.listen(inbound, stop)))
            .unwrap_or_else(|_| Err(ChannelError::Lost("the channel failed inside the gateway; see the log".into())));
        if stop.fired() {
            break;
        }
        let error = result.err().unwrap_or_else(|| ChannelError::Lost("the connection ended".into()));
        if began.elapsed() >= LASTED {
            (wait, attempts) = (BACKOFF_FIRST, 0);
        }
        if let ChannelError::Terminal(what, remedy) = &error {
            log::error!("{key}: {what}; {remedy}");
            inbound.report(ChannelEvent::Ended { error: error.to_string() });
            return;
        }
        attempts += 1;
        let pause = match &error {
            ChannelError::Later(_, asked) => (*asked).clamp(BACKOFF_FIRST, Duration::from_secs(600)),
            _ => jittered(wait),
        };
        log::warn!("{key}: {error}; again in {:.1} s", pause.as_secs_f64());
        let retry_at_ms = clock::now_ms() + u64::try_from(pause.as_millis()).unwrap_or(0);
        inbound.report(ChannelEvent::Down { error: error.to_string(), attempts, retry_at_ms });
        wait = (wait * 2).min(BACKOFF_LAST);
        if stop.wait(pause) {
            break;
        }
    }
    inbound.report(ChannelEvent::Stopped);
}

/// Between three and five quarters of a wait: accounts that fell together do not come back together.
pub fn jittered(wait: Duration) -> Duration {
    wait * (192 + u32::from(random::bytes::<1>()[0]) / 2) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_spread_and_stays_near_itself() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(8)).as_secs_f64();
            assert!((6.0..=10.0).contains(&wait), "{wait}");
        }
    }
}

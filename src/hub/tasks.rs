//! The pool: up to [`WORKERS`] threads for handlers that may block. Threads start when there is work for them and end
//! when there was none for a while, so an idle gateway has none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::Hub;
use super::event::Job;
use super::ticket::Ticket;
use crate::auth::Caller;
use crate::providers::registry::Registry;
use crate::store::Store;
use crate::sys::Env;
use crate::sys::paths::Paths;
use crate::wire::error::RpcError;

/// Threads at most: blocking work here is reading the database and files.
const WORKERS: usize = 4;
/// Jobs that may wait; the next one is answered "busy".
const QUEUE: usize = 256;
/// An idle worker ends after this.
const IDLE: Duration = Duration::from_secs(10);
const STACK: usize = crate::sys::stack(256 << 10);

/// What a task may use.
pub struct TaskContext {
    pub hub: Hub,
    pub store: Store,
    /// Today's log file, if logs go to a file.
    pub log_file: Box<dyn Fn() -> Option<std::path::PathBuf> + Send + Sync>,
    pub desk: ConfigDesk,
    /// The tools there are, and whether an agent may call them in a session.
    pub tools: Toolbox,
    /// The providers as they are now.
    pub providers: Box<dyn Fn() -> Arc<Registry> + Send + Sync>,
}

/// The tools of an agent in a session.
pub type Toolbox = Box<dyn Fn(&str, &str) -> Vec<ToolFacts> + Send + Sync>;

/// One tool, for people.
#[derive(Debug, Clone)]
pub struct ToolFacts {
    pub name: &'static str,
    pub label: &'static str,
    /// What the model reads.
    pub description: &'static str,
    pub group: &'static str,
    /// `low`, `medium`, `high`: it reads, writes, runs something.
    pub risk: &'static str,
    /// Profiles it is part of.
    pub profiles: Vec<&'static str>,
    pub allowed: bool,
}

/// What changing the configuration takes.
pub struct ConfigDesk {
    pub shared: Arc<super::Shared>,
    pub paths: Paths,
    /// The process's own environment.
    pub env: Env,
    /// Makes the gateway look at the file now. Answers when what it says is in force, or why it is not.
    pub reload: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// A queue of jobs and the threads that work on it. Cloning shares both.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    context: OnceLock<TaskContext>,
    jobs: Sender<Work>,
    queue: Receiver<Work>,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

struct Work {
    job: Job,
    caller: Arc<Caller>,
    ticket: Ticket,
}

impl Default for Pool {
    fn default() -> Pool {
        let (jobs, queue) = bounded(QUEUE);
        Pool(Arc::new(Shared {
            context: OnceLock::new(),
            jobs,
            queue,
            threads: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }))
    }
}

impl Pool {
    /// Gives the pool what its jobs need; jobs that come before are answered UNAVAILABLE.
    pub fn open(&self, context: TaskContext) {
        // A second call would be a mistake of ours, and the first context is as good.
        let _ = self.0.context.set(context);
    }

    /// Queues a job; answers "busy" when the queue is full.
    pub fn submit(&self, job: Job, caller: Arc<Caller>, ticket: Ticket) {
        let shared = &self.0;
        match shared.jobs.try_send(Work { job, caller, ticket }) {
            Ok(()) => {}
            Err(TrySendError::Full(work) | TrySendError::Disconnected(work)) => {
                work.ticket.answer(Err(RpcError::busy()));
                return;
            }
        }
        if shared.idle.load(Ordering::SeqCst) == 0 && shared.threads.load(Ordering::SeqCst) < WORKERS {
            self.hire();
        }
    }

    fn hire(&self) {
        let shared = self.0.clone();
        shared.threads.fetch_add(1, Ordering::SeqCst);
        let spawned = std::thread::Builder::new().name("task".into()).stack_size(STACK).spawn(move || {
            work(&shared);
        });
        if let Err(error) = spawned {
            // Nobody may be left to do the work: do not let it wait for ever.
            log::error!("start a task thread: {error}");
            if self.0.threads.fetch_sub(1, Ordering::SeqCst) == 1 {
                while let Ok(work) = self.0.queue.try_recv() {
                    work.ticket.answer(Err(RpcError::busy()));
                }
            }
        }
    }
}

fn work(shared: &Shared) {
    loop {
        shared.idle.fetch_add(1, Ordering::SeqCst);
        let next = shared.queue.recv_timeout(IDLE);
        shared.idle.fetch_sub(1, Ordering::SeqCst);
        let Ok(Work { job, caller, ticket }) = next else {
            shared.threads.fetch_sub(1, Ordering::SeqCst);
            // A job may have come between the timeout and the line above.
            if shared.queue.is_empty() {
                return;
            }
            shared.threads.fetch_add(1, Ordering::SeqCst);
            continue;
        };
        let (Job::Task(run), Some(context)) = (job, shared.context.get()) else { continue };
        match catch_unwind(AssertUnwindSafe(|| run(context, &caller))) {
            Ok(result) => ticket.answer(result),
            Err(_) => ticket.answer(Err(RpcError::unavailable("internal error: the handler failed; see the log"))),
        }
    }
}

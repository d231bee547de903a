//! Runs one command to its end: the seam between `exec` and the platform, so that tests can look at the job.
//!
//! How a command is started, bounded and ended is [`child`]'s knowledge; nothing of it is repeated here.

use crate::sys::abort::Abort;
use crate::sys::child::{self, ChildError, Outcome, Spec};

/// Runs jobs; tests replace it. `each` gets standard output and standard error as they come, on the calling thread.
pub(super) trait Runner {
    fn run(&self, job: &Spec, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Outcome, ChildError>;
}

/// This host.
pub(super) struct Host;

impl Runner for Host {
    fn run(&self, job: &Spec, abort: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Outcome, ChildError> {
        child::run(job, abort, each)
    }
}

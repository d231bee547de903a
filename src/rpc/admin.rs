//! Control methods over HTTP: a list of those that may be called so, and the way to call one of them.
//!
//! The methods are those of the table, with their scopes and write limits; only the way the answer goes back differs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use serde_json::value::RawValue;

use super::conversation::{Desk, too_many};
use super::table::{self, Need};
use super::writes::Writes;
use crate::auth::Caller;
use crate::hub::Ticket;
use crate::hub::event::{Call, Event, Job, PeerEvent};
use crate::wire::error::RpcError;
use crate::wire::frame::{Payload, cut};
use crate::wire::scope::Scope;

/// Methods that may be called; those this gateway lacks are answered like any unknown one.
pub const ALLOWED: &[&str] = &[
    "agents.create",
    "agents.delete",
    "agents.list",
    "agents.update",
    "channels.logout",
    "channels.start",
    "channels.status",
    "channels.stop",
    "config.apply",
    "config.get",
    "config.patch",
    "config.schema",
    "config.schema.lookup",
    "config.set",
    "cron.add",
    "cron.get",
    "cron.list",
    "cron.remove",
    "cron.run",
    "cron.runs",
    "cron.status",
    "cron.update",
    "device.pair.approve",
    "device.pair.list",
    "device.pair.reject",
    "device.pair.remove",
    "doctor.memory.status",
    "exec.approvals.get",
    "exec.approvals.node.get",
    "exec.approvals.node.set",
    "exec.approvals.set",
    "gateway.restart.request",
    "gateway.suspend.prepare",
    "gateway.suspend.resume",
    "gateway.suspend.status",
    "health",
    "logs.tail",
    "models.authStatus",
    "models.list",
    "node.describe",
    "node.list",
    "node.pair.approve",
    "node.pair.list",
    "node.pair.reject",
    "node.pair.remove",
    "node.rename",
    "status",
    "tasks.cancel",
    "tasks.get",
    "tasks.list",
    "update.status",
    "usage.cost",
    "usage.status",
    "web.login.start",
    "web.login.wait",
];

/// The discovery method, answered without the table.
pub const LIST: &str = "commands.list";

/// What callers over HTTP share: they have no connection to count their writes by.
#[derive(Default)]
pub struct Admin(Mutex<Writes>);

/// The allowed methods that this gateway has.
pub fn available() -> Vec<&'static str> {
    let known = ALLOWED.iter().copied().filter(|name| table::find(name).is_some());
    known.chain([LIST]).collect()
}

impl Admin {
    /// Starts a call; the answer comes through the channel. A receiver that sees it closed may take it as a failure.
    pub fn call(
        &self,
        desk: &Desk,
        caller: &Arc<Caller>,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Receiver<Result<Payload, RpcError>>, RpcError> {
        let allowed = |scope: Scope| match caller.scopes.allows(scope) {
            true => Ok(()),
            false => Err(RpcError::missing_scope(scope.name())),
        };
        let Some(method) = table::find(method) else {
            allowed(Scope::Admin)?;
            return Err(RpcError::invalid(format!("unknown method: {}", cut(method, 64))));
        };
        if let Need::Scope(scope) = method.need {
            allowed(scope)?;
        }
        if method.need == Need::Node {
            return Err(RpcError::invalid("unauthorized role: operator"));
        }
        let now = Instant::now();
        if method.write
            && let Err(wait) = self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(method.name, now)
        {
            return Err(too_many(method.name, wait));
        }
        let prepared = method.prepare(params)?;
        if let (Need::Dynamic, Some(scope)) = (method.need, prepared.need) {
            allowed(scope)?;
        }
        let (answer, answered) = bounded(1);
        let ticket = Ticket::waited_for(answer, method.name, now);
        let job = prepared.job;
        if matches!(job, Job::Task(_)) {
            desk.pool.submit(job, caller.clone(), ticket);
            return Ok(answered);
        }
        let call = Call { method: method.name, caller: caller.clone(), job, ticket };
        match desk.hub.post(Event::Peer(0, PeerEvent::Request(Box::new(call)))) {
            Ok(()) => Ok(answered),
            Err(gone) => Err(RpcError::unavailable(gone.to_string()).retryable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_what_is_offered_exists() {
        assert!(ALLOWED.is_sorted());
        assert!(available().contains(&"health") && available().contains(&LIST));
        assert!(available().iter().all(|name| *name == LIST || table::find(name).is_some()));
    }
}

//! Jobs are made, changed and removed: durable before acknowledged.

use super::job::{ALL_BYTES, JOBS_MAX, Job};
use super::{CronEvent, written};
use crate::hub::ticket::Ticket;
use crate::hub::{Now, State};
use crate::store::{cron as runs_of_jobs, kv};
use crate::wire::error::RpcError;
use crate::wire::frame::Payload;

/// Writes the answer once the job is on the disk.
pub type Answer = Box<dyn FnOnce(&State, &Job) -> Result<Payload, RpcError> + Send>;

impl State {
    /// Whether one more job, or a longer one, has room.
    pub fn cron_fits(&self, job: &Job) -> Result<(), RpcError> {
        let old = self.cron.jobs.get(job.id());
        if old.is_none() && self.cron.jobs.len() >= JOBS_MAX {
            return Err(RpcError::invalid(format!("there are {JOBS_MAX} automations already; remove one first")));
        }
        let bytes = self.cron.bytes() - old.map_or(0, |old| old.bytes) + job.bytes;
        if bytes > ALL_BYTES {
            return Err(RpcError::invalid("automations have no room left; remove one first"));
        }
        Ok(())
    }

    /// Puts a job in place, new or changed; the ticket is answered when it is on the disk.
    pub fn put_job(&mut self, job: Job, ticket: Ticket, answer: Answer, now: Now) {
        let id = job.id().to_string();
        let text = written(&job);
        let (hub, name, revision) = (self.hub.clone(), id.clone(), job.revision.clone());
        let before = self.cron.jobs.insert(id.clone(), job);
        self.store.submit_sized(
            "save an automation",
            text.len(),
            move |conn| kv::set(conn, runs_of_jobs::JOBS, &name, &text),
            move |result| {
                // The gateway is stopping: the ticket answers when it is dropped.
                let _ = hub.tell("automation saved", move |state, _| {
                    if let Err(error) = result {
                        state.undo_job(&id, &revision, before);
                        return ticket.answer(Err(crate::hub::sessions::stored(error)));
                    }
                    let Some(job) = state.cron.jobs.get(&id) else { return };
                    let shown = CronEvent {
                        job: Some(job.shown()),
                        next_run_at_ms: job.state().next_run_at_ms,
                        ..CronEvent::of(&id, if before.is_some() { "updated" } else { "added" })
                    };
                    state.tell_cron(&shown);
                    ticket.answer(answer(state, job));
                });
            },
        );
        self.arm_cron(now);
    }

    /// What could not be written did not happen, unless it has changed again since.
    fn undo_job(&mut self, id: &str, revision: &str, before: Option<Job>) {
        if self.cron.jobs.get(id).is_none_or(|job| job.revision != revision) {
            return;
        }
        match before {
            Some(before) => self.cron.jobs.insert(id.to_string(), before),
            None => self.cron.jobs.remove(id),
        };
    }

    /// Removes the jobs of an agent that is gone.
    pub fn remove_jobs_of(&mut self, agent_id: &str, now: Now) {
        let of_agent = |job: &&Job| job.spec().agent_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(agent_id));
        let ids: Vec<String> = self.cron.jobs.values().filter(of_agent).map(|job| job.id().to_string()).collect();
        for id in ids {
            self.remove_job(&id, None, now);
        }
    }

    /// Removes a job and stops its run. The history of its runs stays.
    pub fn remove_job(&mut self, id: &str, ticket: Option<(Ticket, Answer)>, now: Now) {
        let Some(job) = self.cron.jobs.remove(id) else {
            return;
        };
        self.cron.begun.remove(id);
        self.cron.waiting.retain(|waits| waits.job_id != id);
        let runs: Vec<_> =
            self.cron.active.iter().filter(|(_, run)| run.job_id == id).map(|(run_id, _)| run_id.clone()).collect();
        for run_id in runs {
            if let Some(run) = self.cron.active.get(&run_id) {
                run.abort.fire();
            }
            self.abort_run(&run_id, now);
        }
        if self.cron.active.values().all(|run| run.job_id != id) {
            self.cron.busy.remove(id);
        }
        let (hub, name) = (self.hub.clone(), id.to_string());
        self.store.submit(
            "remove an automation",
            move |conn| kv::delete(conn, runs_of_jobs::JOBS, &name),
            move |result| {
                // The gateway is stopping: the ticket answers when it is dropped.
                let _ = hub.tell("automation removed", move |state, _| {
                    if let Err(error) = result {
                        log::warn!("{error}");
                        if let Some((ticket, _)) = ticket {
                            ticket.answer(Err(crate::hub::sessions::stored(error)));
                        }
                        state.cron.jobs.get_or_insert_with(job.id().to_string(), || job);
                        return;
                    }
                    state.tell_cron(&CronEvent { job: Some(job.shown()), ..CronEvent::of(job.id(), "removed") });
                    if let Some((ticket, answer)) = ticket {
                        ticket.answer(answer(state, &job));
                    }
                });
            },
        );
    }
}

//! What automatic runs send out of this process: webhooks of jobs, through the guarded fetch.

use std::sync::Arc;
use std::time::Duration;

use crate::hub::Shared;
use crate::hub::cron::outlet::{Done, Outlet, Post, Route, Wanted};
use crate::net::fetch::{self, Fetch, Limits, Policy};
use crate::sys::abort::Abort;

/// A receiver has so long to take a result.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of its answer nothing is used but the status.
const ANSWER: u64 = 64 << 10;
/// A fetch parses heads and speaks TLS.
const STACK: usize = crate::sys::stack(512 << 10);

/// Without messengers; they have an outlet of their own.
pub struct Webhooks(pub Arc<Shared>);

impl Outlet for Webhooks {
    fn route(&self, _: &Wanted<'_>) -> Result<Route, String> {
        Err("no messenger is configured".into())
    }

    fn send(&self, _: Route, _: String, done: Done) {
        done(Err("no messenger is configured".into()));
    }

    fn post(&self, post: Post, done: Done) {
        let config = self.0.config.get();
        let rules = &config.cron.webhook_ssrf_policy;
        let policy = Policy {
            exempt: rules.allowed_hostnames.clone(),
            private: rules.dangerously_allow_private_network,
            ..Policy::default()
        };
        let spawned = std::thread::Builder::new().name("webhook".into()).stack_size(STACK).spawn(move || {
            done(send(&post, &policy));
        });
        if let Err(error) = spawned {
            // The callback went with the thread that could not be: the job is reported as interrupted after a restart.
            log::error!("start a thread for a webhook: {error}");
        }
    }
}

fn send(post: &Post, policy: &Policy) -> Result<(), String> {
    let bearer = post.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
    let mut headers = vec![("content-type", "application/json")];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer.as_str()));
    }
    let fetched = fetch::fetch(
        &Fetch {
            url: &post.url,
            body: Some(post.body.as_bytes()),
            headers: &headers,
            policy,
            limits: Limits { bytes: ANSWER, time: PATIENCE, redirects: 0 },
        },
        &Abort::new(),
    );
    match fetched {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(format!("the receiver answered {}", answer.status)),
        Err(error) => Err(error.to_string()),
    }
}

//! Where results of automatic runs go: into the messengers, through the same outbox as every answer.

use std::sync::Arc;

use serde_json::Value;

use super::outlet::Webhooks;
use crate::channels::{self, Target, inbound};
use crate::config::Config;
use crate::hub::cron::outlet::{Done, Outlet, Post, Route, Wanted};
use crate::hub::outgoing;
use crate::hub::{Hub, Shared};
use crate::store::{Store, outbox};
use crate::sys::{clock, random};

/// Messengers of this gateway.
pub struct Messengers {
    pub hub: Hub,
    pub store: Store,
    pub shared: Arc<Shared>,
}

impl Outlet for Messengers {
    fn route(&self, wanted: &Wanted<'_>) -> Result<Route, String> {
        let config = self.shared.config.get();
        let thread = wanted.thread_id.map(text);
        let named = wanted.channel.filter(|channel| !matches!(*channel, "" | "last" | "owner"));
        if wanted.to.is_none()
            && wanted.channel != Some("owner")
            && let Some(talk) = self.shared.talks.of(wanted.agent_id, named)
        {
            return Ok(Route {
                channel: talk.channel,
                to: talk.chat,
                account_id: Some(talk.account),
                thread_id: talk.thread.map(Value::from),
            });
        }
        let owner = owner(&config, named);
        let nobody = "nobody is named, nobody has written to the agent yet, and commands.ownerAllowFrom names nobody";
        let to = wanted.to.or(owner.as_deref()).ok_or(nobody)?;
        let asked = outgoing::Wanted { channel: named, account: wanted.account_id, to, thread, reply_to: None };
        let target = outgoing::target(&config, &asked).map_err(|error| error.message)?;
        Ok(Route {
            channel: target.channel,
            to: target.chat,
            account_id: Some(target.account),
            thread_id: target.thread.map(Value::from),
        })
    }

    fn send(&self, route: Route, text: String, done: Done) {
        let to = Target {
            channel: route.channel,
            account: route.account_id.unwrap_or_else(|| channels::account::DEFAULT.to_owned()),
            chat: route.to,
            thread: route.thread_id.as_ref().map(self::text),
            kind: channels::ChatKind::Direct,
            ..Target::default()
        };
        let outs = match outgoing::parts(to.clone(), Some(&text), None, false) {
            Ok(outs) => outs,
            Err(error) => return done(Err(error.message)),
        };
        let (key, now) = (format!("auto-{}", random::uuid()), i64::try_from(clock::now_ms()).unwrap_or(i64::MAX));
        let rows: Vec<_> = outs.iter().enumerate().map(|(at, out)| inbound::row(&key, at, out, now)).collect();
        let hub = self.hub.clone();
        self.store.submit(
            "put a result into the outbox",
            move |conn| {
                for row in &rows {
                    outbox::put(conn, row)?;
                }
                Ok(())
            },
            move |result| {
                done(result.map_err(|error| error.to_string()));
                // The gateway is stopping; the row goes out at the next start.
                let _ = hub.tell("result stored", move |state, _| state.messengers.poke(&to));
            },
        );
    }

    fn post(&self, post: Post, done: Done) {
        Webhooks(self.shared.clone()).post(post, done);
    }
}

/// The first owner, of one messenger or of any.
fn owner(config: &Config, channel: Option<&str>) -> Option<String> {
    let owners = channels::account::texts(Some(&Value::Array(config.commands.owner_allow_from.clone())));
    owners.into_iter().find(|entry| match channel {
        None => entry.contains(':'),
        Some(id) => channels::find(id)
            .is_some_and(|spec| entry.split_once(':').is_none_or(|(prefix, _)| spec.prefixes.contains(&prefix))),
    })
}

/// Ids may be written as numbers.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

//! Where the answer of a run goes when its caller wants it in a messenger too, and which session a recipient means.

use crate::channels::{self, Incoming, Sender, Target, route};
use crate::config::Config;
use crate::hub::State;
use crate::hub::outgoing::{Wanted, open_target};
use crate::store::sessions::SessionRow;
use crate::wire::error::RpcError;
use crate::wire::session;
use crate::wire::{frame::cut, misfit};

/// Where an answer is wanted.
pub enum Place {
    Named(Box<Target>),
    /// Where the session was spoken to last, in this messenger or in any.
    Last(Option<String>),
}

/// What a caller wrote about it; empty texts count as nothing.
#[derive(Default)]
pub struct Asked<'a> {
    pub channel: Option<&'a str>,
    pub account: Option<&'a str>,
    pub to: Option<&'a str>,
    pub thread: Option<&'a str>,
}

impl Asked<'_> {
    pub fn place(&self, config: &Config) -> Result<Place, RpcError> {
        let channel = filled(self.channel).filter(|id| *id != "last");
        match filled(self.to) {
            Some(to) => {
                let thread = filled(self.thread).map(str::to_owned);
                let wanted = Wanted { channel, account: self.account, to, thread, reply_to: None };
                open_target(config, &wanted).map(|target| Place::Named(Box::new(target)))
            }
            None => match channel {
                Some(id) if channels::find(id).is_none() => {
                    Err(RpcError::invalid(format!("unknown channel: {}", cut(id, 64))))
                }
                other => Ok(Place::Last(other.map(str::to_owned))),
            },
        }
    }
}

pub fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

impl Place {
    /// The conversation itself; `row` is the session's, as far as it is known.
    pub fn find(self, state: &State, agent_id: &str, key: &str, row: Option<&SessionRow>) -> Result<Target, RpcError> {
        let channel = match self {
            Place::Named(target) => return Ok(*target),
            Place::Last(channel) => channel,
        };
        let fits = |target: &Target| channel.as_deref().is_none_or(|id| id == target.channel);
        let own = row.and_then(|row| row.facts().route).and_then(|route| misfit::read::<Target>(&route).ok());
        let main = || session::canonical("main", agent_id, crate::hub::main_key(&state.shared.config.get())) == key;
        let known = own.filter(fits).or_else(|| {
            let talk = state.shared.talks.of(agent_id, channel.as_deref())?;
            main().then_some(talk)
        });
        let target = known.ok_or_else(|| {
            let what = "delivery channel is required: pass --channel/--reply-channel or use a main session with a \
                        previous channel";
            RpcError::invalid(what)
        })?;
        // It may have been taken out of the configuration since.
        match state.messengers.look(&target.channel, &target.account) {
            Some(_) => Ok(Target { reply_to: None, ..target }),
            None => Err(RpcError::invalid(format!(
                "the session was last used in {}, which has no account \"{}\" any more",
                target.channel,
                cut(&target.account, 64)
            ))),
        }
    }
}

/// The session of a recipient: a person's is the main one unless `session.dmScope` parts people, a group has its own.
pub fn session_of(config: &Config, target: &Target, agent_id: Option<&str>) -> Option<route::Route> {
    let accounts = channels::accounts(config);
    let account = accounts.iter().find(|one| one.spec.id == target.channel && *one.key.account == *target.account)?;
    let (kind, id) = (account.spec.kind_of)(&target.chat);
    let message = Incoming {
        kind,
        chat: id.to_owned(),
        thread: target.thread.clone(),
        sender: Sender { id: id.to_owned(), ..Sender::default() },
        ..Incoming::default()
    };
    Some(route::find(config, account, &message, agent_id))
}

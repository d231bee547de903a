//! `POST /channels/<id>/<account>`: messengers that call us.
//!
//! Nobody is authenticated here: the account's plug checks the signature or secret its service shows before it looks at
//! anything else. An account that takes no calls, or has no secret, is not found. Few bodies are held at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{HttpError, Visit};
use crate::channels::Request;
use crate::net::{Exchange, Reply};

/// Calls that are read and checked at the same time (T40).
const AT_ONCE: usize = 16;

static BUSY: AtomicUsize = AtomicUsize::new(0);

struct Place;

impl Place {
    fn take() -> Option<Place> {
        let place = Place;
        (BUSY.fetch_add(1, Ordering::SeqCst) < AT_ONCE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn receive(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let (channel, account) = visit.rest.split_once('/').unwrap_or((visit.rest.as_str(), "default"));
    let (channel, account) = (channel.to_owned(), account.to_owned());
    let asked =
        visit.site.desk.hub.ask("channel receiver", move |state, _| state.messengers.receiver(&channel, &account));
    let (plug, inbound) = asked.ok().flatten().ok_or_else(HttpError::not_found)?;
    let Some(_place) = Place::take() else {
        return Err(HttpError::plain(503, "Service Unavailable").retry_after(1));
    };
    let body = visit.body(exchange)?;
    let header = |name: &str| exchange.header(name).map(str::to_owned);
    let answer = plug.receive(&Request { header: &header, body: &body }, &inbound).ok_or_else(HttpError::not_found)?;
    Ok(Reply::text(answer.status, &answer.body))
}

//! HTTP/1.1: one function that serves a client from its first request to its last.
//!
//! Does not route and does not authenticate: it reads a request that can be understood in one way only, asks the
//! [`App`](super::App) and prints its reply.
//!
//! Invariants: a refused request is answered before its connection closes; after a body that was not read to its end
//! the connection is closed; a panic of the app is a 500, not a reset.

mod body;
mod exchange;
mod head;
mod reply;
mod sse;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tiny_http::Method;

pub use exchange::Exchange;
pub use head::Head;
pub(super) use reply::render;
pub use reply::{Reply, StreamHead, Streamer};
pub use sse::{Sse, Waited};

use super::gate::{Phase, Slot};
use super::listen::{Origin, Shared};
use super::pipe::Pipe;
use super::{Fault, Limits, ws};
use head::{Arrival, Wait};
use reply::{After, Printer, Wants};

/// How serving HTTP ended.
pub(super) enum Ending {
    /// Nothing more to do than to close in order.
    Close(Pipe),
    /// Nobody is there, or a stream broke: close without ceremony.
    Drop,
    /// The client asked to go on as a WebSocket, and may.
    Upgrade(Pipe, Head, ws::Upgrade),
}

/// Serves requests until somebody ends it.
pub(super) fn serve(mut pipe: Pipe, origin: &Origin, shared: &Shared, slot: &Slot) -> Ending {
    let limits = &shared.limits;
    let mut printer = Printer::new(&shared.extra, limits.idle_time);
    let mut head = Head::default();
    let mut wait = Wait::Whole(Instant::now() + limits.head_time);
    for served in 1..=limits.requests {
        slot.enter(Phase::Waiting);
        match head::read(&mut pipe, &mut head, limits, wait) {
            Ok(Arrival::Head) => slot.enter(Phase::Busy),
            Ok(Arrival::Nothing) => return Ending::Drop,
            Err(fault) => return refuse(pipe, &mut printer, &fault, limits),
        }
        match ws::wanted(&head) {
            Ok(None) => {}
            Ok(Some(upgrade)) => return Ending::Upgrade(pipe, head, upgrade),
            Err(fault) => return refuse(pipe, &mut printer, &fault, limits),
        }
        let mut exchange = Exchange::new(&head, &mut pipe, limits, origin);
        let reply = match catch_unwind(AssertUnwindSafe(|| shared.app.http(&mut exchange))) {
            Ok(reply) => reply,
            Err(_) => {
                log::error!("conn {}: a request handler panicked", origin.id);
                Reply::Last(internal())
            }
        };
        let clean = exchange.settle();
        let stay = clean && served < limits.requests && head.wants_to_stay() && !shared.draining();
        let after = if stay { After::Stay } else { After::Close };
        match answer(&mut pipe, &mut printer, Asked::by(&head), reply, after, limits) {
            Ok(After::Stay) => {}
            Ok(After::Close) => return Ending::Close(pipe),
            Err(()) => return Ending::Drop,
        }
        pipe.shrink();
        if shared.draining() {
            return Ending::Close(pipe);
        }
        wait = Wait::FirstByte(Instant::now() + limits.idle_time);
    }
    Ending::Close(pipe)
}

/// What a client asked for, as far as printing cares.
#[derive(Clone, Copy)]
struct Asked {
    wants: Wants,
    chunked: bool,
}

impl Asked {
    fn by(head: &Head) -> Asked {
        let wants = if *head.method() == Method::Head { Wants::HeadOnly } else { Wants::Body };
        Asked { wants, chunked: head.is_1_1() }
    }
}

/// Sends a reply, and says whether the connection goes on. The error is logged here: nobody can be told.
fn answer(
    pipe: &mut Pipe,
    printer: &mut Printer<'_>,
    asked: Asked,
    reply: Reply,
    after: After,
    limits: &Limits,
) -> Result<After, ()> {
    let sent = match reply {
        Reply::Full(response) => printer.full(pipe, response, after, asked.wants),
        Reply::Last(response) => printer.full(pipe, response, After::Close, asked.wants),
        Reply::Stream(stream, write) => {
            let after = if asked.chunked { after } else { After::Close };
            let first = printer.stream(&stream, after, asked.chunked);
            if asked.wants == Wants::HeadOnly {
                pipe.send(&first).map(|()| after)
            } else {
                let mut sse = Sse::new(pipe, limits, first, asked.chunked);
                match catch_unwind(AssertUnwindSafe(|| write(&mut sse))) {
                    Ok(written) => written.and_then(|()| sse.end()).map(|()| after),
                    Err(_) => {
                        log::error!("the writer of a stream panicked");
                        return Err(());
                    }
                }
            }
        }
    };
    sent.map_err(|error| log::debug!("response not delivered: {}", error.kind()))
}

/// Answers a request that cannot be served, whatever it was.
fn refuse(mut pipe: Pipe, printer: &mut Printer<'_>, fault: &Fault, limits: &Limits) -> Ending {
    let asked = Asked { wants: Wants::Body, chunked: false };
    if !fault.answerable() || answer(&mut pipe, printer, asked, Reply::fault(fault), After::Close, limits).is_err() {
        return Ending::Drop;
    }
    Ending::Close(pipe)
}

/// Answers an upgrade with plain HTTP; the connection is closed after it, whatever kind of reply it is.
pub(super) fn answer_upgrade(pipe: &mut Pipe, reply: Reply, shared: &Shared) -> Result<(), ()> {
    let mut printer = Printer::new(&shared.extra, shared.limits.idle_time);
    let asked = Asked { wants: Wants::Body, chunked: true };
    answer(pipe, &mut printer, asked, reply, After::Close, &shared.limits).map(|_| ())
}

fn internal() -> tiny_http::ResponseBox {
    tiny_http::Response::from_string("Internal Server Error").with_status_code(500).boxed()
}

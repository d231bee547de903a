//! One WebSocket: from a valid upgrade to its named end.
//!
//! Two threads: this one reads, a second one writes; a third lives while a client makes itself known. Does not know what is said: that is the [`Talk`]'s.
//!
//! Invariants: the 101 is sent before the talk is opened; our reason reaches the peer before the socket is let go; the
//! writer has ended when [`serve`] returns.

mod close;
mod handshake;
mod intake;
mod mailbox;
mod reader;
mod writer;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

pub use close::CloseReason;
pub(super) use handshake::{Upgrade, wanted};
pub use mailbox::{Mailbox, Outbox, Sent};

use super::Limits;
use super::gate::{Phase, Slot};
use super::h1::{Head, Reply, answer_upgrade};
use super::listen::{Origin, Shared};
use super::pipe::{Drained, Pipe, Source};
use super::sock::Sock;
use mailbox::Mail;
use reader::Reader;
use writer::Writer;

/// A WebSocket about to begin.
pub struct Opening {
    /// The number of the connection, as in its threads' names.
    pub id: u64,
    /// Who connected: the nearest hop, not what a proxy claims.
    pub peer: SocketAddr,
    /// Which of our addresses was connected to.
    pub local: SocketAddr,
    /// Path and headers of the upgrade.
    pub head: Head,
    /// Where everything for this client is posted.
    pub mail: Mailbox,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// What the app says to an opening.
pub enum Verdict {
    /// Go on; this serves it.
    Talk(Box<dyn Talk>),
    /// Answer with plain HTTP and close.
    Refuse(Reply),
}

/// One client's conversation. Calls come one at a time: from the connection thread, and until the client is admitted
/// from one that helps it.
pub trait Talk: Send {
    /// Called once, after the 101 was queued for the wire and before the first message is read.
    fn opened(&mut self);
    /// One message: text, or binary read as text. May block; then the client's next message waits.
    fn text(&mut self, text: &str) -> Next;
    /// Called exactly once, whatever ended the connection; nothing is called after it.
    fn over(&mut self, why: &CloseReason);
}

/// What follows a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Continue,
    /// The client is known now: bigger messages, no deadline, and its place among the unknown is free. Idempotent.
    Admit,
    /// Close after what is queued.
    Close(CloseReason),
}

/// Serves one WebSocket to its end.
pub(super) fn serve(pipe: Pipe, head: Head, upgrade: &Upgrade, origin: &Origin, shared: &Shared, slot: &Slot) {
    let limits = &shared.limits;
    let Some(unadmitted) = slot.unadmitted() else {
        return refuse(pipe, Reply::text(503, "Too many unauthenticated sockets"), shared);
    };
    slot.enter(Phase::Socket);
    let mail = Mailbox::new(origin.id, limits.max_buffered);
    let opening =
        Opening { id: origin.id, peer: origin.peer, local: origin.local, head, mail: mail.clone(), tls: origin.tls };
    let talk = match catch_unwind(AssertUnwindSafe(|| shared.app.socket(opening))) {
        Ok(Verdict::Talk(talk)) => talk,
        Ok(Verdict::Refuse(reply)) => return refuse(pipe, reply, shared),
        Err(_) => {
            log::error!("conn {}: opening a socket panicked", origin.id);
            return refuse(pipe, Reply::text(500, "Internal Server Error"), shared);
        }
    };
    // The thread first and its work after: when it cannot be had, the pipe is still whole to say so.
    let (hand_over, work) = bounded::<(Writer, Vec<u8>)>(1);
    let (running, done) = bounded::<()>(0);
    let spawned = thread::Builder::new().name(format!("conn {} out", origin.id)).stack_size(limits.writer_stack).spawn(
        move || {
            if let Ok((writer, first)) = work.recv() {
                writer.run(&first);
            }
            drop(running);
        },
    );
    let writer = match spawned {
        Ok(writer) => writer,
        Err(error) => {
            log::warn!("conn {}: no thread for a socket: {error}", origin.id);
            let mut talk = talk;
            talk.over(mail.ended(CloseReason::Kicked));
            pipe.finish_with(|pipe| answer_upgrade(pipe, Reply::text(503, "No thread left"), shared), limits);
            return;
        }
    };
    let (source, sink, early) = pipe.split();
    let sock = sink.sock().clone();
    // Cannot fail: the thread waits for exactly this.
    let _ = hand_over.send((Writer::new(sink, mail.clone(), limits), upgrade.answer()));
    let reader = Reader { limits, mail: mail.clone(), talk, unadmitted: Some(unadmitted) };
    let (source, why) = reader.run(source, early);
    log::debug!("conn {}: {} ({})", origin.id, why.explain(), why.code());
    part(source, &sock, &why, &mail, &done, limits);
    if writer.join().is_err() {
        log::error!("conn {}: writing panicked", origin.id);
    }
}

/// Lets go of a connection whose ending has a name, such that the peer hears it.
fn part(mut source: Source, sock: &Sock, why: &CloseReason, mail: &Mailbox, done: &Receiver<()>, limits: &Limits) {
    let frames_out = why.is_said() || matches!(why, CloseReason::PeerClosed { .. });
    if frames_out {
        // The writer sends the last frame and then ends the connection; until then what arrives is read, because
        // unread input would turn our reason into a reset.
        while source.drain(Instant::now() + limits.drain_time, limits.drain_bytes) == Drained::NotYet
            && done.try_recv() != Err(TryRecvError::Disconnected)
        {}
    } else if *why != CloseReason::PeerVanished {
        sock.kick();
    }
    mail.post(Mail::End);
    // A peer that only stopped sending still gets what is queued, if it takes it now. Both outcomes are an end.
    let _ = done.recv_timeout(limits.drain_time);
    sock.kick();
}

fn refuse(pipe: Pipe, reply: Reply, shared: &Shared) {
    pipe.finish_with(|pipe| answer_upgrade(pipe, reply, shared), &shared.limits);
}

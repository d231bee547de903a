//! What waits for one WebSocket: unbounded in pieces, bounded in bytes.
//!
//! Posting never blocks, so the thread that owns the state can serve a thousand clients and wait for none. Bytes are
//! counted when they are posted and forgotten when they are written. Over the cap a droppable event is skipped, though
//! its number counts, and anything else closes the connection as a slow consumer, whose mail is thrown away at once.
//!
//! A lock and a bell instead of a channel: hundreds of writers wait at one time, and each that looked again and again
//! before it slept would take its time from those who have something to write. And an event for a client that has
//! everything goes to the socket from here, as far as the socket takes it at once: what hundreds are told then wakes
//! the clients and not hundreds of threads before them.
//!
//! Invariants: numbers leave in order without repetition; the first close wins; after it nothing is queued; whoever
//! writes to the socket holds the lock while the writer sleeps, or is the writer; nobody waits under the lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::close::CloseReason;
use crate::net::sock::Sock;

/// What a piece of mail costs beside its text, so that a flood of empty messages is counted too.
const OVERHEAD: usize = 64;

/// The posting end. Cheap to clone; every clone posts to the same client.
#[derive(Clone)]
pub struct Mailbox(Arc<Shared>);

struct Shared {
    id: u64,
    cap: usize,
    closed: OnceLock<CloseReason>,
    queue: Mutex<Queue>,
    /// Rung when there is mail and somebody waits for it.
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    mail: VecDeque<Mail>,
    /// Bytes that were posted and not written yet.
    bytes: usize,
    /// The last number given.
    number: u64,
    /// The taker sleeps.
    waiting: bool,
    /// Where events may go past the taker: a plain socket whose writer is at work.
    direct: Option<Sock>,
}

/// Room for so many pieces is kept after a flood.
const KEPT: usize = 64;

/// A message above this is the writer's: the copying would keep others waiting.
const AT_ONCE: usize = 64 << 10;

/// One piece of mail.
pub(super) enum Mail {
    Text(Arc<str>),
    /// One text in three parts; the middle one is the number.
    Numbered(Arc<str>, u64, Arc<str>),
    /// What the socket did not take of a message it has begun: it goes out whatever comes.
    Rest(Vec<u8>),
    /// A whole control frame from the protocol engine.
    Control(Vec<u8>),
    /// The engine's answer to the peer's Close frame, after which nothing may follow.
    Echo(Vec<u8>),
    /// TLS has something to say by itself.
    Flush,
    /// Our Close frame.
    Close,
    /// The reader is done.
    End,
}

/// Writes the header of a text message of `length` bytes.
pub(super) fn text_header(length: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    header.format(length as u64, into).map_err(std::io::Error::other)
}

/// Whether a piece of mail may be lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Essential,
    Droppable,
}

impl Mailbox {
    pub(super) fn new(id: u64, cap: usize) -> Mailbox {
        let (closed, queue, bell) = (OnceLock::new(), Mutex::default(), Condvar::new());
        Mailbox(Arc::new(Shared { id, cap, closed, queue, bell }))
    }

    /// Queues one text message. When it does not fit the connection is closed as a slow consumer.
    pub fn text(&self, text: impl Into<Arc<str>>) {
        let text = text.into();
        self.push(self.queue(), text.len(), Need::Essential, || Mail::Text(text));
    }

    /// Queues `before`, this connection's next number, `after`, as one text message. One that is not `essential` is
    /// skipped when it does not fit, but its number is spent, so that the client sees the gap.
    pub fn numbered(&self, before: Arc<str>, after: Arc<str>, essential: bool) {
        let mut queue = self.queue();
        queue.number += 1;
        let this = queue.number;
        let need = if essential { Need::Essential } else { Need::Droppable };
        if let Some(rest) = self.at_once(&queue, &before, this, &after) {
            if !rest.is_empty() {
                // Also when the connection is closed at this moment: its last frame must not stand inside another.
                let rest = Mail::Rest(rest);
                queue.bytes += rest.cost();
                self.put(queue, rest);
            }
            return;
        }
        self.push(queue, before.len() + after.len() + 20, need, || Mail::Numbered(before, this, after));
    }

    /// Gives a message to the socket, when nothing is on its way and the socket takes its beginning without waiting.
    /// What it did not take is the answer, and the next piece of mail.
    fn at_once(&self, queue: &Queue, before: &str, number: u64, after: &str) -> Option<Vec<u8>> {
        let sock = queue.direct.as_ref()?;
        if !queue.waiting || queue.bytes > 0 || !queue.mail.is_empty() || self.0.closed.get().is_some() {
            return None;
        }
        let number = number.to_string();
        let length = before.len() + number.len() + after.len();
        if length > AT_ONCE {
            return None;
        }
        let mut header = Vec::with_capacity(16);
        text_header(length, &mut header).ok()?;
        let parts = [&header, before.as_bytes(), number.as_bytes(), after.as_bytes()];
        let sent = sock.send_now(parts)?;
        Some(if sent == header.len() + length { Vec::new() } else { parts.concat().split_off(sent) })
    }

    /// Lets events go to `sock` past the taker, or no more.
    pub(super) fn go_direct(&self, sock: Option<Sock>) {
        self.queue().direct = sock;
    }

    /// Closes the connection after what is queued. The first reason wins; after it nothing is queued.
    pub fn close(&self, why: CloseReason) {
        let slow = why == CloseReason::SlowConsumer;
        if self.0.closed.set(why).is_err() {
            return;
        }
        if slow {
            self.discard();
        }
        self.post(Mail::Close);
    }

    /// Bytes that were posted and not written, each piece with a small addition for itself.
    pub fn queued_bytes(&self) -> usize {
        self.queue().bytes
    }

    /// The number of the connection.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Why the connection ended or is about to end.
    pub fn closed(&self) -> Option<&CloseReason> {
        self.0.closed.get()
    }

    /// A mailbox without a socket, with the end from which its mail is taken.
    pub fn for_tests(id: u64, cap: usize) -> (Mailbox, Outbox) {
        let mailbox = Mailbox::new(id, cap);
        (mailbox.clone(), Outbox(mailbox))
    }

    /// Notes why the connection ended when nothing is to be sent about it, and says which reason counts.
    pub(super) fn ended(&self, why: CloseReason) -> &CloseReason {
        self.0.closed.get_or_init(|| why)
    }

    /// Queues a frame of the engine's.
    pub(super) fn control(&self, frame: &[u8]) {
        const CLOSE_FRAME: u8 = 0x88;
        let echo = frame.first() == Some(&CLOSE_FRAME);
        let bytes = frame.to_vec();
        self.push(self.queue(), bytes.len(), Need::Essential, || {
            if echo { Mail::Echo(bytes) } else { Mail::Control(bytes) }
        });
    }

    /// Queues what is not counted.
    pub(super) fn post(&self, mail: Mail) {
        self.put(self.queue(), mail);
    }

    /// The next piece that is there.
    pub(super) fn take(&self) -> Option<Mail> {
        self.queue().next()
    }

    /// The next piece, waiting for it until then.
    pub(super) fn take_until(&self, when: Instant) -> Option<Mail> {
        let mut queue = self.queue();
        loop {
            if let Some(mail) = queue.next() {
                return Some(mail);
            }
            let left = when.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            queue.waiting = true;
            queue = self.0.bell.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            queue.waiting = false;
        }
    }

    /// Nothing is there to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.queue().mail.is_empty()
    }

    /// Forgets bytes that were written.
    pub(super) fn forget(&self, bytes: usize) {
        self.queue().bytes -= bytes;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, bytes: usize, need: Need, mail: impl FnOnce() -> Mail) {
        if self.0.closed.get().is_some() {
            return;
        }
        let bytes = bytes + OVERHEAD;
        // One message alone always fits: a cap smaller than it would otherwise make every client a slow one.
        if queue.bytes > 0 && queue.bytes + bytes > self.0.cap {
            drop(queue);
            if need == Need::Essential {
                self.close(CloseReason::SlowConsumer);
            }
            return;
        }
        queue.bytes += bytes;
        self.put(queue, mail());
    }

    fn put(&self, mut queue: MutexGuard<'_, Queue>, mail: Mail) {
        queue.mail.push_back(mail);
        let waits = std::mem::take(&mut queue.waiting);
        drop(queue);
        if waits {
            self.0.bell.notify_one();
        }
    }

    fn discard(&self) {
        let mut queue = self.queue();
        let (begun, mail): (VecDeque<Mail>, _) =
            std::mem::take(&mut queue.mail).into_iter().partition(|mail| matches!(mail, Mail::Rest(_)));
        queue.bytes -= mail.iter().map(Mail::cost).sum::<usize>();
        queue.mail = begun;
    }
}

impl Queue {
    fn next(&mut self) -> Option<Mail> {
        let next = self.mail.pop_front();
        if self.mail.is_empty() && self.mail.capacity() > KEPT {
            self.mail = VecDeque::new();
        }
        next
    }
}

impl Mail {
    /// The bytes this was counted with.
    pub(super) fn cost(&self) -> usize {
        match self {
            Mail::Text(text) => text.len() + OVERHEAD,
            Mail::Numbered(before, _, after) => before.len() + after.len() + 20 + OVERHEAD,
            Mail::Rest(frame) | Mail::Control(frame) | Mail::Echo(frame) => frame.len() + OVERHEAD,
            Mail::Flush | Mail::Close | Mail::End => 0,
        }
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("id", &self.0.id).field("queued", &self.queued_bytes()).finish()
    }
}

/// The taking end of a mailbox without a socket. What is not taken stays counted, like with a client that stalls.
pub struct Outbox(Mailbox);

/// What a client would have received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Text(String),
    Close(CloseReason),
}

impl Outbox {
    /// The next thing that is there.
    pub fn take(&self) -> Option<Sent> {
        self.sent(self.0.take()?)
    }

    /// The next thing, waiting for it.
    pub fn wait(&self, within: Duration) -> Option<Sent> {
        self.sent(self.0.take_until(Instant::now() + within)?)
    }

    /// Everything that is there.
    pub fn all(&self) -> Vec<Sent> {
        std::iter::from_fn(|| self.take()).collect()
    }

    /// Ends the connection as the client's doing would.
    pub fn vanish(&self) {
        self.0.ended(CloseReason::PeerVanished);
    }

    fn sent(&self, mail: Mail) -> Option<Sent> {
        self.0.forget(mail.cost());
        match mail {
            Mail::Text(text) => Some(Sent::Text(text.to_string())),
            Mail::Numbered(before, number, after) => Some(Sent::Text(format!("{before}{number}{after}"))),
            Mail::Close => self.0.closed().cloned().map(Sent::Close),
            // Only a reader posts these, and here is none.
            Mail::Rest(_) | Mail::Control(_) | Mail::Echo(_) | Mail::Flush | Mail::End => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outbox: &Outbox) -> Vec<String> {
        let text = |sent| match sent {
            Sent::Text(text) => text,
            Sent::Close(why) => format!("close {} {}", why.code(), why.text()),
        };
        outbox.all().into_iter().map(text).collect()
    }

    #[test]
    fn a_skipped_event_spends_its_number() {
        let (mailbox, outbox) = Mailbox::for_tests(1, 300);
        let event = || mailbox.numbered("seq=".into(), ";".into(), false);
        (0..4).for_each(|_| event());
        assert_eq!(texts(&outbox), ["seq=1;", "seq=2;", "seq=3;"]);
        event();
        assert_eq!(texts(&outbox), ["seq=5;"]);
        assert_eq!(mailbox.queued_bytes(), 0);
    }

    #[test]
    fn an_essential_text_over_the_cap_closes_and_frees_the_queue() {
        let (mailbox, outbox) = Mailbox::for_tests(1, 1000);
        mailbox.text("x".repeat(900));
        mailbox.text("y".repeat(100));
        mailbox.text("z");
        assert_eq!(mailbox.queued_bytes(), 0);
        assert_eq!(texts(&outbox), ["close 1008 slow consumer"]);
        assert_eq!(mailbox.closed(), Some(&CloseReason::SlowConsumer));
    }

    #[test]
    fn what_is_begun_is_ended_before_a_close() {
        let (mailbox, outbox) = Mailbox::for_tests(1, 1000);
        mailbox.post(Mail::Rest(vec![0; 10]));
        mailbox.queue().bytes += 10 + OVERHEAD;
        mailbox.text("x".repeat(800));
        mailbox.text("y".repeat(800));
        assert_eq!(mailbox.closed(), Some(&CloseReason::SlowConsumer));
        assert!(matches!(mailbox.take(), Some(Mail::Rest(_))), "the end of a frame goes before the last one");
        mailbox.forget(10 + OVERHEAD);
        assert_eq!(texts(&outbox), ["close 1008 slow consumer"]);
        assert_eq!(mailbox.queued_bytes(), 0);
    }

    #[test]
    fn one_message_above_the_cap_still_fits_alone() {
        let (mailbox, outbox) = Mailbox::for_tests(1, 10);
        mailbox.text("longer than the cap");
        assert_eq!(texts(&outbox), ["longer than the cap"]);
    }

    #[test]
    fn the_first_close_wins_and_follows_what_was_queued() {
        let (mailbox, outbox) = Mailbox::for_tests(1, 1000);
        mailbox.text("a");
        mailbox.close(CloseReason::policy(1012, "restart"));
        mailbox.close(CloseReason::SlowConsumer);
        mailbox.text("b");
        assert_eq!(texts(&outbox), ["a", "close 1012 restart"]);
    }

    #[test]
    fn numbers_from_many_threads_leave_in_order() {
        let (mailbox, outbox) = Mailbox::for_tests(1, usize::MAX);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| mailbox.numbered("".into(), "".into(), true)));
            }
        });
        let expected: Vec<_> = (1..=2000).map(|n| n.to_string()).collect();
        assert_eq!(texts(&outbox), expected);
    }
}

//! One request as the app sees it.
//!
//! Gives the head, reads the body when asked, and can tell whether the client is still there. Does not write: the reply
//! is what the app returns.

use std::net::SocketAddr;
use std::time::Instant;

use crossbeam_channel::Receiver;
use tiny_http::Method;

use super::body::{self, Framing};
use super::head::Head;
use super::sse::{Waited, waited};
use crate::net::listen::Origin;
use crate::net::pipe::Pipe;
use crate::net::{Fault, Limits};

/// A request in progress.
pub struct Exchange<'c> {
    head: &'c Head,
    pipe: &'c mut Pipe,
    limits: &'c Limits,
    origin: &'c Origin,
    body: Body,
    /// When the client was last looked for.
    looked: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Unread,
    Read,
    /// Where it ends is not known any more; the connection cannot go on.
    Lost,
}

impl<'c> Exchange<'c> {
    pub(super) fn new(head: &'c Head, pipe: &'c mut Pipe, limits: &'c Limits, origin: &'c Origin) -> Exchange<'c> {
        Exchange { head, pipe, limits, origin, body: Body::Unread, looked: Instant::now() }
    }

    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// Path and query as they came.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The path, undecoded.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// The query, undecoded, without the `?`; empty when there is none.
    pub fn query(&self) -> &str {
        self.head.query()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// All headers in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers()
    }

    /// The whole head, for code that serves upgrades and requests alike.
    pub fn head(&self) -> &Head {
        self.head
    }

    /// Who connected: the nearest hop, not what a proxy claims.
    pub fn peer(&self) -> SocketAddr {
        self.origin.peer
    }

    /// The body, of at most `limit` bytes. A second call yields nothing.
    ///
    /// Fails with [`Fault::TooLarge`] (before the first byte, when the length is announced), [`Fault::TooSlow`],
    /// [`Fault::Malformed`] or because the client left. After a failure the connection is closed with the reply.
    pub fn read_body(&mut self, limit: usize) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        self.take_body(limit, &mut |piece| body.extend_from_slice(piece)).map(|()| body)
    }

    /// The same, piece by piece as it arrives: nothing of it is kept here.
    pub fn take_body(&mut self, limit: usize, take: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        match self.body {
            Body::Unread => {}
            Body::Read => return Ok(()),
            Body::Lost => return Err(Fault::Closed),
        }
        let read = body::read(self.pipe, self.head, self.limits, limit, take);
        self.body = if read.is_ok() { Body::Read } else { Body::Lost };
        read
    }

    /// Looks, without waiting, whether the client has left.
    pub fn peer_gone(&mut self) -> bool {
        self.pipe.peer_gone(self.limits.head_bytes)
    }

    /// Waits for an answer from elsewhere on behalf of the client, and stops within `look_every` of its leaving, however
    /// often answers come.
    pub fn wait<T>(&mut self, from: &Receiver<T>, until: Option<Instant>) -> Waited<T> {
        loop {
            let now = Instant::now();
            if now.saturating_duration_since(self.looked) >= self.limits.look_every {
                self.looked = now;
                if self.peer_gone() {
                    return Waited::PeerGone;
                }
            }
            match waited(from, self.limits.look_every, until) {
                Waited::TimedOut if until.is_none_or(|until| Instant::now() < until) => {}
                other => return other,
            }
        }
    }

    /// Whether the next request can begin where this one ended. A body nobody read is skipped when all of it is here.
    pub(super) fn settle(self) -> bool {
        match (self.body, self.head.framing) {
            (Body::Read, _) | (Body::Unread, Framing::None) => true,
            (Body::Lost, _) | (Body::Unread, Framing::Chunked) => false,
            (Body::Unread, Framing::Length(length)) => {
                let here = self.pipe.pending().len() as u64 >= length;
                if here {
                    self.pipe.used(length as usize);
                }
                here
            }
        }
    }
}

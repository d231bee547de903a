//! Who may come in: connections in all, per address, and WebSockets nobody knows yet.
//!
//! When there is no place, the oldest connection that has not asked for anything is ended in favour of the new one, so
//! that a crowd of silent clients cannot keep a speaking one out. Does not know what a connection is for.
//!
//! Invariants: every place is held by a value and freed by its drop; the books hold only connections that exist; the
//! lock is held for memory work only. Only an accept thread waits here, with the lock released.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Limits;
use super::sock::Sock;

/// How long a newcomer waits for one that was ended to be gone; a thread that was woken takes well under a
/// millisecond. Where waking does not work (Windows) the newcomer is refused.
const LEAVE_TIME: Duration = Duration::from_millis(50);

/// The gate of one server.
#[derive(Debug)]
pub(super) struct Gate {
    connections: usize,
    per_address: usize,
    unauthenticated: usize,
    /// How many may be on their way out at one time.
    leaving: usize,
    books: Mutex<Books>,
    /// Told when one of them has gone.
    left: Condvar,
}

#[derive(Debug, Default)]
struct Books {
    /// By number, and so by age.
    live: BTreeMap<u64, Live>,
    /// How many of each address are live, and how many of them are unknown WebSockets.
    addresses: BTreeMap<IpAddr, Count>,
    /// Ended in favour of others and not gone yet.
    leaving: usize,
}

#[derive(Debug)]
struct Live {
    address: IpAddr,
    sock: Sock,
    phase: Arc<AtomicU8>,
}

#[derive(Debug, Default)]
struct Count {
    connections: usize,
    unadmitted: usize,
}

/// What there is no place in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    Nothing,
    /// In the share of its address.
    Here,
    Everywhere,
}

/// What a connection is doing, as far as the gate cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// For a request to arrive: may be ended.
    Waiting = 0,
    /// With a request.
    Busy = 1,
    /// Being a WebSocket.
    Socket = 2,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Arc<Gate>,
    id: u64,
    address: IpAddr,
    phase: Arc<AtomicU8>,
}

/// One unknown WebSocket's place.
#[derive(Debug)]
pub(super) struct Unadmitted {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Arc<Gate> {
        Arc::new(Gate {
            connections: limits.connections,
            per_address: limits.per_address,
            unauthenticated: limits.unauthenticated,
            leaving: (limits.connections / 4).max(1),
            books: Mutex::default(),
            left: Condvar::new(),
        })
    }

    /// A place for a new connection, if need be that of one that waits.
    pub(super) fn admit(self: &Arc<Gate>, id: u64, address: IpAddr, sock: &Sock) -> Option<Slot> {
        let mut ended = None;
        let mut books = self.books();
        if self.lacks_place(&books, address) != Lack::Nothing {
            // A connection that was ended needs a moment to go. Waiting for it keeps a fast crowd from piling up
            // threads, and slows down only those who come in while all places are taken.
            let crowded = |books: &mut Books| books.leaving >= self.leaving;
            let (lock, waited) =
                self.left.wait_timeout_while(books, LEAVE_TIME, crowded).unwrap_or_else(PoisonError::into_inner);
            books = lock;
            ended = match self.lacks_place(&books, address) {
                Lack::Nothing => None,
                _ if waited.timed_out() => return None,
                Lack::Here => Some(books.end_oldest(Some(address))?),
                Lack::Everywhere => Some(books.end_oldest(None)?),
            };
        }
        let phase = Arc::new(AtomicU8::new(Phase::Waiting as u8));
        books.live.insert(id, Live { address, sock: sock.clone(), phase: phase.clone() });
        books.addresses.entry(address).or_default().connections += 1;
        drop(books);
        if let Some(sock) = ended {
            sock.kick();
        }
        Some(Slot { gate: self.clone(), id, address, phase })
    }

    fn lacks_place(&self, books: &Books, address: IpAddr) -> Lack {
        // The address first: one that floods pays for itself.
        if books.addresses.get(&address).is_some_and(|count| count.connections >= self.per_address) {
            Lack::Here
        } else if books.live.len() >= self.connections {
            Lack::Everywhere
        } else {
            Lack::Nothing
        }
    }

    /// Connections that have a place.
    pub(super) fn connections(&self) -> usize {
        self.books().live.len()
    }

    #[cfg(test)]
    pub(super) fn all_unadmitted(&self) -> usize {
        self.books().addresses.values().map(|count| count.unadmitted).sum()
    }

    /// Ends every connection that is in `phase`, or every one.
    pub(super) fn kick(&self, phase: Option<Phase>) {
        let meant = |live: &&Live| phase.is_none_or(|phase| live.phase.load(Ordering::Relaxed) == phase as u8);
        let socks: Vec<Sock> = self.books().live.values().filter(meant).map(|live| live.sock.clone()).collect();
        socks.iter().for_each(Sock::kick);
    }

    /// Nothing in here panics half-way, so a poisoned lock still guards whole books.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Takes the oldest connection that waits out of the books; its socket is to be ended.
    fn end_oldest(&mut self, of: Option<IpAddr>) -> Option<Sock> {
        let waits = |live: &Live| {
            live.phase.load(Ordering::Relaxed) == Phase::Waiting as u8 && of.is_none_or(|of| of == live.address)
        };
        let id = self.live.iter().find(|(_, live)| waits(live)).map(|(id, _)| *id)?;
        let live = self.remove(id)?;
        self.leaving += 1;
        Some(live.sock)
    }

    fn remove(&mut self, id: u64) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.change(live.address, |count| count.connections -= 1);
        Some(live)
    }

    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.addresses.get_mut(&address) {
            change(count);
            if count.connections == 0 && count.unadmitted == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Slot {
    /// Notes what the connection is doing.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// A place for this connection's WebSocket among the unknown of its address.
    pub(super) fn unadmitted(&self) -> Option<Unadmitted> {
        let mut books = self.gate.books();
        let count = books.addresses.entry(self.address).or_default();
        if count.unadmitted >= self.gate.unauthenticated {
            return None;
        }
        count.unadmitted += 1;
        Some(Unadmitted { gate: self.gate.clone(), address: self.address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut books = self.gate.books();
        if books.remove(self.id).is_none() {
            books.leaving = books.leaving.saturating_sub(1);
            self.gate.left.notify_all();
        }
    }
}

impl Drop for Unadmitted {
    fn drop(&mut self) {
        self.gate.books().change(self.address, |count| count.unadmitted -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn sock() -> Sock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Sock::new(stream, Duration::from_secs(1)).unwrap()
    }

    fn gate(connections: usize, per_address: usize) -> Arc<Gate> {
        Gate::new(&Limits { connections, per_address, unauthenticated: 2, ..Limits::default() })
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn a_waiting_connection_makes_room_and_a_busy_one_does_not() {
        let (gate, sock) = (gate(2, 2), sock());
        let first = gate.admit(1, address(1), &sock).unwrap();
        let second = gate.admit(2, address(2), &sock).unwrap();
        second.enter(Phase::Busy);
        let third = gate.admit(3, address(3), &sock).expect("takes the place of the first");
        third.enter(Phase::Socket);
        assert!(gate.admit(4, address(4), &sock).is_none(), "nobody waits");
        drop(first);
        assert!(gate.admit(4, address(4), &sock).is_none(), "the first had lost its place before");
        drop(second);
        assert!(gate.admit(5, address(5), &sock).is_some());
    }

    #[test]
    fn a_full_address_makes_room_among_its_own() {
        let (gate, sock) = (gate(10, 1), sock());
        let other = gate.admit(1, address(1), &sock).unwrap();
        let mine = gate.admit(2, address(2), &sock).unwrap();
        let next = gate.admit(3, address(2), &sock).expect("takes the place of the second");
        next.enter(Phase::Busy);
        assert!(gate.admit(4, address(2), &sock).is_none());
        assert_eq!(gate.connections(), 2);
        drop((other, mine, next));
        assert_eq!(gate.connections(), 0);
    }

    #[test]
    fn unknown_sockets_are_counted_and_their_places_come_back() {
        let (gate, sock) = (gate(10, 10), sock());
        let slot = gate.admit(1, address(1), &sock).unwrap();
        for _ in 0..2 {
            let held = (slot.unadmitted().unwrap(), slot.unadmitted().unwrap());
            assert!(slot.unadmitted().is_none());
            drop(held);
        }
        drop(slot);
        assert!(gate.books().addresses.is_empty(), "an address nobody comes from is forgotten");
    }
}

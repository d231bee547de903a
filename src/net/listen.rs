//! The accept loop and the server around it.
//!
//! One blocking thread per listener. Whatever goes wrong with one connection stays with it; whatever goes wrong with
//! accepting is waited out. With no descriptors left, a spare one is given up for a moment, so that the next client
//! gets an answer instead of silence.
//!
//! Does not read from a client: that is the connection thread's. Invariants: the loop ends only when it is told to, and
//! then within 100 ms; every accepted socket is served, answered or closed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never};

use super::gate::{Gate, Phase, Slot};
use super::h1::{self, Ending};
use super::pipe::{Pipe, Sink, Source};
use super::sock::{Sock, plain_address};
use super::tls::TlsConfig;
use super::{App, Limits, ws};

/// First wait after accepting failed; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// Longest wait: descriptors come back when clients leave, and a client should not notice much of it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long stopping waits for an accept thread.
const STOP_TIME: Duration = Duration::from_millis(100);
/// Stack of an accept thread: it hands over, nothing deeper.
const ACCEPT_STACK: usize = 128 << 10;
/// What a client gets that cannot be served now.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nRetry-After: 1\r\nContent-Length: 20\r\n\r\nToo many connections";

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) app: Arc<dyn App>,
    pub(super) limits: Limits,
    /// The app's headers for every response, rendered.
    pub(super) extra: String,
    tls: Option<TlsConfig>,
    gate: Arc<Gate>,
    next: AtomicU64,
    stopping: AtomicBool,
    draining: AtomicBool,
}

impl Shared {
    /// Whether connections should end with the request they are at.
    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) tls: bool,
}

/// A running server. Dropping it stops it and ends its connections.
pub struct Server {
    shared: Arc<Shared>,
    doors: Mutex<Vec<Doorman>>,
    addresses: Vec<SocketAddr>,
}

/// What a server leaves to the one after it: nobody who connects in between is refused, the system lets them wait.
#[derive(Default)]
pub struct Legacy {
    pub listeners: Vec<TcpListener>,
    /// Clients that came in as the old server stopped; [`Server::welcome`] serves them.
    pub waiting: Vec<(TcpStream, SocketAddr)>,
}

/// What is needed to stop one accept thread.
struct Doorman {
    address: SocketAddr,
    /// Dropped to end a wait.
    stop: Sender<()>,
    ended: Receiver<Left>,
    /// Given up before waking the thread, so that waking it needs no descriptor that is not there.
    spare: Option<TcpListener>,
}

impl Server {
    /// Starts serving. The listeners are bound already and belong to the server from now on.
    ///
    /// Fails when a listener cannot be used or its thread cannot be had; then nothing runs.
    pub fn start(
        listeners: Vec<TcpListener>,
        app: Arc<dyn App>,
        limits: Limits,
        tls: Option<TlsConfig>,
    ) -> io::Result<Server> {
        let extra = h1::render(&app.headers());
        let shared = Arc::new(Shared {
            gate: Gate::new(&limits),
            app,
            limits,
            extra,
            tls,
            next: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        });
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let server = Server { shared: shared.clone(), doors: Mutex::default(), addresses };
        for listener in listeners {
            let door = open(listener, &shared)?;
            server.doors.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        }
        Ok(server)
    }

    /// The addresses served, with the ports that were really bound.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Closes the listeners: no new connections. Returns when they are closed, or after 100 ms.
    pub fn stop_accepting(&self) {
        drop(self.hand_over());
    }

    /// Accepts nobody any more, but keeps the listeners open: who connects now waits for the next server. A listener
    /// whose thread does not end within 100 ms is not in it.
    pub fn hand_over(&self) -> Legacy {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let doors = std::mem::take(&mut *self.doors.lock().unwrap_or_else(PoisonError::into_inner));
        let mut legacy = Legacy::default();
        for door in doors {
            let Some((listener, last)) = door.close() else { continue };
            legacy.listeners.push(listener);
            legacy.waiting.extend(last);
        }
        legacy
    }

    /// Serves clients that an earlier server had accepted.
    pub fn welcome(&self, waiting: Vec<(TcpStream, SocketAddr)>) {
        for (stream, peer) in waiting {
            Hall { shared: self.shared.clone(), stopped: never() }.serve(stream, peer);
        }
    }

    /// Connections of any kind that are there now.
    pub fn connections(&self) -> usize {
        self.shared.gate.connections()
    }

    /// WebSockets nobody has vouched for yet.
    #[cfg(test)]
    pub fn unadmitted(&self) -> usize {
        self.shared.gate.all_unadmitted()
    }

    /// Ends connections that wait for a request, and lets the others end with the request they are at.
    pub fn close_idle_http(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.gate.kick(Some(Phase::Waiting));
    }

    /// Ends every connection that is left, without a word.
    pub fn kick_all(&self) {
        self.shared.gate.kick(None);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
        self.shared.draining.store(true, Ordering::Relaxed);
        self.kick_all();
    }
}

impl Doorman {
    fn close(mut self) -> Option<Left> {
        self.spare = None;
        drop(self.stop);
        let until = Instant::now() + STOP_TIME;
        let mut ours = Vec::new();
        while Instant::now() < until {
            // A blocked accept returns when somebody comes. That nobody listens there any more is as good.
            let knock = TcpStream::connect_timeout(&reachable(self.address), STOP_TIME / 2);
            ours.extend(knock.and_then(|knock| knock.local_addr()));
            match self.ended.recv_timeout(STOP_TIME / 10) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
                Ok((listener, last)) => return Some((listener, last.filter(|(_, peer)| !ours.contains(peer)))),
            }
        }
        log::warn!("the listener on {} did not stop in time", self.address);
        None
    }
}

/// What an accept thread had in its hands when it ended.
type Left = (TcpListener, Option<(TcpStream, SocketAddr)>);

/// An address under which we reach ourselves.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn open(listener: TcpListener, shared: &Arc<Shared>) -> io::Result<Doorman> {
    listener.set_nonblocking(false)?;
    let address = listener.local_addr()?;
    let spare = listener.try_clone().ok();
    let (stop, stopped) = bounded::<()>(0);
    let (leave, ended) = bounded::<Left>(1);
    let shared = shared.clone();
    thread::Builder::new().name("accept".to_owned()).stack_size(ACCEPT_STACK).spawn(move || {
        let mut hall = Hall { shared, stopped };
        let last = accept_loop(&listener, &mut hall);
        // Whoever stops the server may have stopped waiting.
        let _ = leave.send((listener, last));
    })?;
    Ok(Doorman { address, stop, ended, spare })
}

/// What the loop needs of a listener. A seam: tests have one that runs out of descriptors.
trait Door {
    type Spare;
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)>;
    /// Takes one descriptor, to be given up in hard times.
    fn spare(&self) -> io::Result<Self::Spare>;
}

impl Door for TcpListener {
    type Spare = TcpListener;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self)
    }

    fn spare(&self) -> io::Result<TcpListener> {
        self.try_clone()
    }
}

/// What the loop does with those who came in. The other half of the seam.
trait Reception {
    fn stopping(&self) -> bool;
    fn serve(&mut self, stream: TcpStream, peer: SocketAddr);
    fn turn_away(&mut self, stream: TcpStream);
    /// Waits, but not when stopping.
    fn pause(&mut self, time: Duration);
}

/// Accepts until told to stop. Returns who came in last and was not served, be it only to wake the loop.
fn accept_loop<D: Door>(door: &D, hall: &mut impl Reception) -> Option<(TcpStream, SocketAddr)> {
    let mut spare = door.spare().ok();
    let mut wait = FIRST_WAIT;
    let mut hard_times = false;
    loop {
        let accepted = door.accept();
        if hall.stopping() {
            return accepted.ok();
        }
        match accepted {
            Ok((stream, peer)) => {
                spare = spare.or_else(|| door.spare().ok());
                if std::mem::take(&mut hard_times) {
                    log::info!("accepting connections again");
                }
                wait = FIRST_WAIT;
                hall.serve(stream, peer);
            }
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut hard_times, true) {
                    log::warn!("cannot accept connections for now: {error}");
                }
                // With the spare given up one client can come in and be told. Only with a spare, because without one
                // accepting would fail again; and it comes back first, before anybody else takes the descriptor.
                if spare.take().is_some() {
                    if let Ok((stream, peer)) = door.accept() {
                        if hall.stopping() {
                            return Some((stream, peer));
                        }
                        hall.turn_away(stream);
                    }
                    spare = door.spare().ok();
                }
                hall.pause(wait);
                if hall.stopping() {
                    return None;
                }
                wait = (wait * 2).min(LONGEST_WAIT);
                spare = spare.or_else(|| door.spare().ok());
            }
        }
    }
}

/// Errors that belong to the client that was about to come in; the next one may be well.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut | WouldBlock)
}

/// The real reception: a place, a thread, or a refusal.
struct Hall {
    shared: Arc<Shared>,
    stopped: Receiver<()>,
}

impl Reception for Hall {
    fn stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        let shared = &self.shared;
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        // Fails only for a client that is gone again.
        let Ok(sock) = Sock::new(stream, shared.limits.write_time) else { return };
        let Ok(local) = sock.local() else { return };
        let origin = Origin { id, peer, local, tls: shared.tls.is_some() };
        let Some(slot) = shared.gate.admit(id, plain_address(peer), &sock) else {
            return refuse(sock, &origin);
        };
        let (theirs, sent) = (shared.clone(), sock.clone());
        let spawned = thread::Builder::new()
            .name(format!("conn {id}"))
            .stack_size(shared.limits.connection_stack)
            .spawn(move || connection(&theirs, sent, &slot, &origin));
        if let Err(error) = spawned {
            log::warn!("conn {id}: no thread for it: {error}");
            refuse(sock, &origin);
        }
    }

    fn turn_away(&mut self, stream: TcpStream) {
        if self.shared.tls.is_none() {
            Sock::refuse_stream(&stream, BUSY);
        }
    }

    fn pause(&mut self, time: Duration) {
        // Nothing is ever sent: this is a wait that the stopping server can end.
        let _ = self.stopped.recv_timeout(time);
    }
}

/// Tells a client that there is no place for it; one that waits for TLS cannot be told.
fn refuse(sock: Sock, origin: &Origin) {
    if !origin.tls {
        sock.refuse(BUSY);
    }
}

/// One connection, from its first byte to its last.
fn connection(shared: &Shared, sock: Sock, slot: &Slot, origin: &Origin) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let Some(pipe) = enter(shared, sock, origin) else { return };
        match h1::serve(pipe, origin, shared, slot) {
            Ending::Close(pipe) => pipe.finish(&shared.limits),
            Ending::Drop => {}
            Ending::Upgrade(pipe, head, upgrade) => ws::serve(pipe, head, &upgrade, origin, shared, slot),
        }
    }));
    if served.is_err() {
        log::error!("conn {}: serving it panicked", origin.id);
    }
}

/// The stream to speak on: as it is, or after the TLS handshake.
fn enter(shared: &Shared, sock: Sock, origin: &Origin) -> Option<Pipe> {
    let Some(tls) = &shared.tls else {
        return Some(Pipe::new(Source::new(sock.clone(), None), Sink::new(sock, None)));
    };
    match tls.accept(&sock, Instant::now() + shared.limits.tls_time) {
        Ok((reader, writer)) => Some(Pipe::new(Source::new(sock.clone(), Some(reader)), Sink::new(sock, Some(writer)))),
        Err(error) => {
            log::debug!("conn {}: no TLS: {}", origin.id, error.kind());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A listener in a process with so many descriptors; `None` in the script is a client, the rest are errors.
    struct Scripted {
        script: RefCell<Vec<Option<io::Error>>>,
        free: Arc<AtomicU64>,
        address: SocketAddr,
    }

    struct Descriptor(Arc<AtomicU64>);

    impl Descriptor {
        fn take(free: &Arc<AtomicU64>) -> io::Result<Descriptor> {
            match free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)) {
                Ok(_) => Ok(Descriptor(free.clone())),
                Err(_) => Err(io::Error::other("too many open files")),
            }
        }
    }

    impl Drop for Descriptor {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Door for Scripted {
        type Spare = Descriptor;

        fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
            let free = Descriptor::take(&self.free)?;
            // What is accepted keeps its descriptor until the test is over.
            std::mem::forget(free);
            match self.script.borrow_mut().pop() {
                Some(Some(error)) => {
                    self.free.fetch_add(1, Ordering::SeqCst);
                    Err(error)
                }
                _ => Ok((TcpStream::connect(self.address)?, self.address)),
            }
        }

        fn spare(&self) -> io::Result<Descriptor> {
            Descriptor::take(&self.free)
        }
    }

    /// Writes down what happens; gives descriptors back when the loop waits; stops after so many waits or clients.
    struct Diary {
        notes: Vec<&'static str>,
        pauses: Vec<u128>,
        free: Arc<AtomicU64>,
        left: Cell<u32>,
    }

    impl Reception for Diary {
        fn stopping(&self) -> bool {
            self.left.get() == 0
        }

        fn serve(&mut self, _: TcpStream, _: SocketAddr) {
            self.notes.push("served");
            self.left.set(self.left.get() - 1);
        }

        fn turn_away(&mut self, _: TcpStream) {
            self.notes.push("turned away");
            self.free.fetch_add(1, Ordering::SeqCst);
        }

        fn pause(&mut self, time: Duration) {
            self.notes.push("waited");
            self.pauses.push(time.as_millis());
            self.left.set(self.left.get() - 1);
            if self.pauses.len() == 3 {
                self.free.fetch_add(2, Ordering::SeqCst);
            }
        }
    }

    fn played(script: Vec<Option<io::Error>>, descriptors: u64, steps: u32) -> Diary {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let free = Arc::new(AtomicU64::new(descriptors));
        let door = Scripted { script: RefCell::new(script), free: free.clone(), address };
        let mut diary = Diary { notes: Vec::new(), pauses: Vec::new(), free, left: Cell::new(steps) };
        accept_loop(&door, &mut diary);
        diary
    }

    #[test]
    fn without_descriptors_clients_are_turned_away_until_some_come_back() {
        // One for the spare, one for the first client; two more come back with the third wait.
        let diary = played(Vec::new(), 2, 6);
        let expected = ["served", "turned away", "waited", "turned away", "waited", "turned away", "waited", "served"];
        assert_eq!(diary.notes[..8], expected);
        assert_eq!(diary.pauses[..3], [10, 20, 40]);
    }

    #[test]
    fn without_even_a_spare_the_loop_waits_and_recovers() {
        let diary = played(Vec::new(), 0, 5);
        assert_eq!(diary.notes, ["waited", "waited", "waited", "served", "turned away", "waited"]);
        assert_eq!(diary.pauses, [10, 20, 40, 10]);
    }

    #[test]
    fn an_error_of_one_client_costs_no_wait() {
        let error = || Some(io::ErrorKind::ConnectionAborted.into());
        let diary = played(vec![None, error(), error()], 9, 1);
        assert_eq!(diary.notes, ["served"]);
    }
}

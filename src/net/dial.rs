//! How bytes reach another server: name lookup, TCP, TLS, each of them stoppable.
//!
//! These are the parts plugged into a ureq agent. ureq's own would do, but for three things: neither a name lookup nor
//! a TCP connect in progress is ended by `Agent::shutdown()`, the limit for silence cannot change between the first
//! byte and the rest, and its TLS settings know either built-in roots or the host's, not both. Model providers,
//! messengers and guarded fetches share them. Knows nothing of HTTP.
//!
//! Invariants: whatever blocks here ends when its [`Line`] is cut; TLS settings are built at the first https connection
//! and never before.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
    TransportAdapter,
};
use ureq::{Error, Timeout};

/// What an agent, its sockets and the abort hook share: how long silence may last, and the wish to stop.
#[derive(Debug)]
pub struct Line {
    patience: Mutex<Patience>,
    cut: (Sender<()>, Receiver<()>),
}

/// How long a read may stay silent.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// All reads together; the clock starts with the first one, so connecting and sending are not counted.
    Budget(Duration),
    /// All reads together, until this instant.
    Until(Instant),
    /// Each read on its own.
    Each(Duration),
}

impl Line {
    pub fn new() -> Arc<Line> {
        Arc::new(Line { patience: Mutex::new(Patience::Each(Duration::MAX)), cut: bounded(1) })
    }

    /// Sets the limit for the reads that follow.
    pub fn wait(&self, patience: Patience) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    /// Ends a lookup or connect in progress. Never blocks.
    pub fn cut(&self) {
        // A full channel means that it was cut already.
        let _ = self.cut.0.try_send(());
    }

    /// How long the next read may take; zero when the time is up.
    fn remaining(&self) -> Duration {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        if let Patience::Budget(limit) = *patience {
            *patience = Instant::now().checked_add(limit).map_or(Patience::Each(limit), Patience::Until);
        }
        match *patience {
            Patience::Budget(limit) => limit,
            Patience::Until(end) => end.saturating_duration_since(Instant::now()),
            Patience::Each(limit) => limit,
        }
    }

    /// The addresses of a host, at most [`ADDRESSES`]; an address, in brackets or not, is its own.
    pub fn look_up(&self, host: &str, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        self.wait_for("lookup", timeout, move || Ok((host.as_str(), port).to_socket_addrs()?.take(ADDRESSES).collect()))
    }

    /// Runs `work` on a thread of its own, so that waiting for it can be given up. An abandoned thread ends by its own
    /// limits and its result is dropped.
    fn wait_for<T: Send + 'static>(
        &self,
        name: &str,
        timeout: NextTimeout,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let limit = timeout.not_zero().map_or(LOOKUP_LIMIT, |limit| (*limit).min(LOOKUP_LIMIT));
        let (sender, receiver) = bounded(1);
        std::thread::Builder::new().name(name.to_string()).stack_size(DIAL_STACK).spawn(move || {
            // Nobody listens any more after a cut: the result is then not wanted.
            let _ = sender.send(work());
        })?;
        select! {
            recv(receiver) -> done => match done {
                Ok(result) => Ok(result?),
                Err(_) => Err(Error::ConnectionFailed),
            },
            recv(self.cut.1) -> _ => Err(Error::Io(io::ErrorKind::NotConnected.into())),
            default(limit) => Err(Error::Timeout(timeout.reason)),
        }
    }
}

/// Looks names up; addresses cost nothing.
#[derive(Debug)]
pub struct Lookup(pub Arc<Line>);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut addresses = self.empty();
        self.0.look_up(host, port, timeout)?.into_iter().for_each(|address| addresses.push(address));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Answers with addresses that were looked up, and judged, before.
#[derive(Debug)]
pub struct Pinned(pub Vec<SocketAddr>);

impl Resolver for Pinned {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        self.0.iter().take(ADDRESSES).for_each(|address| addresses.push(*address));
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Opens TCP connections.
#[derive(Debug)]
pub struct Dial(pub Arc<Line>);

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Tcp>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(proxied) = chained {
            return Ok(Some(Either::A(proxied)));
        }
        let limit = details.timeout.not_zero().map_or(LOOKUP_LIMIT, |limit| *limit);
        let addresses: Vec<SocketAddr> = details.addrs.iter().copied().collect();
        let stream = self.0.wait_for("dial", details.timeout, move || dial(&addresses, limit))?;
        stream.set_nodelay(true)?;
        let socket = Arc::new(Socket(stream));
        let handle = Arc::downgrade(&socket) as Weak<dyn ShutdownHandle>;
        (details.register_shutdown)(handle)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Tcp { socket, line: self.0.clone(), buffers, read_limit: None, write_limit: None })))
    }
}

/// Tries the addresses in order; each gets an even share of the time that is left.
fn dial(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + limit;
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (tried, address) in addresses.iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
        match TcpStream::connect_timeout(address, share.max(SHARE_FLOOR)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A socket that another thread may shut down.
#[derive(Debug)]
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // Fails only on a socket that is closed already, which is what we want.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A TCP connection whose reads obey its [`Line`].
pub struct Tcp {
    socket: Arc<Socket>,
    line: Arc<Line>,
    buffers: LazyBuffers,
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let limit = timeout.not_zero().map(|limit| *limit);
        if limit != self.write_limit {
            self.socket.0.set_write_timeout(limit)?;
            self.write_limit = limit;
        }
        let output = &self.buffers.output()[..amount];
        (&self.socket.0).write_all(output).map_err(|error| timed(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let (limit, reason) = match timeout.not_zero() {
            // A TLS or proxy handshake has its own limit and does not use up the patience for the answer.
            Some(limit) => (*limit, timeout.reason),
            None => (self.line.remaining(), Timeout::PerRead),
        };
        if limit.is_zero() {
            return Err(Error::Timeout(reason));
        }
        let end = Instant::now().checked_add(limit);
        let limit = end.map(|_| limit);
        if limit != self.read_limit {
            self.socket.0.set_read_timeout(limit)?;
            self.read_limit = limit;
        }
        let input = self.buffers.input_append_buf();
        let amount = loop {
            match (&self.socket.0).read(input) {
                // A signal does not shorten the wait by much: the limit starts anew at most until it has passed once.
                Err(error)
                    if error.kind() == io::ErrorKind::Interrupted && end.is_none_or(|end| Instant::now() < end) => {}
                result => break result.map_err(|error| timed(error, reason))?,
            }
        };
        acknowledge(&self.socket.0);
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// True when the peer neither closed nor sent what nobody asked for.
    fn is_open(&mut self) -> bool {
        let socket = &self.socket.0;
        let quiet = socket.set_nonblocking(true).is_ok()
            && socket.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        socket.set_nonblocking(false).is_ok() && quiet
    }
}

/// Acknowledges what was read now, not up to 40 ms later: a server that sends each delta with a small write and has
/// left Nagle's algorithm on holds the next delta back until then.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn acknowledge(stream: &TcpStream) {
    // Only an optimisation; a socket that cannot do it is merely slower.
    let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
}

/// Elsewhere there is no such switch.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn acknowledge(_stream: &TcpStream) {}

fn timed(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("socket", &self.socket).finish()
    }
}

/// Wraps https connections in TLS. The settings are asked for at the first one: [`client_config`], except in tests.
#[derive(Debug)]
pub struct Tls(pub fn() -> Result<Arc<ClientConfig>, Error>);

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsStream>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(host.to_string()).map_err(|_| Error::Tls("the host is not a valid TLS name"))?;
        let mut session = ClientConnection::new((self.0)()?, name)?;
        let mut wire = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        wire.set_timeout(details.timeout);
        while session.is_handshaking() {
            session.complete_io(&mut wire)?;
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsStream { buffers, stream: StreamOwned::new(session, wire) })))
    }
}

/// A TLS session over any transport.
pub struct TlsStream {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// The process's TLS client settings: built once, shared by every connection (so sessions resume, too).
pub fn client_config() -> Result<Arc<ClientConfig>, Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let built = Arc::new(build_config(roots())?);
    Ok(CONFIG.get_or_init(|| built).clone())
}

pub(crate) fn build_config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Built-in roots plus the host's bundle: a router has none, a company has its own.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let named = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let bundle = named.into_iter().chain(BUNDLES.iter().map(std::path::PathBuf::from)).find(|path| path.is_file());
    let Some(bundle) = bundle else {
        return roots;
    };
    match CertificateDer::pem_file_iter(&bundle) {
        Ok(certificates) => {
            let (added, ignored) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
            log::debug!("tls: {added} roots from {} ({ignored} ignored)", bundle.display());
        }
        Err(error) => log::warn!("tls: cannot read {}: {error}", bundle.display()),
    }
    roots
}

/// Where distributions keep their bundle: Debian and Alpine and OpenWrt, Fedora, SUSE, the BSDs and macOS.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What ureq's address list holds.
const ADDRESSES: usize = 16;

/// For a caller that set no limit: nothing here may wait for ever.
const LOOKUP_LIMIT: Duration = Duration::from_secs(30);

/// An address late in a long list still gets a chance on a LAN.
const SHARE_FLOOR: Duration = Duration::from_millis(50);

/// Lookups and connects need little; musl's resolver keeps its answer buffers (under 10 KiB) on the stack.
const DIAL_STACK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use ureq::unversioned::transport::time;

    use super::*;

    fn limit(limit: Duration) -> NextTimeout {
        NextTimeout { after: time::Duration::from(limit), reason: Timeout::Connect, ..NextTimeout::default() }
    }

    #[test]
    fn a_cut_ends_a_lookup_or_connect_that_hangs() {
        let line = Line::new();
        let (started_in, started) = bounded::<()>(1);
        let (_never, hang) = bounded::<()>(1);
        let waiter = {
            let line = line.clone();
            std::thread::spawn(move || {
                line.wait_for("hangs", limit(LOOKUP_LIMIT), move || {
                    started_in.send(()).expect("the test listens");
                    hang.recv().map_err(io::Error::other)
                })
            })
        };
        started.recv().expect("the work begins");
        let begin = Instant::now();
        line.cut();
        assert!(waiter.join().expect("no panic").is_err());
        assert!(begin.elapsed() < Duration::from_secs(2));
        line.cut();
        line.cut();
    }

    #[test]
    fn a_hanging_lookup_runs_into_its_deadline() {
        let (_never, hang) = bounded::<()>(1);
        let result = Line::new()
            .wait_for("hangs", limit(Duration::from_millis(20)), move || hang.recv().map_err(io::Error::other));
        assert!(matches!(result, Err(Error::Timeout(Timeout::Connect))), "{result:?}");
    }

    #[test]
    fn dialling_goes_on_to_the_next_address() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let dead = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a loopback port");
        let live = listener.local_addr().expect("bound");
        assert!(dial(&[dead, live], Duration::from_secs(5)).is_ok_and(|stream| stream.peer_addr().ok() == Some(live)));
        assert!(dial(&[dead], Duration::from_secs(5)).is_err());
        assert!(dial(&[], Duration::from_secs(5)).is_err());
    }

    #[test]
    fn the_budget_starts_with_the_first_read_and_is_used_up() {
        let line = Line::new();
        line.wait(Patience::Budget(Duration::from_secs(60)));
        let first = line.remaining();
        assert!(first <= Duration::from_secs(60) && line.remaining() <= first);
        line.wait(Patience::Each(Duration::from_secs(3)));
        assert_eq!((line.remaining(), line.remaining()), (Duration::from_secs(3), Duration::from_secs(3)));
    }
}

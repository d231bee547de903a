//! TLS in two halves: a reader that never writes and a writer that alone writes.
//!
//! rustls is a value that eats and yields bytes. Both halves share it behind a mutex that is held for memory work only,
//! never across a read or a write of the socket. Records leave in order because only [`TlsWriter`] calls `write_tls`;
//! when the reader makes rustls want to say something (a key update), it says so and somebody asks the writer to flush.
//!
//! Does not verify clients and offers HTTP/1.1 only.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rustls::ServerConnection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;

use super::sock::Sock;
use crate::sys::swap::Swap;

/// Ciphertext read at once; a record of 16 KiB takes four reads, an idle connection keeps one page.
const CIPHER_READ: usize = 4 << 10;
/// Plaintext encrypted at once: one full record.
const SEAL: usize = 16 << 10;
/// Sessions remembered for resumption. A gateway has tens of clients, and each costs about a kilobyte.
const SESSIONS: usize = 64;

/// A certificate and its key, ready to serve. Cheap to clone; clones serve the same one, also after it was replaced.
#[derive(Clone)]
pub struct TlsConfig(Arc<Swap<rustls::ServerConfig>>);

/// Why a certificate or key cannot be used.
#[derive(Debug)]
pub enum TlsError {
    /// A file that cannot be read: its path and why.
    Read(String, io::Error),
    /// The PEM text holds no certificate, or one that cannot be decoded.
    Certificate,
    /// The PEM text holds no private key, or one that cannot be decoded.
    Key,
    /// The pair is refused: wrong key for the certificate, an algorithm nobody speaks.
    Pair(rustls::Error),
}

impl TlsConfig {
    /// From PEM text: a certificate chain, leaf first, and its private key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<TlsConfig, TlsError> {
        Ok(TlsConfig(Arc::new(Swap::new(served(chain, key)?))))
    }

    /// Serves another pair from now on; connections that are there keep theirs.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.0.set(served(chain, key)?);
        Ok(())
    }

    /// The handshake, on the connection thread, done at `until` or failed.
    pub(super) fn accept(&self, sock: &Sock, until: Instant) -> io::Result<(TlsReader, TlsWriter)> {
        let mut session = ServerConnection::new(self.0.get()).map_err(io::Error::other)?;
        let mut wire = Timed { sock, until };
        while session.is_handshaking() {
            if session.complete_io(&mut wire)? == (0, 0) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        while session.wants_write() {
            session.write_tls(&mut wire)?;
        }
        let session = Arc::new(Mutex::new(session));
        let reader =
            TlsReader { session: session.clone(), cipher: vec![0; CIPHER_READ].into(), from: 0, to: 0, flush: false };
        Ok((reader, TlsWriter { session, sealed: Vec::new() }))
    }
}

/// The rules of one pair: HTTP/1.1, no client certificates, a few sessions remembered.
fn served(chain: &[u8], key: &[u8]) -> Result<rustls::ServerConfig, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// The first certificate of a PEM text (DER).
pub fn leaf(chain: &[u8]) -> Option<Vec<u8>> {
    CertificateDer::from_pem_slice(chain).ok().map(|certificate| certificate.to_vec())
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConfig([redacted])")
    }
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TlsError::Read(path, _) => write!(f, "read {path}"),
            TlsError::Certificate => f.write_str("no usable certificate in the PEM text"),
            TlsError::Key => f.write_str("no usable private key in the PEM text"),
            TlsError::Pair(_) => f.write_str("use the certificate with its key"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Read(_, source) => Some(source),
            TlsError::Pair(source) => Some(source),
            TlsError::Certificate | TlsError::Key => None,
        }
    }
}

/// The reading half.
pub(super) struct TlsReader {
    session: Arc<Mutex<ServerConnection>>,
    cipher: Box<[u8]>,
    from: usize,
    to: usize,
    flush: bool,
}

impl TlsReader {
    /// Reads plaintext; `raw` fetches ciphertext and is called without the lock. Zero means that the peer said goodbye
    /// or that its stream ended: HTTP and WebSocket both know by themselves whether something was missing.
    pub(super) fn read(
        &mut self,
        into: &mut [u8],
        mut raw: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            if let Some(read) = self.decrypt(into)? {
                return Ok(read);
            }
            self.from = 0;
            self.to = 0;
            self.to = raw(&mut self.cipher)?;
            if self.to == 0 {
                return Ok(0);
            }
        }
    }

    /// Memory work: plaintext that is there, or as much as the ciphertext read so far yields.
    fn decrypt(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut session = locked(&self.session);
        loop {
            match session.reader().read(into) {
                Ok(read) => return Ok(Some(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.from == self.to {
                return Ok(None);
            }
            let mut rest = &self.cipher[self.from..self.to];
            self.from += session.read_tls(&mut rest)?;
            let outcome = session.process_new_packets();
            self.flush |= session.wants_write();
            outcome.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Whether rustls wants to say something since this was last asked.
    pub(super) fn wants_flush(&mut self) -> bool {
        std::mem::take(&mut self.flush)
    }
}

/// The writing half.
pub(super) struct TlsWriter {
    session: Arc<Mutex<ServerConnection>>,
    sealed: Vec<u8>,
}

impl TlsWriter {
    /// Encrypts and writes, a record at a time; with nothing to write it only flushes what rustls has to say.
    pub(super) fn send(&mut self, sock: &Sock, plain: &[u8]) -> io::Result<()> {
        if plain.is_empty() {
            return self.seal(sock, &[]);
        }
        plain.chunks(SEAL).try_for_each(|piece| self.seal(sock, piece))
    }

    /// Tells the peer that the end is the end.
    pub(super) fn goodbye(&mut self, sock: &Sock) -> io::Result<()> {
        locked(&self.session).send_close_notify();
        self.seal(sock, &[])
    }

    fn seal(&mut self, sock: &Sock, mut plain: &[u8]) -> io::Result<()> {
        let mut session = locked(&self.session);
        loop {
            let taken = if plain.is_empty() { 0 } else { session.writer().write(plain)? };
            plain = &plain[taken..];
            while session.wants_write() {
                session.write_tls(&mut self.sealed)?;
            }
            if plain.is_empty() {
                break;
            }
        }
        drop(session);
        let written = sock.write_all(&self.sealed);
        self.sealed.clear();
        written
    }
}

/// A panic inside rustls would leave the session unusable, and then the next call says so; the lock itself is whole.
fn locked(session: &Mutex<ServerConnection>) -> MutexGuard<'_, ServerConnection> {
    session.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The socket under one deadline for the whole handshake.
struct Timed<'s> {
    sock: &'s Sock,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.sock.set_read_timeout(left)?;
        self.sock.read(into)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sock.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The socket below the protocol: TCP or TLS, where every read and write ends at a deadline.
//!
//! Does not know WebSocket. Invariant: no call on [`Stream`] blocks past the moment given to [`Duplex::until`]; a call
//! that reaches it fails with `TimedOut`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use super::error::ClientError;
use crate::net::duplex::Duplex;

/// A connected byte stream.
pub enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// SHA-256 of the server's certificate (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads 64 hex digits, with or without colons and a `sha256:` in front.
    pub fn parse(text: &str) -> Result<Fingerprint, ClientError> {
        let bad = || ClientError::Address("a TLS fingerprint is 64 hex digits (SHA-256 of the certificate)".into());
        let text = text.trim();
        let hex = text.get(..7).filter(|head| head.eq_ignore_ascii_case("sha256:")).map_or(text, |_| &text[7..]);
        let mut digits = hex.bytes().filter(|b| !matches!(b, b':' | b' ')).map(|b| (b as char).to_digit(16));
        let mut out = [0u8; 32];
        for byte in &mut out {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else { return Err(bad()) };
            *byte = (high * 16 + low) as u8;
        }
        if digits.next().is_some() { Err(bad()) } else { Ok(Fingerprint(out)) }
    }
}

impl Stream {
    /// Opens TCP to `host:port`, trying each address the name has. Name resolution has the system's own deadline.
    pub fn connect(host: &str, port: u16, until: Instant) -> Result<Timed, ClientError> {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let unreachable = |source| ClientError::Unreachable { address: address.clone(), source };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for peer in (host, port).to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&peer, remaining(until)) {
                Ok(socket) => {
                    socket.set_nodelay(true).map_err(ClientError::Io)?;
                    return Ok(Timed { socket, until });
                }
                Err(failed) => last = failed,
            }
        }
        Err(unreachable(last))
    }

    /// Puts TLS on a socket. With a fingerprint the certificate must be exactly that one, whoever signed it; without,
    /// it must be signed by a public authority.
    pub fn secure(socket: Timed, host: &str, pin: Option<Fingerprint>) -> Result<Stream, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = |what: rustls::Error| ClientError::Tls(what.to_string());
        let versions = ClientConfig::builder_with_provider(provider.clone());
        let trust = versions.with_safe_default_protocol_versions().map_err(tls)?;
        let config = match pin {
            Some(pin) => trust.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pin, provider })),
            None => trust.with_root_certificates(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ClientError::Address(format!("{host} is not a name a certificate can have")))?;
        let session = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).map_err(tls)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|failed| ClientError::Tls(failed.to_string()))?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn timed(&mut self) -> &mut Timed {
        match self {
            Stream::Plain(timed) => timed,
            Stream::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Duplex for Stream {
    fn until(&mut self, until: Instant) {
        self.timed().until = until;
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(timed) => timed.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(timed) => timed.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// A TCP socket with one deadline for all that is done on it.
pub struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.socket.set_read_timeout(Some(remaining(self.until)))?;
            match self.socket.read(into) {
                // A signal to this process: the wait goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(late),
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(remaining(self.until)))?;
        self.socket.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zero would mean "for ever" to the operating system, so the shortest wait is one millisecond.
fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Unix reports a passed deadline as `WouldBlock`, which protocol engines take for "ask again".
fn late(failed: io::Error) -> io::Error {
    match failed.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => failed,
    }
}

/// Accepts one certificate, by its digest; the handshake's signature is still verified.
#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if digest(&SHA256, end_entity).as_ref() == self.pin.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("the certificate is not the one with the expected fingerprint".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = Fingerprint::parse(&"ab".repeat(32)).expect("64 digits");
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(Fingerprint::parse(&format!("SHA256:{colons}")).expect("with colons"), plain);
        for bad in ["", "zz", &"ab".repeat(31), &"ab".repeat(33)] {
            assert!(Fingerprint::parse(bad).is_err(), "{bad}");
        }
    }
}

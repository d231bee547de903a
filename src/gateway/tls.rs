//! The certificate the port is served with: found, made when there is none, and followed when its files change.
//!
//! Connections keep the certificate they began with; those that come later get the new one. A pair of files that does not
//! fit together (one of them is written before the other) changes nothing.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use super::StartError;
use crate::config::Config;
use crate::net::{TlsConfig, TlsError, leaf, self_signed};
use crate::sys::files;
use crate::sys::paths::Paths;
use crate::sys::random::to_hex;

/// A served certificate and where it comes from.
pub struct Certificate {
    pub config: TlsConfig,
    cert: PathBuf,
    key: PathBuf,
    /// SHA-256 of both files.
    seen: [u8; 32],
}

impl Certificate {
    /// The certificate of the configuration; `None` when the port is served in the clear. Makes a pair where both files
    /// are missing, unless `gateway.tls.autoGenerate` is false.
    pub fn open(config: &Config, paths: &Paths, names: &[&str]) -> Result<Option<Certificate>, StartError> {
        if !config.gateway.tls.enabled {
            return Ok(None);
        }
        let (cert, key) = places(config, paths);
        if !cert.exists() && !key.exists() {
            if !config.gateway.tls.auto_generate {
                return Err(StartError::Config(format!(
                    "gateway.tls is enabled, but {} is missing (set gateway.tls.certPath and gateway.tls.keyPath, or \
                     gateway.tls.autoGenerate: true)",
                    cert.display()
                )));
            }
            make(&cert, &key, names)?;
        }
        let refused = |error: TlsError| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            StartError::Config(format!("gateway.tls: {error}{source}"))
        };
        let (chain, secret) = (read(&cert).map_err(refused)?, read(&key).map_err(refused)?);
        let config = TlsConfig::from_pem(&chain, &secret).map_err(refused)?;
        log::info!("TLS certificate {} sha256:{}", cert.display(), fingerprint(&chain).unwrap_or_default());
        Ok(Some(Certificate { config, seen: both(&chain, &secret), cert, key }))
    }

    /// The files to watch.
    pub fn files(&self) -> [PathBuf; 2] {
        [self.cert.clone(), self.key.clone()]
    }

    /// Takes up changed files, if they are good.
    pub fn renew(&mut self) {
        let (Ok(chain), Ok(secret)) = (read(&self.cert), read(&self.key)) else { return };
        let now = both(&chain, &secret);
        if now == self.seen {
            return;
        }
        match self.config.replace(&chain, &secret) {
            Ok(()) => {
                self.seen = now;
                log::info!("TLS certificate renewed: sha256:{}", fingerprint(&chain).unwrap_or_default());
            }
            Err(error) => log::warn!("the TLS certificate stays as it was: {error}"),
        }
    }
}

/// Where the pair of this gateway is, or would be made.
pub fn places(config: &Config, paths: &Paths) -> (PathBuf, PathBuf) {
    let tls = &config.gateway.tls;
    let dir = paths.state_dir.join("tls");
    let place =
        |set: &Option<String>, name: &str| set.as_ref().map_or_else(|| dir.join(name), |path| config.expand(path));
    (place(&tls.cert_path, "gateway-cert.pem"), place(&tls.key_path, "gateway-key.pem"))
}

/// The fingerprint clients pin, of the first certificate of a PEM text.
pub fn fingerprint(chain: &[u8]) -> Option<String> {
    leaf(chain).map(|der| to_hex(digest(&SHA256, &der).as_ref()))
}

fn make(cert: &Path, key: &Path, names: &[&str]) -> Result<(), StartError> {
    let failed = |path: &Path, error: std::io::Error| StartError::Failed(format!("write {}: {error}", path.display()));
    let mut all = vec!["localhost", "127.0.0.1", "::1"];
    all.extend(names.iter().filter(|name| !name.is_empty()));
    let pair = self_signed::pair(&all, jiff::Timestamp::now())
        .ok_or_else(|| StartError::Failed("make a TLS certificate".into()))?;
    for (path, text) in [(key, &pair.key), (cert, &pair.certificate)] {
        if let Some(dir) = path.parent() {
            files::private_dir_if_missing(dir).map_err(|error| failed(dir, error))?;
        }
        files::write_atomic(path, text.as_bytes()).map_err(|error| failed(path, error))?;
    }
    log::info!("made a TLS certificate: {}", cert.display());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read_capped(path, LARGEST).map_err(|source| TlsError::Read(path.display().to_string(), source))
}

fn both(chain: &[u8], key: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // The length keeps the two apart.
    let all = [&(chain.len() as u64).to_be_bytes()[..], chain, key].concat();
    out.copy_from_slice(digest(&SHA256, &all).as_ref());
    out
}

/// A chain of a few certificates; more is not a certificate (bytes).
const LARGEST: u64 = 1 << 20;

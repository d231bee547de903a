//! Files that come in: what they are by their first bytes, and a folder for them with a quota.
//!
//! Names are made here and never taken from outside; a file's own name is only shown. Over the quota the oldest go.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::account::Account;
use super::http::Answer;
use super::inbound::Inbound;
use super::message::{ChannelError, IncomingFile};
use crate::sys::order;
use crate::sys::{files, random};

/// Bytes all kept files of one account may have.
const QUOTA: u64 = 256 << 20;
/// Files of one account.
const FILES: usize = 2_000;
/// Pictures a model gets to see; larger ones are kept as files.
const IMAGE_MAX: usize = 5 << 20;

/// An account's folder.
pub struct Shelf {
    dir: PathBuf,
    max: u64,
}

impl Shelf {
    pub fn new(account: &Account) -> Shelf {
        let dir = account.state_dir.join("media").join(account.spec.id).join(&*account.key.account);
        Shelf { dir, max: account.media_max() }
    }

    /// Bytes of the largest file taken.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Judges a file by its first bytes: a picture goes to the model, everything else onto the shelf.
    pub fn take(&self, name: &str, said: &str, bytes: Vec<u8>) -> IncomingFile {
        if bytes.len() as u64 > self.max {
            return IncomingFile::Left {
                name: name.into(),
                why: format!("larger than {} bytes (mediaMaxMb)", self.max),
            };
        }
        let found = sniff(&bytes);
        if let Some(mime) = found.filter(|mime| mime.starts_with("image/"))
            && bytes.len() <= IMAGE_MAX
        {
            return IncomingFile::Image { mime, bytes };
        }
        // What somebody calls his file counts only where its bytes say nothing.
        let mime = found.unwrap_or(if plain(said) { said } else { "application/octet-stream" }).to_owned();
        match self.keep(name, &bytes) {
            Ok(path) => IncomingFile::Kept {
                name: name.into(),
                mime,
                path: path.display().to_string(),
                bytes: bytes.len() as u64,
            },
            Err(error) => {
                log::error!("keep a file in {}: {error}", self.dir.display());
                IncomingFile::Left { name: name.into(), why: "it could not be kept on disk".into() }
            }
        }
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        files::private_dir(&self.dir)?;
        self.make_room(bytes.len() as u64)?;
        let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let fits = ending.len() <= 8 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let ending =
            if fits && !ending.is_empty() { format!(".{}", ending.to_ascii_lowercase()) } else { String::new() };
        let path = self.dir.join(format!("{}{ending}", random::hex::<12>()));
        files::write_atomic(&path, bytes)?;
        Ok(path)
    }

    fn make_room(&self, more: u64) -> std::io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            if facts.is_file() {
                kept.push((facts.modified().unwrap_or(SystemTime::UNIX_EPOCH), facts.len(), entry.path()));
            }
        }
        order::sort(&mut kept);
        let mut bytes: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        let mut count = kept.len();
        for (_, size, path) in kept {
            if bytes + more <= QUOTA && count < FILES {
                break;
            }
            std::fs::remove_file(path)?;
            bytes -= size;
            count -= 1;
        }
        Ok(())
    }
}

/// A file that a service keeps for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its address, or what the service calls it.
    pub at: String,
    pub name: String,
    /// What the service says it is; may be empty.
    pub mime: String,
    pub bytes: Option<u64>,
}

impl Inbound {
    /// Fetches a file: `get` is asked for at most so many bytes. What it refuses is told to the model in its words; any
    /// other failure is for the log.
    pub fn fetch(&self, file: &Remote, get: impl FnOnce(usize) -> Result<Vec<u8>, ChannelError>) -> IncomingFile {
        let shelf = self.files();
        let left = |why: String| IncomingFile::Left { name: file.name.clone(), why };
        if file.bytes.is_some_and(|bytes| bytes > shelf.max) {
            return left(format!("larger than {} MB", shelf.max >> 20));
        }
        match get(usize::try_from(shelf.max).unwrap_or(usize::MAX)) {
            Ok(bytes) => shelf.take(&file.name, &file.mime, bytes),
            Err(ChannelError::Refused(why)) => left(why),
            Err(error) => {
                log::warn!("{}: a file was not fetched: {error}", self.account().key);
                left("it could not be fetched".into())
            }
        }
    }
}

/// The bytes of an answer that is a file.
pub fn body(answer: Answer) -> Result<Vec<u8>, ChannelError> {
    match answer.status {
        200 => Ok(answer.body),
        status => Err(ChannelError::Lost(format!("HTTP {status}"))),
    }
}

/// The name of a file of this host, without its folders.
pub fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("file")
}

/// Reads a file of this host that is to be sent: a regular one of at most `max` bytes.
pub fn read(path: &str, max: u64) -> Result<Vec<u8>, ChannelError> {
    let refused = |error: std::io::Error| ChannelError::Refused(format!("read {path}: {error}"));
    let facts = std::fs::metadata(path).map_err(refused)?;
    if facts.len() > max || !facts.is_file() {
        return Err(ChannelError::Refused(format!("{path} is no file of at most {} MB", max >> 20)));
    }
    std::fs::read(path).map_err(refused)
}

fn plain(mime: &str) -> bool {
    !mime.is_empty() && mime.len() < 100 && mime.bytes().all(|b| b.is_ascii_alphanumeric() || b"/+.-".contains(&b))
}

/// What a file is, by its first bytes.
pub fn sniff(bytes: &[u8]) -> Option<&'static str> {
    const SIGNS: &[(usize, &[u8], &str)] = &[
        (0, b"\x89PNG\r\n\x1a\n", "image/png"),
        (0, b"\xff\xd8\xff", "image/jpeg"),
        (0, b"GIF87a", "image/gif"),
        (0, b"GIF89a", "image/gif"),
        (8, b"WEBP", "image/webp"),
        (0, b"%PDF-", "application/pdf"),
        (0, b"OggS", "audio/ogg"),
        (0, b"ID3", "audio/mpeg"),
        (0, b"\xff\xfb", "audio/mpeg"),
        (4, b"ftyp", "video/mp4"),
        (0, b"\x1aE\xdf\xa3", "video/webm"),
        (8, b"WAVE", "audio/wav"),
        (0, b"PK\x03\x04", "application/zip"),
        (0, b"\x1f\x8b", "application/gzip"),
    ];
    let hit = SIGNS.iter().find(|(at, sign, _)| bytes.get(*at..at + sign.len()) == Some(*sign));
    hit.map(|(_, _, mime)| *mime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_bytes_say() {
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8"), Some("image/webp"));
        assert_eq!(sniff(b"#!/bin/sh"), None);
        assert_eq!(sniff(b""), None);
        assert!(plain("text/plain") && !plain("text/plain\r\nX: y"));
    }
}

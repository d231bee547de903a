//! Accounts of this host, as far as its own files name them.
//!
//! Network directories are not asked: a service account is a local one. On Windows accounts have no numbers here.

use std::io;
use std::path::{Path, PathBuf};

/// A local account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub home: PathBuf,
}

/// The account with this name in the text of a passwd file.
pub fn named(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().filter_map(account).find(|account| account.name == name)
}

/// The account with this number in the text of a passwd file.
pub fn numbered(passwd: &str, uid: u32) -> Option<Account> {
    passwd.lines().filter_map(account).find(|account| account.uid == uid)
}

fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let (name, _, uid) = (fields.next()?, fields.next()?, fields.next()?);
    let home = fields.nth(2)?;
    Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, home: PathBuf::from(home) })
}

/// The text of this host's passwd file; empty where there is none.
pub fn passwd() -> String {
    super::files::read_capped(Path::new("/etc/passwd"), PASSWD_MAX)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The number of the account this process runs as.
#[cfg(unix)]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub fn own_uid() -> u32 {
    0
}

/// Makes a file somebody else's.
#[cfg(unix)]
pub fn give(path: &Path, uid: u32) -> io::Result<()> {
    Ok(rustix::fs::chown(path, Some(rustix::fs::Uid::from_raw(uid)), None)?)
}

#[cfg(not(unix))]
pub fn give(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Bytes; a host with more local accounts than that has other problems.
const PASSWD_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbad:x:y\nann:x:1000:100:Ann,,,:/home/ann:/bin/bash\n";
        let ann = named(passwd, "ann").unwrap();
        assert_eq!((ann.uid, ann.home.as_path()), (1000, Path::new("/home/ann")));
        assert_eq!(numbered(passwd, 0).unwrap().name, "root");
        assert_eq!(named(passwd, "bob"), None);
    }
}

//! Files of the store on Windows: the state lock. Access rights are inherited from the user's profile directory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

/// Others may read (the pid inside), nobody else may open for writing.
const FILE_SHARE_READ: u32 = 1;
/// What opening answers when another handle does not share.
const ERROR_SHARING_VIOLATION: i32 = 32;

/// Creates a directory and its parents.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)
}

/// Makes sure the file exists. True when it was created.
pub(super) fn private_file(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// NTFS journals directory entries itself; there is no handle to sync.
pub(super) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens exclusively; None when somebody else holds it. The system lets go when we die.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).share_mode(FILE_SHARE_READ);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(e) => Err(e),
    }
}

//! Opening a file that must lie below a folder, whatever its path says and whoever plants links there.
//!
//! The folder itself may be a link: its owner chose it. Nothing below it is followed. Only regular files are opened: a
//! pipe would hold its reader for ever.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens `path` (segments between slashes) below `root` for reading.
#[cfg(unix)]
pub fn open(root: &Path, path: &str) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, root, folder, Mode::empty())?;
    let mut segments = plain(path)?.peekable();
    while let Some(segment) = segments.next() {
        if segments.peek().is_some() {
            at = openat(&at, segment, folder | OFlags::NOFOLLOW, Mode::empty())?;
            continue;
        }
        // Without NONBLOCK the opening of a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&at, segment, flags, Mode::empty())?);
        return if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) };
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Opens `path` (segments between slashes) below `root` for reading.
#[cfg(not(unix))]
pub fn open(root: &Path, path: &str) -> io::Result<File> {
    let mut here = root.to_owned();
    for segment in plain(path)? {
        here.push(segment);
        if here.symlink_metadata()?.file_type().is_symlink() {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
    if here.metadata()?.is_file() { File::open(&here) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The segments, if each is a name and nothing else.
fn plain(path: &str) -> io::Result<impl Iterator<Item = &str>> {
    let name = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(['/', '\\', ':', '\0']);
    if path.split('/').all(name) { Ok(path.split('/')) } else { Err(io::ErrorKind::NotFound.into()) }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn only_regular_files_below_the_root_are_opened() {
        use std::os::unix::fs::symlink;

        let root = std::env::temp_dir().join(format!("openclaw-beneath-{}", std::process::id()));
        std::fs::create_dir_all(root.join("www/sub")).expect("make a root");
        std::fs::write(root.join("secret"), "no").expect("write outside");
        std::fs::write(root.join("www/sub/a.txt"), "yes").expect("write inside");
        symlink(root.join("secret"), root.join("www/link")).expect("link a file");
        symlink(&root, root.join("www/up")).expect("link a folder");
        symlink(root.join("www"), root.join("door")).expect("link the root");
        let open = |folder: &str, path: &str| super::open(&root.join(folder), path).is_ok();
        assert!(open("www", "sub/a.txt") && open("door", "sub/a.txt"));
        for path in
            ["link", "up/secret", "../secret", "sub/../../secret", "sub", "", "/etc/passwd", "sub//a.txt", "x\\y"]
        {
            assert!(!open("www", path), "{path}");
        }
        std::fs::remove_dir_all(&root).expect("clean up");
    }
}

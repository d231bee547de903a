//! Where log files go, and what they are called.
//!
//! The reference logs under the temporary directory, and people grep there, so that is the first choice; but a directory
//! there can be anybody's. It is used only when it belongs to this user and nobody else may write to it. Phones and
//! read-only roots have no usable temporary directory at all: then the logs go into the state directory.

use std::path::{Path, PathBuf};

use super::Env;
use super::files;
use super::paths::Paths;

/// The shared place of the default user, as the reference has it.
const SHARED: &str = "/tmp/openclaw";

/// The directory for log files; it exists and is private when this returns, if any can be had. No error: a gateway that
/// cannot log must still run.
pub fn log_dir(paths: &Paths, env: &Env) -> PathBuf {
    let fallback = paths.state_dir.join("logs");
    let temporary = env.get("TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let mut candidates = vec![temporary.join(own_name()), fallback.clone()];
    if cfg!(unix) {
        candidates.insert(0, PathBuf::from(SHARED));
    }
    candidates.into_iter().find(|dir| is_ours(dir)).unwrap_or(fallback)
}

/// `openclaw-2026-09-21.log`, with the profile's name in the middle where there is one.
pub fn log_file_name(profile: Option<&str>, date: &str) -> String {
    match profile {
        Some(profile) => format!("openclaw-{}-{date}.log", escaped(profile)),
        None => format!("openclaw-{date}.log"),
    }
}

/// Lower-case letters and digits stay; everything else is escaped with `-`, so that two profiles never share a file.
fn escaped(profile: &str) -> String {
    let mut out = String::new();
    for c in profile.chars() {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            '-' => out.push_str("--"),
            '_' => out.push_str("-0"),
            'A'..='Z' => out.extend(['-', '1', c.to_ascii_lowercase()]),
            other => out.push_str(&format!("-2{:x}-", u32::from(other))),
        }
    }
    out
}

#[cfg(unix)]
fn own_name() -> String {
    format!("openclaw-{}", rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn own_name() -> String {
    "openclaw".to_owned()
}

/// Makes the directory when it is missing; a link, another user's directory or one that others may write to is not ours.
#[cfg(unix)]
fn is_ours(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let found = match std::fs::symlink_metadata(dir) {
        Ok(found) => found,
        Err(_) => {
            return files::private_dir(dir).is_ok() && rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
        }
    };
    found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o022 == 0
        && rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn is_ours(dir: &Path) -> bool {
    dir.is_dir() || files::private_dir(dir).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_log_files_of_their_own() {
        assert_eq!(log_file_name(None, "2026-09-21"), "openclaw-2026-09-21.log");
        assert_eq!(log_file_name(Some("dev"), "2026-09-21"), "openclaw-dev-2026-09-21.log");
        assert_eq!(log_file_name(Some("Ab_c-d"), "2026-09-21"), "openclaw--1ab-0c--d-2026-09-21.log");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_others_may_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt;

        let dir = crate::sys::scratch::dir("log-dir").join("logs");
        assert!(is_ours(&dir));
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_ours(&dir));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_temporary_directory_is_not_followed() {
        let dir = crate::sys::scratch::dir("log-link");
        std::os::unix::fs::symlink(&dir, dir.join("link")).unwrap();
        assert!(!is_ours(&dir.join("link")));
    }
}

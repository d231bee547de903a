//! Where things are on this machine.
//!
//! Everything is derived from an [`Env`] and the two command line selectors (`--profile`, `--dev`); nothing here creates
//! or reads a file (see [`super::log_dir`] for the directory that needs a look). The names follow the reference so
//! that an existing installation is found; the database file has a name of its own, so that it is not mistaken for
//! theirs.
//!
//! Invariant: every path handed out is absolute.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::Env;

/// The gateway's own database file under the state directory.
pub const DATABASE_FILE: &str = "gateway.sqlite";

/// The configuration's file name under the state directory.
pub const CONFIG_FILE: &str = "openclaw.json";

/// Profile names are file and service name parts: 64 characters are enough for every service manager.
const PROFILE_LEN: usize = 64;

/// The places one gateway instance lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The home that `~` means; `OPENCLAW_HOME` when set.
    pub home: PathBuf,
    /// `None` for the default profile.
    pub profile: Option<String>,
    /// Sessions, credentials, database, default workspace.
    pub state_dir: PathBuf,
    /// The configuration file, whether it exists or not.
    pub config: PathBuf,
    /// Workspace of the default agent when the configuration names none.
    pub workspace: PathBuf,
}

/// Which instance the command line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// `--profile NAME`.
    pub profile: Option<String>,
    /// `--dev`: the profile `dev`.
    pub dev: bool,
}

/// Why no paths can be given. `Display` is a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathsError {
    /// A profile name with characters that do not belong into a file name.
    BadProfile { name: String },
    /// `--dev` together with another `--profile`.
    TwoProfiles { name: String },
    /// No home directory and no state directory.
    NoHome,
}

impl Paths {
    /// Resolves the instance. `--profile`/`--dev` beat `OPENCLAW_PROFILE`; explicit `OPENCLAW_STATE_DIR` and
    /// `OPENCLAW_CONFIG_PATH` beat what the profile implies, unless they are what another profile implied.
    pub fn resolve(env: &Env, selector: &Selector) -> Result<Paths, PathsError> {
        let home = home_of(env).or_else(|| std::env::current_dir().ok()).ok_or(PathsError::NoHome)?;
        let inherited = profile_named(env.get("OPENCLAW_PROFILE"))?;
        let chosen = match (&selector.profile, selector.dev) {
            (Some(name), true) if !name.eq_ignore_ascii_case("dev") => {
                return Err(PathsError::TwoProfiles { name: name.clone() });
            }
            (_, true) => Some("dev".to_owned()),
            (Some(name), false) => profile_named(Some(name))?,
            (None, false) => inherited.clone(),
        };
        let switched = chosen != inherited;
        let (own, other) = (state_dir_of(&home, chosen.as_deref()), state_dir_of(&home, inherited.as_deref()));
        let state_dir = env
            .get("OPENCLAW_STATE_DIR")
            .map(|dir| expand(dir, &home))
            .filter(|dir| !(switched && *dir == other))
            .unwrap_or(own);
        let config = env
            .get("OPENCLAW_CONFIG_PATH")
            .map(|path| expand(path, &home))
            .filter(|path| !(switched && *path == other.join(CONFIG_FILE)))
            .unwrap_or_else(|| state_dir.join(CONFIG_FILE));
        let workspace =
            env.get("OPENCLAW_WORKSPACE_DIR").map_or_else(|| state_dir.join("workspace"), |dir| expand(dir, &home));
        Ok(Paths { home, profile: chosen, state_dir, config, workspace })
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join(DATABASE_FILE)
    }

    /// The variables file that is merged under the process environment.
    pub fn dot_env(&self) -> PathBuf {
        self.state_dir.join(".env")
    }

    /// Makes a path from user input absolute: `~` is this instance's home, a relative path counts from the working
    /// directory.
    pub fn expand(&self, input: &str) -> PathBuf {
        expand(input, &self.home)
    }
}

/// Makes a path absolute and drops `.` and `..` without asking the file system.
pub fn expand(input: &str, home: &Path) -> PathBuf {
    let input = input.trim();
    let path = match input.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => PathBuf::from(input),
    };
    let path = if path.is_absolute() { path } else { std::env::current_dir().unwrap_or_default().join(path) };
    clean(&path)
}

/// Removes `.` and resolves `..` by name.
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Checks a profile name: letters, digits, `_` and `-`, at most 64, not starting with a sign.
pub fn is_profile_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= PROFILE_LEN
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// `default` and nothing at all are the default profile.
fn profile_named(name: Option<&str>) -> Result<Option<String>, PathsError> {
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return Ok(None) };
    if !is_profile_name(name) {
        return Err(PathsError::BadProfile { name: name.to_owned() });
    }
    Ok((!name.eq_ignore_ascii_case("default")).then(|| name.to_owned()))
}

fn state_dir_of(home: &Path, profile: Option<&str>) -> PathBuf {
    match profile {
        Some(name) => home.join(format!(".openclaw-{name}")),
        None => home.join(".openclaw"),
    }
}

/// `OPENCLAW_HOME`, then the operating system's home.
fn home_of(env: &Env) -> Option<PathBuf> {
    let os_home = || ["HOME", "USERPROFILE"].iter().find_map(|name| usable(env.get(name))).map(PathBuf::from);
    match usable(env.get("OPENCLAW_HOME")) {
        Some(explicit) if explicit.starts_with('~') => os_home().map(|home| expand(explicit, &home)),
        Some(explicit) => Some(expand(explicit, Path::new("/"))),
        None => os_home().map(|home| clean(&home)),
    }
}

/// Shell scripts and service templates leave these words behind when a variable of theirs was empty.
fn usable(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !matches!(*value, "undefined" | "null"))
}

impl fmt::Display for PathsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathsError::BadProfile { name } => write!(
                f,
                "Invalid profile name: {name:?} (use letters, digits, \"_\" and \"-\", at most {PROFILE_LEN})"
            ),
            PathsError::TwoProfiles { name } => {
                write!(f, "--dev is the profile \"dev\"; drop --dev or --profile {name}")
            }
            PathsError::NoHome => f.write_str(
                "no home directory: set OPENCLAW_HOME, HOME or USERPROFILE, or run from an existing directory",
            ),
        }
    }
}

impl std::error::Error for PathsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(env: &[(&str, &str)], profile: Option<&str>, dev: bool) -> Result<Paths, PathsError> {
        let selector = Selector { profile: profile.map(str::to_owned), dev };
        Paths::resolve(&env.iter().copied().collect(), &selector)
    }

    /// Environment, `--profile`, `--dev`, and the state directory, configuration and profile that follow.
    type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, bool, &'a str, &'a str, Option<&'a str>);

    #[cfg(unix)]
    #[test]
    fn flags_beat_the_environment_and_explicit_places_beat_profiles() {
        let home = ("HOME", "/h");
        let rows: &[Row] = &[
            (&[home], None, false, "/h/.openclaw", "/h/.openclaw/openclaw.json", None),
            (&[home], Some("default"), false, "/h/.openclaw", "/h/.openclaw/openclaw.json", None),
            (&[home], None, true, "/h/.openclaw-dev", "/h/.openclaw-dev/openclaw.json", Some("dev")),
            (&[home], Some("ops"), false, "/h/.openclaw-ops", "/h/.openclaw-ops/openclaw.json", Some("ops")),
            (
                &[home, ("OPENCLAW_PROFILE", "a")],
                Some("b"),
                false,
                "/h/.openclaw-b",
                "/h/.openclaw-b/openclaw.json",
                Some("b"),
            ),
            (
                &[home, ("OPENCLAW_PROFILE", "a")],
                None,
                false,
                "/h/.openclaw-a",
                "/h/.openclaw-a/openclaw.json",
                Some("a"),
            ),
            (&[home, ("OPENCLAW_STATE_DIR", "~/s")], Some("b"), false, "/h/s", "/h/s/openclaw.json", Some("b")),
            (&[home, ("OPENCLAW_CONFIG_PATH", "/c/x.json")], None, true, "/h/.openclaw-dev", "/c/x.json", Some("dev")),
            (&[home, ("OPENCLAW_HOME", "/o")], None, false, "/o/.openclaw", "/o/.openclaw/openclaw.json", None),
            (&[home, ("OPENCLAW_HOME", "~/o")], None, false, "/h/o/.openclaw", "/h/o/.openclaw/openclaw.json", None),
            (&[home, ("OPENCLAW_HOME", "undefined")], None, false, "/h/.openclaw", "/h/.openclaw/openclaw.json", None),
            // What a service of profile `a` exported must not pull `b` back.
            (
                &[home, ("OPENCLAW_PROFILE", "a"), ("OPENCLAW_STATE_DIR", "/h/.openclaw-a")],
                Some("b"),
                false,
                "/h/.openclaw-b",
                "/h/.openclaw-b/openclaw.json",
                Some("b"),
            ),
        ];
        for (env, profile, dev, state_dir, config, name) in rows {
            let got = paths(env, *profile, *dev).unwrap();
            assert_eq!(got.state_dir, Path::new(state_dir), "{env:?} {profile:?}");
            assert_eq!(got.config, Path::new(config), "{env:?} {profile:?}");
            assert_eq!(got.profile.as_deref(), *name);
            assert_eq!(got.workspace, got.state_dir.join("workspace"));
        }
    }

    #[test]
    fn profile_names_that_are_no_file_names_are_refused() {
        for name in ["../x", "a/b", "-a", "a b", "é", &"a".repeat(65)] {
            let error = paths(&[("HOME", "/h")], Some(name), false).unwrap_err();
            assert_eq!(error, PathsError::BadProfile { name: name.to_owned() });
            assert!(paths(&[("HOME", "/h"), ("OPENCLAW_PROFILE", name)], None, false).is_err());
        }
    }

    #[test]
    fn dev_and_another_profile_cannot_both_be_meant() {
        assert!(matches!(paths(&[("HOME", "/h")], Some("x"), true), Err(PathsError::TwoProfiles { .. })));
        assert!(paths(&[("HOME", "/h")], Some("dev"), true).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn paths_of_users_become_absolute_and_plain() {
        let home = Path::new("/h");
        assert_eq!(expand("~", home), Path::new("/h"));
        assert_eq!(expand("~/a/../b", home), Path::new("/h/b"));
        assert_eq!(expand(" /x/./y ", home), Path::new("/x/y"));
        assert_eq!(expand("/../..", home), Path::new("/"));
        assert!(expand("relative", home).is_absolute());
        assert!(expand("~other/x", home).ends_with("~other/x"));
    }
}

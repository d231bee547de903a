//! The environment a command sees: the gateway's own, without its secrets and without what makes interpreters run other
//! people's code.
//!
//! Pure: variables in, variables out. It does not read the process's environment itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::Refusal;

/// The environment of one command. `added` comes from the model and is refused where it could bend the command.
pub(super) fn compose(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    added: &BTreeMap<String, String>,
    path_prepend: &[PathBuf],
) -> Result<Vec<(OsString, OsString)>, Refusal> {
    let mut all: BTreeMap<OsString, OsString> =
        inherited.filter(|(name, _)| !is_withheld(&name.to_string_lossy())).collect();
    if !path_prepend.is_empty() {
        let old = all.get(OsStr::new("PATH")).cloned().unwrap_or_default();
        let dirs = path_prepend.iter().cloned().chain(std::env::split_paths(&old));
        let joined = std::env::join_paths(dirs)
            .map_err(|error| Refusal(format!("tools.exec.pathPrepend cannot be used: {error}.")))?;
        all.insert("PATH".into(), joined);
    }
    for (name, value) in added {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Refusal(format!("env: {name:?} is not a valid variable.")));
        }
        let upper = name.to_ascii_uppercase();
        if upper == "PATH" || bends(&upper) || upper.starts_with("OPENCLAW_") {
            return Err(Refusal(format!("env: {name} may not be set; put what you need into the command itself.")));
        }
        all.insert(name.into(), value.into());
    }
    all.insert("OPENCLAW_SHELL".into(), "exec".into());
    Ok(all.into_iter().collect())
}

fn is_withheld(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    is_secret(&upper) || bends(&upper)
}

/// Names that hold credentials of the gateway, its providers and its messengers.
fn is_secret(upper: &str) -> bool {
    let ours =
        upper.starts_with("OPENCLAW_") && ["TOKEN", "PASSWORD", "SECRET", "KEY"].iter().any(|w| upper.contains(w));
    ours || SECRET_ENDS.iter().any(|end| upper.ends_with(end)) || SECRETS.contains(&upper)
}

/// Names that make a loader, a shell or an interpreter run something else first.
fn bends(upper: &str) -> bool {
    BENDING.contains(&upper) || BENDING_STARTS.iter().any(|start| upper.starts_with(start))
}

const SECRET_ENDS: &[&str] = &["_API_KEY", "_API_KEYS", "_APP_TOKEN", "_AUTH_TOKEN", "_BOT_TOKEN", "_OAUTH_TOKEN"];
const SECRETS: &[&str] = &["CREDENTIALS_DIRECTORY", "HF_TOKEN", "NOTIFY_SOCKET"];
const BENDING_STARTS: &[&str] = &["BASH_FUNC_", "DYLD_", "LD_"];
const BENDING: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "ENV",
    "GCONV_PATH",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_SSH_COMMAND",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "PS4",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "SSLKEYLOGFILE",
    "_JAVA_OPTIONS",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inherited: &[&str], added: &[(&str, &str)]) -> Result<Vec<String>, Refusal> {
        let inherited = inherited.iter().map(|name| (OsString::from(name), OsString::from("v")));
        let added = added.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let all = compose(inherited, &added, &[])?;
        Ok(all.into_iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn credentials_stay_in_the_gateway() {
        let secrets = [
            "OPENCLAW_GATEWAY_TOKEN",
            "OPENCLAW_GATEWAY_PASSWORD",
            "OPENAI_API_KEY",
            "anthropic_api_key",
            "TELEGRAM_BOT_TOKEN",
            "CREDENTIALS_DIRECTORY",
        ];
        assert_eq!(names(&secrets, &[]).unwrap(), ["OPENCLAW_SHELL"]);
    }

    #[test]
    fn loaders_and_interpreters_cannot_be_bent_from_inside_or_outside() {
        for name in
            ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "PYTHONSTARTUP", "BASH_ENV", "ENV", "PERL5OPT"]
        {
            assert_eq!(names(&[name], &[]).unwrap(), ["OPENCLAW_SHELL"], "{name} is inherited");
            assert!(names(&[], &[(name, "v")]).is_err(), "{name} may be added");
        }
        assert!(names(&[], &[("Path", "/tmp")]).is_err());
        assert!(names(&[], &[("BASH_FUNC_ls%%", "() { id; }")]).is_err());
    }

    #[test]
    fn ordinary_variables_pass_and_broken_names_do_not() {
        assert_eq!(names(&["HOME", "LANG"], &[("FOO", "1")]).unwrap(), ["FOO", "HOME", "LANG", "OPENCLAW_SHELL"]);
        for broken in ["", "A=B", "A\0"] {
            assert!(names(&[], &[(broken, "v")]).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn prepended_directories_come_first() {
        let inherited = [(OsString::from("PATH"), OsString::from("/bin"))].into_iter();
        let all = compose(inherited, &BTreeMap::new(), &["/opt/x".into()]).unwrap();
        let path = all.iter().find(|(name, _)| name == "PATH").unwrap();
        assert_eq!(
            std::env::split_paths(&path.1).collect::<Vec<_>>(),
            [PathBuf::from("/opt/x"), PathBuf::from("/bin")]
        );
    }
}

//! The environment a command sees, as far as the tools decide it: the search path and what the model asks for.
//!
//! Which variables are secrets or bend other programs is [`scrub`]'s knowledge. What the model asks for and may not have
//! is refused aloud here, so that it can try another way, instead of being dropped.
//!
//! Pure: variables in, variables out. It does not read the process's environment itself.

use std::path::PathBuf;

use super::Refusal;
use crate::sys::Env;
use crate::sys::child::scrub;
use crate::wire::sorted::Sorted;

/// The environment to start from; what the model asks for is checked, and added by whoever starts the command.
pub(super) fn compose(
    inherited: &Env,
    added: &Sorted<String, String>,
    path_prepend: &[PathBuf],
) -> Result<Env, Refusal> {
    let mut base = inherited.with("OPENCLAW_SHELL", "exec");
    if !path_prepend.is_empty() {
        let old = inherited.get("PATH").unwrap_or_default().to_owned();
        let dirs = path_prepend.iter().cloned().chain(std::env::split_paths(&old));
        let joined = std::env::join_paths(dirs)
            .map_err(|error| Refusal(format!("tools.exec.pathPrepend cannot be used: {error}.")))?;
        base = base.with("PATH", &joined.to_string_lossy());
    }
    for (name, value) in added {
        if value.contains('\0') {
            return Err(Refusal(format!("env: the value of {name:?} contains a NUL character.")));
        }
        if !scrub::may_set(name) {
            return Err(Refusal(format!("env: {name:?} may not be set; put what you need into the command itself.")));
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inherited: &[&str], added: &[(&str, &str)]) -> Result<Vec<String>, Refusal> {
        let inherited = Env::from_iter(inherited.iter().map(|name| (*name, "v")));
        let added: Sorted<_, _> = added.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let base = compose(&inherited, &added, &[])?;
        let extra: Vec<_> = added.into_iter().collect();
        let mut names: Vec<String> = scrub::environment(&base, &extra).into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
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
            "NOTIFY_SOCKET",
        ];
        assert_eq!(names(&secrets, &[]).unwrap(), ["OPENCLAW_SHELL"]);
    }

    #[test]
    fn loaders_and_interpreters_cannot_be_bent_from_inside_or_outside() {
        for name in ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "PYTHONPATH", "BASH_ENV", "ENV", "PERL5OPT"]
        {
            assert_eq!(names(&[name], &[]).unwrap(), ["OPENCLAW_SHELL"], "{name} is inherited");
            assert!(names(&[], &[(name, "v")]).is_err(), "{name} may be added");
        }
        assert!(names(&[], &[("Path", "/tmp")]).is_err());
        assert!(names(&[], &[("GIT_SSH_COMMAND", "x")]).is_err());
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
        let inherited = Env::from_iter([("PATH", "/bin")]);
        let base = compose(&inherited, &Sorted::new(), &["/opt/x".into()]).unwrap();
        let path = base.get("PATH").unwrap();
        assert_eq!(std::env::split_paths(path).collect::<Vec<_>>(), [PathBuf::from("/opt/x"), PathBuf::from("/bin")]);
    }
}

//! The environment a command may see.
//!
//! Some variables make an innocent program load or run something else; some are this gateway's own credentials. The first
//! never reach a command, from wherever they come; the second are for the gateway only. What a model asks for is judged
//! more strictly than what the operator exported.

use crate::sys::Env;

/// Loaders, interpreters and tools that run what these name. Dropped always.
const NEVER: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "BROWSER",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "GRADLE_OPTS",
    "IFS",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "KSH_ENV",
    "MAKEFLAGS",
    "MAVEN_OPTS",
    "MFLAGS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "NODE_V8_COVERAGE",
    "PERL5LIB",
    "PERL5OPT",
    "PS4",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONPATH",
    "RUBYLIB",
    "RUBYOPT",
    "RUBYSHELL",
    "RUSTC_WRAPPER",
    "SHELLOPTS",
    "SSLKEYLOGFILE",
    "SUDO_ASKPASS",
    "_JAVA_OPTIONS",
];

/// The same, as beginnings of names.
const NEVER_PREFIXES: &[&str] = &["BASH_FUNC_", "CARGO_BUILD_RUSTC", "DOTNET_", "DYLD_", "ERL_", "LD_", "LUA_INIT"];

/// Git's own switches that run programs or point elsewhere. Dropped always.
const GIT_NEVER: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_SEQUENCE_EDITOR",
    "GIT_SSL_NO_VERIFY",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
];

/// Fine when the operator exported them, not for a model to choose.
const NOT_ON_REQUEST: &[&str] = &[
    "ALL_PROXY",
    "AWS_CONFIG_FILE",
    "CARGO_HOME",
    "CFLAGS",
    "CLASSPATH",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "DOCKER_HOST",
    "EDITOR",
    "GIT_ASKPASS",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GOFLAGS",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "KUBECONFIG",
    "LDFLAGS",
    "LESSCLOSE",
    "LESSOPEN",
    "LUA_CPATH",
    "LUA_PATH",
    "MANPAGER",
    "NODE_EXTRA_CA_CERTS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "NO_PROXY",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "PAGER",
    "PATH",
    "PERL5DB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROMPT_COMMAND",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "REQUESTS_CA_BUNDLE",
    "RUSTFLAGS",
    "SHELL",
    "SSH_ASKPASS",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMROOT",
    "VISUAL",
    "WGETRC",
    "WINDIR",
    "ZDOTDIR",
];

const NOT_ON_REQUEST_PREFIXES: &[&str] =
    &["CARGO_REGISTRIES_", "GIT_CONFIG_", "NPM_CONFIG_", "OPENCLAW_", "PIP_", "UV_", "XDG_"];

/// Where this instance lives, so that our own commands work inside a run. Everything else named `OPENCLAW_*` stays here.
const OWN_PUBLIC: &[&str] = &[
    "OPENCLAW_CONFIG_PATH",
    "OPENCLAW_HOME",
    "OPENCLAW_PROFILE",
    "OPENCLAW_SHELL",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_WORKSPACE_DIR",
];

/// Credentials of model providers and messengers, by the ends of their names.
const SECRET_ENDS: &[&str] = &["_API_KEY", "_API_KEYS", "_APP_TOKEN", "_AUTH_TOKEN", "_BOT_TOKEN", "_OAUTH_TOKEN"];

/// Credentials without such an end, and the ways to speak to the service manager in the gateway's name.
const SECRETS: &[&str] = &[
    "CREDENTIALS_DIRECTORY",
    "HF_TOKEN",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// The environment for a command: `base` without what it must not have, then the allowed part of `extra`.
pub fn environment(base: &Env, extra: &[(String, String)]) -> Vec<(String, String)> {
    let inherited = base.iter().filter(|(name, _)| may_inherit(name));
    let mut out: Vec<(String, String)> = inherited.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, value) in extra.iter().filter(|(name, value)| may_set(name) && !value.contains('\0')) {
        out.retain(|(other, _)| other != name);
        out.push((name.clone(), value.clone()));
    }
    out
}

/// May a variable of the gateway's environment reach a command?
pub fn may_inherit(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("OPENCLAW_") {
        return OWN_PUBLIC.contains(&upper.as_str());
    }
    let secret = SECRETS.contains(&upper.as_str()) || SECRET_ENDS.iter().any(|end| upper.ends_with(end));
    !never(&upper) && !secret
}

/// May a model set a variable for its command?
pub fn may_set(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let bytes = name.as_bytes();
    let well_formed = !bytes.is_empty()
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    well_formed
        && !never(&upper)
        && !NOT_ON_REQUEST.contains(&upper.as_str())
        && !NOT_ON_REQUEST_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

fn never(upper: &str) -> bool {
    NEVER.contains(&upper)
        || GIT_NEVER.contains(&upper)
        || NEVER_PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_unique() {
        for list in [
            NEVER,
            GIT_NEVER,
            NOT_ON_REQUEST,
            OWN_PUBLIC,
            SECRETS,
            SECRET_ENDS,
            NEVER_PREFIXES,
            NOT_ON_REQUEST_PREFIXES,
        ] {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        }
    }

    #[test]
    fn loaders_interpreters_and_our_credentials_do_not_reach_a_command() {
        let base = Env::from_iter([
            ("LD_PRELOAD", "/x.so"),
            ("NODE_OPTIONS", "-r x"),
            ("bash_env", "x"),
            ("OPENCLAW_GATEWAY_TOKEN", "t"),
            ("OPENAI_API_KEY", "k"),
            ("GIT_DIR", "/x"),
            ("PATH", "/bin"),
            ("OPENCLAW_STATE_DIR", "/s"),
        ]);
        let names: Vec<String> = environment(&base, &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["OPENCLAW_STATE_DIR", "PATH"]);
    }

    #[test]
    fn a_request_cannot_set_what_changes_other_programs() {
        let ask = |name: &str| (name.to_owned(), "1".to_owned());
        let extra = [ask("FOO"), ask("PATH"), ask("LD_AUDIT"), ask("http_proxy"), ask("a b"), ask("OPENCLAW_HOME")];
        assert_eq!(environment(&Env::default(), &extra), [("FOO".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_requested_variable_replaces_the_inherited_one() {
        let base = Env::from_iter([("FOO", "old")]);
        let out = environment(&base, &[("FOO".to_owned(), "new".to_owned())]);
        assert_eq!(out, [("FOO".to_owned(), "new".to_owned())]);
    }
}

//! References, variables and providers, from text to tree.

use serde_json::{Value, json};

use super::*;
use crate::config::json5;

fn env() -> Env {
    Env::from_iter([("A", "1"), ("B_2", "two"), ("EMPTY", "")])
}

fn resolved_with(text: &str, env: &Env, how: How) -> (Value, Resolved) {
    let mut root = json5::parse(text, 0).unwrap().root;
    let state_dir = std::env::temp_dir().join("no-such-state");
    let around = Surroundings { env, expand: &|path| PathBuf::from(path), state_dir: &state_dir };
    let resolved = resolve(&mut root, &around, how);
    (root.to_value(), resolved)
}

fn resolved(text: &str) -> (Value, Resolved) {
    resolved_with(text, &env(), How::QUICK)
}

/// A file only its owner can read, as secret files must be.
fn private(path: &Path, text: &str) {
    crate::sys::files::write_atomic(path, text.as_bytes()).unwrap();
}

fn keys(value: &Value) -> Vec<Value> {
    let providers = value["models"]["providers"].as_object().unwrap();
    providers.values().map(|provider| provider["apiKey"].clone()).collect()
}

fn reasons(resolved: &Resolved) -> Vec<&str> {
    resolved.unresolved.iter().map(|entry| entry.reason.as_str()).collect()
}

#[test]
fn variables_are_put_in_and_escapes_taken_out() {
    let table = [
        ("plain", None),
        ("${A}", Some("1")),
        ("x${A}y${B_2}z", Some("x1ytwoz")),
        ("$${A}", Some("${A}")),
        ("$$${A}", Some("$${A}")),
        ("${a}", Some("${a}")),
        ("${1A}", Some("${1A}")),
        ("${A", Some("${A")),
        ("${}", Some("${}")),
    ];
    for (text, expected) in table {
        assert_eq!(substituted(text, &env()), Ok(expected.map(str::to_owned)), "{text}");
    }
    assert_eq!(substituted("${NOPE}", &env()), Err("NOPE".to_owned()));
    assert_eq!(substituted("${EMPTY}", &env()), Err("EMPTY".to_owned()));
}

#[test]
fn a_missing_variable_is_warned_about_by_key_and_a_secret_counts_as_unset() {
    let (value, resolved) =
        resolved("{gateway: {auth: {token: '${NOPE}', mode: 'token'}, controlUi: {basePath: '/${NOPE}'}}}");
    assert_eq!(value, json!({"gateway": {"auth": {"mode": "token"}, "controlUi": {"basePath": "/${NOPE}"}}}));
    assert_eq!(
        resolved.unresolved,
        [Unresolved {
            path: "gateway.auth.token".to_owned(),
            reason: "environment variable NOPE is not set".to_owned(),
            skipped: false,
        }]
    );
    assert_eq!(
        resolved.warnings[0].1,
        "gateway.controlUi.basePath: Missing env var \"NOPE\" - feature using this value will be unavailable"
    );
}

#[test]
fn references_to_the_environment_and_to_files_are_followed() {
    let dir = crate::sys::scratch::dir("secrets");
    private(&dir.join("s.json"), r#"{"a": {"key": "from json", "x/y~z": "odd"}}"#);
    private(&dir.join("one"), "whole\n");
    let text = format!(
        "{{secrets: {{providers: {{j: {{source: 'file', path: '{0}/s.json'}},
           o: {{source: 'file', path: '{0}/one', mode: 'singleValue'}}}}, defaults: {{file: 'j'}}}},
          models: {{providers: {{
           a: {{apiKey: {{source: 'env', id: 'A'}}}},
           b: {{apiKey: {{source: 'file', provider: 'j', id: '/a/key'}}}},
           c: {{apiKey: {{source: 'file', provider: 'o', id: 'value'}}}},
           d: {{apiKey: {{source: 'file', id: '/a/x~1y~0z'}}}},
           e: {{apiKey: '$A'}},
           f: {{apiKey: {{source: 'file', provider: 'j', id: '/nope'}}}}}}}}}}",
        dir.display()
    );
    let (value, resolved) = resolved(&text);
    assert_eq!(keys(&value), [json!("1"), json!("from json"), json!("whole"), json!("odd"), json!("1"), Value::Null]);
    let paths: Vec<_> = resolved.unresolved.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["models.providers.f.apiKey"]);
}

#[test]
fn a_provider_reads_what_its_block_allows_and_its_source_has() {
    let dir = crate::sys::scratch::dir("credentials");
    std::fs::write(dir.join("token"), "from systemd\n").unwrap();
    let env = env().with("CREDENTIALS_DIRECTORY", dir.to_str().unwrap());
    let text = "{secrets: {providers: {few: {source: 'env', allowlist: ['B_2']},
          cred: {source: 'file', path: '${CREDENTIALS_DIRECTORY}/token', mode: 'singleValue'}}},
          models: {providers: {
           a: {apiKey: {source: 'env', provider: 'few', id: 'A'}},
           b: {apiKey: {source: 'env', provider: 'few', id: 'B_2'}},
           c: {apiKey: {source: 'env', provider: 'cred', id: 'A'}},
           d: {apiKey: {source: 'file', provider: 'cred', id: 'value'}},
           e: {apiKey: {source: 'file', provider: 'cred', id: '/x'}},
           f: {apiKey: {source: 'file', provider: 'systemd', id: '/token'}},
           g: {apiKey: {source: 'file', provider: 'systemd', id: '/a/b'}},
           h: {apiKey: {source: 'store', id: 'A'}},
           i: {apiKey: {source: 'env', provider: 'default', id: 'EMPTY'}}}}}";
    let (value, resolved) = resolved_with(text, &env, How::QUICK);
    let keys = keys(&value);
    assert_eq!((&keys[1], &keys[3], &keys[5]), (&json!("two"), &json!("from systemd"), &json!("from systemd")));
    assert_eq!(
        reasons(&resolved),
        [
            "A is not in the allowlist of secrets.providers.few",
            "secrets.providers.cred is not configured for source env",
            "the id of a file secret is a JSON pointer, or `value` for a single value",
            "the id of a systemd credential is / and its name",
            "the secret store has no entry A",
            "environment variable EMPTY is not set",
        ]
    );
}

#[test]
fn a_reference_against_the_grammar_is_a_mistake_of_the_file() {
    let (_, resolved) = resolved(
        "{gateway: {auth: {token: {source: 'exec', id: 'a/../b'}}}, models: {providers: {x: {apiKey: {source: 'env', id: 'lower'}}}}}",
    );
    let paths: Vec<_> = resolved.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["gateway.auth.token", "models.providers.x.apiKey"]);
    assert!(resolved.problems[0].message.starts_with("Invalid secret reference: \"a/../b\" is no id of source exec"));
}

#[test]
fn a_profile_takes_a_reference_and_never_the_key_itself() {
    let (_, resolved) = resolved("{auth: {profiles: {'x:a': {provider: 'x', keyRef: 'sk-plain'}}}}");
    assert!(resolved.problems[0].message.contains("a secret is not written here"));
    let (value, _) =
        super::tests::resolved("{auth: {profiles: {'x:a': {provider: 'x', keyRef: {source: 'env', id: 'A'}}}}}");
    assert_eq!(value["auth"]["profiles"]["x:a"]["keyRef"], "1");
}

#[test]
fn secrets_of_channels_are_found_by_their_names_and_only_of_those_in_use() {
    let text = "{channels: {telegram: {botToken: {source: 'env', id: 'A'}, accounts: {
        work: {botToken: {source: 'env', id: 'NOPE'}, name: {source: 'env', id: 'A'}},
        off: {enabled: false, botToken: {source: 'env', id: 'NOPE'}}}},
        irc: {password: '${NOPE}', nick: '${A}'}},
        hooks: {token: {source: 'env', id: 'NOPE'}}, gateway: {remote: {token: {source: 'env', id: 'NOPE'}}}}";
    let (value, resolved) = resolved(text);
    let telegram = &value["channels"]["telegram"];
    assert_eq!(telegram["botToken"], "1");
    assert_eq!(telegram["accounts"]["work"], json!({"name": {"source": "env", "id": "A"}}));
    assert!(telegram["accounts"]["off"]["botToken"].is_object());
    assert_eq!(value["channels"]["irc"], json!({"nick": "1"}));
    let paths: Vec<_> = resolved.unresolved.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["channels.telegram.accounts.work.botToken", "channels.irc.password"]);
    assert_eq!((&value["hooks"], &value["gateway"]["remote"]), (&json!({}), &json!({})));
}

#[test]
fn a_stand_in_for_a_secret_is_no_secret_wherever_it_comes_from() {
    let env = env().with("MASKED", "sk-12***89");
    let text = "{models: {providers: {a: {apiKey: '***'}, b: {apiKey: '{{secret}}'}, c: {apiKey: '${MASKED}'},
        d: {apiKey: {source: 'env', id: 'MASKED'}}, e: {apiKey: '__OPENCLAW_REDACTED__'}}},
        channels: {telegram: {botToken: '{{ secret }}'}}, env: {vars: {GLOB: '***'}}}";
    let (value, resolved) = resolved_with(text, &env, How::QUICK);
    assert_eq!(keys(&value), vec![Value::Null; 5]);
    assert_eq!(resolved.unresolved.len(), 6);
    assert_eq!((&value["channels"]["telegram"], &value["env"]["vars"]["GLOB"]), (&json!({}), &json!("***")));
}

#[cfg(unix)]
mod on_unix {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A resolver that knows one secret, counts how often it is asked, and can be told what to do.
    fn resolver(dir: &Path, script: &str) -> PathBuf {
        let path = dir.join("resolver");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        path
    }

    fn vault(command: &Path, more: &str) -> String {
        format!(
            "{{secrets: {{providers: {{vault: {{source: 'exec', command: '{}', {more}}}}}, defaults: {{exec: 'vault'}}}},
              models: {{providers: {{a: {{apiKey: {{source: 'exec', id: 'p/a'}}}}, b: {{apiKey: {{source: 'exec', provider: 'vault', id: 'p/b'}}}}}}}}}}",
            command.display()
        )
    }

    const ALL: How<'static> = How { programs: Programs::All, before: None };

    #[test]
    fn a_program_is_asked_once_for_all_its_secrets() {
        let dir = crate::sys::scratch::dir("vault");
        let script = format!(
            "echo asked >> {0}/count; cat > {0}/request; env > {0}/env\n\
             echo '{{\"protocolVersion\":1,\"values\":{{\"p/a\":\"one\"}},\"errors\":{{\"p/b\":{{\"code\":\"NOT_FOUND\",\"message\":\"canary\"}}}}}}'",
            dir.display()
        );
        let command = resolver(&dir, &script);
        let env = env().with("LET_THROUGH", "yes").with("PATH", "/usr/bin:/bin");
        let text = vault(&command, "passEnv: ['LET_THROUGH', 'PATH'], env: {OWN: '${A}x'}");
        let (value, resolved) = resolved_with(&text, &env, ALL);
        assert_eq!(keys(&value), [json!("one"), Value::Null]);
        assert_eq!(reasons(&resolved), ["secrets.providers.vault has no p/b (NOT_FOUND)"]);
        assert_eq!(fs::read_to_string(dir.join("count")).unwrap(), "asked\n");
        let request: Value = serde_json::from_slice(&fs::read(dir.join("request")).unwrap()).unwrap();
        assert_eq!(request, json!({"protocolVersion": 1, "provider": "vault", "ids": ["p/a", "p/b"]}));
        let seen = fs::read_to_string(dir.join("env")).unwrap();
        assert!(seen.contains("LET_THROUGH=yes") && seen.contains("OWN=1x") && !seen.contains("B_2"), "{seen}");

        // A command that only reads the file starts nothing.
        let (_, resolved) = resolved_with(&text, &env, How::QUICK);
        assert!(resolved.unresolved.iter().all(|missing| missing.skipped) && resolved.unresolved.len() == 2);
        assert_eq!(fs::read_to_string(dir.join("count")).unwrap(), "asked\n");
    }

    #[test]
    fn a_bare_value_is_taken_only_where_the_block_says_so() {
        let dir = crate::sys::scratch::dir("vault-bare");
        let command = resolver(&dir, "echo plain");
        let one = |more: &str| {
            let text = format!(
                "{{secrets: {{providers: {{v: {{source: 'exec', command: '{}', {more}}}}}}},
                models: {{providers: {{a: {{apiKey: {{source: 'exec', provider: 'v', id: 'value'}}}}}}}}}}",
                command.display()
            );
            let (value, resolved) = resolved_with(&text, &env(), ALL);
            (keys(&value).remove(0), reasons(&resolved).join(""))
        };
        assert_eq!(one("jsonOnly: false").0, "plain");
        assert_eq!(one("").1, "secrets.providers.v did not answer in its protocol (JSON)");
    }

    #[test]
    fn a_program_others_could_exchange_is_not_started() {
        let dir = crate::sys::scratch::dir("vault-trust");
        let command = resolver(&dir, "echo plain");
        let why =
            |command: &Path, more: &str| reasons(&resolved_with(&vault(command, more), &env(), ALL).1)[0].to_owned();
        assert!(why(&command, "trustedDirs: ['/usr/bin']").ends_with("is outside trustedDirs"));
        fs::set_permissions(&command, Permissions::from_mode(0o722)).unwrap();
        assert!(why(&command, "").ends_with("others may change it (chmod go-w)"));
        std::os::unix::fs::symlink(&command, dir.join("link")).unwrap();
        assert!(why(&dir.join("link"), "").contains("is a symbolic link"));
        assert!(why(Path::new("resolver"), "").contains("is not an absolute path"));
        assert!(why(&dir.join("nope"), "").ends_with("there is no such program"));
        let mut root = json5::parse(&vault(&dir.join("nope"), ""), 0).unwrap().root;
        let around = Surroundings { env: &env(), expand: &|path| PathBuf::from(path), state_dir: &dir };
        assert_eq!(check_programs(&root, &around).len(), 1);
        root = json5::parse(&vault(&resolver(&dir, "true"), ""), 0).unwrap().root;
        assert_eq!(check_programs(&root, &around), [""; 0]);
    }

    #[test]
    fn a_file_others_could_read_or_exchange_is_not_read() {
        let dir = crate::sys::scratch::dir("secret-file");
        private(&dir.join("f"), "value");
        let why = |name: &str, more: &str| {
            let text = format!(
                "{{secrets: {{providers: {{o: {{source: 'file', path: '{}', mode: 'singleValue', {more}}}}}}},
                models: {{providers: {{a: {{apiKey: {{source: 'file', provider: 'o', id: 'value'}}}}}}}}}}",
                dir.join(name).display()
            );
            reasons(&resolved(&text).1).join("")
        };
        assert_eq!(why("f", ""), "");
        assert!(why("f", "maxBytes: 3").ends_with("is larger than 3 bytes"));
        fs::set_permissions(dir.join("f"), Permissions::from_mode(0o640)).unwrap();
        assert!(why("f", "").ends_with("has mode 640: others may read it (chmod 600)"));
        private(&dir.join("g"), "value");
        fs::hard_link(dir.join("g"), dir.join("h")).unwrap();
        assert!(why("g", "").contains("must not be hardlinked"));
        std::os::unix::fs::symlink(dir.join("f"), dir.join("l")).unwrap();
        assert!(why("l", "").contains("is a symbolic link"));
        assert!(why(".", "").contains("is not a regular file"));
    }

    #[test]
    fn what_a_provider_had_before_stays_in_force_while_it_is_away() {
        let dir = crate::sys::scratch::dir("vault-stale");
        let good = "echo '{\"values\":{\"p/a\":\"one\",\"p/b\":\"two\"}}'";
        let command = resolver(&dir, good);
        let (text, env) = (vault(&command, ""), env());
        let (_, first) = resolved_with(&text, &env, ALL);
        let before = Config { held: Arc::new(first.held), ..Config::default() };
        let again = |text: &str| resolved_with(text, &env, How { programs: Programs::All, before: Some(&before) });
        resolver(&dir, "exit 1");
        let (value, resolved) = again(&text);
        assert_eq!(keys(&value), ["one", "two"]);
        assert_eq!((resolved.stale.len(), resolved.unresolved.len()), (2, 0));
        // Another id is another secret; what was had for the old one is not it.
        let (value, resolved) = again(&text.replace("p/b", "p/c"));
        assert_eq!(keys(&value), [json!("one"), Value::Null]);
        assert_eq!(resolved.unresolved[0].path, "models.providers.b.apiKey");
    }

    #[test]
    fn an_old_credential_that_lets_somebody_in_does_not_stay() {
        let dir = crate::sys::scratch::dir("vault-strict");
        let command = resolver(&dir, "echo '{\"values\":{\"t\":\"a-token-of-good-length-0123\"}}'");
        let text = format!(
            "{{secrets: {{providers: {{v: {{source: 'exec', command: '{}'}}}}}},
            gateway: {{auth: {{token: {{source: 'exec', provider: 'v', id: 't'}}}}}}}}",
            command.display()
        );
        let (value, first) = resolved_with(&text, &env(), How { programs: Programs::Gateway, before: None });
        assert_eq!(value["gateway"]["auth"]["token"], "a-token-of-good-length-0123");
        let before = Config { held: Arc::new(first.held), ..Config::default() };
        resolver(&dir, "exit 1");
        let (_, resolved) = resolved_with(&text, &env(), How { programs: Programs::All, before: Some(&before) });
        assert_eq!((resolved.stale.len(), resolved.unresolved[0].path.as_str()), (0, "gateway.auth.token"));
    }
}

#[test]
fn only_a_text_that_is_all_placeholder_is_one() {
    assert!(is_placeholder("${ABC}") && is_placeholder("$ABC"));
    assert!(!is_placeholder("x${ABC}") && !is_placeholder("${ABC}x") && !is_placeholder("abc"));
}

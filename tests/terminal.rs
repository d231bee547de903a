//! Commands that ask, and a person who answers.

use std::fs;

use crate::doctor::refusing;
use crate::support::gateway;
use crate::support::scratch::Scratch;
use crate::support::terminal::Terminal;
use crate::support::upstream::Upstream;

const KEY: &str = "sk-typed-canary-7c1d";

fn home() -> Scratch {
    Scratch::new()
}

fn written(home: &Scratch) -> String {
    fs::read_to_string(gateway::config_path(home.path())).unwrap_or_default()
}

#[test]
fn a_first_configuration_is_made_by_answering() {
    let upstream = Upstream::friendly();
    let home = home();
    let mut person = Terminal::run(home.path(), &["onboard"]);
    person.shows("Go on? (Y/n): ");
    person.types("perhaps");
    person.shows("Please answer y or n.");
    person.types("y");
    person.shows("Who answers?");
    person.shows("Number [1]: ");
    person.types("99");
    person.shows("Please answer a number from 1 to ");
    person.shows("Number [1]: ");
    person.types("custom");
    person.shows("Address of the endpoint");
    person.types(&format!("http://{}/v1", upstream.addr()));
    person.shows("Model, as the endpoint calls it: ");
    person.types("stub-model");
    person.shows("Key, or nothing (not shown): ");
    person.types(KEY);
    person.shows("Talk to the agent through a messenger?");
    person.shows("Number [1]: ");
    person.types("");
    person.shows("Install the gateway as a service");
    person.types("n");
    person.shows("Next: openclaw gateway");
    assert!(person.ended().success());
    assert!(!person.screen().contains(KEY), "a key that is typed is not shown: {}", person.screen());
    let text = written(&home);
    for part in [KEY, "stub-model", "gateway", "token", "custom/stub-model"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!person.screen().contains("could not be checked"), "{}", person.screen());
}

#[test]
fn a_key_that_is_refused_is_not_written_down() {
    let home = home();
    let mut person = Terminal::run(home.path(), &["onboard", "--accept-risk"]);
    person.shows("Number [1]: ");
    person.types("custom");
    person.shows("Address of the endpoint");
    person.types(&format!("http://{}/v1", refusing()));
    person.shows("Model, as the endpoint calls it: ");
    person.types("m");
    person.shows("(not shown): ");
    person.types(KEY);
    person.shows("refuses the key");
    assert!(!person.ended().success());
    assert_eq!(written(&home), "");
}

#[test]
fn who_says_no_or_goes_away_has_changed_nothing() {
    for answer in [Some("n"), None] {
        let home = home();
        let mut person = Terminal::run(home.path(), &["setup"]);
        person.shows("Go on? (Y/n): ");
        match answer {
            Some(answer) => person.types(answer),
            None => person.ends_input(),
        }
        let status = person.ended();
        assert_eq!(status.success(), answer.is_some(), "{}", person.screen());
        assert!(person.screen().to_lowercase().contains("nothing was changed"), "{}", person.screen());
        assert_eq!(written(&home), "");
    }
}

#[test]
fn a_messenger_is_added_by_answering_and_its_token_is_not_shown() {
    let home = home();
    let mut person = Terminal::run(home.path(), &["channels", "add", "--no-check"]);
    person.shows("Which messenger?");
    person.shows("Number [1]: ");
    person.types("telegram");
    person.shows("Telegram botToken (not shown): ");
    person.types("123456:typed-canary");
    person.shows("is written and was not checked");
    assert!(person.ended().success(), "{}", person.screen());
    assert!(!person.screen().contains("typed-canary"), "{}", person.screen());
    assert!(written(&home).contains("123456:typed-canary"));
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let home = home();
    let done = gateway::run(home.path(), &["setup", "--json"], &[]);
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!said.contains('?'), "{said}");
    let added = gateway::run(home.path(), &["channels", "add", "--channel", "telegram", "--no-check"], &[]);
    assert!(!String::from_utf8_lossy(&added.stderr).contains("(not shown)"), "{added:?}");
}

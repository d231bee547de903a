//! Folders on a disk, and what becomes of them.

use std::fs;
use std::path::Path;

use super::*;
use crate::config::load;
use crate::sys::Env;
use crate::sys::paths::Selector;

/// An instance with these variables and this configuration.
fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let home = crate::sys::scratch::dir("skills");
    let home = home.to_str().expect("a path of ours");
    let env = Env::from_iter([("HOME", home), ("PATH", "/bin:/usr/bin")].into_iter().chain(variables.iter().copied()));
    let paths = Paths::resolve(&env, &Selector::default()).expect("paths");
    fs::create_dir_all(&paths.workspace).expect("a workspace");
    load::parse(text, &paths, &env).unwrap_or_else(|error| panic!("{error}"))
}

fn put(folder: &Path, head: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("SKILL.md"), format!("---\n{head}\n---\nBody\n")).expect("a skill");
}

fn named(config: &Config) -> Vec<(String, &'static str)> {
    Catalog::of(config, "main").skills.iter().map(|(skill, _)| (skill.head.name.clone(), skill.source.name())).collect()
}

fn ready(config: &Config, name: &str) -> Readiness {
    let catalog = Catalog::of(config, "main");
    catalog.skills.iter().find(|(skill, _)| skill.head.name == name).expect(name).1.clone()
}

#[test]
fn the_nearest_of_a_name_counts_and_groups_are_looked_into() {
    let config = config("{skills: {load: {extraDirs: ['~/more']}}}", &[]);
    let paths = config.paths.clone().expect("paths");
    let workspace = config.agent_workspace("main");
    put(&paths.home.join("more/a"), "name: a\ndescription: extra");
    put(&paths.home.join("more/b"), "name: b\ndescription: extra");
    put(&paths.state_dir.join("skills/a"), "name: a\ndescription: managed");
    put(&paths.home.join(".agents/skills/c"), "name: c\ndescription: personal");
    put(&workspace.join(".agents/skills/d"), "name: d\ndescription: project");
    put(&workspace.join("skills/group/deep/e"), "description: by its folder");
    put(&workspace.join("skills/group/deep/e/inner"), "name: never\ndescription: below a skill is none");
    put(&workspace.join("skills/.hidden"), "name: never\ndescription: hidden");
    put(&workspace.join("skills/1/2/3/4/5/6"), "name: six\ndescription: deep enough");
    put(&workspace.join("skills/1/2/3/4/5/x/7"), "name: seven\ndescription: too deep");
    put(&workspace.join("skills/broken"), "name: broken");
    let expected = [
        ("a", "openclaw-managed"),
        ("b", "openclaw-extra"),
        ("c", "agents-skills-personal"),
        ("d", "agents-skills-project"),
        ("e", "openclaw-workspace"),
        ("six", "openclaw-workspace"),
    ];
    assert_eq!(named(&config), expected.map(|(name, source)| (name.to_owned(), source)));
    let broken = Catalog::of(&config, "main").broken;
    assert_eq!(broken.len(), 1);
    assert!(broken[0].0.ends_with("skills/broken") && broken[0].1.contains("no description"), "{broken:?}");
}

#[test]
fn a_state_directory_of_its_own_knows_nothing_of_the_home_directory() {
    let home = crate::sys::scratch::dir("skills-own");
    let own = home.join("elsewhere");
    put(&home.join(".agents/skills/c"), "name: c\ndescription: personal");
    put(&own.join("skills/m"), "name: m\ndescription: managed");
    let env = Env::from_iter([
        ("HOME", home.to_str().expect("a path")),
        ("OPENCLAW_STATE_DIR", own.to_str().expect("a path")),
    ]);
    let paths = Paths::resolve(&env, &Selector::default()).expect("paths");
    let config = load::parse("{}", &paths, &env).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(named(&config), [("m".to_owned(), "openclaw-managed")]);
}

#[test]
fn a_skill_is_ready_when_it_has_what_it_needs() {
    let text = "{skills: {entries: {off: {enabled: false}, 'by-key': {apiKey: 'k'}, env: {env: {OWN: 'v'}}}},
                 tools: {exec: {mode: 'full'}}, agents: {defaults: {skills: ['plain', 'off', 'keyed', 'env', 'needy',
                 'foreign', 'always', 'config', 'quiet']}}}";
    let config = config(text, &[("THERE", "1")]);
    let root = config.agent_workspace("main").join("skills");
    let needs = |name: &str, metadata: &str| {
        put(&root.join(name), &format!("name: {name}\ndescription: d\nmetadata: {{\"openclaw\": {metadata}}}"));
    };
    needs("plain", "{}");
    needs("off", "{}");
    needs("hidden-from-agent", "{}");
    needs("keyed", r#"{"skillKey": "by-key", "primaryEnv": "THE_KEY", "requires": {"env": ["THE_KEY", "THERE"]}}"#);
    needs("env", r#"{"requires": {"env": ["OWN"], "bins": ["sh"], "anyBins": ["no-such-1", "sh"]}}"#);
    needs(
        "needy",
        r#"{"requires": {"bins": ["no-such-1"], "anyBins": ["no-such-2"], "env": ["NOT"], "config": ["a.b"]}}"#,
    );
    needs("foreign", r#"{"os": ["plan9"], "always": true}"#);
    needs("always", r#"{"always": true, "requires": {"bins": ["no-such-1"]}}"#);
    needs("config", r#"{"requires": {"config": ["tools.exec.mode"]}}"#);
    put(&root.join("quiet"), "name: quiet\ndescription: d\ndisable-model-invocation: true");

    for name in ["plain", "keyed", "env", "always", "config"] {
        let ready = ready(&config, name);
        assert!(ready.eligible && ready.model_visible && ready.command_visible, "{name}: {ready:?}");
    }
    assert!(ready(&config, "off").disabled && !ready(&config, "off").eligible);
    assert!(ready(&config, "foreign").foreign && !ready(&config, "foreign").eligible);
    let blocked = ready(&config, "hidden-from-agent");
    assert!(blocked.blocked_by_agent && blocked.eligible && !blocked.model_visible && !blocked.command_visible);
    let quiet = ready(&config, "quiet");
    assert!(quiet.eligible && !quiet.model_visible && quiet.command_visible);
    let missing = ready(&config, "needy").missing;
    assert_eq!((missing.bins, missing.any_bins), (vec!["no-such-1".to_owned()], vec!["no-such-2".to_owned()]));
    assert_eq!((missing.env, missing.config), (vec!["NOT".to_owned()], vec!["a.b".to_owned()]));

    let catalog = Catalog::of(&config, "main");
    assert_eq!(catalog.variables(), [("OWN".into(), "v".into()), ("THE_KEY".into(), "k".into())]);
    let prompt = catalog.prompt("main").expect("there are skills");
    for (name, told) in [("plain", true), ("always", true), ("quiet", false), ("off", false), ("hidden-from", false)] {
        assert_eq!(prompt.contains(&format!("<name>{name}")), told, "{name}: {prompt}");
    }
    assert_eq!(programs(&config), ["no-such-1", "no-such-2", "sh"]);
}

#[cfg(unix)]
#[test]
fn links_lead_only_where_the_operator_trusts() {
    use std::os::unix::fs::symlink;

    let write = |text: &str| {
        let config = config(text, &[]);
        let paths = config.paths.clone().expect("paths");
        put(&paths.home.join("elsewhere/linked"), "name: linked\ndescription: d");
        fs::create_dir_all(config.agent_workspace("main").join("skills")).expect("made");
        symlink(paths.home.join("elsewhere/linked"), config.agent_workspace("main").join("skills/linked"))
            .expect("a link");
        // A file that leads out of its folder is none, wherever that folder is.
        let managed = paths.state_dir.join("skills/file");
        fs::create_dir_all(&managed).expect("made");
        symlink(paths.home.join("elsewhere/linked/SKILL.md"), managed.join("SKILL.md")).expect("a link");
        // A circle comes to an end.
        symlink(paths.state_dir.join("skills"), paths.state_dir.join("skills/around")).expect("a link");
        symlink(paths.home.join("elsewhere"), paths.state_dir.join("skills/free")).expect("a link");
        config
    };
    assert_eq!(named(&write("{}")), [("linked".to_owned(), "openclaw-managed")]);
    let trusting = write("{skills: {load: {allowSymlinkTargets: ['~/elsewhere']}}}");
    assert_eq!(named(&trusting), [("linked".to_owned(), "openclaw-workspace")]);
}

#[test]
fn what_is_too_much_is_left_out() {
    let text = "{skills: {limits: {maxCandidatesPerRoot: 6, maxSkillFileBytes: 200, maxSkillsLoadedPerSource: 4}}}";
    let config = config(text, &[]);
    let root = config.agent_workspace("main").join("skills");
    for n in 0..9 {
        put(&root.join(format!("s{n}")), &format!("name: s{n}\ndescription: d"));
    }
    put(&root.join("s1"), &format!("name: s1\ndescription: {}", "d".repeat(300)));
    let names: Vec<String> = named(&config).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["s0", "s2", "s3", "s4"]);
    let broken = Catalog::of(&config, "main").broken;
    assert!(broken[0].1.contains("at most 200 are read"), "{broken:?}");
}

#[test]
fn a_long_list_gives_up_descriptions_before_names() {
    let config = config("{skills: {limits: {maxSkillsPromptChars: 3000}}}", &[]);
    let root = config.agent_workspace("main").join("skills");
    for n in 0..20 {
        put(&root.join(format!("s{n}")), &format!("name: skill-{n}\ndescription: '{}'", "<long> & ".repeat(60)));
    }
    let prompt = Catalog::of(&config, "main").prompt("main").expect("skills");
    let list = prompt.split("<available_skills>\n").nth(1).expect("a list");
    assert!(list.len() <= 3000 + "</available_skills>".len(), "{}", list.len());
    assert!(prompt.contains("openclaw skills check") && !list.contains("<long>"));
    assert_eq!(Catalog::of(&config, "main").skills.len(), 20);
}

#[test]
fn a_message_calls_for_skills_by_name() {
    let config = config("{agents: {defaults: {skills: ['notes', 'quiet']}}}", &[]);
    let root = config.agent_workspace("main").join("skills");
    put(&root.join("a"), "name: notes\ndescription: d");
    put(&root.join("b"), "name: quiet\ndescription: d\ndisable-model-invocation: true");
    put(&root.join("c"), "name: secret-one\ndescription: d");
    let catalog = Catalog::of(&config, "main");
    let wanted = |text: &str| {
        catalog.wanted(text).map(|skills| skills.iter().map(|skill| skill.head.name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(wanted("Use $notes, $quiet and $notes."), Ok(vec!["notes".into(), "quiet".into()]));
    assert_eq!(wanted("/notes for today"), Ok(vec!["notes".into()]));
    for text in ["\\$notes", "US$notes", "$NOTES", "notes", "echo $HOME", "a /notes", "$", "$$notes"] {
        assert_eq!(wanted(text), Ok(vec![]), "{text}");
    }
    let hidden = wanted("please $secret_one").expect_err("not this agent's");
    assert!(hidden.contains("agents.*.skills"), "{hidden}");

    let many = config_with_many();
    let text: String = (0..9).map(|n| format!("$s{n} ")).collect();
    assert!(Catalog::of(&many, "main").wanted(&text).is_err_and(|why| why.contains("this one calls for 9")));
}

fn config_with_many() -> Config {
    let config = config("{}", &[]);
    for n in 0..9 {
        put(&config.agent_workspace("main").join(format!("skills/s{n}")), &format!("name: s{n}\ndescription: d"));
    }
    config
}

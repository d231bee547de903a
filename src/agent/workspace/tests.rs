//! Prompts, identities and new workspaces, on real directories.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::tools::TOOLS;
use super::*;

struct Home(PathBuf);

impl Home {
    fn new() -> Home {
        static HOMES: AtomicU32 = AtomicU32::new(0);
        let count = HOMES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("openclaw-workspace-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Home(path)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that failed half-way may have removed it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn prompt<'a>(home: &'a Home, tools: &'a [&'static Tool]) -> Prompt<'a> {
    Prompt {
        mode: PromptMode::Full,
        agent_id: "main",
        session_key: "agent:main:main",
        workspace: &home.0,
        cwd: None,
        model: "stub/stub-model",
        tools,
        host: HostFacts { name: "router", os: "linux", arch: "aarch64" },
        channel: None,
        silence: Silence::Forbidden,
        private: Audience::Private,
        skills: None,
        skills_asked_for: None,
        extra: None,
        now: "2026-11-22T23:30:00Z".parse().unwrap(),
        zone: TimeZone::fixed(jiff::tz::offset(1)),
        limits: PromptLimits::default(),
    }
}

fn state(made: &SystemPrompt, name: &str) -> FileState {
    made.files.iter().find(|file| file.name == name).expect(name).state.clone()
}

#[test]
fn the_prompt_holds_the_files_the_tools_and_the_day() {
    let home = Home::new();
    home.put("AGENTS.md", "Water the plants.");
    home.put("SOUL.md", "\u{feff}Dry.");
    home.put("MEMORY.md", "Likes tea.");
    home.put("HEARTBEAT.md", "retired");
    let tools: Vec<&'static Tool> = TOOLS.iter().collect();
    let made = system_prompt(&prompt(&home, &tools));
    for wanted in [
        "### AGENTS.md\nWater the plants.",
        "### SOUL.md\nDry.",
        "### IDENTITY.md\n[This file does not exist.]",
        "### MEMORY.md\nLikes tea.",
        "- exec: Run a shell command",
        "host=router | os=linux (aarch64) | model=stub/stub-model | agent=main | session=agent:main:main",
        "Today is Monday, 2026-11-23 in the user's time zone, UTC+01:00. For the exact time call session_status.",
    ] {
        assert!(made.text.contains(wanted), "{wanted:?} is missing in:\n{}", made.text);
    }
    for unwanted in ["USER.md", "BOOTSTRAP.md", "retired", NO_REPLY, "## Messenger"] {
        assert!(!made.text.contains(unwanted), "{unwanted}");
    }
    assert_eq!(state(&made, "IDENTITY.md"), FileState::Missing);
}

#[test]
fn two_runs_on_one_day_have_the_same_prompt() {
    let home = Home::new();
    let early = prompt(&home, &[]);
    let later = Prompt { now: "2026-11-22T23:59:59Z".parse().unwrap(), ..early.clone() };
    assert_eq!(system_prompt(&early).text, system_prompt(&later).text);
    let tomorrow = Prompt { now: "2026-11-23T23:00:00Z".parse().unwrap(), ..early.clone() };
    let (one, two) = (system_prompt(&early).text, system_prompt(&tomorrow).text);
    let same = one.bytes().zip(two.bytes()).take_while(|(a, b)| a == b).count();
    assert!(one.len() - same < 200, "the day stands at the end");
}

#[test]
fn what_is_private_stays_out_of_groups() {
    let home = Home::new();
    home.put("MEMORY.md", "Likes tea.");
    home.put("USER.md", "Ada");
    let shared = Prompt {
        private: Audience::Shared,
        silence: Silence::Allowed,
        channel: Some("telegram"),
        extra: Some(" Be brief. "),
        ..prompt(&home, &[])
    };
    let text = system_prompt(&shared).text;
    assert!(!text.contains("Likes tea.") && text.contains("### USER.md\nAda"));
    assert!(text.contains("reply with NO_REPLY and nothing else"));
    assert!(text.contains("delivered through telegram") && text.contains("## Further instructions\nBe brief.\n"));
}

#[test]
fn sub_agents_get_the_rules_and_no_persona() {
    let home = Home::new();
    home.put("AGENTS.md", "Rules.");
    home.put("SOUL.md", "Dry.");
    let small = Prompt { mode: PromptMode::Minimal, silence: Silence::Allowed, ..prompt(&home, &[]) };
    let text = system_prompt(&small).text;
    assert!(
        text.contains("Rules.") && !text.contains("Dry.") && !text.contains(NO_REPLY) && !text.contains("## Answers")
    );
    let bare = system_prompt(&Prompt { mode: PromptMode::Bare, ..small });
    assert_eq!(bare.text.lines().count(), 1);
}

#[test]
fn long_files_are_cut_in_the_middle_and_say_so() {
    let home = Home::new();
    home.put("AGENTS.md", format!("START{}END", "ä".repeat(1000)));
    home.put("USER.md", "u".repeat(1000));
    home.put("SOUL.md", "s".repeat(100));
    home.put("TOOLS.md", "t".repeat(100));
    let limits = PromptLimits { file: 200, user: 50, total: 360 };
    let made = system_prompt(&Prompt { limits, ..prompt(&home, &[]) });
    let shown: Vec<(&str, usize, usize)> = made.files.iter().map(|file| (file.name, file.raw, file.shown)).collect();
    let wanted = [
        ("AGENTS.md", 1008, 200),
        ("SOUL.md", 100, 100),
        ("IDENTITY.md", 0, 0),
        ("USER.md", 1000, 50),
        ("TOOLS.md", 100, 10),
    ];
    assert_eq!(shown, wanted);
    assert!(made.text.contains("\n[... cut: 200 of 1008 characters shown ...]\n"));
    assert!(made.text.contains("### AGENTS.md\nSTART") && made.text.contains("äEND"));
    assert!(made.text.contains("Some of these files were cut"));
}

#[cfg(unix)]
#[test]
fn a_file_that_leads_out_of_the_workspace_is_not_read() {
    let home = Home::new();
    let outside = Home::new();
    outside.put("secret", "s3cret");
    home.put("real.md", "inside");
    std::os::unix::fs::symlink(outside.0.join("secret"), home.0.join("AGENTS.md")).unwrap();
    std::os::unix::fs::symlink("real.md", home.0.join("SOUL.md")).unwrap();
    fs::create_dir(home.0.join("USER.md")).unwrap();
    let made = system_prompt(&prompt(&home, &[]));
    assert!(!made.text.contains("s3cret") && made.text.contains("### SOUL.md\ninside"));
    assert!(matches!(state(&made, "AGENTS.md"), FileState::Refused(_)));
    assert!(matches!(state(&made, "USER.md"), FileState::Refused(_)));
}

#[test]
fn a_workspace_that_is_gone_still_gives_a_prompt() {
    let home = Home::new();
    fs::remove_dir_all(&home.0).unwrap();
    assert_eq!(state(&system_prompt(&prompt(&home, &[])), "AGENTS.md"), FileState::Missing);
}

#[test]
fn a_new_workspace_is_seeded_once_and_never_overwritten() {
    let home = Home::new();
    let place = home.0.join("new/home");
    assert_eq!(seed(&place, &[]).unwrap(), ["AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "BOOTSTRAP.md"]);
    fs::write(place.join("SOUL.md"), "mine").unwrap();
    fs::remove_file(place.join("USER.md")).unwrap();
    fs::remove_file(place.join("BOOTSTRAP.md")).unwrap();
    assert_eq!(seed(&place, &[]).unwrap(), ["USER.md"], "the first conversation is over");
    assert_eq!(fs::read_to_string(place.join("SOUL.md")).unwrap(), "mine");
    let lean = ["SOUL.md", "USER.md", "AGENTS.md"].map(str::to_owned);
    let made = seed(&home.0.join("lean"), &lean).unwrap();
    assert_eq!(made, ["AGENTS.md", "IDENTITY.md", "BOOTSTRAP.md"], "AGENTS.md is not optional");
}

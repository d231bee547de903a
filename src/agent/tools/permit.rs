//! Whether a command may run: rules, what is known of its programs, and the verdict.
//!
//! Two documents count, the configuration (`tools.exec`) and the rules about commands (`exec.approvals.*`); the stricter
//! of the two holds. Nothing is asked here and nothing is run: [`judge`] says what has to happen, `agent::permission`
//! does it.
//!
//! Invariant: a verdict to run is about exact programs and words; what is run is built from them and not from the text.

use std::path::Path;

use ring::digest::{SHA256, digest};

use super::glob::Glob;
use super::{safe_bins, shell};
use crate::config::sections::ExecConfig;
use crate::sys::child::Spec;
use crate::sys::random;
use crate::sys::regex::Regex;
use crate::wire::exec_approvals::*;

/// The rules of one agent, both documents counted.
pub(crate) struct Rules<'a> {
    pub security: ExecSecurity,
    pub ask: ExecAsk,
    pub fallback: ExecSecurity,
    allowlist: Vec<&'a AllowlistEntry>,
    safe_bins: &'a [String],
}

/// What has to happen with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run,
    Ask,
    Refuse,
}

/// What is known of a command.
pub(crate) struct Known {
    pub segments: Vec<Segment>,
    joints: Vec<&'static str>,
}

/// One program of a command, found as the shell would find it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub argv: Vec<String>,
    pub found: String,
    /// `found` without links.
    pub real: String,
}

impl<'a> Rules<'a> {
    pub fn of(config: &'a ExecConfig, file: &'a ExecApprovalsFile, agent_id: &str) -> Rules<'a> {
        let (mut security, mut ask) = configured(config);
        let scopes = [file.agents.get(agent_id), file.agents.get("*")];
        let said = |of_agent: fn(&AgentExecRules) -> Option<ExecSecurity>, of_all: Option<ExecSecurity>| {
            scopes.iter().flatten().find_map(|rules| of_agent(rules)).or(of_all)
        };
        if let Some(own) = said(|rules| rules.security, file.defaults.security) {
            security = security.min(own);
        }
        if let Some(own) = scopes.iter().flatten().find_map(|rules| rules.ask).or(file.defaults.ask) {
            ask = ask.max(own);
        }
        let fallback = said(|rules| rules.ask_fallback, file.defaults.ask_fallback).unwrap_or(ExecSecurity::Deny);
        let allowlist = scopes.iter().flatten().flat_map(|rules| &rules.allowlist).collect();
        Rules { security, ask, fallback, allowlist, safe_bins: &config.safe_bins }
    }

    /// Nothing is asked and nothing is looked at.
    pub fn is_open(&self) -> bool {
        self.security == ExecSecurity::Full && self.ask == ExecAsk::Off
    }

    /// Whether every program of the command is allowed as it is called.
    pub fn allow(&self, known: &Known, cwd: &str) -> bool {
        known.segments.iter().all(|segment| {
            self.allowlist.iter().any(|entry| covers(entry, segment, cwd))
                || safe_bins::is_filter(self.safe_bins, &segment.argv, &segment.found)
        })
    }
}

/// What the configuration alone says. `mode` is the newer spelling of the other two.
pub(crate) fn configured(config: &ExecConfig) -> (ExecSecurity, ExecAsk) {
    match config.mode.as_deref() {
        Some("deny") => (ExecSecurity::Deny, ExecAsk::Off),
        Some("allowlist") => (ExecSecurity::Allowlist, ExecAsk::Off),
        // There is no automatic reviewer here: a person is asked instead.
        Some("ask" | "auto") => (ExecSecurity::Allowlist, ExecAsk::OnMiss),
        Some("full") => (ExecSecurity::Full, ExecAsk::Off),
        // The configuration's check admits no other word; what would slip through runs nothing.
        Some(_) => (ExecSecurity::Deny, ExecAsk::Off),
        None => {
            let security = match config.security.as_deref() {
                None | Some("full") => ExecSecurity::Full,
                Some("allowlist") => ExecSecurity::Allowlist,
                Some(_) => ExecSecurity::Deny,
            };
            let ask = match config.ask.as_deref() {
                None | Some("off") => ExecAsk::Off,
                Some("on-miss") => ExecAsk::OnMiss,
                Some(_) => ExecAsk::Always,
            };
            (security, ask)
        }
    }
}

/// What has to happen with a command that `allowed` says the rules allow.
pub(crate) fn judge(rules: &Rules, allowed: bool) -> Verdict {
    match (rules.security, rules.ask) {
        (ExecSecurity::Deny, _) => Verdict::Refuse,
        (_, ExecAsk::Always) => Verdict::Ask,
        (_, ExecAsk::OnMiss) if !allowed => Verdict::Ask,
        (ExecSecurity::Allowlist, _) if !allowed => Verdict::Refuse,
        _ => Verdict::Run,
    }
}

/// What has to happen when a person should have decided and did not.
pub(crate) fn unanswered(rules: &Rules, allowed: bool) -> Verdict {
    let may = match rules.fallback {
        ExecSecurity::Deny => false,
        ExecSecurity::Allowlist => allowed,
        ExecSecurity::Full => rules.security == ExecSecurity::Full || allowed,
    };
    if may { Verdict::Run } else { Verdict::Refuse }
}

/// Looks at a command: its programs, found on the search path it will have. `None`: it is opaque, or a program is not
/// there.
pub(crate) fn look(command: &str, job: &Spec) -> Option<Known> {
    let parsed = shell::parse(command)?;
    let path = job.base.get("PATH").unwrap_or_default();
    let cwd = job.cwd.as_deref()?;
    let segments = parsed.segments.into_iter().map(|argv| find(argv, cwd, path)).collect::<Option<Vec<_>>>()?;
    // A variable can bend any program; only those that change its looks leave what is known of it true.
    let harmless = job.extra.iter().all(|(name, _)| LOOKS.contains(&name.as_str()) || name.starts_with("LC_"));
    harmless.then_some(Known { segments, joints: parsed.joints })
}

fn find(argv: Vec<String>, cwd: &Path, path: &str) -> Option<Segment> {
    let name = Path::new(&argv[0]);
    let found = match argv[0].contains('/') {
        true => Some(cwd.join(name)).filter(|file| is_program(file)),
        false => std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(name))
            .find(|file| is_program(file)),
    }?;
    let real = found.canonicalize().ok()?;
    Some(Segment { argv, found: slashed(&found)?, real: slashed(&real)? })
}

fn slashed(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    Some(if cfg!(windows) { text.replace('\\', "/") } else { text.to_string() })
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Does an entry of the allowlist cover a program as it is called?
fn covers(entry: &AllowlistEntry, segment: &Segment, cwd: &str) -> bool {
    let pattern = entry.pattern.trim();
    let of_path = pattern.contains('/');
    let pattern = match pattern.strip_prefix("~/") {
        Some(rest) => match home() {
            Some(home) => format!("{}/{rest}", home.trim_end_matches('/')),
            None => return false,
        },
        None => pattern.to_string(),
    };
    let Ok(glob) = Glob::new(&pattern) else { return false };
    let program = match of_path {
        true => glob.matches(&segment.found) || glob.matches(&segment.real),
        false => !segment.argv[0].contains('/') && glob.matches(&segment.argv[0]),
    };
    program
        && match entry.arg_pattern.as_deref() {
            None => true,
            Some(exact) if exact.starts_with(EXACT) => exact == exactly(&segment.argv, cwd),
            Some(pattern) => Regex::new(pattern, false).is_ok_and(|regex| regex.is_match(&segment.argv[1..].join(" "))),
        }
}

fn home() -> Option<String> {
    std::env::var("HOME").or_else(|_| std::env::var("USERPROFILE")).ok().filter(|home| !home.is_empty())
}

/// One command line in one directory, as a grant names it.
fn exactly(argv: &[String], cwd: &str) -> String {
    let text = serde_json::to_string(&(cwd, argv)).expect("strings are always JSON");
    format!("{EXACT}{}", random::to_hex(digest(&SHA256, text.as_bytes()).as_ref()))
}

impl Known {
    /// The job that runs these programs with these words and nothing else: no shell where one program is all there is.
    pub fn pin(&self, mut job: Spec) -> Spec {
        if let [only] = &self.segments[..] {
            job.argv.clone_from(&only.argv);
            job.argv[0].clone_from(&only.found);
            return job;
        }
        let mut text = String::new();
        for (at, segment) in self.segments.iter().enumerate() {
            if let Some(joint) = at.checked_sub(1).and_then(|before| self.joints.get(before)) {
                text.push_str(&format!(" {joint} "));
            }
            let words = std::iter::once(&segment.found).chain(&segment.argv[1..]);
            text.push_str(&words.map(|word| shell::quote(word)).collect::<Vec<_>>().join(" "));
        }
        if let Some(last) = job.argv.last_mut() {
            *last = text;
        }
        job
    }

    /// The rules that allow exactly this from now on. `None`: no rule could say it.
    pub fn grants(&self, cwd: &str, now_ms: u64) -> Option<Vec<AllowlistEntry>> {
        let grant = |segment: &Segment| AllowlistEntry {
            pattern: segment.found.clone(),
            id: Some(random::uuid()),
            source: Some("allow-always".into()),
            arg_pattern: Some(exactly(&segment.argv, cwd)),
            last_used_at: Some(now_ms),
            last_resolved_path: Some(segment.real.clone()),
            ..AllowlistEntry::default()
        };
        let plain = |segment: &Segment| !segment.found.contains(['*', '?', '[', ']', '{', '}', '\\']);
        self.segments.iter().all(plain).then(|| self.segments.iter().map(grant).collect())
    }

    /// Whether the same words still mean the same programs.
    pub fn is_still(&self, other: Option<&Known>) -> bool {
        other.is_some_and(|other| other.segments == self.segments)
    }
}

/// The directory a job runs in, as rules and people see it.
pub(crate) fn directory(job: &Spec) -> String {
    job.cwd.as_deref().and_then(slashed).unwrap_or_default()
}

const EXACT: &str = "sha256:argv:";
/// Variables that change how output looks and nothing else.
const LOOKS: [&str; 5] = ["TERM", "LANG", "COLORTERM", "NO_COLOR", "FORCE_COLOR"];

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(argv: &[&str]) -> Segment {
        let argv: Vec<String> = argv.iter().map(|word| word.to_string()).collect();
        let name = argv[0].rsplit('/').next().expect("a name").to_string();
        Segment { argv, found: format!("/usr/bin/{name}"), real: format!("/opt/tools/{name}") }
    }

    fn entry(pattern: &str, arg_pattern: Option<&str>) -> AllowlistEntry {
        AllowlistEntry { pattern: pattern.into(), arg_pattern: arg_pattern.map(Into::into), ..Default::default() }
    }

    fn config(mode: &str) -> ExecConfig {
        ExecConfig { mode: Some(mode.into()), ..ExecConfig::default() }
    }

    #[test]
    fn the_stricter_of_two_documents_holds() {
        let mut file = ExecApprovalsFile::default();
        let open = config("full");
        assert!(Rules::of(&open, &file, "main").is_open());
        file.defaults.ask = Some(ExecAsk::OnMiss);
        file.agents.get_or_insert_with("main".into(), Default::default).security = Some(ExecSecurity::Allowlist);
        let rules = Rules::of(&open, &file, "main");
        assert_eq!((rules.security, rules.ask), (ExecSecurity::Allowlist, ExecAsk::OnMiss));
        assert_eq!(Rules::of(&open, &file, "other").security, ExecSecurity::Full);
        file.defaults.security = Some(ExecSecurity::Full);
        let closed = config("deny");
        assert_eq!(Rules::of(&closed, &file, "other").security, ExecSecurity::Deny, "a document cannot open");
    }

    #[test]
    fn a_verdict_follows_mode_and_match() {
        let file = ExecApprovalsFile::default();
        let of = |mode: &str, allowed| judge(&Rules::of(&config(mode), &file, "main"), allowed);
        assert_eq!((of("full", false), of("deny", true)), (Verdict::Run, Verdict::Refuse));
        assert_eq!((of("allowlist", true), of("allowlist", false)), (Verdict::Run, Verdict::Refuse));
        assert_eq!((of("ask", true), of("ask", false)), (Verdict::Run, Verdict::Ask));
        let always = ExecConfig { ask: Some("always".into()), ..ExecConfig::default() };
        assert_eq!(judge(&Rules::of(&always, &file, "main"), true), Verdict::Ask);
    }

    #[test]
    fn nobody_to_ask_means_no_unless_the_document_says_otherwise() {
        let mut file = ExecApprovalsFile::default();
        let ask = config("ask");
        assert_eq!(unanswered(&Rules::of(&ask, &file, "main"), true), Verdict::Refuse);
        file.defaults.ask_fallback = Some(ExecSecurity::Allowlist);
        assert_eq!(unanswered(&Rules::of(&ask, &file, "main"), true), Verdict::Run);
        file.defaults.ask_fallback = Some(ExecSecurity::Full);
        assert_eq!(unanswered(&Rules::of(&ask, &file, "main"), false), Verdict::Refuse, "the list still counts");
    }

    #[test]
    fn a_bare_name_covers_what_the_path_finds_and_a_path_covers_a_place() {
        let rg = segment(&["rg", "x"]);
        assert!(covers(&entry("rg", None), &rg, "/w") && covers(&entry("r*", None), &rg, "/w"));
        assert!(covers(&entry("/usr/bin/rg", None), &rg, "/w") && covers(&entry("/opt/**/rg", None), &rg, "/w"));
        assert!(!covers(&entry("/bin/rg", None), &rg, "/w") && !covers(&entry("/usr/*", None), &rg, "/w"));
        assert!(!covers(&entry("rg", None), &segment(&["./rg", "x"]), "/w"), "a path is no bare name");
    }

    #[test]
    fn arguments_are_matched_by_expression_or_to_the_letter() {
        let git = segment(&["git", "status", "-s"]);
        assert!(covers(&entry("git", Some("^status( -s)?$")), &git, "/w"));
        assert!(!covers(&entry("git", Some("^status$")), &git, "/w") && !covers(&entry("git", Some("(")), &git, "/w"));
        let exact = exactly(&git.argv, "/w");
        assert!(covers(&entry("/usr/bin/git", Some(&exact)), &git, "/w"));
        assert!(!covers(&entry("/usr/bin/git", Some(&exact)), &git, "/elsewhere"));
        assert!(!covers(&entry("/usr/bin/git", Some(&exact)), &segment(&["git", "status -s"]), "/w"));
    }
}

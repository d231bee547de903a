//! The tools from outside: through [`run`], on real files and real commands.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::json;

use super::*;

#[cfg(unix)]
mod on_unix;

/// A workspace of its own, gone when the test is over.
struct Place {
    root: PathBuf,
    limits: ToolLimits,
    abort: Abort,
}

/// Everything may run.
struct Unasked;

impl Permission for Unasked {
    fn permit(&self, _: &str, job: crate::sys::child::Spec) -> Result<crate::sys::child::Spec, Denied> {
        Ok(job)
    }
}

impl Place {
    fn new() -> Place {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let count = PLACES.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("openclaw-tools-{}-{count}", std::process::id()));
        fs::create_dir_all(root.join("home")).unwrap();
        Place { root: root.canonicalize().unwrap(), limits: ToolLimits::default(), abort: Abort::new() }
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.home().join(name)).unwrap()
    }

    fn run(&self, tool: &str, arguments: serde_json::Value) -> ToolOutcome {
        self.run_text(tool, &arguments.to_string(), &mut |_| {})
    }

    fn run_text(&self, tool: &str, arguments: &str, progress: &mut dyn FnMut(Progress)) -> ToolOutcome {
        let home = self.home();
        let mut context = ToolContext {
            workspace: &home,
            session_key: "agent:main:main",
            agent_id: "main",
            run_id: "r1",
            abort: &self.abort,
            limits: &self.limits,
            permission: &Unasked,
            nodes: &|ask| Err(format!("asked {ask:?}")),
            message: &|ask| Err(format!("asked {ask:?}")),
            sessions: &|ask| Err(format!("asked {ask:?}")),
            people: &|params| Err(format!("asked {params:?}")),
            suggest: &|_| Err("nobody takes cards".into()),
            status: &|| "Model: stub/stub-model".to_owned(),
            progress,
        };
        run(tool, arguments, &mut context)
    }

    /// The text of a call that must succeed.
    fn good(&self, tool: &str, arguments: serde_json::Value) -> String {
        let outcome = self.run(tool, arguments);
        assert!(!outcome.is_error, "{}", outcome.text());
        outcome.text()
    }

    /// The sentence of a call that must be refused.
    fn bad(&self, tool: &str, arguments: serde_json::Value) -> String {
        let outcome = self.run(tool, arguments);
        assert!(outcome.is_error, "{}", outcome.text());
        outcome.text()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed half-way may have removed it; the next run makes another one.
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn exec_details(outcome: &ToolOutcome) -> &ExecDetails {
    match &outcome.details {
        Details::Exec(details) => details,
        other => panic!("not an exec result: {other:?}"),
    }
}

#[test]
fn the_table_is_sorted_and_every_schema_is_a_schema() {
    assert!(TOOLS.is_sorted_by(|a, b| a.name < b.name));
    for tool in TOOLS {
        let schema: serde_json::Value = serde_json::from_str(tool.parameters).expect(tool.name);
        let properties = schema["properties"].as_object().expect(tool.name);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        assert!(required.iter().all(|name| properties.contains_key(name.as_str().unwrap())), "{}", tool.name);
        assert!(!tool.label.is_empty() && tool.description.len() > 40, "{}", tool.name);
        let spec = tool.spec();
        assert_eq!(spec.name, tool.name);
        assert!(!spec.parameters.get().contains('\n'));
    }
    assert_eq!(find("bash").unwrap().name, "exec");
    assert_eq!(find("write").unwrap().access, Access::Writes);
}

#[test]
fn hostile_arguments_are_answered_with_what_is_wrong() {
    let place = Place::new();
    let table = [
        ("no_such_tool", "{}", "There is no tool"),
        ("read", "", "missing field `path`"),
        ("read", "[]", "Wrong arguments for read"),
        ("read", "null", "Wrong arguments for read"),
        ("read", "{\"path\":", "Wrong arguments for read"),
        ("read", r#"{"path":7}"#, "path: invalid type: integer `7`, expected a string"),
        ("read", r#"{"path":"a","limit":"many"}"#, "limit: expected a number"),
        ("read", r#"{"path":"a","offset":-1}"#, "offset: expected a number"),
        ("read", r#"{"path":"a\u0000b"}"#, "NUL"),
        ("write", r#"{"path":"a"}"#, "missing field `content`"),
        ("edit", r#"{"path":"a"}"#, "Nothing to do"),
        ("edit", r#"{"path":"a","oldText":"x"}"#, "newText is missing"),
        ("edit", r#"{"path":"a","edits":[{"oldText":1,"newText":""}]}"#, "edits[0].oldText: invalid type"),
        ("exec", r#"{"command":" "}"#, "command is empty"),
        ("exec", r#"{"command":"true","env":{"A":1}}"#, "env.A: invalid type"),
        ("exec", r#"{"command":"true","host":"node"}"#, "not available"),
        ("exec", r#"{"command":"true","workdir":"nowhere"}"#, "is not a directory"),
        ("grep", r#"{"pattern":"("}"#, "a ( without its )"),
        ("find", r#"{"pattern":""}"#, "A glob needs"),
        ("ls", r#"{"path":"nowhere"}"#, "Cannot list nowhere"),
    ];
    for (tool, arguments, wanted) in table {
        let outcome = place.run_text(tool, arguments, &mut |_| {});
        assert!(outcome.is_error, "{tool} {arguments}");
        assert!(outcome.text().contains(wanted), "{tool} {arguments}: {}", outcome.text());
        assert!(matches!(outcome.details, Details::Failed(_)));
    }
    let deep = "[".repeat(100_000);
    assert!(place.run_text("read", &deep, &mut |_| {}).is_error);
    let long = format!("{{\"path\":\"{}\"}}", "x".repeat(100_000));
    assert!(place.run_text("read", &long, &mut |_| {}).text().len() < 3000);
}

#[test]
fn mutated_arguments_never_bring_a_tool_down() {
    let place = Place::new();
    place.put("a.txt", "one\ntwo\n");
    let corpus = [
        ("read", r#"{"path":"a.txt","offset":1,"limit":2}"#),
        ("edit", r#"{"path":"a.txt","edits":[{"oldText":"one","newText":"1"}]}"#),
        ("grep", r#"{"pattern":"(o|t)[a-z]{1,2}\\b","glob":"*.{txt,md}","context":1}"#),
        ("find", r#"{"pattern":"**/*.[a-t]xt","limit":3}"#),
        ("ls", r#"{"path":".","after":"a","limit":"5"}"#),
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..2000 {
        let (tool, text) = corpus[round % corpus.len()];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = b"{}[]()*+?|\\\",:09az.-^$"[random(22)];
        }
        // Paths may by chance lead elsewhere; nothing here writes but edit, which needs its text to be there.
        place.run_text(tool, &String::from_utf8_lossy(&bytes), &mut |_| {});
    }
}

#[test]
fn unknown_arguments_are_ignored_and_named_where_it_matters() {
    let place = Place::new();
    let text = place.good("exec", json!({"command": "echo hi", "background": true, "yieldMs": 10, "cmdx": 1}));
    assert!(text.starts_with("hi"), "{text}");
    assert!(text.contains("Ignored arguments: background, cmdx, yieldMs"), "{text}");
    assert_eq!(place.good("exec", json!({"cmd": "pwd", "timeout": "5"})), place.home().display().to_string());
}

#[test]
fn read_pages_through_lines() {
    let mut place = Place::new();
    place.put("a.txt", "1\n2\n3\n4\n5\n");
    assert_eq!(place.good("read", json!({"path": "a.txt"})), "1\n2\n3\n4\n5\n");
    let page = place.run("read", json!({"path": "a.txt", "offset": 2, "limit": 2.0}));
    assert_eq!(page.text(), "2\n3\n\n[Lines 2 to 3; continue with offset=4.]");
    assert!(matches!(&page.details, Details::File(file) if file.next_offset == Some(4)));
    assert_eq!(place.good("read", json!({"path": "a.txt", "offset": "4"})), "4\n5\n");
    assert_eq!(
        place.good("read", json!({"path": "a.txt", "offset": 9})),
        "[The file has 5 lines; there is no line 9.]"
    );
    assert_eq!(place.good("read", json!({"path": "a.txt", "limit": 5})), "1\n2\n3\n4\n5\n");
    place.put("empty", "");
    assert_eq!(place.good("read", json!({"path": "empty"})), "");

    place.limits.text_bytes = 10;
    let page = place.good("read", json!({"path": "a.txt", "limit": 100}));
    assert_eq!(page, "1\n2\n3\n4\n5\n");
    place.put("long", format!("{}\nnext\n", "ä".repeat(50)));
    let page = place.good("read", json!({"path": "long"}));
    assert!(page.starts_with("äääää\n[Line 1 has 101 bytes"), "{page}");
    assert_eq!(place.good("read", json!({"path": "long", "offset": 2})), "next\n");
    place.put("wide", "12345\n67890\nabc\n");
    let page = place.good("read", json!({"path": "wide"}));
    assert!(page.starts_with("12345\n\n[Lines 1 to 1; continue with offset=2.]"), "{page}");
}

#[test]
fn read_attaches_images_and_refuses_other_bytes() {
    let mut place = Place::new();
    place.put("cat.txt", b"\x89PNG\r\n\x1a\n....");
    let outcome = place.run("read", json!({"path": "cat.txt"}));
    let Part::Image { mime, data } = &outcome.content[1] else { panic!("{outcome:?}") };
    assert_eq!((mime.as_str(), data.as_str()), ("image/png", "iVBORw0KGgouLi4u"));
    place.limits.image_bytes = 11;
    assert!(place.bad("read", json!({"path": "cat.txt"})).contains("more than 11 bytes"));
    place.put("x.bin", b"ab\0cd");
    assert!(place.bad("read", json!({"path": "x.bin"})).contains("binary file (5 bytes)"));
    place.put("latin", b"gr\xfc\xdfe");
    assert_eq!(place.good("read", json!({"path": "latin"})), "gr\u{fffd}\u{fffd}e");
    assert!(place.bad("read", json!({"path": "."})).contains("is a directory"));
    assert!(place.bad("read", json!({"path": "none"})).contains("does not exist"));
}

#[test]
fn write_makes_directories_and_replaces_whole_files() {
    let place = Place::new();
    assert_eq!(place.good("write", json!({"path": "a/b/c.txt", "content": "one"})), "Created a/b/c.txt (3 bytes).");
    assert_eq!(place.good("write", json!({"path": "a/b/c.txt", "content": "two!"})), "Replaced a/b/c.txt (4 bytes).");
    let same = place.run("write", json!({"path": "a/b/c.txt", "content": "two!"}));
    assert!(matches!(&same.details, Details::File(file) if file.changed == Some(false)));
    assert_eq!(place.text("a/b/c.txt"), "two!");
    assert_eq!(fs::read_dir(place.home().join("a/b")).unwrap().count(), 1, "no draft is left");
    assert!(place.bad("write", json!({"path": "a/b", "content": ""})).contains("is a directory"));
    assert!(place.bad("write", json!({"path": "a/b/c.txt/d", "content": ""})).contains("Cannot"));
}

#[test]
fn edit_replaces_what_occurs_once() {
    let place = Place::new();
    place.put("a.txt", "alpha\nbeta\ngamma\nbeta two\n");
    let outcome = place.run("edit", json!({"path": "a.txt", "oldText": "gamma\n", "newText": "delta\nepsilon\n"}));
    assert_eq!(outcome.text(), "Changed a.txt in 1 place.");
    let Details::File(file) = &outcome.details else { panic!() };
    assert_eq!(file.diff.as_deref(), Some("-3 gamma\n+3 delta\n+4 epsilon"));
    assert_eq!(file.first_changed_line, Some(3));
    assert_eq!(place.text("a.txt"), "alpha\nbeta\ndelta\nepsilon\nbeta two\n");

    let edits = json!([{"oldText": "beta two", "newText": "end"}, {"old_text": "alpha", "new_text": "start"}]);
    assert_eq!(place.good("edit", json!({"path": "a.txt", "edits": edits})), "Changed a.txt in 2 places.");
    assert_eq!(place.text("a.txt"), "start\nbeta\ndelta\nepsilon\nend\n");
}

#[test]
fn an_edit_that_is_not_clear_changes_nothing() {
    let place = Place::new();
    place.put("a.txt", "aaa\n  two  words\nabcd\n");
    let edit = |old: &str, new: &str| place.bad("edit", json!({"path": "a.txt", "oldText": old, "newText": new}));
    assert!(edit("aa", "b").contains("occurs 2 times"));
    assert!(edit("zzz", "b").contains("does not occur in a.txt"));
    assert!(edit("two words", "b").contains("Line 2 looks like"));
    assert!(edit("", "b").contains("is empty"));
    assert!(edit("abcd", "abcd").contains("would stay as it is"));
    let edits = json!([{"oldText": "abc", "newText": "x"}, {"oldText": "bcd", "newText": "y"}]);
    assert!(place.bad("edit", json!({"path": "a.txt", "edits": edits})).contains("overlap at line 3"));
    let edits = json!([{"oldText": "abcd", "newText": "x"}, {"oldText": "q", "newText": "y"}]);
    assert!(place.bad("edit", json!({"path": "a.txt", "edits": edits})).contains("edits[1].oldText does not occur"));
    assert_eq!(place.text("a.txt"), "aaa\n  two  words\nabcd\n");
    place.put("latin", b"gr\xfc\xdfe");
    assert!(place.bad("edit", json!({"path": "latin", "oldText": "gr", "newText": "x"})).contains("not UTF-8"));
}

#[test]
fn edit_keeps_line_ends_and_permissions() {
    let place = Place::new();
    let path = place.put("dos.bat", "\u{feff}one\r\ntwo\r\nthree\r\n");
    make_executable(&path);
    place.good("edit", json!({"path": "dos.bat", "oldText": "one\ntwo", "newText": "1\n2\n2b"}));
    assert_eq!(place.text("dos.bat"), "\u{feff}1\r\n2\r\n2b\r\nthree\r\n");
    assert!(is_executable(&path));
}

#[cfg(unix)]
fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o754)).unwrap();
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o754
}

#[cfg(not(unix))]
fn make_executable(_: &Path) {}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    true
}

#[test]
fn the_gateways_own_places_are_closed() {
    let mut place = Place::new();
    fs::write(place.root.join("secret.db"), "s3cret").unwrap();
    fs::create_dir_all(place.home().join("inner")).unwrap();
    place.put("inner/x", "deep secret");
    place.put("ok.txt", "fine");
    place.limits.denied_roots = vec![place.root.clone(), place.home().join("inner")];
    for path in ["../secret.db", "ok/../../secret.db", "inner/x"] {
        for (tool, arguments) in [
            ("read", json!({"path": path})),
            ("write", json!({"path": path, "content": "x"})),
            ("edit", json!({"path": path, "oldText": "s", "newText": "x"})),
            ("grep", json!({"path": path, "pattern": "s"})),
        ] {
            let sentence = place.bad(tool, arguments);
            assert!(!sentence.contains("s3cret"), "{tool} {path}: {sentence}");
        }
    }
    assert!(place.bad("ls", json!({"path": ".."})).contains("belongs to the gateway"));
    assert!(place.bad("find", json!({"path": "..", "pattern": "*"})).contains("belongs to the gateway"));
    assert_eq!(place.good("read", json!({"path": "ok.txt"})), "fine");
    assert!(!place.good("grep", json!({"pattern": "secret"})).contains("deep"), "a search stays out too");
    assert_eq!(fs::read_to_string(place.root.join("secret.db")).unwrap(), "s3cret");
}

#[test]
fn without_a_fence_the_whole_host_is_open() {
    let place = Place::new();
    let outside = place.root.join("outside.txt");
    place.good("write", json!({"path": outside, "content": "x"}));
    assert_eq!(place.good("read", json!({"path": "../outside.txt"})), "x");
}

#[test]
fn workspace_only_means_the_workspace_only() {
    let mut place = Place::new();
    place.limits.workspace_only = true;
    fs::write(place.root.join("outside.txt"), "x").unwrap();
    place.put("in.txt", "inside");
    for path in ["../outside.txt", "/etc/passwd", "~/x", "a/../../outside.txt", "../home2/x"] {
        assert!(place.run("read", json!({"path": path})).is_error, "{path}");
        assert!(place.run("write", json!({"path": path, "content": "y"})).is_error, "{path}");
    }
    assert_eq!(place.good("read", json!({"path": "./in.txt"})), "inside");
    let absolute = place.home().join("in.txt");
    assert_eq!(place.good("read", json!({"path": absolute})), "inside");
    place.good("write", json!({"path": "new/dir/file", "content": "y"}));
    assert_eq!(fs::read_to_string(place.root.join("outside.txt")).unwrap(), "x");
}

#[test]
fn exec_hands_its_runner_exactly_the_job() {
    use crate::sys::child::{ChildError, Outcome, Spec};
    struct Recorder(std::cell::RefCell<Vec<String>>);
    impl runner::Runner for Recorder {
        fn run(&self, job: &Spec, _: &Abort, each: &mut dyn FnMut(&[u8])) -> Result<Outcome, ChildError> {
            let line = job.argv.last().unwrap();
            self.0.borrow_mut().push(format!("{line} within {:?}", job.time_limit));
            each(b"said");
            Ok(Outcome {
                exit_code: Some(0),
                signal: None,
                timed_out: false,
                aborted: false,
                output: "said".to_owned(),
                truncated_bytes: 0,
                duration_ms: 1,
            })
        }
    }
    let place = Place::new();
    let home = place.home();
    let mut context = ToolContext {
        workspace: &home,
        session_key: "s",
        agent_id: "main",
        run_id: "r",
        abort: &place.abort,
        limits: &place.limits,
        permission: &Unasked,
        status: &String::new,
        nodes: &|_| Ok(String::new()),
        message: &|_| Ok(String::new()),
        sessions: &|_| Ok(String::new()),
        people: &|_| Ok(String::new()),
        suggest: &|_| Ok(String::new()),
        progress: &mut |_| {},
    };
    let recorder = Recorder(Default::default());
    for arguments in
        [r#"{"command":"a"}"#, r#"{"command":"b","timeoutSeconds":1e300}"#, r#"{"command":"c","timeout":7}"#]
    {
        let decoded = arguments::decode("exec", find("exec").unwrap().parameters, arguments).ok().unwrap();
        assert_eq!(exec::exec_on(&recorder, decoded, &mut context).unwrap().text(), "said");
    }
    assert_eq!(*recorder.0.borrow(), ["a within 120s", "b within 1800s", "c within 7s"]);
}

#[test]
fn ls_lists_in_pages() {
    let place = Place::new();
    for name in ["b", "a", "d/x", ".hidden", "line\nbreak"] {
        place.put(name, "");
    }
    assert_eq!(place.good("ls", json!({})), ".hidden\na\nb\nd/\n\"line\\nbreak\"");
    let page = place.good("ls", json!({"limit": 2}));
    assert_eq!(page, ".hidden\na\n[More entries; continue with after=\"a\".]");
    assert_eq!(place.good("ls", json!({"after": "b"})), "d/\n\"line\\nbreak\"");
    assert_eq!(place.good("ls", json!({"path": "d", "after": "z"})), "(nothing here)");
    assert!(place.bad("ls", json!({"path": "a"})).contains("Cannot list a"));
}

#[test]
fn find_and_grep_search_below_the_workspace() {
    let place = Place::new();
    place.put("a.md", "alpha\nBeta\ngamma\n");
    place.put("sub/deep/b.md", "beta\nbeta\n");
    place.put("sub/c.bin", b"be\0ta");
    place.put("node_modules/x.md", "beta");
    place.put(".git/y.md", "beta");
    assert_eq!(place.good("find", json!({"pattern": "*.md"})), "a.md\nsub/deep/b.md");
    assert_eq!(place.good("find", json!({"pattern": "deep/*.md", "path": "sub"})), "deep/b.md");
    assert_eq!(place.good("find", json!({"pattern": "*.zip"})), "No file matches.");
    assert!(place.good("find", json!({"pattern": "*", "limit": 1})).contains("[More than these 1;"));
    assert_eq!(place.good("grep", json!({"pattern": "^b.ta$"})), "sub/deep/b.md:1: beta\nsub/deep/b.md:2: beta");
    assert_eq!(
        place.good("grep", json!({"pattern": "BETA", "ignoreCase": true, "glob": "a.*", "context": 1})),
        "a.md-1- alpha\na.md:2: Beta\na.md-3- gamma"
    );
    let both = place.good("grep", json!({"pattern": "beta", "path": "sub/deep", "context": 5}));
    assert_eq!(both, "b.md:1: beta\nb.md:2: beta");
    assert_eq!(place.good("grep", json!({"pattern": "b.ta", "literal": true})), "No match.");
    assert_eq!(place.good("grep", json!({"pattern": "amm", "path": "a.md"})), "a.md:3: gamma");
    let cut = place.run("grep", json!({"pattern": "beta", "limit": 1}));
    assert!(matches!(&cut.details, Details::Listing(list) if list.truncated && list.count == 1));
    assert!(place.bad("grep", json!({"pattern": "x", "path": "sub/c.bin"})).contains("binary"));
}

#[test]
fn session_status_knows_the_time() {
    let place = Place::new();
    let text = place.good("session_status", json!({}));
    assert!(
        text.starts_with("Time: ") && text.contains(" UTC)\nSession: agent:main:main (agent main)\nModel: stub"),
        "{text}"
    );
}

#[test]
fn t33_an_agent_asks_nodes_for_no_shell_and_for_nothing_of_the_administrator_s() {
    let place = Place::new();
    for command in ["system.run", "system.run.prepare", "system.execApprovals.set", "browser.proxy", "fs.listDir"] {
        let text = place.bad("nodes", json!({"action": "invoke", "node": "n1", "invokeCommand": command}));
        assert!(text.contains("not for agents"), "{text}");
    }
    let asked = place.bad("nodes", json!({"action": "invoke", "node": "n1", "invokeCommand": "location.get"}));
    assert!(asked.contains("Invoke") && asked.contains("location.get") && asked.contains("20000"), "{asked}");
    for wrong in [
        json!({"action": "approve", "node": "n1"}),
        json!({"action": "describe"}),
        json!({"action": "notify", "node": "n1"}),
        json!({"action": "invoke", "node": "n1"}),
        json!({"action": "invoke", "node": "n1", "invokeCommand": "x", "invokeParamsJson": "[]"}),
    ] {
        assert!(!place.bad("nodes", wrong.clone()).contains("asked"), "{wrong}");
    }
}

#[test]
fn a_policy_chooses_from_the_table() {
    let names = |profile: &str, deny: &[&str]| {
        let deny = deny.iter().map(|name| name.to_string()).collect();
        let layer = policy::Layer { profile: Some(profile.into()), deny, ..policy::Layer::default() };
        let chosen = permitted(&policy::Policy::chain(layer, None, None, None));
        chosen.iter().map(|tool| tool.name).collect::<Vec<_>>()
    };
    assert_eq!(names("minimal", &[]), ["session_status"]);
    assert_eq!(
        names("full", &["group:runtime", "w*", "edit"]),
        [
            "ask_user",
            "dismiss_task",
            "find",
            "grep",
            "ls",
            "message",
            "nodes",
            "read",
            "session_status",
            "sessions_history",
            "sessions_list",
            "suggest_task"
        ]
    );
}

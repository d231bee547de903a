//! The configuration under fire: a writer that dies at any step, and files nobody wrote with good will.

use std::fs;
use std::time::{Duration, Instant};

use openclaw::config::{edit, json5, keys, load};
use openclaw::sys::Env;
use openclaw::sys::paths::{Paths, Selector};
use serde_json::{Value, json};

use crate::support::gateway;
use crate::support::scratch::Scratch;

const OLD: &str = "// mine\n{ gateway: { mode: 'local', auth: { token: 'a-token-of-good-length-0123' } }, logging: { level: 'info' } }\n";

fn home() -> Scratch {
    let home = Scratch::new();
    fs::create_dir_all(gateway::state_dir(home.path())).expect("made");
    fs::write(gateway::config_path(home.path()), OLD).expect("written");
    home
}

/// Debug builds end at the step of a write they are told; a release has no such thing, and the test nothing to do there.
#[cfg(unix)]
#[test]
fn a_writer_that_dies_at_any_step_leaves_the_old_file_or_the_new_one_and_holds_nothing() {
    use std::os::unix::fs::PermissionsExt;

    let home = home();
    let path = gateway::config_path(home.path());
    let new = OLD.replace("'info'", "\"debug\"");
    let (mut steps, mut kept_old, mut has_new) = (0, 0, 0);
    for step in 1..200 {
        fs::write(&path, OLD).expect("written");
        let number = step.to_string();
        let args = ["config", "set", "logging.level", "debug"];
        let done = gateway::run(home.path(), &args, &[("OPENCLAW_TEST_ABORT_AT", &number)]);
        let now = fs::read_to_string(&path).expect("the file is always there");
        assert!(now == OLD || now == new, "step {step}: neither old nor new\n{now}");
        for entry in fs::read_dir(gateway::state_dir(home.path())).expect("listed") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let mode = fs::metadata(&file).expect("there").permissions().mode() & 0o777;
            assert!(file == path || mode & 0o077 == 0, "step {step}: {name} has mode {mode:o}");
            // A backup is whole as well.
            if name.starts_with("openclaw.json.bak") {
                assert_eq!(fs::read_to_string(&file).expect("read"), OLD, "step {step}: {name}");
            }
        }
        if done.status.success() {
            assert_eq!(now, new);
            steps = step;
            break;
        }
        if now == OLD {
            kept_old += 1
        } else {
            has_new += 1
        }
        // The next writer is not held up, and finds nothing in its way.
        let next = gateway::run(home.path(), &["config", "set", "logging.level", "info"], &[]);
        assert!(next.status.success(), "step {step}: {next:?}");
        for litter in fs::read_dir(gateway::state_dir(home.path())).expect("listed") {
            let litter = litter.expect("an entry").path();
            if litter != path {
                let _ = fs::remove_file(litter);
            }
        }
    }
    if cfg!(debug_assertions) {
        assert!(steps > 8 && kept_old > 5 && has_new > 0, "{steps} steps, {kept_old} old, {has_new} new");
    }
}

/// xorshift64*: the same seed gives the same bytes everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    fn mutate(&mut self, corpus: &[&str]) -> Vec<u8> {
        let mut bytes = corpus[self.roll(corpus.len())].as_bytes().to_vec();
        for _ in 0..=self.roll(6) {
            let at = self.roll(bytes.len() + 1);
            match self.roll(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, b"{}[]:,'\"/*\\\n\r\t$\0\xff\xe2u0-.eE"[self.roll(24)]),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                3 => {
                    let end = (at + self.roll(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
                4 => {
                    let end = (at + self.roll(24)).min(bytes.len());
                    let times = if self.roll(8) == 0 { 4000 } else { 3 };
                    let piece = bytes[at..end].repeat(times);
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let other = corpus[self.roll(corpus.len())].as_bytes();
                    let from = self.roll(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend(&other[from..]);
                }
            }
        }
        bytes
    }
}

const CORPUS: [&str; 5] = [
    OLD,
    include_str!("golden/config/home.json5"),
    include_str!("golden/config/office.json5"),
    "{$include: ['./a.json5', '../b'], models: {providers: {x: {apiKey: {source: 'exec', provider: 'v', id: 'a/b#c'}}}}, secrets: {providers: {v: {source: 'exec', command: '/no/such'}}}}",
    "\u{feff}{'quoted key': 0x10, \"esc\\u0041\\\n\": -Infinity, n: +.5e-3, list: [1,,], }",
];

/// `FUZZ_MS` makes it longer, `FUZZ_SEED` repeats a run.
#[test]
fn mutated_configurations_are_refused_or_understood_and_never_harm_the_loader() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("FUZZ_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| since.as_nanos() as u64 | 1)
    });
    println!("FUZZ_SEED={seed}");
    let home = home();
    let state = gateway::state_dir(home.path());
    let env = Env::from_iter([
        ("HOME", home.path().to_str().expect("UTF-8")),
        ("OPENCLAW_STATE_DIR", state.to_str().expect("UTF-8")),
    ]);
    let paths = Paths::resolve(&env, &Selector::default()).expect("resolved");
    let mut dice = Dice(seed | 1);
    let end = Instant::now() + number("FUZZ_MS").map_or(Duration::from_millis(1200), Duration::from_millis);
    while Instant::now() < end {
        let bytes = dice.mutate(&CORPUS);
        let text = String::from_utf8_lossy(&bytes);
        let begun = Instant::now();
        let loaded = load::parse(&text, &paths, &env);
        assert!(begun.elapsed() < Duration::from_secs(5), "FUZZ_SEED={seed}: {} bytes took too long", text.len());
        let Ok(parsed) = json5::parse(&text, 0) else {
            assert!(loaded.is_err(), "FUZZ_SEED={seed}: what is not JSON5 was loaded");
            continue;
        };
        // What can be read can be changed, and then means what was asked; or the change is refused.
        if let Ok(changed) = edit::set(&text, &keys::split("gateway.port"), &json!(4711)) {
            let after = json5::parse(&changed, 0).map(|parsed| parsed.root.to_value());
            let mut wanted: Value = parsed.root.to_value();
            edit::put(&mut wanted, &keys::split("gateway.port"), json!(4711)).expect("it was possible in the text");
            assert_eq!(after.ok().as_ref(), Some(&wanted), "FUZZ_SEED={seed}: {text:?}");
        }
    }
}

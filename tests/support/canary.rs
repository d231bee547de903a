//! Secrets of the tests, looked for wherever a gateway may have left them: after every test, in its log and its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::gateway::TOKEN;

/// Every secret of a test is the shared one or has this in it.
const BIRDS: [&str; 2] = [TOKEN, "canary"];

/// Files larger than this are not read (bytes); databases of tests are smaller.
const LARGEST: u64 = 64 << 20;

/// What is wrong: a secret in the log, or in a file that others on the host may read.
pub fn found(state: Option<&Path>, log: &str) -> Vec<String> {
    let mut wrong: Vec<String> = log
        .lines()
        .filter(|line| BIRDS.iter().any(|bird| line.contains(bird)))
        .map(|line| format!("the log shows a secret: {line}"))
        .collect();
    if let Some(state) = state {
        walk(state, &mut wrong);
    }
    wrong
}

fn walk(folder: &Path, wrong: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        if meta.is_dir() {
            walk(&path, wrong);
        } else if meta.is_file() && meta.len() <= LARGEST && meta.permissions().mode() & 0o077 != 0 {
            let bytes = fs::read(&path).unwrap_or_default();
            let has = |bird: &&str| bytes.windows(bird.len()).any(|piece| piece == bird.as_bytes());
            if let Some(bird) = BIRDS.into_iter().find(has) {
                let mode = meta.permissions().mode() & 0o777;
                wrong.push(format!("{} has a secret ({bird}) and mode {mode:o}", path.display()));
            }
        }
    }
}

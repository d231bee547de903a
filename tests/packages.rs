//! What people unpack: the archive with its script, the texts of the other packages against the tree they are made of.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::gateway;
use crate::support::scratch::Scratch;
use crate::support::{raw, wait};

const TARGET: &str = "x86_64-unknown-linux-musl";

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Packs a small program and unpacks it again. The program of a test build is too large to be compressed for a test, so
/// it takes the small one's place afterwards.
fn unpacked(scratch: &Scratch) -> PathBuf {
    let dist = scratch.path().join("dist");
    let program = dist.join(TARGET).join("openclaw");
    fs::create_dir_all(dist.join(TARGET)).unwrap();
    fs::write(&program, "#!/bin/sh\necho \"$@\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let pack = || {
        let mut script = Command::new(tree("packaging/archive.sh"));
        script.env("DIST", &dist).env("SOURCE_DATE_EPOCH", "1700000000").env_remove("NATIVE");
        done(&script.output().expect("run archive.sh"))
    };
    let sums = pack();
    assert_eq!(pack(), sums, "the same input gives the same archive");
    let name = format!("openclaw-{}-{TARGET}", env!("CARGO_PKG_VERSION"));
    assert!(sums.contains(&format!("{name}.tar.gz")), "{sums}");
    let tar =
        Command::new("tar").arg("-C").arg(scratch.path()).arg("-xzf").arg(dist.join(format!("{name}.tar.gz"))).output();
    done(&tar.expect("run tar"));
    let dir = scratch.path().join(name);
    assert_eq!(fs::read_to_string(dir.join("completions/fish")).unwrap(), "completion fish\n");
    fs::remove_file(dir.join("openclaw")).unwrap();
    symlink(gateway::binary(), dir.join("openclaw")).unwrap();
    dir
}

fn install(dir: &Path, words: &[&str], prefix: &Path) -> String {
    done(&Command::new(dir.join("install.sh")).args(words).arg(prefix).output().expect("run install.sh"))
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn an_unpacked_archive_is_installed_run_replaced_while_it_runs_and_removed() {
    let scratch = Scratch::new();
    let dir = unpacked(&scratch);
    let prefix = scratch.path().join("prefix");
    let said = install(&dir, &[], &prefix);
    assert!(said.contains(concat!("openclaw ", env!("CARGO_PKG_VERSION"))), "{said}");
    let pages = fs::read_dir(tree("man")).unwrap().count();
    // The program, its pages, three completions; and nothing half-made.
    assert_eq!(files_below(&prefix).len(), 1 + pages + 3);
    for page in ["man1/openclaw.1", "man5/openclaw.json.5", "man7/openclaw-protocol.7"] {
        let mode = fs::metadata(prefix.join("share/man").join(page)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{page}");
    }

    let program = prefix.join("bin/openclaw");
    let home = Scratch::new();
    let log = fs::File::create(home.path().join("log")).unwrap();
    let port = gateway::free_port();
    let mut running = Command::new(&program)
        .args(["gateway", "--allow-unconfigured", "--port", &port.to_string()])
        .env_clear()
        .env("HOME", home.path())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("start the installed program");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait::until("the installed program serves", || {
        raw::try_get(address, "/healthz").filter(|reply| reply.status == 200)
    });
    install(&dir, &[], &prefix);
    assert!(running.try_wait().unwrap().is_none(), "the running one goes on");
    running.kill().unwrap();
    running.wait().unwrap();

    install(&dir, &["--remove"], &prefix);
    assert_eq!(files_below(&prefix), Vec::<PathBuf>::new());
    assert!(home.path().join(".openclaw").is_dir(), "the state stays");
}

#[test]
fn every_package_has_the_version_of_the_program() {
    let makefile = fs::read_to_string(tree("packaging/openwrt/Makefile")).unwrap();
    assert!(makefile.contains(concat!("PKG_VERSION:=", env!("CARGO_PKG_VERSION"), "\n")), "{makefile}");
    for script in ["packaging/archive.sh", "packaging/debian/build.sh"] {
        let text = fs::read_to_string(tree(script)).unwrap();
        assert!(text.contains("Cargo.toml"), "{script} reads the version where it stands");
    }
}

/// The Makefile of OpenWrt fills the same text as `gateway install` does: no word of it may stay unfilled.
#[test]
fn the_openwrt_package_fills_every_word_of_its_init_script() {
    let makefile = fs::read_to_string(tree("packaging/openwrt/Makefile")).unwrap();
    let init = fs::read_to_string(tree("packaging/openwrt/openclaw.init")).unwrap();
    let words: Vec<&str> = init.split('@').filter(|word| is_placeholder(word)).collect();
    assert!(!words.is_empty());
    for word in words {
        assert!(makefile.contains(&format!("s|@{word}@|")), "the Makefile does not fill @{word}@");
    }
}

fn is_placeholder(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// PowerShell is not there to run it: what can be said of the text is said.
#[test]
fn the_windows_script_is_whole_and_stops_where_the_program_fails() {
    let script = fs::read_to_string(tree("packaging/windows/install.ps1")).unwrap();
    assert!(script.is_ascii(), "PowerShell 5 reads a file without a mark in the code page of the host");
    let code: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = code.join("\n");
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        assert_eq!(code.matches(open).count(), code.matches(close).count(), "{open} and {close}");
    }
    assert_eq!(code.matches('"').count() % 2, 0);
    assert_eq!(code.matches('\'').count() % 2, 0);
    // 'Stop' is for PowerShell's own commands; a program that fails says so only in its exit code.
    let calls = code.matches("& $program").count();
    assert_eq!(code.matches("$LASTEXITCODE -ne 0").count(), calls, "each call of the program is looked at");
    let removal = code.split("if ($Remove)").nth(1).expect("it can remove");
    let (service, program) = (removal.find("gateway uninstall").unwrap(), removal.find("Remove-Item").unwrap());
    assert!(service < program, "the task goes while its program is there to remove it");
}

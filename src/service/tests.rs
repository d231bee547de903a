//! The files, to the letter, and the commands, in order.

use super::runner::recorded::Recorder;
use super::*;

fn spec() -> ServiceSpec {
    ServiceSpec {
        profile: None,
        scope: Scope::User,
        program: "/usr/local/bin/openclaw".into(),
        port: 18789,
        config: "/home/ann/.openclaw/openclaw.json".into(),
        state_dir: "/home/ann/.openclaw".into(),
        workspace: "/home/ann/.openclaw/workspace".into(),
        home: "/home/ann".into(),
        user: "ann".into(),
        uid: 1000,
        config_home: "/home/ann/.config".into(),
        app_data: PathBuf::new(),
        root: "/".into(),
    }
}

/// Blanks, signs and characters that mean something to somebody.
fn awkward() -> ServiceSpec {
    ServiceSpec {
        profile: Some("ops-2".into()),
        program: "/opt/open claw/100%/openclaw".into(),
        port: 19001,
        config: "/srv/a & b/it's $HOME.json".into(),
        state_dir: "/srv/state <x>".into(),
        workspace: "/data/work".into(),
        home: "/srv/home".into(),
        user: "claw".into(),
        ..spec()
    }
}

fn windows() -> ServiceSpec {
    ServiceSpec {
        profile: Some("ops".into()),
        program: r"C:\Program Files\OpenClaw\openclaw.exe".into(),
        config: r"C:\Users\Ann B\.openclaw-ops\openclaw.json".into(),
        state_dir: r"C:\Users\Ann B\.openclaw-ops".into(),
        home: r"C:\Users\Ann B".into(),
        user: r"DESK\Ann B".into(),
        app_data: r"C:\Users\Ann B\AppData\Roaming".into(),
        ..spec()
    }
}

fn managers() -> Vec<Box<dyn Manager>> {
    vec![
        Box::new(systemd::Systemd(Scope::User)),
        Box::new(systemd::Systemd(Scope::System)),
        Box::new(launchd::Launchd),
        Box::new(procd::Procd),
        Box::new(openrc::OpenRc),
        Box::new(schtasks::Schtasks),
    ]
}

/// The same service with all its places in a scratch directory.
fn moved(name: &str, spec: ServiceSpec) -> ServiceSpec {
    let root = crate::sys::scratch::dir(name);
    ServiceSpec {
        home: root.join("home"),
        config_home: root.join("home/.config"),
        app_data: root.join("roaming"),
        state_dir: root.join("home/.openclaw"),
        config: root.join("home/.openclaw/openclaw.json"),
        root,
        ..spec
    }
}

/// Compares with a file under `tests/golden/service/`; `GOLDEN=write` rewrites it.
fn golden(name: &str, files: &[(PathBuf, String)]) {
    let shown: String = files.iter().map(|(path, text)| format!("==> {} <==\n{text}", path.display())).collect();
    let shown = shown.replace("\r\n", "\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/service").join(name);
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &shown).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(kept == shown, "{name} differs; GOLDEN=write rewrites it. Now:\n{shown}");
}

#[test]
fn the_files_of_every_manager_are_as_they_were_reviewed() {
    for manager in managers() {
        let name = manager.name().to_lowercase().replace(' ', "-");
        if manager.name() == "Scheduled Task" {
            let mut files = manager.files(&windows());
            files.iter_mut().for_each(|(path, _)| *path = path.display().to_string().replace('\\', "/").into());
            golden(&format!("{name}.txt"), &files);
            continue;
        }
        golden(&format!("{name}.txt"), &manager.files(&spec()));
        golden(&format!("{name}-awkward.txt"), &manager.files(&awkward()));
    }
}

#[test]
fn every_placeholder_is_filled_and_what_was_written_is_read_back() {
    for manager in managers() {
        let is_windows = manager.name() == "Scheduled Task";
        for spec in if is_windows { vec![windows()] } else { vec![spec(), awkward()] } {
            let files = manager.files(&spec);
            for (path, text) in &files {
                let left = text
                    .split('@')
                    .filter(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
                assert_eq!(left.count(), 0, "{}:\n{text}", path.display());
                assert!(text.contains(drift::OURS), "{} does not say who wrote it", path.display());
            }
            let recorded = manager.recorded(&files[0].1);
            let name = manager.name();
            assert_eq!(recorded.program.as_deref(), spec.program.to_str(), "{name}");
            assert_eq!(recorded.port, Some(spec.port), "{name}");
            assert_eq!(recorded.config.as_deref(), spec.config.to_str(), "{name}");
            assert_eq!(recorded.state_dir.as_deref(), spec.state_dir.to_str(), "{name}");
            assert_eq!(recorded.profile, spec.profile, "{name}");
            assert!(recorded.secrets.is_empty(), "{name}");
        }
    }
}

#[test]
fn a_unit_written_by_hand_is_understood() {
    let text = "[Service]\nExecStart=/usr/local/bin/openclaw gateway --port 18789\n\
        Environment=\"OPENCLAW_GATEWAY_TOKEN=hunter2\" OPENCLAW_STATE_DIR=/x\n";
    let recorded = systemd::Systemd(Scope::System).recorded(text);
    assert_eq!((recorded.port, recorded.program.as_deref()), (Some(18789), Some("/usr/local/bin/openclaw")));
    let found = drift::differences(&recorded, &ServiceSpec { port: 19001, ..spec() }, (text, ""));
    let whats: Vec<&str> = found.iter().map(|difference| difference.what).collect();
    assert!(whats.starts_with(&["port", "state"]) && whats.contains(&"secret"), "{whats:?}");
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn what_cannot_stand_in_a_file_is_refused() {
    for bad in [
        ServiceSpec { config: "/a\nExecStart=/bin/evil".into(), ..spec() },
        ServiceSpec { program: "/a\"b".into(), ..spec() },
        ServiceSpec { user: "ann;rm".into(), ..spec() },
        ServiceSpec { profile: Some("../x".into()), ..spec() },
    ] {
        assert!(matches!(bad.check(), Err(ServiceError::Unsuitable(_))), "{bad:?}");
    }
}

#[test]
fn systemd_is_told_in_the_right_order() {
    let (manager, spec) = (systemd::Systemd(Scope::User), moved("systemd", spec()));
    let host = Recorder::new(&[("loginctl", 0, "no\n")]);
    manager.install(&spec, &host).unwrap();
    assert_eq!(
        host.lines(),
        [
            "systemctl --user daemon-reload",
            "systemctl --user enable openclaw-gateway.service",
            "systemctl --user reset-failed openclaw-gateway.service",
            "systemctl --user restart openclaw-gateway.service"
        ]
    );
    let unit = installed(&manager, &spec).expect("the unit was written");
    assert_eq!(read(&unit).unwrap(), manager.files(&spec)[0].1);
    assert!(manager.advice(&spec, &host).unwrap().ends_with("sudo loginctl enable-linger ann"));
    host.lines();
    manager.stop(&spec, Stop::Now, &host).unwrap();
    manager.stop(&spec, Stop::Disable, &host).unwrap();
    manager.start(&spec, &host).unwrap();
    manager.restart(&spec, &host).unwrap();
    manager.remove(&spec, &host).unwrap();
    assert_eq!(
        host.lines(),
        [
            "systemctl --user stop openclaw-gateway.service",
            "systemctl --user disable --now openclaw-gateway.service",
            "systemctl --user enable --now openclaw-gateway.service",
            "systemctl --user daemon-reload",
            "systemctl --user restart openclaw-gateway.service",
            "systemctl --user disable --now openclaw-gateway.service",
            "systemctl --user daemon-reload"
        ]
    );
    assert_eq!(installed(&manager, &spec), None);
}

#[test]
fn a_manager_that_says_no_is_quoted() {
    let spec = moved("systemd-no", spec());
    let host = Recorder::new(&[("systemctl --user daemon-reload", 1, "Failed to connect to bus: No medium found\n")]);
    let refused = systemd::Systemd(Scope::User).install(&spec, &host).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "systemctl --user daemon-reload failed (1): Failed to connect to bus: No medium found"
    );
}

#[test]
fn launchd_stops_without_disabling_unless_asked() {
    let (manager, spec) = (launchd::Launchd, moved("launchd", ServiceSpec { uid: 501, ..spec() }));
    let plist = manager.files(&spec)[0].0.display().to_string();
    let host = Recorder::new(&[("launchctl print", 113, "Could not find service")]);
    manager.install(&spec, &host).unwrap();
    assert_eq!(
        host.lines(),
        [
            "launchctl print gui/501/ai.openclaw.gateway",
            "launchctl enable gui/501/ai.openclaw.gateway",
            &format!("launchctl bootstrap gui/501 {plist}")
        ]
    );
    let host = Recorder::default();
    manager.stop(&spec, Stop::Now, &host).unwrap();
    manager.stop(&spec, Stop::Disable, &host).unwrap();
    manager.start(&spec, &host).unwrap();
    manager.restart(&spec, &host).unwrap();
    let lines: Vec<String> = host.lines().into_iter().filter(|line| !line.starts_with("launchctl print")).collect();
    assert_eq!(
        lines,
        [
            "launchctl bootout gui/501/ai.openclaw.gateway",
            "launchctl disable gui/501/ai.openclaw.gateway",
            "launchctl bootout gui/501/ai.openclaw.gateway",
            "launchctl kickstart gui/501/ai.openclaw.gateway",
            "launchctl kickstart -k gui/501/ai.openclaw.gateway"
        ]
    );
}

#[test]
fn the_init_scripts_are_programs_and_are_told_in_order() {
    let spec = moved("init", spec());
    let script = procd::Procd.files(&spec)[0].0.display().to_string();
    let host = Recorder::default();
    procd::Procd.install(&spec, &host).unwrap();
    procd::Procd.stop(&spec, Stop::Disable, &host).unwrap();
    let expected = ["enable", "restart", "disable", "stop"].map(|word| format!("{script} {word}"));
    assert_eq!(host.lines(), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    }
    let host = Recorder::new(&[
        ("rc-update show", 0, " openclaw-gateway | default\n"),
        ("rc-service openclaw-gateway status", 0, ""),
    ]);
    openrc::OpenRc.install(&spec, &host).unwrap();
    assert_eq!(host.lines(), ["rc-update add openclaw-gateway default", "rc-service openclaw-gateway restart"]);
    let status = openrc::OpenRc.status(&spec, &host).unwrap();
    assert_eq!((status.runtime, status.enabled), (Runtime::Running, Some(true)));
}

#[test]
fn windows_falls_back_to_the_startup_folder_when_no_task_may_be_made() {
    let (manager, spec) = (schtasks::Schtasks, moved("schtasks", spec()));
    let host = Recorder::new(&[("schtasks.exe /Query", 0, "\"\\OpenClaw Gateway\",\"N/A\",\"Running\"\r\n")]);
    manager.install(&spec, &host).unwrap();
    let lines = host.lines();
    assert!(lines[1].starts_with("schtasks.exe /Create /F /TN 'OpenClaw Gateway' /XML "), "{lines:?}");
    assert_eq!(lines[2], "schtasks.exe /Run /TN 'OpenClaw Gateway'");
    let task = manager.files(&spec)[1].0.clone();
    assert!(fs::read(&task).unwrap().starts_with(&[0xff, 0xfe]), "the scheduler wants UTF-16");
    assert_eq!(read(&task).unwrap().trim_start_matches('\u{feff}'), manager.files(&spec)[1].1);
    assert_eq!(manager.status(&spec, &host).unwrap().runtime, Runtime::Running);

    let denied = Recorder::new(&[
        ("schtasks.exe /Create", 1, "ERROR: Access is denied.\r\n"),
        ("schtasks.exe /Query", 1, "ERROR: The system cannot find the file specified.\r\n"),
    ]);
    manager.install(&spec, &denied).unwrap();
    let launcher = spec.app_data.join("Microsoft/Windows/Start Menu/Programs/Startup/OpenClaw Gateway.cmd");
    assert!(fs::read_to_string(&launcher).unwrap().contains("gateway.cmd"));
    assert!(denied.lines().last().unwrap().starts_with("cmd.exe /D /C "));
    let status = manager.status(&spec, &denied).unwrap();
    assert_eq!(status.enabled, Some(true));
    assert!(status.detail.unwrap().starts_with("Startup folder: "));
    manager.remove(&spec, &denied).unwrap();
    assert!(!launcher.exists() && installed(&manager, &spec).is_none());
}

#[test]
fn a_scheduler_that_says_nothing_is_not_believed() {
    let spec = moved("schtasks-mute", spec());
    let status = schtasks::Schtasks.status(&spec, &Recorder::default()).unwrap();
    assert_eq!((status.runtime, status.enabled), (Runtime::Unknown, Some(false)));
}

#[test]
fn another_owner_of_the_profile_or_the_port_is_found() {
    let spec = moved("scan", spec());
    assert_eq!(scan::scan(&spec, true), []);
    let dir = spec.of_host("etc/systemd/system");
    fs::create_dir_all(&dir).unwrap();
    let unit = dir.join("openclaw-gateway.service");
    fs::write(&unit, "[Service]\nExecStart=/usr/bin/openclaw gateway --port 18789\n").unwrap();
    assert_eq!(scan::scan(&spec, false), []);
    let owner = scan::owner_in_system(&spec).unwrap();
    assert_eq!((owner.path, owner.recorded.port), (unit.clone(), Some(18789)));
    assert_eq!(
        owner.clean_up.unwrap(),
        format!("sudo systemctl disable --now openclaw-gateway.service && sudo rm {}", unit.display())
    );
    let ops = ServiceSpec { profile: Some("ops".into()), port: 19001, ..spec.clone() };
    assert_eq!(scan::owner_in_system(&ops), Option::None);
    let same_port = ServiceSpec { port: 18789, ..ops };
    assert!(scan::owner_of_port(&same_port, Path::new("/elsewhere")).is_some());
}

#[test]
fn no_host_without_a_manager_is_left_without_advice() {
    let none = none::None("Do it yourself.");
    let refused = none.install(&spec(), &Recorder::default()).unwrap_err();
    assert_eq!(refused.to_string(), "no service manager found on this host. Do it yourself.");
}

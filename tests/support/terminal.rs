//! A person at a terminal: a command whose standard streams are one, and what is seen and typed there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty;

use super::{gateway, wait};

pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// What was seen up to here was waited for already (bytes).
    seen: usize,
    child: Child,
}

impl Terminal {
    /// Starts the command line at a terminal of its own.
    pub fn run(home: &Path, args: &[&str]) -> Terminal {
        let ours = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).expect("a terminal");
        pty::grantpt(&ours).expect("granted");
        pty::unlockpt(&ours).expect("unlocked");
        let name = pty::ptsname(&ours, Vec::new()).expect("named");
        let theirs =
            rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("opened");
        let end = || Stdio::from(theirs.try_clone().expect("another descriptor"));
        let mut command = gateway::command(home, args);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the program starts");
        let keyboard = File::from(ours);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut eyes, shown) = (keyboard.try_clone().expect("another descriptor"), screen.clone());
        // Ends when the last descriptor of the other side is closed.
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = eyes.read(&mut piece) {
                shown.lock().expect("the screen").push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        });
        Terminal { keyboard, screen, seen: 0, child }
    }

    /// Waits until this is on the screen, behind what was waited for before.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let (screen, seen) = (self.screen.clone(), self.seen);
        let at = wait::within(wait::LIMIT, || screen.lock().expect("the screen")[seen..].find(text));
        let at = at.unwrap_or_else(|| panic!("{text:?} is not shown: {}", self.screen()));
        self.seen += at + text.len();
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("typed");
    }

    /// The key that ends the input.
    pub fn ends_input(&mut self) {
        self.keyboard.write_all(&[4]).expect("typed");
    }

    /// Everything that was ever shown.
    pub fn screen(&self) -> String {
        self.screen.lock().expect("the screen").clone()
    }

    /// Waits for the command to end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        wait::until("the command ends", || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Mostly it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The real binary, started in a state directory of its own and ended with the test.
//!
//! The environment is emptied first: no provider key, token or path of the developer's machine reaches the gateway.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::scratch::Scratch;
use super::upstream::Upstream;
use super::{Ws, raw, wait, ws};

/// The shared secret of every test gateway. Long enough for the gateway not to warn about it.
pub const TOKEN: &str = "test-token-0123456789abcdef-0123456789abcdef";

/// From exec to 200 on /readyz. A debug build on a busy machine needs hundreds of milliseconds at the worst.
const START_LIMIT: Duration = Duration::from_secs(30);

/// From a signal to the end, longer than the gateway's own budget for a drain.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A fresh port may be taken by a stranger between our look and the gateway's bind.
const PORT_TRIES: u32 = 4;

/// How to start a gateway; see [`Gateway::with`].
pub struct Setup {
    config: Option<Value>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    home: Option<Scratch>,
    port: Option<u16>,
    port_flag: bool,
    shell: Option<String>,
}

/// A running gateway. Dropping it kills its process group; when the test is failing, its log is printed.
pub struct Gateway {
    child: Child,
    pub port: u16,
    log: Log,
    home: Option<Scratch>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

/// What a gateway that did not stay has to say.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub output: String,
}

/// Lines of stdout and stderr as they come.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Gateway {
    /// A gateway with this configuration over the basic one (token auth, chat completions on), ready to serve.
    pub fn start(config: Value) -> Gateway {
        Gateway::with(config).start()
    }

    /// A gateway whose default model is the scripted upstream's.
    pub fn on(upstream: &Upstream) -> Gateway {
        Gateway::start(upstream.config())
    }

    /// A gateway that serves TLS; it is ready when it says so.
    pub fn tls(config: Value) -> Gateway {
        let gateway = Gateway::with(config).spawn(Scratch::new(), free_port());
        gateway.says("listening on wss:");
        gateway
    }

    pub fn with(config: Value) -> Setup {
        let mut whole = json!({
            "gateway": {
                "mode": "local",
                "auth": { "mode": "token", "token": TOKEN },
                "http": { "endpoints": { "chatCompletions": { "enabled": true } } },
            },
        });
        merge(&mut whole, config);
        Setup {
            config: Some(whole),
            args: Vec::new(),
            env: Vec::new(),
            home: None,
            port: None,
            port_flag: true,
            shell: None,
        }
    }

    /// A gateway with no configuration file at all.
    pub fn unconfigured() -> Setup {
        Setup { config: None, ..Gateway::with(json!({})) }
    }

    /// A gateway whose configuration is exactly this value.
    pub fn exactly(config: Value) -> Setup {
        Setup { config: Some(config), ..Gateway::with(json!({})) }
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn home(&self) -> &Path {
        self.home.as_ref().expect("the gateway has its home until it is taken").path()
    }

    pub fn state_dir(&self) -> PathBuf {
        state_dir(self.home())
    }

    pub fn config_path(&self) -> PathBuf {
        config_path(self.home())
    }

    pub fn workspace(&self) -> PathBuf {
        workspace(self.home())
    }

    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until the log holds these words.
    #[track_caller]
    pub fn says(&self, words: &str) {
        wait::until(&format!("the gateway says {words:?}"), || self.log().contains(words).then_some(()));
    }

    /// An operator connection of a local backend with the full set of scopes.
    #[track_caller]
    pub fn operator(&self) -> Ws {
        let mut ws = Ws::open(self.addr());
        ws.hello(ws::backend(&["operator.admin", "operator.read", "operator.write"]));
        ws
    }

    /// Until every message has left the outbox: a service shows one before its row is gone, and what a kill finds
    /// there is sent again.
    #[track_caller]
    pub fn wait_sent(&self) {
        let mut client = self.operator();
        wait::until("nothing waits in the outbox", || {
            let status = client.ok("channels.status", json!({}));
            let channels = status["channelAccounts"].as_object().expect("accounts");
            let mut accounts = channels.values().flat_map(|list| list.as_array().expect("a list"));
            accounts.all(|account| account["queued"].as_u64().unwrap_or(0) == 0).then_some(())
        });
    }

    pub fn get(&self, path: &str) -> raw::Reply {
        raw::get(self.addr(), path, &[])
    }

    pub fn get_with_token(&self, path: &str) -> raw::Reply {
        raw::get(self.addr(), path, &[("Authorization", &bearer())])
    }

    /// Posts JSON with the shared secret as the bearer.
    pub fn post(&self, path: &str, body: &Value) -> raw::Reply {
        raw::post(self.addr(), path, &[("Authorization", &bearer())], body)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).expect("a child has a pid");
        rustix::process::kill_process(pid, signal).expect("signal the gateway");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("ask for the gateway's state").is_none()
    }

    /// Waits for the gateway's own end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let status = wait::within(STOP_LIMIT, || self.child.try_wait().expect("wait for the gateway"));
        status.unwrap_or_else(|| panic!("the gateway is still there after {STOP_LIMIT:?}"))
    }

    /// SIGTERM, and the exit status that follows.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// SIGKILL in the middle of whatever it is doing; gives back its home for a second life.
    pub fn kill(mut self) -> Scratch {
        self.end();
        self.home.take().expect("the gateway has its home until it is taken")
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        status_number(self.pid(), "VmRSS:") * 1024
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_rss(&self) -> u64 {
        status_number(self.pid(), "VmHWM:") * 1024
    }

    pub fn threads(&self) -> u64 {
        status_number(self.pid(), "Threads:")
    }

    fn end(&mut self) {
        if let Some(group) = Pid::from_raw(self.pid() as i32) {
            // Lost on purpose: the group may be gone already.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            // A child of the gateway that left the group may hold the pipe: do not wait for it.
            if reader.is_finished() {
                let _ = reader.join();
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway on port {}\n{}---", self.port, self.log());
            return;
        }
        #[cfg(unix)]
        {
            let state = self.home.as_ref().map(|home| state_dir(home.path()));
            let wrong = super::canary::found(state.as_deref(), &self.log());
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    }
}

impl Setup {
    pub fn arg(mut self, arg: &str) -> Setup {
        self.args.push(arg.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lives where another gateway lived before.
    pub fn home(mut self, home: Scratch) -> Setup {
        self.home = Some(home);
        self
    }

    /// Passes `--port` with this number instead of a free one.
    pub fn port(mut self, port: u16) -> Setup {
        self.port = Some(port);
        self
    }

    /// Expects it on this port without passing `--port`: the number comes from somewhere else.
    pub fn without_port_flag(mut self, port: u16) -> Setup {
        self.port_flag = false;
        self.port(port)
    }

    /// Shell commands run in the gateway's process before it becomes the gateway (`ulimit`, `trap`).
    pub fn after(mut self, shell: &str) -> Setup {
        self.shell = Some(shell.to_owned());
        self
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(mut self) -> Gateway {
        let home = self.home.take().unwrap_or_else(Scratch::new);
        let mut last = String::new();
        let mut home = Some(home);
        for _ in 0..PORT_TRIES {
            let port = self.port.unwrap_or_else(free_port);
            let mut gateway = self.spawn(home.take().expect("put back after each try"), port);
            let ready = wait::within(START_LIMIT, || {
                if !gateway.is_running() {
                    return Some(false);
                }
                raw::try_get(gateway.addr(), "/readyz").filter(|reply| reply.status == 200).map(|_| true)
            });
            if ready == Some(true) {
                return gateway;
            }
            last = gateway.log();
            assert!(!gateway.is_running(), "the gateway on port {port} never became ready:\n{last}");
            home = gateway.home.take();
            if self.port.is_some() || !last.contains("already") && !last.contains("failed to bind") {
                break;
            }
        }
        panic!("the gateway did not start:\n{last}")
    }

    /// Starts it and waits until it gives up.
    #[track_caller]
    pub fn refused(mut self) -> Ended {
        let home = self.home.take().unwrap_or_else(Scratch::new);
        let port = self.port.unwrap_or_else(free_port);
        let mut gateway = self.spawn(home, port);
        let status = gateway.ended();
        for reader in gateway.readers.drain(..) {
            reader.join().expect("read the gateway's output");
        }
        Ended { code: status.code().or_else(|| status.signal().map(|signal| 128 + signal)), output: gateway.log() }
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&self, home: Scratch, port: u16) -> Gateway {
        prepare(home.path(), self.config.as_ref());
        let mut args = vec!["gateway".to_owned()];
        if self.port_flag {
            args.extend(["--port".to_owned(), port.to_string()]);
        }
        args.extend(self.args.iter().cloned());
        let mut command = match &self.shell {
            None => Command::new(binary()),
            Some(shell) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(format!("{shell}; exec \"$0\" \"$@\"")).arg(binary());
                command
            }
        };
        clean(&mut command, home.path());
        command.args(&args).envs(self.env.iter().cloned()).process_group(0);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the gateway");
        let log = Log::default();
        let readers = vec![
            log.follow(child.stdout.take().expect("stdout is a pipe")),
            log.follow(child.stderr.take().expect("stderr is a pipe")),
        ];
        Gateway { child, port, log, home: Some(home), readers }
    }
}

impl Log {
    pub fn text(&self) -> String {
        self.0.lock().expect("nobody panics while holding the log").clone()
    }

    fn follow(&self, pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                log.0.lock().expect("nobody panics while holding the log").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        })
    }
}

/// Runs the command line once, in the home of a gateway or in one of its own, and waits for its end.
pub fn run(home: &Path, args: &[&str], env: &[(&str, &str)]) -> std::process::Output {
    let mut command = command(home, args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).envs(env.iter().copied());
    command.output().expect("run the command line")
}

/// The command line, ready to be started; it says nothing to the terminal.
pub fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    clean(&mut command, home);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The program under test: `OPENCLAW_BIN`, or the one cargo built for this test run.
pub fn binary() -> PathBuf {
    std::env::var_os("OPENCLAW_BIN").map_or_else(|| env!("CARGO_BIN_EXE_openclaw").into(), PathBuf::from)
}

pub fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// A port nobody listens on, below the range the system hands to outgoing connections, so that no client of another
/// test can sit on it by chance.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    let start = (std::process::id() % 97) as u16 * 100;
    wait::until("a port is free", || {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() || !has_ipv6();
        (four && six).then_some(port)
    })
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

pub fn state_dir(home: &Path) -> PathBuf {
    home.join("state")
}

pub fn config_path(home: &Path) -> PathBuf {
    state_dir(home).join("openclaw.json")
}

pub fn workspace(home: &Path) -> PathBuf {
    home.join("workspace")
}

/// Makes the directories and, unless one is there from an earlier life, the configuration file.
fn prepare(home: &Path, config: Option<&Value>) {
    for dir in [state_dir(home), workspace(home), home.join("tmp")] {
        std::fs::create_dir_all(dir).expect("create the gateway's directories");
    }
    let path = config_path(home);
    if let Some(config) = config.filter(|_| !path.exists()) {
        let mut config = config.clone();
        if config.is_object() {
            merge(&mut config, json!({ "agents": { "defaults": { "workspace": workspace(home) } } }));
        }
        std::fs::write(&path, format!("{config:#}\n")).expect("write the configuration");
        // It holds secrets, and `canary` looks for those that others may read.
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("kept to ourselves");
    }
}

fn clean(command: &mut Command, home: &Path) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", home.join("tmp"))
        .env("TZ", "UTC")
        // As the units we install set them.
        .env("MALLOC_ARENA_MAX", "2")
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .env("OPENCLAW_STATE_DIR", state_dir(home))
        .env("OPENCLAW_CONFIG_PATH", config_path(home))
        .current_dir(home)
        .stdin(Stdio::null());
}

/// A copy of `base` with something laid over it.
pub fn merged(base: &Value, over: Value) -> Value {
    let mut whole = base.clone();
    merge(&mut whole, over);
    whole
}

/// Lays `over` over `base`: objects are joined, everything else is replaced.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn status_number(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc/<pid>/status");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel reports the field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("the field is a number")
}

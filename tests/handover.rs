//! Nobody is refused while the gateway restarts: the listening socket outlives the gateway behind it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::Signal;
use serde_json::json;

use crate::support::gateway::{self, Gateway};
use crate::support::scratch::Scratch;
use crate::support::{raw, wait};

/// Clients that come one after the other until they are told to stop; each says how it went.
struct Clients {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    fn of(addr: SocketAddr) -> Clients {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (over, count) = (stop.clone(), served.clone());
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match TcpStream::connect(addr) {
                    Err(error) => failures.push(format!("connect: {error}")),
                    Ok(stream) => drop(stream),
                }
                // An idle connection may be closed by a restart, as at any time; an answer is the right one.
                match raw::try_get(addr, "/healthz") {
                    Some(reply) if reply.status == 200 => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Some(reply) => failures.push(format!("GET: {}", reply.status)),
                    None => {}
                }
            }
            failures
        });
        Clients { stop, served, thread: Some(thread) }
    }

    /// Waits until so many more were served.
    fn served(&self, more: u32) {
        let now = self.served.load(Ordering::Relaxed);
        wait::until("clients are served", || (self.served.load(Ordering::Relaxed) >= now + more).then_some(()));
    }

    fn failures(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("asked once").join().expect("the clients do not panic")
    }
}

#[test]
fn no_connect_is_refused_while_the_gateway_restarts() {
    let gateway = Gateway::start(json!({ "commands": { "restart": true } }));
    let clients = Clients::of(gateway.addr());
    for turn in 1..=3 {
        clients.served(3);
        gateway.signal(Signal::USR2);
        wait::until("the gateway is ready again", || {
            (gateway.log().matches("listening on ws://").count() > turn).then_some(())
        });
        clients.served(3);
    }
    let failures = clients.failures();
    assert!(failures.is_empty(), "{failures:?}");
}

/// The gateway with a socket a service manager made for it.
struct Activated {
    child: Child,
    _home: Scratch,
}

impl Activated {
    fn start(socket: &TcpListener, port: u16) -> Activated {
        let home = Scratch::new();
        let socket: OwnedFd = socket.try_clone().expect("another descriptor").into();
        let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        let given = gateway::command(home.path(), &[]);
        command.env_clear().envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["-c", script]).arg(gateway::binary());
        command.args(["gateway", "--allow-unconfigured", "--port", &port.to_string()]);
        command.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::piped());
        Activated { child: command.spawn().expect("start the gateway"), _home: home }
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_socket_of_the_service_manager_is_served() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, gateway::free_port())).expect("a port");
    let addr = socket.local_addr().expect("bound");
    let mut first = Activated::start(&socket, addr.port());
    wait::until("the gateway serves", || raw::try_get(addr, "/readyz").filter(|reply| reply.status == 200).map(drop));
    first.child.kill().expect("kill the gateway");
    first.child.wait().expect("it is gone");
    // The manager still has the socket: who comes now waits for the next process.
    let early = TcpStream::connect(addr).expect("nobody is refused");
    let second = Activated::start(&socket, addr.port());
    wait::until("the gateway serves", || raw::try_get(addr, "/readyz").filter(|reply| reply.status == 200).map(drop));
    drop((early, second));
}

#[test]
fn a_socket_the_configuration_does_not_want_is_refused() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut gateway = Activated::start(&socket, gateway::free_port());
    let output = gateway.child.stderr.take().expect("stderr is a pipe");
    let status = gateway.child.wait().expect("it ends");
    let said = std::io::read_to_string(output).expect("text");
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("the service manager listens on 127.0.0.1:"), "{said}");
}

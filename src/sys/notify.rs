//! Tells the service manager how this process is doing, by systemd's protocol: a datagram of `NAME=value` lines to the
//! socket that `NOTIFY_SOCKET` names.
//!
//! Without the variable every call is a no-op, so the caller need not know how it was started. Sockets of virtual
//! machines (`vsock:`) are not spoken. Sending never blocks: a manager that does not listen must not hold us.

use std::net::TcpListener;
use std::time::Duration;

use super::Env;

#[cfg_attr(unix, path = "notify_unix.rs")]
#[cfg_attr(not(unix), path = "notify_none.rs")]
mod platform;

/// The way to the service manager, if there is one.
pub struct Notifier {
    socket: Option<platform::Socket>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env(env: &Env) -> Notifier {
        let socket = env.get("NOTIFY_SOCKET").and_then(platform::Socket::open);
        let watchdog = socket.as_ref().and_then(|_| watchdog(env, std::process::id()));
        Notifier { socket, watchdog }
    }

    /// The gateway answers from here on.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The gateway is ending; it may take its time.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// Still well. The manager kills us when this is not said within [`Notifier::watchdog`].
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// How often the manager wants to hear [`Notifier::alive`], at least.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Leaves these sockets with the manager in place of those left before: they stay open when this process ends
    /// while the service goes on, and the next one gets them ([`super::handed`]).
    pub fn keep(&self, listeners: &[TcpListener]) {
        let Some(socket) = &self.socket else { return };
        let name = super::handed::OWN;
        let kept = socket
            .send(format!("FDSTOREREMOVE=1\nFDNAME={name}").as_bytes())
            .and_then(|()| socket.send_with(format!("FDSTORE=1\nFDNAME={name}").as_bytes(), listeners));
        if let Err(error) = kept {
            log::debug!("leave the sockets with the service manager: {error}");
        }
    }

    fn send(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(state.as_bytes()) {
            log::warn!("tell the service manager: {error}");
        }
    }
}

/// The interval, when it is meant for the process `pid`.
fn watchdog(env: &Env, pid: u32) -> Option<Duration> {
    let meant = env.get("WATCHDOG_PID").is_none_or(|text| text.parse() == Ok(pid));
    let interval = env.get("WATCHDOG_USEC")?.parse().ok().filter(|us| *us > 0 && meant)?;
    Some(Duration::from_micros(interval))
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<Env>();
        assert_eq!(watchdog(&env(&[("WATCHDOG_USEC", "2000000")]), 7), Some(Duration::from_secs(2)));
        assert_eq!(watchdog(&env(&[("WATCHDOG_USEC", "5"), ("WATCHDOG_PID", "7")]), 7), Some(Duration::from_micros(5)));
        for pairs in [
            &[("WATCHDOG_USEC", "5"), ("WATCHDOG_PID", "8")][..],
            &[("WATCHDOG_USEC", "0")],
            &[("WATCHDOG_USEC", "soon")],
            &[("WATCHDOG_PID", "7")],
        ] {
            assert_eq!(watchdog(&env(pairs), 7), None, "{pairs:?}");
        }
    }

    #[test]
    fn without_a_manager_nothing_is_said() {
        let notifier = Notifier::from_env(&Env::from_iter([("WATCHDOG_USEC", "5")]));
        notifier.ready("listening");
        assert_eq!(notifier.watchdog(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_manager_hears_that_we_are_ready_alive_and_stopping() {
        use std::os::unix::net::UnixDatagram;

        let path = crate::sys::scratch::dir("notify").join("socket");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let notifier = Notifier::from_env(&Env::from_iter([("NOTIFY_SOCKET", path.to_str().unwrap())]));
        notifier.ready("listening\non two lines");
        notifier.alive();
        notifier.stopping();
        let heard = || {
            let mut buffer = [0; 128];
            let count = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..count].to_vec()).unwrap()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=listening on two lines");
        assert_eq!(heard(), "WATCHDOG=1");
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping");
    }

    #[cfg(unix)]
    #[test]
    fn a_manager_is_left_the_sockets() {
        use std::io::IoSliceMut;
        use std::mem::MaybeUninit;
        use std::os::unix::net::UnixDatagram;

        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

        let path = crate::sys::scratch::dir("notify-keep").join("socket");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Notifier::from_env(&Env::from_iter([("NOTIFY_SOCKET", path.to_str().unwrap())])).keep(&[listener]);
        let mut text = [0; 64];
        let count = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..count], b"FDSTOREREMOVE=1\nFDNAME=openclaw");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&manager, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(&text[..got.bytes], b"FDSTORE=1\nFDNAME=openclaw");
        let sockets: Vec<_> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => sockets.collect(),
                _ => Vec::new(),
            })
            .map(TcpListener::from)
            .collect();
        // Ours is closed; the manager's goes on listening.
        assert_eq!(sockets[0].local_addr().unwrap(), address);
        std::net::TcpStream::connect(address).expect("it listens");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manager_may_listen_without_a_file() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let name = format!("openclaw-test-notify-{}", crate::sys::random::hex::<6>());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Notifier::from_env(&Env::from_iter([("NOTIFY_SOCKET", format!("@{name}"))])).alive();
        let mut buffer = [0; 32];
        let count = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"WATCHDOG=1");
    }
}

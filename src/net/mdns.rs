//! Finding services on the local network and being found there: multicast DNS with DNS-SD (RFC 6762, RFC 6763).
//!
//! [`browse`] asks once or twice and collects; [`Published`] answers until it is dropped. What is found is a hint from
//! whoever answered: it is shown to people and never chooses where a credential goes.
//!
//! Invariants: every wait has a deadline; answers go only to addresses of private networks and at most ten a second; a
//! datagram is read into a buffer of fixed size.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::dns::{self, ANY, Data, Message, PTR, Question, Record, SRV};
use crate::sys::multicast;

/// Where everybody listens.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
/// Bytes; the standard allows 9000, an Ethernet 1500.
const DATAGRAM: usize = 4096;
/// Instances one look collects.
const MOST: usize = 64;
/// Seconds a record may be remembered.
const TTL: u32 = 120;
/// Seconds, for those who ask without knowing multicast.
const SHORT_TTL: u32 = 10;
/// Between two answers.
const REST: Duration = Duration::from_millis(100);
const STACK: usize = 128 << 10;

/// One service on this host.
#[derive(Debug, Clone)]
pub struct Beacon {
    /// As in `_openclaw-gw._tcp.local`.
    pub service: &'static str,
    /// What people read.
    pub label: String,
    /// As in `box.local`.
    pub host: String,
    pub port: u16,
    pub address: Ipv4Addr,
    /// `key=value`, nothing secret.
    pub txt: Vec<String>,
}

/// One service that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub label: String,
    pub host: String,
    pub port: u16,
    pub address: IpAddr,
    pub txt: Vec<String>,
}

impl Beacon {
    fn instance(&self) -> String {
        format!("{}.{}", dns::escaped(&self.label), self.service)
    }

    fn records(&self, ttl: u32) -> Vec<Record> {
        let instance = self.instance();
        let record = |name: &str, data| Record { name: name.to_owned(), ttl, data };
        vec![
            record(self.service, Data::Ptr(instance.clone())),
            record(&instance, Data::Srv { port: self.port, target: self.host.clone() }),
            record(&instance, Data::Txt(self.txt.clone())),
            record(&self.host, Data::A(self.address)),
        ]
    }

    /// The answer to a message from `from`, and whether it goes there alone. Whoever asks for any part gets the whole.
    fn answer(&self, asked: &Message, from: SocketAddr) -> Option<(Message, bool)> {
        if asked.answer || !is_near(from.ip()) {
            return None;
        }
        let records = self.records(TTL);
        let ours = |question: &&Question| {
            let kind = |record: &Record| question.kind == ANY || question.kind == record.kind();
            records.iter().any(|record| dns::same(&record.name, &question.name) && kind(record))
        };
        let question = asked.questions.iter().find(ours)?.clone();
        let plain = from.port() != GROUP.port();
        let alone = plain || question.unicast;
        let mut answer = Message { answer: true, records, ..Message::default() };
        if plain {
            // A resolver that knows no multicast wants its question back.
            answer.id = asked.id;
            answer.questions.push(Question { unicast: false, ..question });
            answer.records.iter_mut().for_each(|record| record.ttl = SHORT_TTL);
        }
        Some((answer, alone))
    }
}

fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(_) => false,
    }
}

/// Answers for a beacon until it is dropped, and then says good-bye.
pub struct Published {
    socket: Arc<UdpSocket>,
    over: Arc<AtomicBool>,
    beacon: Beacon,
}

impl Published {
    /// Fails where multicast, or sharing the port with others, is not possible.
    pub fn start(beacon: Beacon) -> io::Result<Published> {
        let socket = multicast::shared(GROUP)?;
        Published::on(socket, beacon, Some(GROUP.into()))
    }

    fn on(socket: UdpSocket, beacon: Beacon, group: Option<SocketAddr>) -> io::Result<Published> {
        let (socket, over) = (Arc::new(socket), Arc::new(AtomicBool::new(false)));
        let own = Published { socket, over, beacon };
        own.announce(TTL)?;
        let (socket, over, beacon) = (own.socket.clone(), own.over.clone(), own.beacon.clone());
        let thread = std::thread::Builder::new().name("mdns".to_owned()).stack_size(STACK);
        thread.spawn(move || serve(&socket, &over, &beacon, group))?;
        Ok(own)
    }

    fn announce(&self, ttl: u32) -> io::Result<()> {
        let message = Message { answer: true, records: self.beacon.records(ttl), ..Message::default() };
        self.socket.send_to(&message.bytes(), GROUP).map(drop)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // A network that is gone needs no good-bye.
        let _ = self.announce(0);
        multicast::wake(&self.socket);
    }
}

fn serve(socket: &UdpSocket, over: &AtomicBool, beacon: &Beacon, group: Option<SocketAddr>) {
    let mut buffer = [0; DATAGRAM];
    let (mut last, mut failures) = (None::<Instant>, 0);
    while !over.load(Ordering::SeqCst) && failures < 16 {
        let Ok((count, from)) = socket.recv_from(&mut buffer) else {
            failures += 1;
            continue;
        };
        failures = 0;
        let answer = Message::read(&buffer[..count]).and_then(|asked| beacon.answer(&asked, from));
        let Some((answer, alone)) = answer else { continue };
        if last.is_some_and(|last| last.elapsed() < REST) {
            continue;
        }
        last = Some(Instant::now());
        let to = group.filter(|_| !alone).unwrap_or(from);
        if let Err(error) = socket.send_to(&answer.bytes(), to) {
            log::debug!("mdns: answer {to}: {error}");
        }
    }
}

/// Asks who offers `service` and collects answers for so long. Fails when nothing can be sent.
pub fn browse(service: &str, within: Duration) -> io::Result<Vec<Found>> {
    ask(GROUP.into(), service, within)
}

fn ask(whom: SocketAddr, service: &str, within: Duration) -> io::Result<Vec<Found>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let question = Question { name: service.to_owned(), kind: PTR, unicast: true };
    let query = Message { questions: vec![question], ..Message::default() }.bytes();
    let begun = Instant::now();
    let (mut records, mut buffer, mut sent) = (Vec::new(), [0; DATAGRAM], 0_u32);
    // A datagram may get lost: half of the time is for the second try.
    while let Some(left) = within.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if sent == 0 || sent == 1 && begun.elapsed() >= within / 2 {
            socket.send_to(&query, whom)?;
            sent += 1;
        }
        let until_next = if sent == 1 { (within / 2).saturating_sub(begun.elapsed()) } else { left };
        socket.set_read_timeout(Some(until_next.max(Duration::from_millis(1))))?;
        let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(message) = Message::read(&buffer[..count]).filter(|message| message.answer) {
            let room = (MOST * 4).saturating_sub(records.len());
            records.extend(message.records.into_iter().take(room).map(|record| (record, from.ip())));
        }
    }
    Ok(found(service, &records))
}

/// Puts the records together: who offers it, where that is, what is said about it.
fn found(service: &str, records: &[(Record, IpAddr)]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for (record, _) in records.iter().filter(|(record, _)| dns::same(&record.name, service) && record.ttl > 0) {
        let Data::Ptr(instance) = &record.data else { continue };
        let of_instance = || records.iter().filter(|(other, _)| dns::same(&other.name, instance));
        let place = of_instance().find_map(|(other, from)| match &other.data {
            Data::Srv { port, target } if other.kind() == SRV => Some((*port, target.clone(), *from)),
            _ => None,
        });
        let Some((port, host, from)) = place else { continue };
        let address = records.iter().find_map(|(other, _)| match other.data {
            Data::A(ip) if dns::same(&other.name, &host) => Some(IpAddr::V4(ip)),
            Data::Aaaa(ip) if dns::same(&other.name, &host) => Some(IpAddr::V6(ip)),
            _ => None,
        });
        let txt = of_instance().find_map(|(other, _)| match &other.data {
            Data::Txt(txt) => Some(txt.clone()),
            _ => None,
        });
        let label = dns::first_label(instance);
        let one = Found { label, host, port, address: address.unwrap_or(from), txt: txt.unwrap_or_default() };
        if all.len() < MOST && !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "_openclaw-gw._tcp.local";

    fn beacon() -> Beacon {
        Beacon {
            service: SERVICE,
            label: "box (OpenClaw)".to_owned(),
            host: "box.local".to_owned(),
            port: 18789,
            address: Ipv4Addr::new(192, 168, 1, 2),
            txt: vec!["role=gateway".to_owned()],
        }
    }

    fn asks(name: &str, unicast: bool) -> Message {
        let question = Question { name: name.to_owned(), kind: PTR, unicast };
        Message { id: 9, questions: vec![question], ..Message::default() }
    }

    #[test]
    fn who_asks_from_the_port_of_all_is_answered_for_all() {
        let near: SocketAddr = "192.168.1.9:5353".parse().unwrap();
        let (answer, alone) = beacon().answer(&asks(SERVICE, false), near).expect("an answer");
        assert!(!alone && answer.id == 0 && answer.questions.is_empty() && answer.records.len() == 4);
        assert!(beacon().answer(&asks(SERVICE, true), near).expect("an answer").1);
        let (answer, alone) = beacon().answer(&asks(SERVICE, false), "192.168.1.9:4000".parse().unwrap()).unwrap();
        assert!(alone && answer.id == 9 && answer.questions.len() == 1 && answer.records[0].ttl == SHORT_TTL);
    }

    #[test]
    fn strangers_and_other_questions_are_not_answered() {
        assert!(beacon().answer(&asks(SERVICE, true), "8.8.8.8:5353".parse().unwrap()).is_none());
        assert!(beacon().answer(&asks("_http._tcp.local", true), "10.0.0.1:5353".parse().unwrap()).is_none());
        let answer = Message { answer: true, ..asks(SERVICE, true) };
        assert!(beacon().answer(&answer, "10.0.0.1:5353".parse().unwrap()).is_none());
    }

    #[test]
    fn a_beacon_is_found_and_forgotten() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, over) = (socket.local_addr().unwrap(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| serve(&socket, &over, &beacon(), None));
            let found = ask(address, SERVICE, Duration::from_millis(600)).expect("asked");
            over.store(true, Ordering::SeqCst);
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"wake", address).unwrap();
            let expected = Found {
                label: "box (OpenClaw)".to_owned(),
                host: "box.local".to_owned(),
                port: 18789,
                address: "192.168.1.2".parse().unwrap(),
                txt: vec!["role=gateway".to_owned()],
            };
            assert_eq!(found, [expected]);
        });
        let gone: Vec<_> =
            beacon().records(0).into_iter().map(|record| (record, IpAddr::from([10, 0, 0, 1]))).collect();
        assert!(found(SERVICE, &gone).is_empty());
    }
}

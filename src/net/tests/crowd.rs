//! Too many clients, and the end of the server.

use super::*;

#[test]
fn the_33rd_unknown_socket_of_an_address_is_refused() {
    let rig = Rig::new(limits());
    for _ in 0..2 {
        let crowd: Vec<_> = (0..32).map(|_| rig.socket()).collect();
        for _ in 0..2 {
            let mut raw = rig.connect();
            raw.send(UPGRADE);
            let answer = raw.answer();
            assert_eq!((answer.status(), answer.text()), (503, "Too many unauthenticated sockets"));
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(raw.rest(), b"");
        }
        assert_eq!(rig.connect().get("/healthz").status(), 200);
        drop(crowd);
        rig.until("all places are free again", |server| server.connections() == 0);
    }
}

#[test]
fn an_admitted_socket_frees_its_place_among_the_unknown() {
    let rig = Rig::new(Limits { unauthenticated: 1, ..limits() });
    let admitted = |_| {
        let client = rig.admitted();
        // The answer is on its way before the place is free.
        rig.until("the place is free", |server| server.unadmitted() == 0);
        client
    };
    let clients: Vec<_> = (0..5).map(admitted).collect();
    assert_eq!(rig.server.connections(), clients.len());
}

#[test]
fn a_silent_crowd_does_not_keep_a_speaking_client_out() {
    let rig = Rig::new(Limits { connections: 8, ..limits() });
    let crowd: Vec<_> = (0..30).map(|_| rig.connect()).collect();
    assert_eq!(rig.connect().get("/healthz").status(), 200);
    assert!(rig.server.connections() <= 8);
    drop(crowd);
}

#[test]
fn a_client_without_a_place_is_told() {
    let rig = Rig::new(Limits { connections: 2, ..limits() });
    for _ in 0..2 {
        let held = (rig.admitted(), rig.admitted());
        let mut raw = rig.connect();
        raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = raw.answer();
        assert_eq!((answer.status(), answer.header("connection")), (503, Some("close")));
        drop(held);
        rig.until("the places are free again", |server| server.connections() == 0);
        assert_eq!(rig.connect().get("/").status(), 200);
        rig.until("and again", |server| server.connections() == 0);
    }
}

#[test]
fn a_stopped_server_is_gone_at_once_and_its_clients_may_finish() {
    let rig = Rig::new(limits());
    let mut raw = rig.admitted();
    let mut idle = rig.connect();
    assert_eq!(idle.get("/").status(), 200);
    let began = Instant::now();
    rig.server.stop_accepting();
    // 100 ms at most, and some for a busy machine.
    assert!(began.elapsed() < Duration::from_millis(500));
    assert!(TcpStream::connect(rig.server.addresses()[0]).is_err());
    raw.text("still served");
    assert_eq!(raw.frame(), (1, b"still served".to_vec()));
    rig.server.close_idle_http();
    assert_eq!(idle.rest(), b"");
    rig.until("only the socket is left", |server| server.connections() == 1);
    rig.server.kick_all();
    assert_eq!(raw.rest(), b"");
    rig.until("nobody is left", |server| server.connections() == 0);
}

#[test]
fn two_listeners_are_one_server() {
    let listeners: Vec<_> = ["127.0.0.1:0", "[::1]:0"].iter().filter_map(|at| TcpListener::bind(at).ok()).collect();
    let count = listeners.len();
    let (seen, _seen) = unbounded();
    let (mailboxes, _mailboxes) = unbounded();
    let server = Server::start(listeners, Arc::new(Trial { seen, mailboxes }), limits(), None).unwrap();
    assert_eq!(server.addresses().len(), count);
    for address in server.addresses() {
        assert_eq!(Raw::new(TcpStream::connect(address).unwrap()).get("/here").text(), "/here");
    }
}

#[test]
fn without_threads_clients_are_told_and_the_server_lives() {
    // No machine has an address space for such a stack.
    const NO_THREAD: usize = usize::MAX / 8;
    let rig = Rig::new(Limits { connection_stack: NO_THREAD, ..limits() });
    for _ in 0..2 {
        let mut raw = rig.connect();
        raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(raw.answer().status(), 503);
    }
    assert_eq!(rig.server.connections(), 0);
    let rig = Rig::new(Limits { writer_stack: NO_THREAD, unauthenticated: 1, ..limits() });
    for _ in 0..2 {
        let mut raw = rig.connect();
        raw.send(UPGRADE);
        assert_eq!(raw.answer().status(), 503);
        assert_eq!(raw.rest(), b"");
        assert_eq!(rig.next_over(), CloseReason::Kicked);
        rig.until("its place is free again", |server| server.connections() == 0);
    }
    assert_eq!(rig.connect().get("/healthz").status(), 200);
}

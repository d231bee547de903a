//! WebSockets: polite, rude and absent clients.

use super::*;

#[test]
fn an_upgrade_is_answered_with_its_three_headers_only() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    raw.send(UPGRADE);
    assert_eq!(
        raw.head(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn an_upgrade_that_cannot_be_served_is_told_why() {
    let rig = Rig::new(limits());
    for (from, to, status) in [
        ("Version: 13", "Version: 8", 426),
        ("Key: dGhl", "Key: ", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("/any/path", "/refuse", 403),
    ] {
        let mut raw = rig.connect();
        raw.send(UPGRADE.replace(from, to));
        let answer = raw.answer();
        assert_eq!((answer.status(), answer.header("connection")), (status, Some("close")), "{to}");
        assert_eq!(raw.rest(), b"");
    }
    let mut raw = rig.connect();
    raw.send(UPGRADE.replace("Upgrade: WebSocket", "Upgrade: h2c"));
    assert_eq!(raw.answer().text(), "/any/path");
}

#[test]
fn messages_sent_with_the_upgrade_are_not_lost() {
    let rig = Rig::new(limits());
    let mut raw = rig.connect();
    let mut all = UPGRADE.as_bytes().to_vec();
    all.extend(client_frame(0x81, b"one"));
    all.extend(client_frame(0x81, b"two"));
    raw.send(all);
    raw.head();
    for text in ["hello", "one", "two"] {
        assert_eq!(raw.frame(), (1, text.into()));
    }
}

#[test]
fn text_and_binary_are_both_messages() {
    let rig = Rig::new(limits());
    let mut raw = rig.socket();
    raw.send(client_frame(0x82, "bin\u{e4}r".as_bytes()));
    assert_eq!(raw.frame(), (1, "bin\u{e4}r".into()));
    raw.send(client_frame(0x82, b"\xff\xfe"));
    assert_eq!(raw.frame(), (1, "\u{fffd}\u{fffd}".into()));
    raw.send([client_frame(0x01, b"in "), client_frame(0x00, b"three "), client_frame(0x80, b"parts")].concat());
    assert_eq!(raw.frame(), (1, b"in three parts".to_vec()));
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let rig = Rig::new(limits());
    let mut raw = rig.socket();
    raw.send(client_frame(0x89, b"are you there"));
    raw.text("after");
    assert_eq!(raw.frame(), (10, b"are you there".to_vec()));
    assert_eq!(raw.frame(), (1, b"after".to_vec()));
}

#[test]
fn we_ping_and_a_silent_client_is_cut_off() {
    let rig =
        Rig::new(Limits { ping_every: Duration::from_millis(50), pong_time: Duration::from_millis(700), ..limits() });
    let mut raw = rig.admitted();
    for _ in 0..3 {
        assert_eq!(raw.frame(), (9, vec![]));
        raw.send(client_frame(0x8a, b""));
    }
    assert_eq!(rig.next_over(), CloseReason::Silent);
    let rest = raw.rest();
    assert!(rest.chunks(2).all(|frame| frame == [0x89, 0]), "nothing but pings: {rest:?}");
}

#[test]
fn a_client_that_closes_gets_its_code_back() {
    let rig = Rig::new(limits());
    let mut raw = rig.socket();
    raw.send(client_frame(0x88, b"\x0f\xa1going"));
    assert_eq!(raw.frame(), (8, b"\x0f\xa1going".to_vec()));
    assert_eq!(raw.rest(), b"");
    assert_eq!(rig.next_over(), CloseReason::PeerClosed { code: 4001, text: "going".to_owned() });
    drop(raw);
    rig.until("its place is free again", |server| server.connections() == 0);
}

#[test]
fn our_close_follows_what_was_said_before_and_reaches_a_talking_client() {
    let rig = Rig::new(limits());
    let mut raw = rig.socket();
    raw.text("bye");
    // What a client still says must not turn our reason into a reset.
    for _ in 0..100 {
        raw.text("still talking");
    }
    assert_eq!(raw.frame(), (1, b"last words".to_vec()));
    assert_eq!(raw.closed(), (1008, "as you wish".to_owned()));
    assert_eq!(rig.next_over(), CloseReason::policy(1008, "as you wish"));
    assert!(rig.seen.try_recv().is_err(), "nothing is delivered after the end");
}

#[test]
fn a_close_from_elsewhere_ends_a_client_that_says_nothing() {
    let rig = Rig::new(limits());
    let mut raw = rig.admitted();
    let mail = rig.mailboxes.recv_timeout(SOON).unwrap();
    mail.close(CloseReason::policy(1012, "service restart"));
    mail.text("too late");
    assert_eq!(raw.frame(), (8, b"\x03\xf4service restart".to_vec()));
    assert_eq!(raw.rest(), b"");
    assert_eq!(rig.next_over(), CloseReason::policy(1012, "service restart"));
    // The client never answers and never leaves; the place is free all the same.
    rig.until("its place is free again", |server| server.connections() == 0);
}

#[test]
fn a_client_not_admitted_in_time_is_closed_with_1000() {
    let rig = Rig::new(Limits { handshake_time: Duration::from_millis(400), ..limits() });
    let mut raw = rig.socket();
    let mut other = rig.admitted();
    raw.text("talking does not help");
    raw.frame();
    assert_eq!(raw.closed(), (1000, String::new()));
    assert_eq!(rig.next_over(), CloseReason::HandshakeTimeout);
    other.text("admitted ones stay");
    assert_eq!(other.frame(), (1, b"admitted ones stay".to_vec()));
}

#[test]
fn the_first_message_may_have_64_kib_and_not_a_byte_more() {
    let rig = Rig::new(limits());
    for _ in 0..2 {
        let mut raw = rig.socket();
        let most = "x".repeat(64 << 10);
        raw.text(&most);
        assert_eq!(raw.frame(), (1, most.clone().into_bytes()));
        raw.text(&(most + "x"));
        assert_eq!(raw.closed(), (1009, String::new()));
        assert_eq!(rig.next_over(), CloseReason::TooBig);
    }
}

#[test]
fn a_hundred_megabytes_promised_are_refused_at_the_promise() {
    let rig = Rig::new(limits());
    for (mut raw, length) in [(rig.socket(), 100 << 20), (rig.admitted(), 100 << 20), (rig.admitted(), usize::MAX >> 1)]
    {
        raw.send([frame_head(0x81, 0x80, length), vec![1, 2, 3, 4]].concat());
        assert_eq!(raw.closed(), (1009, String::new()));
    }
}

#[test]
fn a_message_in_too_many_pieces_is_too_big_all_the_same() {
    let rig = Rig::new(limits());
    let mut raw = rig.socket();
    raw.send(client_frame(0x01, &[b'x'; 1000]));
    for _ in 0..65 {
        raw.send(client_frame(0x00, &[b'x'; 1000]));
    }
    assert_eq!(raw.closed(), (1009, String::new()));
}

#[test]
fn frames_against_the_protocol_are_closed_with_their_code() {
    let rig = Rig::new(limits());
    let unmasked = [frame_head(0x81, 0, 2), b"hi".to_vec()].concat();
    for (frame, code) in [
        (unmasked, 1002),
        (client_frame(0xc1, b"reserved bit"), 1002),
        (client_frame(0x83, b"reserved opcode"), 1002),
        (client_frame(0x80, b"continues nothing"), 1002),
        (client_frame(0x09, b"fragmented ping"), 1002),
        (client_frame(0x81, b"\xff not UTF-8"), 1007),
    ] {
        let mut raw = rig.socket();
        raw.send(&frame);
        assert_eq!(raw.closed(), (code, String::new()), "{frame:?}");
    }
}

#[test]
fn a_client_that_vanishes_is_noticed() {
    let rig = Rig::new(limits());
    drop(rig.socket());
    assert_eq!(rig.next_over(), CloseReason::PeerVanished);
    let mut half = rig.socket();
    half.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rig.next_over(), CloseReason::PeerVanished);
    assert_eq!(half.rest(), b"");
    rig.until("the places are free again", |server| server.connections() == 0);
}

#[test]
fn a_panicking_talk_closes_its_client_only() {
    let rig = Rig::new(limits());
    let mut other = rig.socket();
    let mut raw = rig.socket();
    raw.text("panic");
    assert_eq!(raw.closed(), (1011, String::new()));
    assert_eq!(rig.next_over(), CloseReason::Panicked);
    other.text("still here");
    assert_eq!(other.frame(), (1, b"still here".to_vec()));
}

#[test]
fn a_client_that_stops_reading_is_closed_as_slow_and_the_others_are_not() {
    let rig = Rig::new(Limits { max_buffered: 1 << 20, ..limits() });
    let mut slow = rig.admitted();
    let to_slow = rig.mailboxes.recv_timeout(SOON).unwrap();
    let mut well = rig.admitted();
    let to_well = rig.mailboxes.recv_timeout(SOON).unwrap();
    let event: Arc<str> = "x".repeat(100 << 10).into();
    let mut posted = 0;
    while to_slow.closed().is_none() {
        to_slow.text(event.clone());
        to_well.text("tick");
        assert_eq!(well.frame(), (1, b"tick".to_vec()));
        posted += 1;
        assert!(posted < 1000, "nobody is too slow for this server");
    }
    assert_eq!(to_slow.closed(), Some(&CloseReason::SlowConsumer));
    assert!(to_slow.queued_bytes() < 600 << 10, "what waited is let go: {}", to_slow.queued_bytes());
    // When it reads again it finds whole messages and then the reason.
    let (code, reason) = loop {
        match slow.frame() {
            (1, payload) => assert_eq!(payload.len(), event.len()),
            (8, payload) => break close_of(&payload),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((code, reason.as_str()), (1008, "slow consumer"));
    assert_eq!(rig.next_over(), CloseReason::SlowConsumer);
}

#[test]
fn a_client_that_takes_nothing_for_the_write_timeout_is_cut_off() {
    let rig = Rig::new(Limits { write_time: Duration::from_millis(100), ..limits() });
    let _stuck = rig.admitted();
    let mail = rig.mailboxes.recv_timeout(SOON).unwrap();
    (0..20).for_each(|_| mail.text("x".repeat(1 << 20)));
    assert_eq!(rig.next_over(), CloseReason::Stalled);
    rig.until("its place is free again", |server| server.connections() == 0);
}

#[test]
fn big_messages_are_followed_by_small_ones_without_loss() {
    let rig = Rig::new(limits());
    let mut raw = rig.admitted();
    let big = "y".repeat(1 << 20);
    // All in one go, so that the next frames are there already when the reader starts over.
    let mut all = Vec::new();
    for n in 0..3 {
        all.extend(client_frame(0x81, big.as_bytes()));
        all.extend(client_frame(0x81, format!("small {n}").as_bytes()));
        all.extend(client_frame(0x89, b"p"));
    }
    let mut sender = raw.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(&all).unwrap());
    for n in 0..3 {
        assert_eq!(raw.frame(), (1, big.clone().into_bytes()));
        assert_eq!(raw.frame(), (1, format!("small {n}").into_bytes()));
        assert_eq!(raw.frame(), (10, b"p".to_vec()));
    }
    sending.join().unwrap();
}

#[test]
fn echoes_events_and_pongs_do_not_mix_up_their_frames() {
    let rig = Rig::new(limits());
    let mut raw = rig.admitted();
    let mail = rig.mailboxes.recv_timeout(SOON).unwrap();
    let mut sender = raw.stream.try_clone().unwrap();
    let talking = std::thread::spawn(move || {
        for n in 0..1000 {
            let text = format!("echo {n} {}", "e".repeat(n % 700 * 7));
            sender.write_all(&client_frame(0x81, text.as_bytes())).unwrap();
            if n % 10 == 0 {
                sender.write_all(&client_frame(0x89, n.to_string().as_bytes())).unwrap();
            }
        }
    });
    let pushing = std::thread::spawn(move || {
        for n in 0..1000 {
            mail.numbered("event ".into(), format!(" {}", "v".repeat(n % 300 * 9)).into(), true);
        }
    });
    let (mut echoes, mut events, mut pongs) = (0, 0, 0);
    while (echoes, events, pongs) != (1000, 1000, 100) {
        let (opcode, payload) = raw.frame();
        let text = String::from_utf8(payload).unwrap();
        let words: Vec<_> = text.split(' ').collect();
        match (opcode, words[0]) {
            (10, number) => {
                assert_eq!(number, (pongs * 10).to_string());
                pongs += 1;
            }
            (1, "echo") => {
                assert_eq!((words[1], words[2].len()), (echoes.to_string().as_str(), echoes % 700 * 7));
                echoes += 1;
            }
            (1, "event") => {
                assert_eq!((words[1], words[2].len()), ((events + 1).to_string().as_str(), events % 300 * 9));
                events += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    talking.join().unwrap();
    pushing.join().unwrap();
}

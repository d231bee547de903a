//! IRC end to end over a small server of our own: it welcomes, takes lines, and answers PINGs.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::gateway::Gateway;
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;

/// What the client said, and the way to say something to it.
#[derive(Clone, Default)]
struct Network {
    said: Arc<Mutex<Vec<String>>>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl Network {
    fn start() -> (Network, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind the network");
        let port = listener.local_addr().expect("bound").port();
        let network = Network::default();
        let own = network.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.serve(stream));
            }
        });
        (network, port)
    }

    fn serve(&self, stream: TcpStream) {
        let mut out = stream.try_clone().expect("a second handle");
        self.clients.lock().expect("no panic").push(stream.try_clone().expect("a third handle"));
        let mut say = |line: String| out.write_all(format!("{line}\r\n").as_bytes()).is_ok();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            self.said.lock().expect("no panic").push(line.clone());
            let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            let going = match word {
                "CAP" if rest.starts_with("LS") => say(":srv CAP * LS :sasl message-tags account-tag".into()),
                "CAP" if rest.starts_with("REQ") => say(format!(":srv CAP * ACK {}", rest.trim_start_matches("REQ "))),
                "AUTHENTICATE" if rest == "PLAIN" => say("AUTHENTICATE +".into()),
                "AUTHENTICATE" => say(":srv 903 bot :logged in".into()),
                "CAP" if rest == "END" => say(":srv 001 bot :Welcome".into()),
                "PRIVMSG" if rest.starts_with("nobody ") => say(":srv 401 bot nobody :No such nick".into()),
                "PING" => say(format!(":srv PONG srv {rest}")),
                _ => true,
            };
            if !going {
                return;
            }
        }
    }

    fn tell(&self, line: &str) {
        let mut clients = self.clients.lock().expect("no panic");
        let last = clients.last_mut().expect("somebody is connected");
        last.write_all(format!("{line}\r\n").as_bytes()).expect("the client is there");
    }

    #[track_caller]
    fn wait_said(&self, words: &str) -> String {
        wait::until(&format!("the client says {words:?}"), || {
            self.said.lock().expect("no panic").iter().find(|line| line.contains(words)).cloned()
        })
    }
}

#[test]
fn irc_logs_in_listens_in_its_channel_and_answers_there() {
    let upstream = Upstream::script([Answer::say("**Hi** Ada.\nSecond line.")]);
    let (network, port) = Network::start();
    let gateway = Gateway::start(upstream.config_and(json!({"channels": {"irc": {
        "host": "127.0.0.1", "port": port, "tls": false, "nick": "bot", "channels": ["#room"],
        "sasl": {"username": "bot", "password": "sasl-canary-1"}, "nickserv": {"password": "nickserv-canary-2"},
        "allowFrom": ["ada!u@host", "account:grace"], "groups": {"#room": {}},
    }}})));
    network.wait_said("AUTHENTICATE AGJvdABzYXNsLWNhbmFyeS0x");
    network.wait_said("PRIVMSG NickServ :IDENTIFY nickserv-canary-2");
    network.wait_said("JOIN #room");
    network.tell(":ada!u@host PRIVMSG #room :not for it");
    network.tell(":ada!other@host PRIVMSG #room :bot: the nick is stolen");
    network.tell(":ada!u@host PRIVMSG #room :bot: hello");
    network.wait_said("PRIVMSG #room :\u{2}Hi\u{2} Ada.");
    network.wait_said("PRIVMSG #room :Second line.");
    assert_eq!(upstream.asked().len(), 1);
    network.tell("@account=grace :Whoever!x@y PRIVMSG bot :a word in private");
    network.wait_said("PRIVMSG Whoever :\u{2}Hi\u{2} Ada.");
    network.tell("PING :42");
    network.wait_said("PONG :42");
    let mut client = gateway.operator();
    let params = json!({"channel": "irc", "to": "nobody", "message": "x", "idempotencyKey": "k1"});
    let refusal = client.err("send", params);
    assert!(refusal["message"].as_str().is_some_and(|text| text.contains("No such nick")), "{refusal}");
    let status = client.ok("channels.status", json!({"probe": true}));
    assert_eq!(status["channelAccounts"]["irc"][0]["identity"], "bot@127.0.0.1");
    assert_eq!(status["channelAccounts"]["irc"][0]["probe"]["ok"], true);
    assert!(!gateway.log().contains("canary"), "no password is logged");
    // The network drops us: we come back.
    let before = network.clients.lock().expect("no panic").len();
    network.tell("ERROR :Closing link");
    wait::until("it connects again", || (network.clients.lock().expect("no panic").len() > before).then_some(()));
}

/// A real server over TLS, as `.ci/run` installs it.
#[test]
#[ignore = "needs ngircd and openssl; .ci/run installs them"]
fn a_real_irc_server_is_talked_to_over_tls() {
    use std::process::{Command, Stdio};
    let home = crate::support::scratch::Scratch::new();
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status()
        .expect("openssl runs");
    assert!(made.success());
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
    let (clear, tls) = (free(), free());
    let conf = home.path().join("ngircd.conf");
    let text = format!(
        "[Global]\nName = irc.example.net\nInfo = test\nListen = 127.0.0.1\nPorts = {clear}\nMotdPhrase = hello\n\
         [Limits]\nMaxConnectionsIP = 0\n[Options]\nDNS = no\nIdent = no\nPAM = no\nMorePrivacy = no\n\
         [SSL]\nCertFile = {}\nKeyFile = {}\nPorts = {tls}\n",
        cert.display(),
        key.display()
    );
    std::fs::write(&conf, text).expect("write the configuration");
    let mut server = Command::new("ngircd")
        .args(["-n", "-f"])
        .arg(&conf)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("ngircd runs");
    let stream = wait::until("ngircd listens", || TcpStream::connect(("127.0.0.1", clear)).ok());
    let upstream = Upstream::script([Answer::say("Hello from the gateway.")]);
    let config = upstream.config_and(json!({"channels": {"irc": {
        "host": "localhost", "port": tls, "nick": "claw", "channels": ["#room"], "groupPolicy": "open",
        "groups": {"#room": {"allowFrom": ["*"]}},
    }}}));
    let trusted = cert.display().to_string();
    let gateway = Gateway::with(config).env("SSL_CERT_FILE", &trusted).start();
    let mut out = stream.try_clone().expect("a second handle");
    out.write_all(b"NICK ada\r\nUSER ada 0 * :Ada\r\nJOIN #room\r\n").expect("ngircd listens");
    let mut said = false;
    for line in BufReader::new(stream).lines() {
        let line = line.expect("ngircd answers");
        if let Some(rest) = line.strip_prefix("PING ") {
            out.write_all(format!("PONG {rest}\r\n").as_bytes()).expect("ngircd listens");
        }
        let there =
            line.contains(" 353 ") && line.contains("claw") || line.starts_with(":claw!") && line.contains(" JOIN ");
        if there && !std::mem::replace(&mut said, true) {
            out.write_all(b"PRIVMSG #room :claw: are you there?\r\n").expect("ngircd listens");
        }
        if line.starts_with(":claw!") && line.contains("PRIVMSG #room :Hello from the gateway.") {
            break;
        }
    }
    let mut client = gateway.operator();
    assert_eq!(client.ok("channels.status", json!({}))["channelAccounts"]["irc"][0]["connected"], true);
    drop(gateway);
    server.kill().expect("ngircd ends");
    server.wait().expect("ngircd ends");
}

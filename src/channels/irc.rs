//! IRC: one account is one network. TLS unless told otherwise, SASL, NickServ, channels.
//!
//! IRC has no receipts, so each message is followed by a PING of ours: its PONG proves that the server has taken what came
//! before, and an error numeric between the two says that it has not. The same PINGs, sent in silence, are the liveness.
//!
//! A nick is nobody's identity. A sender is `account:<name>` where the server vouches for a services account
//! (`account-tag`), else `nick!user@host` in lower case; a bare nick counts only with `dangerouslyAllowNameMatching`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Sender as Wake, bounded};

use super::account::Account;
use super::gate::List;
use super::inbound::Inbound;
use super::message::{ChannelError, ChatKind, Incoming, Outbound, Probe, Receipt, Sender};
use super::socket::Link;
use super::supervisor::Stop;
use super::{Channel, ChannelSpec, chunk};
use crate::sys::random;
use crate::sys::secret::Secret;

pub static SPEC: ChannelSpec = ChannelSpec {
    id: "irc",
    label: "IRC",
    keys: &[
        ("channels", "Channels to join."),
        ("dangerouslyAllowNameMatching", "A bare nick in a list counts; anybody can take a nick."),
        ("direct", "Direct chats by id: systemPrompt, tools, toolsBySender."),
        ("host", "The server."),
        ("nick", "Our nick."),
        ("nickserv", "enabled, service, password, passwordFile: identify after connecting."),
        ("password", "The server's password."),
        ("passwordFile", "A file that holds it."),
        ("port", "6697, or 6667 without TLS."),
        ("realname", "What whois shows."),
        ("sasl", "username, password: log in while connecting."),
        ("tls", "False speaks in the clear."),
        ("username", "The name before the @ of our mask."),
    ],
    prefixes: &["irc", "id"],
    variables: &["IRC_PASSWORD", "IRC_NICKSERV_PASSWORD"],
    by_variable: false,
    limit: 350,
    count: chunk::bytes,
    thread_word: "thread",
    list: List::Groups,
    kind_of: |to| (if to.starts_with(['#', '&', '+', '!']) { ChatKind::Group } else { ChatKind::Direct }, to),
    drafts: false,
    streams: false,
    debounce_ms: 0,
    setup: &[("--host", "host", false), ("--nick", "nick", false), ("--password", "password", true)],
    configured: |section| section.contains_key("host"),
    open,
};

/// Connecting, TLS included.
const CONNECT: Duration = Duration::from_secs(20);
/// From connected to welcome: networks look clients over.
const WELCOME: Duration = Duration::from_secs(60);
/// We ask for a sign of life this often.
const PING: Duration = Duration::from_secs(60);
/// Silence of more than one and a half of those is the end.
const SILENCE: Duration = Duration::from_secs(95);
/// The server has this long to take a message.
const TAKEN: Duration = Duration::from_secs(20);
/// A line with its end; longer ones are cut by servers and end the connection here.
const LINE_MAX: usize = 16 << 10;
/// Lines at once before a server calls it a flood, and the pause between those after them.
const BURST: usize = 4;
const PAUSE: Duration = Duration::from_millis(1100);

struct Irc {
    host: String,
    port: u16,
    tls: bool,
    nick: String,
    username: String,
    realname: String,
    password: Option<Secret>,
    sasl: Option<(String, Secret)>,
    nickserv: Option<(String, Secret)>,
    channels: Vec<String>,
    names: bool,
    now: Mutex<Option<Session>>,
    /// When lines went out, for the flood limit.
    sent: Mutex<Vec<Instant>>,
}

/// A connection that was welcomed.
struct Session {
    link: Arc<Link>,
    ready: bool,
    /// Who waits for the server to have taken something: the PING's word, and how he is told.
    waiting: Option<(String, Wake<Result<(), String>>)>,
}

fn open(account: &Account) -> Result<Box<dyn Channel>, ChannelError> {
    let missing = |key: &str| {
        ChannelError::Terminal(
            format!("IRC account \"{}\" has no {key}", account.key.account),
            format!("set channels.irc.{key}"),
        )
    };
    let host = account.text("host").filter(|host| !host.contains([' ', '/'])).ok_or_else(|| missing("host"))?;
    let word = |name: &str, own: &str| {
        let text = account.text(name).unwrap_or(own);
        text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != ':').take(32).collect::<String>()
    };
    let nick = word("nick", "openclaw");
    let tls = account.flag("tls").unwrap_or(true);
    let part = |section: &str, name: &str| account.settings.get(section).and_then(|section| section.get(name));
    let secret = |section: &str, name: &str| {
        part(section, name).and_then(|value| value.as_str()).filter(|text| !text.is_empty()).map(Secret::new)
    };
    let sasl = secret("sasl", "password").map(|password| {
        let name = part("sasl", "username").and_then(|name| name.as_str()).unwrap_or(&nick).to_owned();
        (name, password)
    });
    let identify = part("nickserv", "enabled").and_then(|on| on.as_bool()).unwrap_or(true);
    let nickserv = secret("nickserv", "password")
        .or_else(|| {
            let file = part("nickserv", "passwordFile")?.as_str()?;
            super::account::read_secret(file)
        })
        .or_else(|| account.default_variable("IRC_NICKSERV_PASSWORD"))
        .filter(|_| identify)
        .map(|password| {
            let service = part("nickserv", "service").and_then(|name| name.as_str()).unwrap_or("NickServ");
            (plain(service), password)
        });
    let channels = account.texts("channels").iter().map(|name| plain(name)).filter(|name| is_channel(name)).collect();
    Ok(Box::new(Irc {
        host: host.to_owned(),
        port: account.number("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(if tls { 6697 } else { 6667 }),
        tls,
        username: word("username", &nick),
        realname: plain(account.text("realname").unwrap_or("openclaw")),
        nick,
        password: account.secret("password", "passwordFile").or_else(|| account.default_variable("IRC_PASSWORD")),
        sasl,
        nickserv,
        channels,
        names: account.flag("dangerouslyAllowNameMatching") == Some(true),
        now: Mutex::default(),
        sent: Mutex::default(),
    }))
}

impl Channel for Irc {
    fn listen(&self, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let link = Link::connect(&self.host, self.port, self.tls, CONNECT, SILENCE)?;
        *self.session() = Some(Session { link: link.clone(), ready: false, waiting: None });
        let over = Stop::own();
        let result = std::thread::scope(|scope| {
            let pings = std::thread::Builder::new().name("irc ping".into()).stack_size(128 << 10);
            let pinging = pings.spawn_scoped(scope, || {
                while !over.wait(PING) {
                    if self.line(&link, "PING :alive").is_err() {
                        link.close();
                        return;
                    }
                }
            });
            let result = match pinging {
                Ok(_) if stop.fired() => Ok(()),
                Ok(_) => self.talk(&link, inbound, stop),
                Err(error) => Err(ChannelError::Lost(format!("start a thread: {error}"))),
            };
            over.fire();
            result
        });
        *self.session() = None;
        link.close();
        result
    }

    fn deliver(&self, out: &Outbound) -> Result<Receipt, ChannelError> {
        let target = plain(&out.to.chat);
        if target.is_empty() || target.contains([' ', ',']) {
            return Err(ChannelError::Refused("the target is no nick and no channel".into()));
        }
        if out.file.is_some() && out.text.trim().is_empty() {
            return Err(ChannelError::Refused("IRC carries no files".into()));
        }
        let word = random::hex::<8>();
        let (wake, taken) = bounded(1);
        let link = {
            let mut now = self.session();
            let session = now.as_mut().filter(|session| session.ready);
            let session = session.ok_or_else(|| ChannelError::Unreached(format!("not connected to {}", self.host)))?;
            session.waiting = Some((word.clone(), wake));
            session.link.clone()
        };
        let lost =
            |error: std::io::Error| ChannelError::Lost(format!("the connection to {} broke: {error}", self.host));
        for line in lines(&out.text) {
            self.pace();
            self.line(&link, &format!("PRIVMSG {target} :{line}")).map_err(lost)?;
        }
        if let Some(file) = &out.file {
            log::warn!("IRC carries no files; {} was left out", file.escape_debug());
        }
        self.line(&link, &format!("PING :{word}")).map_err(lost)?;
        match taken.recv_timeout(TAKEN) {
            Ok(Ok(())) => Ok(Receipt { id: word }),
            Ok(Err(why)) => Err(ChannelError::Refused(why)),
            Err(_) => Err(ChannelError::Lost(format!("{} did not say that it took the message", self.host))),
        }
    }

    fn probe(&self, within: Duration) -> Probe {
        let began = Instant::now();
        let ready = self.session().as_ref().is_some_and(|session| session.ready);
        let error = match ready {
            true => None,
            // Not connected: is the server there at all?
            false => match Link::connect(&self.host, self.port, self.tls, within, within) {
                Ok(_) => Some("the server answers, but we are not logged in".to_owned()),
                Err(error) => Some(error.to_string()),
            },
        };
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Probe { ok: error.is_none(), identity: format!("{}@{}", self.nick, self.host), error, elapsed_ms }
    }

    fn interrupt(&self) {
        if let Some(session) = self.session().as_ref() {
            session.link.close();
        }
    }
}

impl Irc {
    fn session(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, link: &Link, line: &str) -> std::io::Result<()> {
        link.write(format!("{line}\r\n").as_bytes())
    }

    /// Waits as long as a server needs not to call us a flood.
    fn pace(&self) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let window = PAUSE * BURST as u32;
        sent.retain(|at| at.elapsed() < window);
        if sent.len() >= BURST {
            let wait = window.saturating_sub(sent[0].elapsed());
            // Only this account's deliveries wait, on their own thread.
            let _ = crossbeam_channel::never::<()>().recv_timeout(wait);
        }
        sent.push(Instant::now());
    }

    /// From the first word to the last line.
    fn talk(&self, link: &Arc<Link>, inbound: &Inbound, stop: &Stop) -> Result<(), ChannelError> {
        let lost =
            |error: std::io::Error| ChannelError::Lost(format!("the connection to {} broke: {error}", self.host));
        let say = |line: String| self.line(link, &line).map_err(lost);
        let mut nick = self.nick.clone();
        say("CAP LS 302".into())?;
        if let Some(password) = &self.password {
            say(format!("PASS :{}", plain(password.expose())))?;
        }
        say(format!("NICK {nick}"))?;
        say(format!("USER {} 0 * :{}", self.username, self.realname))?;
        let (began, mut welcomed) = (Instant::now(), false);
        let mut offered = String::new();
        let (life, mut count) = (random::hex::<6>(), 0_u64);
        let mut lines = Lines::new(link.clone());
        while !stop.fired() {
            if !welcomed && began.elapsed() > WELCOME {
                return Err(ChannelError::Lost(format!("{} did not welcome us in time", self.host)));
            }
            let Some(line) = lines.next().map_err(lost)? else {
                return Err(ChannelError::Lost(format!("{} closed the connection", self.host)));
            };
            let Some(line) = Line::parse(&line) else { continue };
            match line.command {
                "PING" => say(format!("PONG :{}", line.last()))?,
                "PONG" => {
                    inbound.alive();
                    self.told(Some(line.last()), Ok(()));
                }
                "CAP" => match line.params.get(1).copied().unwrap_or_default() {
                    "LS" => {
                        offered.push_str(line.last());
                        offered.push(' ');
                        if line.params.get(2) != Some(&"*") {
                            let has = |name: &str| offered.split(' ').any(|cap| cap.split('=').next() == Some(name));
                            let mut wanted: Vec<&str> = ["account-tag", "message-tags", "server-time"]
                                .into_iter()
                                .filter(|name| has(name))
                                .collect();
                            match &self.sasl {
                                Some(_) if has("sasl") => wanted.push("sasl"),
                                Some(_) => {
                                    let what = format!("{} offers no SASL", self.host);
                                    return Err(ChannelError::Terminal(
                                        what,
                                        "remove channels.irc.sasl, or use nickserv".into(),
                                    ));
                                }
                                None => {}
                            }
                            match wanted.is_empty() {
                                true => say("CAP END".into())?,
                                false => say(format!("CAP REQ :{}", wanted.join(" ")))?,
                            }
                        }
                    }
                    "ACK" if line.last().split(' ').any(|cap| cap == "sasl") => say("AUTHENTICATE PLAIN".into())?,
                    "ACK" | "NAK" => say("CAP END".into())?,
                    _ => {}
                },
                "AUTHENTICATE" => {
                    if let Some((name, password)) = &self.sasl {
                        say(format!("AUTHENTICATE {}", STANDARD.encode(format!("\0{name}\0{}", password.expose()))))?;
                    }
                }
                "903" => say("CAP END".into())?,
                "902" | "904" | "905" | "906" => {
                    let what = format!("{} refused our SASL login", self.host);
                    return Err(ChannelError::Terminal(what, "correct channels.irc.sasl".into()));
                }
                "464" => {
                    let what = format!("{} refused the server password", self.host);
                    return Err(ChannelError::Terminal(what, "correct channels.irc.password".into()));
                }
                "465" => {
                    let what = format!("{} has banned us: {}", self.host, line.last().escape_debug());
                    return Err(ChannelError::Terminal(what, "talk to its operators".into()));
                }
                "433" | "432" if !welcomed => {
                    if nick.len() > self.nick.len() + 4 {
                        return Err(ChannelError::Lost("no nick is free".into()));
                    }
                    nick.push('_');
                    say(format!("NICK {nick}"))?;
                }
                "001" => {
                    welcomed = true;
                    if let Some(given) = line.params.first() {
                        nick = (*given).to_owned();
                    }
                    if let Some((service, password)) = &self.nickserv {
                        say(format!("PRIVMSG {service} :IDENTIFY {}", plain(password.expose())))?;
                    }
                    for channel in &self.channels {
                        say(format!("JOIN {channel}"))?;
                    }
                    if let Some(session) = self.session().as_mut() {
                        session.ready = true;
                    }
                    inbound.connected(&format!("{nick}@{}", self.host));
                }
                "NICK" if line.nick().eq_ignore_ascii_case(&nick) => nick = line.last().to_owned(),
                "KICK" if line.params.get(1).is_some_and(|who| who.eq_ignore_ascii_case(&nick)) => {
                    log::warn!("{}: kicked out of {}", inbound.account().key, line.params[0].escape_debug());
                }
                // No such nick, cannot send, not on the channel: what we sent was not taken.
                "401" | "403" | "404" | "407" | "412" | "442" | "477" => {
                    let what = format!("{}: {}", self.host, line.last());
                    self.told(None, Err(what));
                }
                "471" | "473" | "474" | "475" => {
                    log::warn!(
                        "{}: cannot join {}",
                        inbound.account().key,
                        line.params.get(1).unwrap_or(&"").escape_debug()
                    );
                }
                "ERROR" => return Err(ChannelError::Lost(format!("{}: {}", self.host, line.last().escape_debug()))),
                "PRIVMSG" if welcomed => {
                    count += 1;
                    let id = line.tag("msgid").map_or_else(|| format!("{life}-{count}"), str::to_owned);
                    if let Some(message) = self.heard(&line, &nick, id) {
                        inbound.admit(vec![message], None).map_err(|error| ChannelError::Lost(error.to_string()))?;
                    }
                }
                _ => {}
            }
        }
        // Lost on purpose: we are leaving.
        let _ = self.line(link, "QUIT :bye");
        Ok(())
    }

    /// Tells who waits; `word` is the PONG's.
    fn told(&self, word: Option<&str>, result: Result<(), String>) {
        let mut now = self.session();
        let Some(session) = now.as_mut() else { return };
        if session.waiting.as_ref().is_some_and(|(own, _)| word.is_none_or(|word| word == own))
            && let Some((_, wake)) = session.waiting.take()
        {
            // He may have given up.
            let _ = wake.try_send(result);
        }
    }

    fn heard(&self, line: &Line<'_>, own: &str, id: String) -> Option<Incoming> {
        let (target, nick) = (*line.params.first()?, line.nick());
        if nick.is_empty() || nick.eq_ignore_ascii_case(own) || !line.prefix.contains('!') {
            return None;
        }
        let mut text = line.last().to_owned();
        if let Some(inner) = text.strip_prefix('\u{1}') {
            let action = inner.trim_end_matches('\u{1}').strip_prefix("ACTION ")?;
            text = format!("* {nick} {action}");
        }
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let direct = !is_channel(target);
        let (text, mentioned) = addressed(&text, own);
        let account = line.tag("account").filter(|name| !name.is_empty());
        let sender = match account {
            _ if self.names => nick.to_ascii_lowercase(),
            Some(name) => format!("account:{}", name.to_ascii_lowercase()),
            None => line.prefix.to_ascii_lowercase(),
        };
        Some(Incoming {
            kind: if direct { ChatKind::Direct } else { ChatKind::Group },
            chat: if direct { nick.to_owned() } else { target.to_ascii_lowercase() },
            title: if direct { String::new() } else { target.to_owned() },
            id,
            sender: Sender { id: sender, name: nick.to_owned(), bot: line.tag("bot").is_some(), ..Sender::default() },
            mentioned: mentioned || direct || text.starts_with('/'),
            text,
            ..Incoming::default()
        })
    }
}

fn is_channel(name: &str) -> bool {
    name.starts_with(['#', '&', '+', '!']) && !name.contains([' ', ',', '\u{7}'])
}

/// Without what would end a line.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect::<String>().trim().to_owned()
}

/// Whether a text names us, and the text without our name at its front.
fn addressed(text: &str, own: &str) -> (String, bool) {
    let (lower, own) = (text.to_ascii_lowercase(), own.to_ascii_lowercase());
    if let Some(rest) = lower.strip_prefix(&own)
        && rest.starts_with([':', ','])
    {
        return (text[own.len() + 1..].trim_start().to_owned(), true);
    }
    let part = |c: char| c.is_alphanumeric() || "_-[]\\`^{}|".contains(c);
    (text.to_owned(), lower.split(|c: char| !part(c)).any(|word| word == own))
}

/// The lines of a message: IRC has no other structure. Marks of code blocks say nothing here.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(plain).filter(|line| !line.is_empty() && !line.starts_with("```"));
    lines.map(|line| line.replace("**", "\u{2}").replace('`', "")).collect()
}

/// One message of the protocol.
#[derive(Debug)]
struct Line<'a> {
    tags: &'a str,
    prefix: &'a str,
    command: &'a str,
    params: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Line<'a>> {
        let mut rest = line;
        let mut taken = |mark: char| match rest.strip_prefix(mark) {
            Some(marked) => {
                let (word, more) = marked.split_once(' ').unwrap_or((marked, ""));
                rest = more.trim_start();
                word
            }
            None => "",
        };
        let (tags, prefix) = (taken('@'), taken(':'));
        let (command, mut more) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut params = Vec::new();
        while !more.is_empty() && params.len() < 15 {
            if let Some(last) = more.strip_prefix(':') {
                params.push(last);
                break;
            }
            let (word, next) = more.split_once(' ').unwrap_or((more, ""));
            if !word.is_empty() {
                params.push(word);
            }
            more = next;
        }
        (!command.is_empty()).then_some(Line { tags, prefix, command, params })
    }

    fn last(&self) -> &'a str {
        self.params.last().copied().unwrap_or_default()
    }

    fn nick(&self) -> &'a str {
        self.prefix.split('!').next().unwrap_or_default()
    }

    fn tag(&self, name: &str) -> Option<&'a str> {
        self.tags.split(';').find_map(|tag| {
            let (own, value) = tag.split_once('=').unwrap_or((tag, ""));
            (own == name).then_some(value)
        })
    }
}

/// Lines as they come, without their ends; what is no UTF-8 is read as Latin-1 would be.
struct Lines {
    link: Arc<Link>,
    kept: Vec<u8>,
}

impl Lines {
    fn new(link: Arc<Link>) -> Lines {
        Lines { link, kept: Vec::new() }
    }

    fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(end) = self.kept.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.kept.drain(..=end).collect();
                let text = String::from_utf8(line)
                    .unwrap_or_else(|bad| bad.into_bytes().iter().map(|b| char::from(*b)).collect());
                return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
            if self.kept.len() > LINE_MAX {
                return Err(std::io::Error::other("a line without an end"));
            }
            let mut buffer = [0; 2048];
            let amount = self.link.read(&mut buffer)?;
            if amount == 0 {
                return Ok(None);
            }
            self.kept.extend_from_slice(&buffer[..amount]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = Line::parse("@account=ada;msgid=7 :Ada!u@h PRIVMSG #room :hello there: you").expect("a line");
        assert_eq!((line.nick(), line.command, line.last()), ("Ada", "PRIVMSG", "hello there: you"));
        assert_eq!((line.tag("account"), line.tag("msgid"), line.tag("bot")), (Some("ada"), Some("7"), None));
        assert_eq!(Line::parse("PING x").expect("a line").last(), "x");
        assert!(Line::parse("").is_none() && Line::parse(":only").is_none());
        let many = format!("X {}", "a ".repeat(100));
        assert_eq!(Line::parse(&many).expect("a line").params.len(), 15);
    }

    #[test]
    fn nobody_can_put_a_second_command_into_a_message() {
        assert_eq!(lines("a\r\nQUIT :x\n\n```\nb`c`"), ["a", "QUIT :x", "bc"]);
        assert_eq!(plain("#a\r\nQUIT"), "#aQUIT");
    }

    #[test]
    fn our_name_is_found_as_a_word() {
        assert_eq!(addressed("Bot: do it", "bot"), ("do it".into(), true));
        assert_eq!(addressed("hey bot!", "Bot"), ("hey bot!".into(), true));
        assert_eq!(addressed("robots", "bot"), ("robots".into(), false));
    }
}

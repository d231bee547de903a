//! Events of a room as messages.

use serde_json::Value;

use super::super::media::Remote;
use super::super::message::{ChatKind, Incoming, Quoted, Sender};

/// What is known of a room.
#[derive(Debug, Clone, Default)]
pub struct Room {
    pub id: String,
    /// Two people, one of them the bot.
    pub direct: bool,
    pub encrypted: bool,
    pub name: String,
    /// Members and what they call themselves; of large rooms none.
    pub members: Vec<(String, String)>,
}

/// When answers begin threads, and in which they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    Off,
    Inbound,
    Always,
}

/// Who we are in a room.
pub struct Own<'a> {
    pub user: &'a str,
    /// What we call ourselves there; may be empty.
    pub name: &'a str,
    pub threads: Threads,
    /// Whether we sent an event.
    pub sent: &'a dyn Fn(&str) -> bool,
}

/// A message, if the event is one for us to read.
pub fn read(event: &Value, room: &Room, own: &Own<'_>) -> Option<(Incoming, Option<Remote>)> {
    let (id, sender) = (event["event_id"].as_str()?, event["sender"].as_str()?);
    if event["type"] != "m.room.message" || sender == own.user || event.get("state_key").is_some() {
        return None;
    }
    let content = &event["content"];
    let relation = &content["m.relates_to"];
    // A correction of something that was answered already.
    if relation["rel_type"] == "m.replace" {
        return None;
    }
    let kind = content["msgtype"].as_str()?;
    let body = content["body"].as_str().unwrap_or_default();
    let answers = relation["m.in_reply_to"]["event_id"].as_str();
    let (quoted, text) = match answers {
        Some(_) => without_fallback(body),
        None => (None, body),
    };
    let file = match kind {
        "m.image" | "m.file" | "m.audio" | "m.video" => Some(file(content)?),
        "m.text" | "m.emote" | "m.notice" => None,
        _ => return None,
    };
    // The body of a file is its caption only when the name stands elsewhere.
    let caption = file.is_none() || content["filename"].as_str().is_some_and(|name| name != body);
    let named = content["m.mentions"]["user_ids"].as_array().is_some_and(|ids| ids.iter().any(|id| id == own.user))
        || body.contains(own.user)
        || content["formatted_body"].as_str().is_some_and(|html| html.contains(&format!("matrix.to/#/{}", own.user)));
    let (called, text) = called(text, own);
    let thread = (relation["rel_type"] == "m.thread").then(|| relation["event_id"].as_str()).flatten();
    // In a thread the answered event is only a place to stand, unless it says otherwise.
    let falling_back = thread.is_some() && relation["is_falling_back"] == true;
    let to_us = answers.filter(|_| !falling_back).is_some_and(own.sent) || thread.is_some_and(own.sent);
    let thread = match own.threads {
        Threads::Off => None,
        Threads::Inbound => thread,
        Threads::Always => thread.or(Some(id)),
    };
    let display = room.members.iter().find(|(user, _)| user == sender).map_or("", |(_, name)| name);
    let message = Incoming {
        kind: if room.direct { ChatKind::Direct } else { ChatKind::Group },
        chat: room.id.clone(),
        title: room.name.clone(),
        thread: thread.map(str::to_owned),
        id: id.to_owned(),
        sender: Sender {
            id: sender.to_owned(),
            name: display.to_owned(),
            bot: kind == "m.notice",
            ..Sender::default()
        },
        text: if caption { text.trim().to_owned() } else { String::new() },
        mentioned: room.direct || named || called || to_us,
        quoted: quoted.map(|(sender, text)| Quoted { sender, text }),
        ..Incoming::default()
    };
    Some((message, file))
}

fn file(content: &Value) -> Option<Remote> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Remote {
        // In encrypted rooms it is elsewhere; those are not read.
        at: text(&content["url"]).filter(|url| url.starts_with("mxc://"))?,
        name: text(&content["filename"]).or_else(|| text(&content["body"])).unwrap_or_else(|| "file".into()),
        mime: text(&content["info"]["mimetype"]).unwrap_or_default(),
        bytes: content["info"]["size"].as_u64(),
    })
}

/// Takes the quotation off that old clients put in front of a reply: who said what, and the reply.
fn without_fallback(body: &str) -> (Option<(String, String)>, &str) {
    let mut rest = body;
    let mut lines = Vec::new();
    while let Some(line) = rest.strip_prefix("> ") {
        let (line, after) = line.split_once('\n').unwrap_or((line, ""));
        lines.push(line);
        rest = after;
    }
    let Some(first) = lines.first() else { return (None, body) };
    let first = first.strip_prefix("* ").unwrap_or(first);
    let (sender, first) = match first.strip_prefix('<').and_then(|line| line.split_once("> ")) {
        Some((sender, words)) => (sender.to_owned(), words),
        None => ("somebody".to_owned(), first),
    };
    let words = std::iter::once(first).chain(lines[1..].iter().copied()).collect::<Vec<_>>().join("\n");
    (Some((sender, words)), rest.trim_start_matches('\n'))
}

/// Whether a text begins with our name, and the text without it.
fn called<'a>(text: &'a str, own: &Own<'_>) -> (bool, &'a str) {
    let text = text.trim_start();
    let local = own.user.trim_start_matches('@').split(':').next().unwrap_or_default();
    for name in [own.user, own.name, local] {
        let begins = text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if !name.is_empty() && begins {
            let rest = &text[name.len()..];
            if let Some(rest) = rest.strip_prefix([':', ',']) {
                return (true, rest.trim_start());
            }
        }
    }
    (false, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn room(direct: bool) -> Room {
        let members = vec![("@ada:x.org".into(), "Ada".into())];
        Room { id: "!r:x.org".into(), direct, members, ..Room::default() }
    }

    fn taken(content: Value, direct: bool, threads: Threads) -> Option<(Incoming, Option<Remote>)> {
        let own = Own { user: "@bot:x.org", name: "Helper", threads, sent: &|id| id == "$ours" };
        let event = json!({ "type": "m.room.message", "event_id": "$1", "sender": "@ada:x.org", "content": content });
        read(&event, &room(direct), &own)
    }

    fn text(body: &str) -> Value {
        json!({ "msgtype": "m.text", "body": body })
    }

    #[test]
    fn a_direct_message_is_for_us_and_a_room_s_when_we_are_named() {
        let (message, file) = taken(text("hello"), true, Threads::Inbound).expect("a message");
        assert_eq!((message.kind, message.mentioned, file), (ChatKind::Direct, true, None));
        assert_eq!((message.sender.name.as_str(), message.text.as_str()), ("Ada", "hello"));
        let mentioned = |content: Value| taken(content, false, Threads::Inbound).expect("a message").0;
        assert!(!mentioned(text("hello")).mentioned && !mentioned(text("helperless talk")).mentioned);
        for body in ["Helper: hi", "helper, hi", "@bot:x.org: hi", "bot: hi"] {
            let message = mentioned(text(body));
            assert_eq!((message.mentioned, message.text.as_str()), (true, "hi"), "{body}");
        }
        let mut named = text("hi");
        named["m.mentions"] = json!({ "user_ids": ["@bot:x.org"] });
        assert!(mentioned(named).mentioned);
        let mut pill = text("Bot hi");
        pill["formatted_body"] = json!("<a href=\"https://matrix.to/#/@bot:x.org\">Bot</a> hi");
        assert!(mentioned(pill).mentioned);
    }

    #[test]
    fn replies_and_threads_keep_their_place() {
        let mut reply = text("> <@bot:x.org> old\n> words\n\nand now?");
        reply["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": "$ours" } });
        let (message, _) = taken(reply, false, Threads::Inbound).expect("a message");
        let quoted = message.quoted.expect("a quotation");
        assert_eq!((message.mentioned, message.text.as_str()), (true, "and now?"));
        assert_eq!((quoted.sender.as_str(), quoted.text.as_str()), ("@bot:x.org", "old\nwords"));
        let mut threaded = text("in a thread");
        threaded["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": "$root", "is_falling_back": true,
                                           "m.in_reply_to": { "event_id": "$ours" } });
        let thread = |threads| taken(threaded.clone(), false, threads).expect("a message").0;
        assert_eq!(thread(Threads::Inbound).thread.as_deref(), Some("$root"));
        assert!(!thread(Threads::Inbound).mentioned, "the place it stands at is no answer to us");
        assert_eq!(thread(Threads::Off).thread, None);
        let own = taken(text("x"), false, Threads::Always).expect("a message").0;
        assert_eq!(own.thread.as_deref(), Some("$1"));
    }

    #[test]
    fn files_are_known_and_what_is_no_message_is_left() {
        let image = json!({ "msgtype": "m.image", "body": "cat.png", "url": "mxc://x.org/abc",
                            "info": { "mimetype": "image/png", "size": 7 } });
        let (message, file) = taken(image.clone(), true, Threads::Off).expect("a message");
        let file = file.expect("a file");
        assert_eq!((message.text.as_str(), file.name.as_str(), file.bytes), ("", "cat.png", Some(7)));
        let mut captioned = image.clone();
        captioned["filename"] = json!("cat.png");
        captioned["body"] = json!("my cat");
        assert_eq!(taken(captioned, true, Threads::Off).expect("a message").0.text, "my cat");
        let mut elsewhere = image;
        elsewhere["url"] = json!("https://evil.example/x");
        assert!(taken(elsewhere, true, Threads::Off).is_none());
        let mut edit = text("* better");
        edit["m.relates_to"] = json!({ "rel_type": "m.replace", "event_id": "$0" });
        for odd in [edit, json!({}), json!({ "msgtype": "m.location", "body": "x" })] {
            assert!(taken(odd.clone(), true, Threads::Off).is_none(), "{odd}");
        }
        let notice = json!({ "msgtype": "m.notice", "body": "beep" });
        assert!(taken(notice, true, Threads::Off).expect("a message").0.sender.bot);
    }
}

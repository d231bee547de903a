//! Events of Slack as messages.

use serde_json::Value;

use super::super::media::Remote;
use super::super::message::{ChatKind, INTERACTION, Incoming, Sender};

/// People whose names are looked up for one message.
const NAMED: usize = 10;

/// Who we are, and what decides whether we are meant.
pub struct Own<'a> {
    pub user: &'a str,
    pub bot: &'a str,
    /// A top-level message in a channel begins a thread, because it is answered in one.
    pub threads: bool,
    /// Whether we have said something in a thread.
    pub took_part: &'a dyn Fn(&str, &str) -> bool,
    /// What somebody is called.
    pub name: &'a dyn Fn(&str) -> String,
}

/// What somebody did in a message of ours, or with a slash command.
pub struct Done {
    pub message: Incoming,
    /// Where Slack takes an answer that only he sees.
    pub response_url: String,
}

/// A message, if the event is one for us to read.
pub fn read(event: &Value, team: &str, own: &Own<'_>) -> Option<(Incoming, Vec<Remote>)> {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let known = ["", "file_share", "thread_broadcast", "me_message", "bot_message"];
    if !matches!(text("type"), "message" | "app_mention") || !known.contains(&text("subtype")) {
        return None;
    }
    let bot = text("bot_id");
    let user = if text("user").is_empty() { bot } else { text("user") };
    if user.is_empty() || user == own.user || (!bot.is_empty() && bot == own.bot) {
        return None;
    }
    let (chat, ts) = (event["channel"].as_str()?, event["ts"].as_str()?);
    let kind = match text("channel_type") {
        "im" => ChatKind::Direct,
        "mpim" => ChatKind::Group,
        _ if chat.starts_with('D') => ChatKind::Direct,
        _ => ChatKind::Channel,
    };
    let raw = text("text");
    let named = raw.contains(&format!("<@{}>", own.user)) || raw.contains(&format!("<@{}|", own.user));
    let thread = event["thread_ts"].as_str().filter(|thread| *thread != ts);
    let ours = event["parent_user_id"] == own.user || thread.is_some_and(|thread| (own.took_part)(chat, thread));
    let mentioned = kind == ChatKind::Direct || named || (thread.is_some() && ours) || text("type") == "app_mention";
    let begins = own.threads && kind != ChatKind::Direct;
    let files: Vec<Remote> = event["files"].as_array().into_iter().flatten().filter_map(file).collect();
    let said = readable(raw, own);
    if said.is_empty() && files.is_empty() {
        return None;
    }
    let message = Incoming {
        kind,
        chat: chat.to_owned(),
        thread: thread.or(begins.then_some(ts)).map(str::to_owned),
        space: Some(team.to_owned()).filter(|team| !team.is_empty()),
        id: ts.to_owned(),
        sender: Sender { id: user.to_owned(), name: (own.name)(user), bot: !bot.is_empty(), ..Sender::default() },
        text: said,
        mentioned,
        elsewhere: !mentioned && (raw.contains("<@") || raw.contains("<!subteam^")),
        ..Incoming::default()
    };
    Some((message, files))
}

/// A slash command. The app's own command carries a message, every other one is a command of ours.
pub fn command(payload: &Value, name: &dyn Fn(&str) -> String) -> Option<Done> {
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    let said = text("text").trim();
    let words = match text("command") {
        "/openclaw" if said.is_empty() => "/help".to_owned(),
        "/openclaw" => said.to_owned(),
        own => format!("{own} {said}").trim().to_owned(),
    };
    done(text("user_id"), text("channel_id"), text("team_id"), text("trigger_id"), words, text("response_url"), name)
        .map(|mut done| {
            done.message.answer_to = Some(format!("{INTERACTION}{}", done.response_url));
            done
        })
}

/// A button that was pressed.
pub fn pressed(payload: &Value, name: &dyn Fn(&str) -> String) -> Option<Done> {
    if payload["type"] != "block_actions" {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = text(&payload["actions"][0]["value"]);
    let (user, chat, team) =
        (text(&payload["user"]["id"]), text(&payload["channel"]["id"]), text(&payload["team"]["id"]));
    let (trigger, url) = (text(&payload["trigger_id"]), text(&payload["response_url"]));
    let mut done = done(&user, &chat, &team, &trigger, words, &url, name)?;
    done.message.thread = payload["container"]["thread_ts"].as_str().map(str::to_owned);
    // An answer in words stands where the buttons stood.
    done.message.answer_to = payload["container"]["message_ts"].as_str().map(str::to_owned);
    Some(done)
}

fn done(
    user: &str,
    chat: &str,
    team: &str,
    trigger: &str,
    text: String,
    url: &str,
    name: &dyn Fn(&str) -> String,
) -> Option<Done> {
    if [user, chat, trigger, &text].iter().any(|part| part.is_empty()) {
        return None;
    }
    let message = Incoming {
        kind: if chat.starts_with('D') { ChatKind::Direct } else { ChatKind::Channel },
        chat: chat.to_owned(),
        space: Some(team.to_owned()).filter(|team| !team.is_empty()),
        id: format!("press{trigger}"),
        sender: Sender { id: user.to_owned(), name: name(user), bot: false, ..Sender::default() },
        text,
        mentioned: true,
        ..Incoming::default()
    };
    Some(Done { message, response_url: url.to_owned() })
}

fn file(file: &Value) -> Option<Remote> {
    let text = |name: &str| file[name].as_str().map(str::to_owned);
    Some(Remote {
        at: text("url_private_download").or_else(|| text("url_private"))?,
        name: text("name").unwrap_or_else(|| "file".into()),
        mime: text("mimetype").unwrap_or_default(),
        bytes: file["size"].as_u64(),
    })
}

/// Slack's own mark-up as text for a model: what stands in angle brackets is a name, a channel, a link or a call.
fn readable(raw: &str, own: &Own<'_>) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw.trim();
    // The mention that only woke us up.
    let us = format!("<@{}>", own.user);
    // Each name may be a question to Slack.
    let mut asked = 0;
    let mut name = |id: &str| {
        asked += 1;
        if asked <= NAMED { (own.name)(id) } else { id.to_owned() }
    };
    rest = rest.strip_prefix(us.as_str()).unwrap_or(rest).trim_start();
    while let Some((before, after)) = rest.split_once('<') {
        let Some((inner, after)) = after.split_once('>') else { break };
        out.push_str(before);
        let (what, label) = inner.split_once('|').unwrap_or((inner, ""));
        let shown = |fallback: &str| if label.is_empty() { fallback.to_owned() } else { label.to_owned() };
        let text = match what.split_at(what.len().min(1)) {
            ("@", id) if label.is_empty() => format!("@{}", name(id)),
            ("@", _) => format!("@{label}"),
            ("#", id) => format!("#{}", shown(id)),
            ("!", call) => format!("@{}", shown(call.split('^').next().unwrap_or_default())),
            _ if label.is_empty() || label == what => what.to_owned(),
            _ => format!("{label} ({what})"),
        };
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own() -> Own<'static> {
        Own {
            user: "UBOT",
            bot: "BBOT",
            threads: false,
            took_part: &|_, thread| thread == "50.0",
            name: &|id| if id == "U7" { "Ada".into() } else { id.into() },
        }
    }

    fn taken(more: Value) -> Option<Incoming> {
        let mut event = json!({"type": "message", "channel": "C1", "ts": "99.1", "user": "U7", "text": "hello",
                               "channel_type": "channel"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        read(&event, "T1", &own()).map(|(message, _)| message)
    }

    #[test]
    fn a_direct_message_is_for_us_and_a_channel_s_when_we_are_named() {
        let message = taken(json!({"channel": "D1", "channel_type": "im"})).expect("a message");
        assert_eq!((message.kind, message.mentioned, message.sender.name.as_str()), (ChatKind::Direct, true, "Ada"));
        let message = taken(json!({})).expect("a message");
        assert_eq!((message.kind, message.mentioned, message.space.as_deref()), (ChatKind::Channel, false, Some("T1")));
        let message =
            taken(json!({"text": "<@UBOT> ask <@U7> in <#C2|ops> &amp; see <https://x.org|this>"})).expect("one");
        assert_eq!((message.mentioned, message.text.as_str()), (true, "ask @Ada in #ops & see this (https://x.org)"));
        assert!(taken(json!({"text": "<@U8> look"})).is_some_and(|message| message.elsewhere));
        for ours in [json!({"user": "UBOT"}), json!({"bot_id": "BBOT"}), json!({"subtype": "message_changed"})] {
            assert!(taken(ours).is_none());
        }
        assert!(taken(json!({"bot_id": "B9", "user": null})).is_some_and(|message| message.sender.bot));
    }

    #[test]
    fn a_thread_keeps_its_place_and_goes_on_without_our_name() {
        let message = taken(json!({"thread_ts": "50.0"})).expect("a message");
        assert_eq!((message.thread.as_deref(), message.mentioned), (Some("50.0"), true));
        let message = taken(json!({"thread_ts": "51.0", "parent_user_id": "UBOT"})).expect("a message");
        assert!(message.mentioned, "it answers us");
        assert!(taken(json!({"thread_ts": "51.0"})).is_some_and(|message| !message.mentioned));
        assert_eq!(taken(json!({"thread_ts": "99.1"})).expect("a message").thread, None, "its own beginning");
        let event = json!({"type": "message", "channel": "C1", "ts": "99.1", "user": "U7", "text": "hello"});
        let begins = read(&event, "", &Own { threads: true, ..own() }).expect("a message").0;
        assert_eq!(begins.thread.as_deref(), Some("99.1"));
    }

    #[test]
    fn commands_and_buttons_are_words_of_who_did_it() {
        let name = |id: &str| id.to_owned();
        let slash = json!({"command": "/openclaw", "text": "status please", "user_id": "U7", "channel_id": "C1",
                           "team_id": "T1", "trigger_id": "t1", "response_url": "https://hooks.slack.com/x"});
        let done = command(&slash, &name).expect("a command");
        assert_eq!(done.message.text, "status please");
        assert_eq!(done.message.answer_to.as_deref(), Some("interaction:https://hooks.slack.com/x"));
        let mut other = slash.clone();
        (other["command"], other["text"]) = (json!("/new"), json!(""));
        assert_eq!(command(&other, &name).expect("a command").message.text, "/new");
        let button = json!({"type": "block_actions", "actions": [{"value": "/approve x deny"}], "user": {"id": "U7"},
            "channel": {"id": "D1"}, "team": {"id": "T1"}, "trigger_id": "t2", "container": {"message_ts": "7.0"}});
        let done = pressed(&button, &name).expect("a button");
        assert_eq!((done.message.text.as_str(), done.message.kind), ("/approve x deny", ChatKind::Direct));
        assert!(pressed(&json!({"type": "view_submission"}), &name).is_none());
        assert!(command(&json!({"command": "/openclaw"}), &name).is_none(), "nobody's");
    }
}

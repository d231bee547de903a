//! Events of Discord as messages.

use serde_json::Value;

use super::super::media::Remote;
use super::super::message::{ChatKind, INTERACTION, Incoming, Quoted, Sender};

/// What is known of a channel.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub guild: Option<String>,
    pub name: String,
    /// The channel a thread belongs to.
    pub parent: Option<String>,
}

impl Place {
    /// Reads a channel object (whole, or as an interaction carries it).
    pub fn read(channel: &Value) -> Place {
        let text = |name: &str| channel[name].as_str().map(str::to_owned);
        // 10, 11 and 12 are threads; for other kinds the parent is a category, which has no rules.
        let thread = matches!(channel["type"].as_u64(), Some(10..=12));
        Place {
            guild: text("guild_id"),
            name: text("name").unwrap_or_default(),
            parent: text("parent_id").filter(|_| thread),
        }
    }
}

/// Somebody on a button or with a slash command.
pub struct Pressed {
    pub message: Incoming,
    pub id: String,
    /// With it answers go to whom the interaction belongs to. It is a secret for a quarter of an hour.
    pub token: String,
    /// A slash command, which is answered; a button only stops turning.
    pub command: bool,
}

/// A message, if it is one for us to read.
pub fn read(event: &Value, place: &Place, me: &str) -> Option<(Incoming, Vec<Remote>)> {
    // 0: somebody writes; 19: somebody answers. The others say that somebody joined, pinned, called.
    if !matches!(event["type"].as_u64().unwrap_or(0), 0 | 19) || event["channel_type"] == 3 {
        return None;
    }
    let author = &event["author"];
    let sender = author["id"].as_str().filter(|id| *id != me)?;
    let (id, chat) = (event["id"].as_str()?, event["channel_id"].as_str()?);
    let guild = event["guild_id"].as_str().map(str::to_owned).or_else(|| place.guild.clone());
    let direct = guild.is_none();
    let named = |list: &Value| list.as_array().is_some_and(|all| all.iter().any(|user| user["id"] == me));
    let answered = Some(&event["referenced_message"]).filter(|answered| answered.is_object());
    let answers_us = answered.is_some_and(|answered| answered["author"]["id"] == me);
    let mentioned = direct || answers_us || named(&event["mentions"]);
    let filled = |list: &Value| list.as_array().is_some_and(|all| !all.is_empty());
    let to_another_bot =
        answered.is_some_and(|answered| answered["author"]["bot"] == true && answered.get("webhook_id").is_none());
    let elsewhere = !mentioned && (filled(&event["mentions"]) || filled(&event["mention_roles"]) || to_another_bot);
    let mut text = readable(event["content"].as_str().unwrap_or_default(), &event["mentions"], me);
    for forwarded in event["message_snapshots"].as_array().into_iter().flatten() {
        let words = forwarded["message"]["content"].as_str().unwrap_or_default();
        text.push_str(&format!("\n[Forwarded message]\n{words}"));
    }
    for sticker in event["sticker_items"].as_array().into_iter().flatten() {
        text.push_str(&format!("\n[Sticker: {}]", sticker["name"].as_str().unwrap_or_default()));
    }
    let forwarded = event["message_snapshots"].as_array().into_iter().flatten();
    let files: Vec<Remote> = std::iter::once(event)
        .chain(forwarded.map(|one| &one["message"]))
        .flat_map(|one| one["attachments"].as_array().into_iter().flatten())
        .filter_map(file)
        .collect();
    let text = text.trim().to_owned();
    if text.is_empty() && files.is_empty() {
        return None;
    }
    let quoted = answered.map(|answered| Quoted {
        sender: if answers_us { "you".into() } else { name(&answered["author"], &Value::Null) },
        text: answered["content"].as_str().unwrap_or_default().to_owned(),
    });
    let bot = author["bot"] == true || event.get("webhook_id").is_some();
    let who = Sender { id: sender.to_owned(), name: name(author, &event["member"]), bot, ..Sender::default() };
    let head = head(chat, guild, place, &event["member"]);
    Some((Incoming { id: id.to_owned(), sender: who, text, mentioned, elsewhere, quoted, ..head }, files))
}

/// An interaction, if it is a slash command or a button.
pub fn pressed(event: &Value) -> Option<Pressed> {
    let (id, token) = (event["id"].as_str()?, event["token"].as_str()?);
    let data = &event["data"];
    let (text, command) = match event["type"].as_u64()? {
        2 => {
            let values = data["options"].as_array().into_iter().flatten().filter_map(|option| option["value"].as_str());
            let mut text = format!("/{}", data["name"].as_str()?);
            values.for_each(|value| text.push_str(&format!(" {value}")));
            (text, true)
        }
        3 => (data["custom_id"].as_str()?.to_owned(), false),
        _ => return None,
    };
    let member = &event["member"];
    let user = if member["user"].is_object() { &member["user"] } else { &event["user"] };
    let sender = Sender {
        id: user["id"].as_str()?.to_owned(),
        name: name(user, member),
        bot: user["bot"] == true,
        ..Sender::default()
    };
    let guild = event["guild_id"].as_str().map(str::to_owned);
    let head = head(event["channel_id"].as_str()?, guild, &Place::read(&event["channel"]), member);
    let answer_to = command.then(|| format!("{INTERACTION}{token}"));
    let message = Incoming { id: format!("press{id}"), sender, text, mentioned: true, answer_to, ..head };
    Some(Pressed { message, id: id.to_owned(), token: token.to_owned(), command })
}

fn head(chat: &str, guild: Option<String>, place: &Place, member: &Value) -> Incoming {
    let roles = member["roles"].as_array().into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned));
    Incoming {
        kind: if guild.is_none() { ChatKind::Direct } else { ChatKind::Channel },
        chat: chat.to_owned(),
        title: if place.name.is_empty() { String::new() } else { format!("#{}", place.name) },
        parent: place.parent.clone(),
        space: guild,
        roles: roles.collect(),
        ..Incoming::default()
    }
}

/// What somebody is called here: there, else everywhere, else the name of the account.
fn name(user: &Value, member: &Value) -> String {
    let names = [&member["nick"], &user["global_name"], &user["username"]];
    names.iter().find_map(|name| name.as_str()).unwrap_or_default().to_owned()
}

fn file(attachment: &Value) -> Option<Remote> {
    let text = |name: &str| attachment[name].as_str().map(str::to_owned);
    Some(Remote {
        at: text("url")?,
        name: text("filename").unwrap_or_else(|| "file".into()),
        mime: text("content_type").unwrap_or_default(),
        bytes: attachment["size"].as_u64(),
    })
}

/// A text without the mention of us in front, and with names where Discord has ids.
fn readable(content: &str, mentions: &Value, me: &str) -> String {
    let mut text = content.trim().to_owned();
    for own in [format!("<@{me}>"), format!("<@!{me}>")] {
        if let Some(rest) = text.strip_prefix(&own) {
            text = rest.trim_start().to_owned();
        }
    }
    for user in mentions.as_array().into_iter().flatten() {
        let Some(id) = user["id"].as_str() else { continue };
        let shown = format!("@{}", name(user, &user["member"]));
        text = text.replace(&format!("<@{id}>"), &shown).replace(&format!("<@!{id}>"), &shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(more: Value) -> Value {
        let mut event = json!({"id": "9", "channel_id": "5", "type": 0, "content": "hello", "attachments": [],
            "author": {"id": "7", "username": "ada", "global_name": "Ada"}});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    }

    fn taken(more: Value) -> Option<Incoming> {
        read(&event(more), &Place::default(), "42").map(|(message, _)| message)
    }

    #[test]
    fn a_direct_message_is_for_us_and_a_guild_s_when_we_are_named() {
        let message = taken(json!({})).expect("a message");
        assert_eq!((message.kind, message.chat.as_str(), message.mentioned), (ChatKind::Direct, "5", true));
        assert_eq!((message.sender.id.as_str(), message.sender.name.as_str()), ("7", "Ada"));
        let message = taken(json!({"guild_id": "1", "member": {"roles": ["3"], "nick": "Countess"}})).expect("one");
        assert_eq!((message.kind, message.mentioned, message.elsewhere), (ChatKind::Channel, false, false));
        assert_eq!((message.space.as_deref(), message.roles.as_slice()), (Some("1"), &["3".to_owned()][..]));
        assert_eq!(message.sender.name, "Countess");
        let named = json!({"guild_id": "1", "content": "<@42> ask <@8>",
            "mentions": [{"id": "42", "username": "bot"}, {"id": "8", "username": "bob"}]});
        let message = taken(named).expect("a message");
        assert_eq!((message.mentioned, message.text.as_str()), (true, "ask @bob"));
        let other = json!({"guild_id": "1", "content": "<@8>", "mentions": [{"id": "8", "username": "bob"}]});
        assert!(taken(other).is_some_and(|message| message.elsewhere && !message.mentioned));
        assert!(taken(json!({"author": {"id": "42"}})).is_none(), "our own");
        assert!(taken(json!({"type": 7})).is_none() && taken(json!({"content": ""})).is_none());
    }

    #[test]
    fn answers_forwards_files_and_programs_are_known() {
        let answer =
            json!({"guild_id": "1", "type": 19, "referenced_message": {"content": "done", "author": {"id": "42"}}});
        let message = taken(answer).expect("a message");
        let quoted = message.quoted.expect("a quotation");
        assert!(message.mentioned && quoted.sender == "you" && quoted.text == "done");
        let forward = json!({"content": "", "message_snapshots": [{"message": {"content": "/reset"}}]});
        assert_eq!(
            taken(forward).expect("a message").text,
            "[Forwarded message]\n/reset",
            "no command of the sender's"
        );
        assert!(taken(json!({"webhook_id": "3"})).expect("a message").sender.bot);
        let with_file =
            event(json!({"content": "", "attachments": [{"filename": "a.png", "size": 3, "url": "https://x"}]}));
        let (_, files) = read(&with_file, &Place::default(), "42").expect("a message");
        assert_eq!((files[0].name.as_str(), files[0].bytes), ("a.png", Some(3)));
    }

    #[test]
    fn a_command_and_a_button_are_words_of_who_pressed() {
        let command = json!({"id": "1", "token": "t", "type": 2, "channel_id": "5", "guild_id": "2",
            "channel": {"type": 11, "name": "talk", "parent_id": "4"},
            "member": {"user": {"id": "7", "username": "ada"}, "roles": []},
            "data": {"name": "model", "options": [{"name": "input", "value": "openai/x"}]}});
        let pressed = pressed(&command).expect("a command");
        assert_eq!((pressed.message.text.as_str(), pressed.command), ("/model openai/x", true));
        assert_eq!(pressed.message.answer_to.as_deref(), Some("interaction:t"));
        assert_eq!((pressed.message.parent.as_deref(), pressed.message.title.as_str()), (Some("4"), "#talk"));
        let button = json!({"id": "2", "token": "t", "type": 3, "channel_id": "5", "user": {"id": "7"},
            "data": {"custom_id": "/approve x deny"}});
        let pressed = super::pressed(&button).expect("a button");
        assert_eq!((pressed.message.text.as_str(), pressed.message.kind), ("/approve x deny", ChatKind::Direct));
        assert!(!pressed.command && pressed.message.answer_to.is_none());
        assert!(super::pressed(&json!({"id": "1", "token": "t", "type": 4})).is_none());
    }
}

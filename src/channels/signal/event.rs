//! Envelopes as messages.

use serde_json::Value;

use super::super::media::Remote;
use super::super::message::{ChatKind, Incoming, Quoted, Sender};

/// Who we are.
pub struct Own<'a> {
    /// The number, `+15551234567`.
    pub number: &'a str,
    /// May be empty.
    pub uuid: &'a str,
    /// Answers in groups quote the message they answer.
    pub quotes: bool,
}

/// What stands before the id of a group.
pub const GROUP: &str = "group:";

/// A message, if the envelope is one for us to read, and its time, which is its name.
pub fn read(envelope: &Value, own: &Own<'_>) -> Option<(Incoming, Vec<Remote>, u64)> {
    let edited = &envelope["editMessage"]["dataMessage"];
    let data = if edited.is_object() { edited } else { &envelope["dataMessage"] };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (number, uuid) = (number(&envelope["sourceNumber"], &envelope["source"]), text(&envelope["sourceUuid"]));
    let ours = |number: &str, uuid: &str| {
        (!number.is_empty() && number == own.number) || (!uuid.is_empty() && uuid == own.uuid)
    };
    if !data.is_object() || ours(&number, &uuid) || data["reaction"].is_object() || data["remoteDelete"].is_object() {
        return None;
    }
    let named_uuid = if uuid.is_empty() { String::new() } else { format!("uuid:{uuid}") };
    let (id, also) = if number.is_empty() { (named_uuid, String::new()) } else { (number, named_uuid) };
    let at = data["timestamp"].as_u64().or(envelope["timestamp"].as_u64())?;
    if id.is_empty() {
        return None;
    }
    let group = data["groupInfo"]["groupId"].as_str();
    let mentions = || data["mentions"].as_array().into_iter().flatten();
    let named = mentions().any(|one| ours(&text(&one["number"]), &text(&one["uuid"])));
    let quote = &data["quote"];
    let answers_us = quote.is_object() && ours(&text(&quote["authorNumber"]), &text(&quote["authorUuid"]));
    let said = readable(&text(&data["message"]), mentions().collect(), own);
    let files: Vec<Remote> = data["attachments"].as_array().into_iter().flatten().filter_map(file).collect();
    if said.is_empty() && files.is_empty() {
        return None;
    }
    let message = Incoming {
        kind: if group.is_some() { ChatKind::Group } else { ChatKind::Direct },
        chat: group.map_or_else(|| id.clone(), |group| format!("{GROUP}{group}")),
        // In a configuration a group may stand without the word.
        parent: group.map(str::to_owned),
        title: text(&data["groupInfo"]["groupName"]),
        id: format!("{at}-{id}"),
        answer_to: group.filter(|_| own.quotes).map(|_| format!("{at} {id}")),
        mentioned: group.is_none() || named || answers_us,
        elsewhere: !named && !answers_us && mentions().next().is_some(),
        quoted: Some(text(&quote["text"])).filter(|text| !text.is_empty()).map(|text| Quoted {
            sender: if answers_us { "you".into() } else { quote["author"].as_str().unwrap_or("somebody").into() },
            text,
        }),
        text: if edited.is_object() { format!("[Edited message] {said}") } else { said },
        sender: Sender { id, also, name: text(&envelope["sourceName"]), bot: false },
        ..Incoming::default()
    };
    Some((message, files, at))
}

/// A number, where the daemon says one: the older field may hold an id instead.
fn number(own: &Value, old: &Value) -> String {
    let found = [own, old].into_iter().filter_map(Value::as_str).find(|number| number.starts_with('+'));
    found.unwrap_or_default().to_owned()
}

fn file(file: &Value) -> Option<Remote> {
    let text = |name: &str| file[name].as_str().map(str::to_owned);
    let id = text("id")?;
    Some(Remote {
        name: text("filename").unwrap_or_else(|| id.clone()),
        at: id,
        mime: text("contentType").unwrap_or_default(),
        bytes: file["size"].as_u64(),
    })
}

/// A text with names where Signal has a sign that stands for one, and without the name that only woke us up.
fn readable(text: &str, mut mentions: Vec<&Value>, own: &Own<'_>) -> String {
    crate::sys::order::by_key(&mut mentions, |one| one["start"].as_u64());
    let mut out = String::with_capacity(text.len());
    let mut mentions = mentions.into_iter();
    for c in text.chars() {
        match (c, if c == '\u{fffc}' { mentions.next() } else { None }) {
            (_, Some(one)) => {
                let us = one["number"] == own.number || (!own.uuid.is_empty() && one["uuid"] == own.uuid);
                if !(us && out.trim().is_empty()) {
                    out.push('@');
                    out.push_str(one["name"].as_str().or(one["number"].as_str()).unwrap_or("somebody"));
                }
            }
            (c, None) => out.push(c),
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: Own<'static> = Own { number: "+100", uuid: "u-bot", quotes: true };

    fn taken(data: Value) -> Option<Incoming> {
        let mut data = data;
        data["timestamp"] = json!(1700);
        let envelope = json!({"sourceNumber": "+7", "sourceUuid": "u-7", "sourceName": "Ada", "timestamp": 1700,
                              "dataMessage": data});
        read(&envelope, &OWN).map(|(message, ..)| message)
    }

    #[test]
    fn a_direct_message_is_for_us_and_a_group_s_when_we_are_named() {
        let message = taken(json!({"message": "hello"})).expect("a message");
        assert_eq!((message.kind, message.chat.as_str(), message.mentioned), (ChatKind::Direct, "+7", true));
        assert_eq!((message.sender.id.as_str(), message.sender.also.as_str()), ("+7", "uuid:u-7"));
        assert_eq!((message.id.as_str(), message.answer_to), ("1700-+7", None));
        let group = json!({"groupId": "aGk=", "groupName": "Team"});
        let message = taken(json!({"message": "hello", "groupInfo": group})).expect("a message");
        assert_eq!(
            (message.chat.as_str(), message.parent.as_deref(), message.mentioned),
            ("group:aGk=", Some("aGk="), false)
        );
        assert_eq!(message.answer_to.as_deref(), Some("1700 +7"));
        let mentions = json!([{"start": 6, "length": 1, "name": "Bob", "number": "+8"}, {"start": 0, "length": 1, "uuid": "u-bot"}]);
        let message =
            taken(json!({"message": "\u{fffc} ask \u{fffc}", "mentions": mentions, "groupInfo": group})).expect("one");
        assert_eq!((message.mentioned, message.text.as_str()), (true, "ask @Bob"));
        let quote = json!({"id": 1, "author": "+100", "authorNumber": "+100", "text": "done"});
        let message = taken(json!({"message": "and?", "quote": quote, "groupInfo": group})).expect("a message");
        assert!(message.mentioned && message.quoted.is_some_and(|quoted| quoted.sender == "you"));
    }

    #[test]
    fn what_is_no_message_of_somebody_else_is_left() {
        for none in [json!({"message": ""}), json!({"message": null, "reaction": {"emoji": "x"}})] {
            assert!(taken(none).is_none());
        }
        let own = json!({"sourceNumber": "+100", "timestamp": 1, "dataMessage": {"message": "x", "timestamp": 1}});
        assert!(read(&own, &OWN).is_none());
        assert!(read(&json!({"sourceNumber": "+7", "timestamp": 1, "receiptMessage": {}}), &OWN).is_none());
        let hidden = json!({"source": "u-9", "sourceUuid": "u-9", "timestamp": 1, "dataMessage": {"message": "x", "timestamp": 1}});
        assert_eq!(read(&hidden, &OWN).expect("a message").0.sender.id, "uuid:u-9");
        let edit = json!({"sourceNumber": "+7", "timestamp": 2,
            "editMessage": {"targetSentTimestamp": 1, "dataMessage": {"message": "new", "timestamp": 2}}});
        assert_eq!(read(&edit, &OWN).expect("a message").0.text, "[Edited message] new");
    }
}

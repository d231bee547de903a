//! Posts as messages.

use serde_json::Value;

use super::super::media::Remote;
use super::super::message::{ChatKind, Incoming, Sender};

/// What is known of a channel.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub kind: ChatKind,
    pub name: String,
    pub team: String,
}

impl Place {
    /// Reads the kind (`D`, `G`, `O`, `P`), the name and the team of a channel.
    pub fn read(kind: &Value, name: &Value, team: &Value) -> Place {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Place {
            kind: match kind.as_str() {
                Some("D") => ChatKind::Direct,
                Some("O" | "P") => ChatKind::Channel,
                _ => ChatKind::Group,
            },
            name: text(name),
            team: text(team),
        }
    }

    /// What every message of it says.
    pub fn head(&self, chat: &str) -> Incoming {
        Incoming {
            kind: self.kind,
            chat: chat.to_owned(),
            title: if self.kind == ChatKind::Direct { String::new() } else { self.name.clone() },
            space: Some(self.team.clone()).filter(|team| !team.is_empty()),
            ..Incoming::default()
        }
    }
}

/// Who we are, and what decides whether we are meant.
pub struct Own<'a> {
    pub id: &'a str,
    pub name: &'a str,
    /// A top-level post of a channel begins a thread, because it is answered in one.
    pub threads: bool,
    /// What a post for us may begin with instead of our name.
    pub marks: &'a [String],
    pub took_part: &'a dyn Fn(&str, &str) -> bool,
    /// What somebody is called, and whether he is a program.
    pub person: &'a dyn Fn(&str) -> (String, bool),
}

/// A message, if the post is one for us to read.
pub fn read(post: &Value, place: &Place, own: &Own<'_>) -> Option<(Incoming, Vec<Remote>)> {
    let text = |name: &str| post[name].as_str().unwrap_or_default();
    let (id, chat, user) = (text("id"), text("channel_id"), text("user_id"));
    // Other types say that somebody joined or changed something.
    if !text("type").is_empty() || [id, chat, user].contains(&"") || user == own.id {
        return None;
    }
    let direct = place.kind == ChatKind::Direct;
    let (said, named) = addressed(text("message"), own);
    let root = Some(text("root_id")).filter(|root| !root.is_empty());
    let goes_on = root.is_some_and(|root| (own.took_part)(chat, root));
    let files: Vec<Remote> = post["metadata"]["files"].as_array().into_iter().flatten().filter_map(file).collect();
    if said.is_empty() && files.is_empty() {
        return None;
    }
    let (name, bot) = (own.person)(user);
    let made = |name: &str| matches!(&post["props"][name], Value::Bool(true)) || post["props"][name] == "true";
    let begins = (own.threads && !direct).then_some(id);
    let message = Incoming {
        thread: root.or(begins).map(str::to_owned),
        id: id.to_owned(),
        sender: Sender {
            id: user.to_owned(),
            name,
            bot: bot || made("from_bot") || made("from_webhook"),
            ..Sender::default()
        },
        text: said,
        mentioned: direct || named || goes_on,
        ..place.head(chat)
    };
    Some((message, files))
}

fn file(file: &Value) -> Option<Remote> {
    let text = |name: &str| file[name].as_str().map(str::to_owned);
    Some(Remote {
        at: text("id")?,
        name: text("name").unwrap_or_else(|| "file".into()),
        mime: text("mime_type").unwrap_or_default(),
        bytes: file["size"].as_u64(),
    })
}

/// The text without what only woke us up, and whether it is for us.
fn addressed(text: &str, own: &Own<'_>) -> (String, bool) {
    let text = text.trim();
    for mark in own.marks {
        if let Some(rest) = text.strip_prefix(mark.as_str()) {
            return (rest.trim_start().to_owned(), true);
        }
    }
    // A name ends where no letter of a name follows.
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let lower = text.to_ascii_lowercase();
    let us = format!("@{}", own.name.to_ascii_lowercase());
    let mut places = lower.match_indices(&us).filter(|(at, _)| ends(&text[at + us.len()..]));
    match places.next() {
        Some((0, _)) => (text[us.len()..].trim_start_matches([':', ',', ' ']).to_owned(), true),
        found => (text.to_owned(), found.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(kind: &str, more: Value, marks: &[String]) -> Option<Incoming> {
        let mut post = json!({"id": "p1", "channel_id": "c1", "user_id": "u7", "message": "hello", "type": ""});
        post.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let own = Own {
            id: "ubot",
            name: "helper",
            threads: false,
            marks,
            took_part: &|_, thread| thread == "p0",
            person: &|id| (format!("name of {id}"), id == "u9"),
        };
        let place = Place::read(&json!(kind), &json!("Town Square"), &json!("t1"));
        read(&post, &place, &own).map(|(message, _)| message)
    }

    #[test]
    fn a_direct_post_is_for_us_and_a_channel_s_when_we_are_named() {
        let message = taken("D", json!({}), &[]).expect("a message");
        assert_eq!(
            (message.kind, message.mentioned, message.sender.name.as_str()),
            (ChatKind::Direct, true, "name of u7")
        );
        let message = taken("O", json!({}), &[]).expect("a message");
        assert_eq!((message.kind, message.mentioned, message.space.as_deref()), (ChatKind::Channel, false, Some("t1")));
        let said = |text: &str| taken("O", json!({"message": text}), &[]).expect("a message");
        assert_eq!((said("@Helper: look").mentioned, said("@Helper: look").text.as_str()), (true, "look"));
        assert!(said("ask @helper.").mentioned && !said("@helperx look").mentioned && !said("@help").mentioned);
        assert!(
            taken("O", json!({"root_id": "p0"}), &[]).is_some_and(|m| m.mentioned && m.thread.as_deref() == Some("p0"))
        );
        let marks = ["!".to_owned()];
        assert_eq!(taken("O", json!({"message": "! go"}), &marks).expect("a message").text, "go");
        for none in [json!({"user_id": "ubot"}), json!({"type": "system_join_channel"}), json!({"message": " "})] {
            assert!(taken("O", none, &[]).is_none());
        }
        assert!(taken("O", json!({"user_id": "u9"}), &[]).is_some_and(|message| message.sender.bot));
        assert!(taken("O", json!({"props": {"from_webhook": "true"}}), &[]).is_some_and(|message| message.sender.bot));
        assert_eq!(taken("X", json!({}), &[]).expect("a message").kind, ChatKind::Group, "unknown: the stricter rules");
    }
}

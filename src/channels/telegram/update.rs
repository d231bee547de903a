//! What an update of the Bot API says: only what is used is read.

use super::super::message::{ChatKind, Incoming, Quoted, Sender};
use crate::wire::object::objects;

objects! { plain:
    #[derive(Debug, Default)]
    pub struct Update {
        pub update_id: i64,
        pub message: Option<Message>,
        pub edited_message: Option<Message>,
        pub callback_query: Option<Pressed>,
    }

    #[derive(Debug, Default)]
    pub struct Message {
        pub message_id: i64,
        pub message_thread_id: Option<i64> = default,
        pub is_topic_message: bool = default,
        pub from: Option<User>,
        /// Somebody writes in the name of a chat: he has no id of his own.
        pub sender_chat: Option<Chat>,
        pub chat: Chat = default,
        pub edit_date: Option<i64>,
        pub media_group_id: Option<String>,
        pub text: Option<String>,
        pub caption: Option<String>,
        pub entities: Vec<Entity> = default,
        pub caption_entities: Vec<Entity> = default,
        pub reply_to_message: Option<Box<Message>>,
        pub photo: Vec<File> = default,
        pub document: Option<File>,
        pub voice: Option<File>,
        pub audio: Option<File>,
        pub video: Option<File>,
        pub video_note: Option<File>,
        pub animation: Option<File>,
        pub sticker: Option<File>,
        pub location: Option<Location>,
    }

    #[derive(Debug, Default, Clone)]
    pub struct User {
        pub id: i64,
        pub is_bot: bool = default,
        pub first_name: String = default,
        pub last_name: Option<String>,
        pub username: Option<String>,
    }
}

objects! { lenient:
    #[derive(Debug, Default)]
    pub struct Chat {
        pub id: i64 = default,
        pub kind: String as "type" = default,
        pub title: Option<String>,
    }

    #[derive(Debug)]
    pub struct Entity {
        pub kind: String as "type",
        /// UTF-16 units.
        pub offset: usize,
        pub length: usize,
        pub user: Option<User>,
    }
}

objects! { plain:
    #[derive(Debug, Default, Clone)]
    pub struct File {
        pub file_id: String,
        pub file_size: Option<u64>,
        pub file_name: Option<String>,
        pub mime_type: Option<String>,
    }
}

objects! { lenient:
    #[derive(Debug)]
    pub struct Location {
        pub latitude: f64,
        pub longitude: f64,
    }

    #[derive(Debug)]
    pub struct Pressed {
        pub id: String,
        pub from: User,
        pub message: Option<Message>,
        pub data: Option<String>,
    }
}

/// A message with what still has to be fetched for it.
#[derive(Debug)]
pub struct Parsed {
    pub message: Incoming,
    pub files: Vec<File>,
    /// Messages of one album say the same here.
    pub album: Option<String>,
    /// A pressed button that waits for an answer.
    pub pressed: Option<String>,
}

impl Update {
    /// What it means to `bot`; `None`: nothing.
    pub fn parse(self, bot: &User) -> Option<Parsed> {
        if let Some(pressed) = self.callback_query {
            let on = pressed.message.unwrap_or_default();
            let mut message = on.head(bot);
            message.sender = pressed.from.sender();
            message.id = format!("press{}", pressed.id);
            message.text = pressed.data?;
            message.mentioned = true;
            return Some(Parsed { message, files: Vec::new(), album: None, pressed: Some(pressed.id) });
        }
        let (said, edited) = match (self.message, self.edited_message) {
            (Some(message), _) => (message, false),
            (None, Some(message)) => (message, true),
            (None, None) => return None,
        };
        let mut message = said.head(bot);
        if edited {
            message.id = format!("{}edit{}", said.message_id, said.edit_date.unwrap_or(0));
        }
        let (text, entities) = match (&said.text, &said.caption) {
            (Some(text), _) => (text.as_str(), &said.entities),
            (None, Some(caption)) => (caption.as_str(), &said.caption_entities),
            (None, None) => ("", &said.entities),
        };
        let (own, mentioned) = addressed(text, entities, bot);
        let answers_us =
            said.reply_to_message.as_ref().and_then(|to| to.from.as_ref()).is_some_and(|to| to.id == bot.id);
        message.mentioned = mentioned || answers_us || message.kind == ChatKind::Direct;
        message.text = if edited { format!("[Edited message] {own}") } else { own };
        if let Some(location) = &said.location {
            message.text.push_str(&format!("\n[Location: {}, {}]", location.latitude, location.longitude));
        }
        if let Some(to) = &said.reply_to_message
            // In a topic every message formally answers the topic's first one.
            && Some(to.message_id) != said.message_thread_id
        {
            let name = to.from.as_ref().map_or_else(String::new, |from| from.sender().name);
            let text = to.text.clone().or_else(|| to.caption.clone()).unwrap_or_default();
            message.quoted = Some(Quoted { sender: if answers_us { "you".into() } else { name }, text });
        }
        let best = said.photo.iter().max_by_key(|photo| photo.file_size.unwrap_or(0)).cloned();
        let named = |file: Option<File>, name: &str| {
            file.map(|file| File { file_name: Some(file.file_name.clone().unwrap_or_else(|| name.into())), ..file })
        };
        let files: Vec<File> = [
            named(best, "photo.jpg"),
            named(said.document.filter(|_| said.animation.is_none()), "document"),
            named(said.voice, "voice.ogg"),
            named(said.audio, "audio.mp3"),
            named(said.video, "video.mp4"),
            named(said.video_note, "video.mp4"),
            named(said.animation, "animation.mp4"),
            named(said.sticker, "sticker.webp"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if message.text.trim().is_empty() && files.is_empty() {
            // Somebody joined, a title changed: nothing was said.
            return None;
        }
        Some(Parsed { message, files, album: said.media_group_id, pressed: None })
    }
}

impl Message {
    fn head(&self, bot: &User) -> Incoming {
        let anonymous = self.sender_chat.is_some();
        let from = self.from.clone().unwrap_or_default();
        let own = from.id == bot.id && from.id != 0;
        Incoming {
            kind: match self.chat.kind.as_str() {
                "private" => ChatKind::Direct,
                "channel" => ChatKind::Channel,
                _ => ChatKind::Group,
            },
            chat: self.chat.id.to_string(),
            title: self.chat.title.clone().unwrap_or_default(),
            thread: self.message_thread_id.filter(|_| self.is_topic_message).map(|id| id.to_string()),
            id: self.message_id.to_string(),
            sender: if anonymous || own || from.id == 0 { Sender::default() } else { from.sender() },
            ..Incoming::default()
        }
    }
}

impl User {
    pub fn sender(&self) -> Sender {
        let name = match &self.last_name {
            Some(last) => format!("{} {last}", self.first_name),
            None => self.first_name.clone(),
        };
        Sender { id: self.id.to_string(), name: name.trim().to_owned(), bot: self.is_bot, ..Sender::default() }
    }
}

/// The text without the mention that only woke us up, and whether it is for us.
fn addressed(text: &str, entities: &[Entity], bot: &User) -> (String, bool) {
    let own = bot.username.as_deref().unwrap_or_default();
    let (mut mentioned, mut cut) = (false, None);
    for entity in entities {
        let Some((from, to)) = utf16(text, entity.offset, entity.length) else { continue };
        let word = &text[from..to];
        let named = |name: &str| !own.is_empty() && name.eq_ignore_ascii_case(own);
        match entity.kind.as_str() {
            "mention" if word.strip_prefix('@').is_some_and(named) => {
                mentioned = true;
                if from == 0 {
                    cut = Some((from, to));
                }
            }
            "text_mention" if entity.user.as_ref().is_some_and(|user| user.id == bot.id) => mentioned = true,
            "bot_command" if from == 0 => match word.split_once('@') {
                Some((_, name)) if named(name) => {
                    mentioned = true;
                    cut = Some((to - name.len() - 1, to));
                }
                // A command for another bot.
                Some(_) => {}
                None => mentioned = true,
            },
            _ => {}
        }
    }
    match cut {
        Some((from, to)) => (format!("{}{}", &text[..from], &text[to..]).trim().to_owned(), mentioned),
        None => (text.to_owned(), mentioned),
    }
}

/// A range in UTF-16 units as bytes.
fn utf16(text: &str, offset: usize, length: usize) -> Option<(usize, usize)> {
    let (mut units, mut from) = (0, None);
    for (at, c) in text.char_indices().chain([(text.len(), '\0')]) {
        if units == offset && from.is_none() {
            from = Some(at);
        }
        if units == offset + length {
            return Some((from?, at));
        }
        units += c.len_utf16();
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bot() -> User {
        User { id: 42, is_bot: true, username: Some("our_bot".into()), ..User::default() }
    }

    fn parse(message: serde_json::Value) -> Option<Parsed> {
        let update: Update = serde_json::from_value(json!({"update_id": 1, "message": message})).expect("an update");
        update.parse(&bot())
    }

    #[test]
    fn a_direct_message_is_for_us() {
        let parsed = parse(json!({"message_id": 5, "from": {"id": 7, "first_name": "Ada", "last_name": "L"},
            "chat": {"id": 7, "type": "private"}, "date": 1, "text": "hello"}))
        .expect("a message");
        let message = parsed.message;
        assert_eq!((message.kind, message.chat.as_str(), message.id.as_str()), (ChatKind::Direct, "7", "5"));
        assert_eq!((message.sender.id.as_str(), message.sender.name.as_str()), ("7", "Ada L"));
        assert!(message.mentioned && message.text == "hello" && !message.sender.bot);
    }

    #[test]
    fn a_mention_is_found_behind_wide_characters_and_taken_off_the_front() {
        let message = |text: &str, offset: usize| {
            json!({"message_id": 5, "from": {"id": 7}, "chat": {"id": -1, "type": "supergroup", "title": "Team"},
                   "text": text, "entities": [{"type": "mention", "offset": offset, "length": 8}]})
        };
        let parsed = parse(message("😀é @our_bot look", 4)).expect("a message");
        assert!(parsed.message.mentioned && parsed.message.text == "😀é @our_bot look");
        let parsed = parse(message("@OUR_BOT look", 0)).expect("a message");
        assert!(parsed.message.mentioned && parsed.message.text == "look");
        let parsed = parse(message("@not_bot look", 0)).expect("a message");
        assert!(!parsed.message.mentioned);
        assert!(parse(message("x", 90)).is_some_and(|parsed| !parsed.message.mentioned));
    }

    #[test]
    fn a_command_for_another_bot_is_not_for_us() {
        let message = |text: &str| {
            let length = text.split(' ').next().map_or(0, str::len);
            json!({"message_id": 5, "from": {"id": 7}, "chat": {"id": -1, "type": "group"}, "text": text,
                   "entities": [{"type": "bot_command", "offset": 0, "length": length}]})
        };
        let parsed = parse(message("/status@our_bot now")).expect("a message");
        assert_eq!((parsed.message.text.as_str(), parsed.message.mentioned), ("/status now", true));
        assert!(!parse(message("/status@other_bot")).expect("a message").message.mentioned);
        assert!(parse(message("/status")).expect("a message").message.mentioned);
    }

    #[test]
    fn somebody_who_writes_as_a_chat_has_no_id() {
        let parsed = parse(json!({"message_id": 5, "from": {"id": 1087968824, "is_bot": true}, "text": "x",
            "sender_chat": {"id": -1, "type": "supergroup"}, "chat": {"id": -1, "type": "supergroup"}}));
        assert_eq!(parsed.expect("a message").message.sender.id, "");
    }

    #[test]
    fn an_answer_to_us_in_a_topic_is_for_us_and_its_topic_is_kept() {
        let parsed = parse(json!({"message_id": 9, "message_thread_id": 3, "is_topic_message": true,
            "from": {"id": 7, "first_name": "Ada"}, "chat": {"id": -1, "type": "supergroup"}, "text": "and?",
            "reply_to_message": {"message_id": 8, "from": {"id": 42, "first_name": "Bot"}, "text": "done"}}))
        .expect("a message");
        assert_eq!(parsed.message.thread.as_deref(), Some("3"));
        assert!(parsed.message.mentioned);
        assert_eq!(parsed.message.quoted.map(|quoted| quoted.text).as_deref(), Some("done"));
    }

    #[test]
    fn a_press_passes_as_words_of_who_pressed() {
        let update: Update = serde_json::from_value(json!({"update_id": 1, "callback_query": {"id": "q1",
            "from": {"id": 8}, "data": "/approve 1 allow-once",
            "message": {"message_id": 4, "chat": {"id": 7, "type": "private"}, "from": {"id": 42}}}}))
        .expect("an update");
        let parsed = update.parse(&bot()).expect("a message");
        assert_eq!((parsed.message.sender.id.as_str(), parsed.message.chat.as_str()), ("8", "7"));
        assert_eq!((parsed.message.text.as_str(), parsed.pressed.as_deref()), ("/approve 1 allow-once", Some("q1")));
    }
}

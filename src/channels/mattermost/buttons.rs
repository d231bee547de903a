//! Buttons under a post, and their way back: a call of the server at the gateway's port.

use serde_json::Value;

use super::super::Reply;
use super::super::inbound::Inbound;
use super::super::message::{Incoming, Sender};
use super::Mattermost;
use crate::sys::random;
use crate::wire::misfit;
use crate::wire::tree::json;

impl Mattermost {
    /// Buttons, where the server can reach us. What one says comes back with a signature over it and its channel.
    pub(super) fn buttons(&self, rows: &[Vec<(String, String)>], chat: &str) -> Option<Value> {
        let url = self.callback.as_ref().filter(|_| !rows.is_empty())?;
        let action = |(at, (label, data)): (usize, &(String, String))| {
            let style = if data.ends_with(" deny") { "danger" } else { "primary" };
            let context = json!({ "action": data, "token": self.sign(data, chat) });
            // Only letters and digits come back to us.
            json!({ "id": format!("openclaw{at}"), "type": "button", "name": label, "style": style,
                    "integration": { "url": url, "context": context } })
        };
        let actions: Vec<Value> = rows.iter().flatten().enumerate().map(action).collect();
        Some(json!([{ "actions": actions }]))
    }

    fn sign(&self, data: &str, chat: &str) -> String {
        random::to_hex(ring::hmac::sign(&self.key(), format!("{chat}\n{data}").as_bytes()).as_ref())
    }

    /// The bot's token makes the key, so that buttons live longer than a process.
    fn key(&self) -> ring::hmac::Key {
        let own = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"openclaw-mattermost-interactions");
        let tag = ring::hmac::sign(&own, self.token.expose().as_bytes());
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, tag.as_ref())
    }

    /// A button was pressed.
    pub(super) fn pressed(&self, body: &[u8], inbound: &Inbound) -> Reply {
        let reply = |status, body: Value| Reply { status, body: body.to_string() };
        let said: Value = misfit::read_bytes(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (user, chat) = (text(&said["user_id"]), text(&said["channel_id"]));
        let (data, token) = (text(&said["context"]["action"]), text(&said["context"]["token"]));
        let tag = random::from_hex(&token).unwrap_or_default();
        // The comparison takes the same time wherever the difference is.
        let signed = ring::hmac::verify(&self.key(), format!("{chat}\n{data}").as_bytes(), &tag).is_ok();
        if !signed || user.is_empty() || data.is_empty() {
            return reply(401, json!({ "error": { "message": "the button is none of ours" } }));
        }
        let place = match self.place(&chat) {
            Ok(place) => place,
            Err(error) => return reply(503, json!({ "error": { "message": error.to_string() } })),
        };
        let (name, bot) = self.person(&user);
        let message = Incoming {
            id: format!("press{}", text(&said["trigger_id"])),
            sender: Sender { id: user, name: name.clone(), bot, ..Sender::default() },
            text: data,
            mentioned: true,
            answer_to: said["post_id"].as_str().map(str::to_owned),
            ..place.head(&chat)
        };
        if !inbound.would_take(&message) {
            return reply(200, json!({ "ephemeral_text": "You are not authorized to do that." }));
        }
        match inbound.admit(vec![message], None) {
            // The buttons have done their work.
            Ok(()) => reply(200, json!({ "update": { "message": format!("✓ @{name}"), "props": {} } })),
            Err(error) => {
                log::error!("{}: {error}", inbound.account().key);
                reply(503, json!({ "error": { "message": "it could not be stored; press again" } }))
            }
        }
    }
}

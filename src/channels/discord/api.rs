//! Discord's HTTP API (v10): one call, what its refusals mean, and when a route may be asked again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::http::{Answer, Call, Web};
use super::super::message::ChannelError;
use crate::sys::secret::Secret;
use crate::wire::frame::cut;
use crate::wire::misfit;

/// How long an ordinary call may take.
pub const METHOD: Duration = Duration::from_secs(20);
/// A file may take longer.
pub const FILE: Duration = Duration::from_secs(60);
/// Where the API lives unless `apiRoot` or `DISCORD_API_URL` says otherwise.
pub const ROOT: &str = "https://discord.com/api/v10";
/// Who we say we are: Discord asks for this form (Reference, "User Agent").
const AGENT: &str = concat!("DiscordBot (https://openclaw.ai, ", env!("CARGO_PKG_VERSION"), ")");
/// Routes whose wait is known.
const ROUTES: usize = 256;
/// A wait that is made on the spot; a longer one is the outbox's.
const SHORT: Duration = Duration::from_secs(3);
/// The wait that holds for every route.
const EVERYWHERE: &str = "";

/// A bot's way to its service.
pub struct Api {
    pub root: String,
    pub token: Secret,
    /// Routes that may not be asked before a moment.
    waits: Mutex<HashMap<String, Instant>>,
}

impl Api {
    pub fn new(root: String, token: Secret) -> Api {
        Api { root, token, waits: Mutex::default() }
    }

    /// Calls a route and answers its JSON; nothing where it answers without a body.
    pub fn call(
        &self,
        web: &Web,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(web, method, path, "application/json", body.as_bytes(), limit)
    }

    /// Calls a route with bytes of any kind.
    pub fn send(
        &self,
        web: &Web,
        method: &'static str,
        path: &str,
        kind: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        let route = route(method, path);
        self.wait_for(&route)?;
        let url = format!("{}/{path}", self.root);
        let bearer = format!("Bot {}", self.token.expose());
        // A webhook's token stands in its path.
        let own = !path.starts_with("webhooks/") && !path.starts_with("interactions/");
        let mut headers = vec![("content-type", kind), ("user-agent", AGENT)];
        if own {
            headers.push(("authorization", bearer.as_str()));
        }
        let answer = web.call(&Call { method, url: &url, headers: &headers, body, answer_max: 0 }, limit)?;
        if let Some(wait) = answer.spent {
            self.hold(route.clone(), wait);
        }
        match answer.status {
            200..=299 if answer.body.is_empty() => Ok(Value::Null),
            200..=299 => misfit::read_bytes(&answer.body)
                .map_err(|_| ChannelError::Lost("Discord gives an answer nobody understands".into())),
            _ => Err(self.refusal(&answer, route, own)),
        }
    }

    /// Waits until a route may be asked, if that is soon.
    fn wait_for(&self, route: &str) -> Result<(), ChannelError> {
        let now = Instant::now();
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let until = [route, EVERYWHERE].iter().filter_map(|name| waits.get(*name)).max().copied();
        drop(waits);
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        match left {
            Duration::ZERO => {}
            // Only this account's own thread waits.
            left if left <= SHORT => drop(crossbeam_channel::never::<()>().recv_timeout(left)),
            left => return Err(ChannelError::Later("Discord's rate limit is used up".into(), left)),
        }
        Ok(())
    }

    fn hold(&self, route: String, wait: Duration) {
        let now = Instant::now();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.retain(|_, until| *until > now);
        if waits.len() < ROUTES {
            waits.insert(route, now + wait.min(Duration::from_secs(3600)));
        }
    }

    /// What a refusal means.
    fn refusal(&self, answer: &Answer, route: String, own: bool) -> ChannelError {
        let said: Value = misfit::read_bytes(&answer.body).unwrap_or(Value::Null);
        let words = said["message"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
        let words = match said["code"].as_i64().filter(|code| *code != 0) {
            Some(code) => format!("Discord says: {} ({code})", cut(&words, 200)),
            None => format!("Discord says: {}", cut(&words, 200)),
        };
        match answer.status {
            401 if own => ChannelError::Terminal(
                format!("Discord does not know this bot token ({words})"),
                "reset it in the Developer Portal and set channels.discord.token".into(),
            ),
            429 => {
                let wait = said["retry_after"].as_f64().filter(|s| (0.0..1e6).contains(s));
                let wait = wait.map(Duration::from_secs_f64).or(answer.retry_after).unwrap_or(Duration::from_secs(5));
                self.hold(if said["global"] == true { EVERYWHERE.into() } else { route }, wait);
                ChannelError::Later(words, wait)
            }
            400..=499 => ChannelError::Refused(words),
            _ => ChannelError::Lost(words),
        }
    }
}

/// What limits are counted by: the method, and the path up to the part that names what the limit is for.
fn route(method: &str, path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.splitn(4, '/').take(3).collect();
    format!("{method} {}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Api {
        Api::new(ROOT.into(), Secret::new("token"))
    }

    fn said(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, spent: None, body: body.into() }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refusal = |status, body| api().refusal(&said(status, body), String::new(), true);
        assert!(matches!(refusal(401, r#"{"message":"401: Unauthorized","code":0}"#), ChannelError::Terminal(..)));
        let limited = refusal(429, r#"{"message":"You are being rate limited.","retry_after":0.25,"global":false}"#);
        assert!(matches!(limited, ChannelError::Later(_, wait) if wait.as_millis() == 250));
        let no_access = refusal(403, r#"{"message":"Missing Access","code":50001}"#);
        assert!(matches!(&no_access, ChannelError::Refused(words) if words.contains("Missing Access (50001)")));
        assert!(matches!(refusal(502, "<html>"), ChannelError::Lost(_)));
        let of_webhook = api().refusal(&said(401, r#"{"message":"Invalid Webhook Token"}"#), String::new(), false);
        assert!(matches!(of_webhook, ChannelError::Refused(_)), "an interaction that is over says nothing of the bot");
    }

    #[test]
    fn a_used_up_route_waits_and_others_do_not() {
        let api = api();
        let route = |path| route("POST", path);
        assert_eq!(route("channels/1/messages"), "POST channels/1/messages");
        assert_eq!(route("channels/1/messages/7?x=1"), route("channels/1/messages/8"));
        api.hold(route("channels/1/messages"), Duration::from_secs(60));
        assert!(matches!(api.wait_for(&route("channels/1/messages/9")), Err(ChannelError::Later(..))));
        assert!(api.wait_for(&route("channels/2/messages")).is_ok());
        api.hold(EVERYWHERE.into(), Duration::from_secs(60));
        assert!(api.wait_for(&route("channels/2/messages")).is_err());
    }
}

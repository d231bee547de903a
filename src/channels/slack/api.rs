//! Slack's Web API: one POST per method, and what its refusals mean.

use std::time::Duration;

use serde_json::Value;

use super::super::http::{Answer, Call, Web, part};
use super::super::message::ChannelError;
use crate::sys::secret::Secret;
use crate::wire::frame::cut;
use crate::wire::misfit;

/// How long an ordinary method may take.
pub const METHOD: Duration = Duration::from_secs(20);
/// A file may take longer.
pub const FILE: Duration = Duration::from_secs(60);
/// Where the Web API lives unless `apiRoot` says otherwise.
pub const ROOT: &str = "https://slack.com/api";

/// An app's way to its workspace.
pub struct Api {
    pub root: String,
    pub bot: Secret,
}

impl Api {
    /// Calls a method with JSON as the bot.
    pub fn call(&self, web: &Web, method: &str, params: &Value, limit: Duration) -> Result<Value, ChannelError> {
        self.call_as(web, &self.bot, method, params, limit)
    }

    /// Calls a method with JSON and a token of the caller's.
    pub fn call_as(
        &self,
        web: &Web,
        token: &Secret,
        method: &str,
        params: &Value,
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        let body = params.to_string();
        self.send(web, token, method, "application/json; charset=utf-8", body.as_bytes(), limit)
    }

    /// Calls a method that reads, with a query in its body: those take no JSON.
    pub fn ask(&self, web: &Web, method: &str, params: &[(&str, &str)]) -> Result<Value, ChannelError> {
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", part(value));
        let body = params.iter().map(pair).collect::<Vec<_>>().join("&");
        self.send(web, &self.bot, method, "application/x-www-form-urlencoded", body.as_bytes(), METHOD)
    }

    fn send(
        &self,
        web: &Web,
        token: &Secret,
        method: &str,
        kind: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        let (url, bearer) = (format!("{}/{method}", self.root), format!("Bearer {}", token.expose()));
        let headers = [("content-type", kind), ("authorization", bearer.as_str())];
        let answer = web.call(&Call { method: "POST", url: &url, headers: &headers, body, answer_max: 0 }, limit)?;
        understood(method, &answer)
    }
}

/// The answer, or what the refusal means.
fn understood(method: &str, answer: &Answer) -> Result<Value, ChannelError> {
    let said: Value = misfit::read_bytes(&answer.body).unwrap_or(Value::Null);
    if answer.status == 200 && said["ok"] == true {
        return Ok(said);
    }
    let code = said["error"].as_str().unwrap_or_default();
    let words = match code {
        "" => format!("Slack's {method} answered HTTP {}", answer.status),
        code => format!("Slack's {method} says: {}", cut(code, 100)),
    };
    Err(match (answer.status, code) {
        (429, _) | (_, "ratelimited" | "rate_limited") => {
            ChannelError::Later(words, answer.retry_after.unwrap_or(Duration::from_secs(5)))
        }
        (
            _,
            "invalid_auth"
            | "not_authed"
            | "account_inactive"
            | "token_revoked"
            | "token_expired"
            | "no_permission"
            | "org_login_required"
            | "team_access_not_granted"
            | "not_allowed_token_type",
        ) => ChannelError::Terminal(
            words,
            "install the app anew and set channels.slack.botToken (xoxb-) and appToken (xapp-)".into(),
        ),
        (_, "missing_scope") => {
            let needed = said["needed"].as_str().map(|scope| format!(" {}", cut(scope, 100))).unwrap_or_default();
            ChannelError::Refused(format!("{words}{needed}: give the app this scope and install it anew"))
        }
        (_, "internal_error" | "fatal_error" | "request_timeout" | "service_unavailable") | (500.., _) => {
            ChannelError::Lost(words)
        }
        (200, "") => ChannelError::Lost(format!("Slack's {method}: an answer nobody understands")),
        _ => ChannelError::Refused(words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let said = |status, body: &str| {
            let answer = Answer { status, retry_after: None, spent: None, body: body.into() };
            understood("chat.postMessage", &answer).expect_err("refused")
        };
        assert!(matches!(said(200, r#"{"ok":false,"error":"invalid_auth"}"#), ChannelError::Terminal(..)));
        assert!(matches!(said(200, r#"{"ok":false,"error":"channel_not_found"}"#), ChannelError::Refused(_)));
        assert!(matches!(said(429, r#"{"ok":false,"error":"ratelimited"}"#), ChannelError::Later(..)));
        assert!(matches!(said(200, r#"{"ok":false,"error":"internal_error"}"#), ChannelError::Lost(_)));
        assert!(matches!(said(503, ""), ChannelError::Lost(_)) && matches!(said(200, "<html>"), ChannelError::Lost(_)));
        let scope = said(200, r#"{"ok":false,"error":"missing_scope","needed":"chat:write"}"#);
        assert!(matches!(&scope, ChannelError::Refused(words) if words.contains("chat:write")));
    }
}

//! The client-server API (v3 of the Matrix specification): one call, and what its refusals mean.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// A user's way to the homeserver.
pub struct Api {
    pub root: String,
    /// Nothing until a password was exchanged for one.
    pub token: Mutex<Option<Secret>>,
    /// It came for a password, so a new one can be had.
    pub renewable: bool,
}

impl Api {
    /// Calls `/_matrix/<path>` and answers its JSON.
    pub fn call(
        &self,
        web: &Web,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value, ChannelError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.raw(web, method, path, "application/json", body.as_bytes(), 0, limit)?;
        if answer.status == 200 {
            return misfit::read_bytes(&answer.body)
                .map_err(|_| ChannelError::Lost("the homeserver gives an answer nobody understands".into()));
        }
        Err(self.refusal(&answer))
    }

    /// Calls with bytes of any kind; the answer may have any status.
    #[expect(clippy::too_many_arguments, reason = "what a request is made of")]
    pub fn raw(
        &self,
        web: &Web,
        method: &'static str,
        path: &str,
        kind: &str,
        body: &[u8],
        answer_max: usize,
        limit: Duration,
    ) -> Result<Answer, ChannelError> {
        let url = format!("{}/_matrix/{path}", self.root);
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bearer = token.map(|token| format!("Bearer {}", token.expose()));
        let mut headers = vec![("content-type", kind)];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        web.call(&Call { method, url: &url, headers: &headers, body, answer_max }, limit)
    }

    /// What a refusal means.
    pub fn refusal(&self, answer: &Answer) -> ChannelError {
        let said: Value = misfit::read_bytes(&answer.body).unwrap_or(Value::Null);
        let code = said["errcode"].as_str().unwrap_or_default();
        let words = said["error"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
        let words = format!("the homeserver says: {}", cut(&words, 200));
        match (answer.status, code) {
            (_, "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN") | (401, _) if self.renewable => {
                // The next try logs in anew.
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                ChannelError::Unreached(words)
            }
            (_, "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN") | (401, _) => {
                ChannelError::Terminal(words, "log the bot in again and set channels.matrix.accessToken".into())
            }
            (_, "M_USER_DEACTIVATED" | "M_USER_LOCKED") => {
                ChannelError::Terminal(words, "the bot's user is closed; ask the homeserver's operator".into())
            }
            (429, _) => {
                let wait = said["retry_after_ms"].as_u64().map(Duration::from_millis).or(answer.retry_after);
                ChannelError::Later(words, wait.unwrap_or(Duration::from_secs(5)))
            }
            (400..500, _) => ChannelError::Refused(words),
            _ => ChannelError::Lost(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let api = |renewable| Api { root: String::new(), token: Mutex::default(), renewable };
        let said = |status, body: &str| Answer { status, retry_after: None, spent: None, body: body.into() };
        let unknown = said(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"Invalid token"}"#);
        assert!(matches!(api(false).refusal(&unknown), ChannelError::Terminal(..)));
        assert!(matches!(api(true).refusal(&unknown), ChannelError::Unreached(_)));
        let limited = said(429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}"#);
        assert!(matches!(api(false).refusal(&limited), ChannelError::Later(_, wait) if wait.as_millis() == 1500));
        assert!(matches!(api(false).refusal(&said(403, "{}")), ChannelError::Refused(_)));
        assert!(matches!(api(false).refusal(&said(502, "<html>")), ChannelError::Lost(_)));
    }
}

//! The Bot API: one POST per method, and what its refusals mean.

use std::time::Duration;

use serde_json::Value;

use super::super::http::{Answer, Call, Web, form};
use super::super::message::ChannelError;
use crate::sys::secret::Secret;
use crate::wire::misfit;

/// How long an ordinary method may take.
pub const METHOD: Duration = Duration::from_secs(20);
/// A file may take longer.
pub const FILE: Duration = Duration::from_secs(60);
/// Where bots live unless `apiRoot` says otherwise.
pub const ROOT: &str = "https://api.telegram.org";

/// A bot's way to its service.
pub struct Api {
    pub root: String,
    pub token: Secret,
}

impl Api {
    /// Calls a method with JSON parameters and answers its `result`.
    pub fn call(&self, web: &Web, method: &str, params: &Value, limit: Duration) -> Result<Value, ChannelError> {
        let url = self.url(method);
        let body = params.to_string();
        let headers = [("content-type", "application/json")];
        let call = Call { method: "POST", url: &url, headers: &headers, body: body.as_bytes(), answer_max: 0 };
        understood(method, &web.call(&call, limit)?)
    }

    /// Calls a method that carries a file.
    pub fn upload(
        &self,
        web: &Web,
        method: &str,
        fields: &[(&str, String)],
        file: (&str, &str, &[u8]),
    ) -> Result<Value, ChannelError> {
        let (kind, body) = form(fields, file);
        let url = self.url(method);
        let headers = [("content-type", kind.as_str())];
        let call = Call { method: "POST", url: &url, headers: &headers, body: &body, answer_max: 0 };
        understood(method, &web.call(&call, FILE)?)
    }

    /// Fetches a file that `getFile` named.
    pub fn file(&self, web: &Web, path: &str, max: usize) -> Result<Vec<u8>, ChannelError> {
        if path.starts_with('/') || path.split('/').any(|part| part == "..") || path.contains(['?', '#', '\\']) {
            return Err(ChannelError::Refused("the service names a file outside its own folder".into()));
        }
        let url = format!("{}/file/bot{}/{path}", self.root, self.token.expose());
        let answer = web.call(&Call { method: "GET", url: &url, answer_max: max, ..Call::default() }, FILE)?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(ChannelError::Refused(format!("the service answered {status} for a file"))),
        }
    }

    fn url(&self, method: &str) -> String {
        format!("{}/bot{}/{method}", self.root, self.token.expose())
    }
}

/// `result`, or what the refusal means.
fn understood(method: &str, answer: &Answer) -> Result<Value, ChannelError> {
    let mut said: Value = misfit::read_bytes(&answer.body).unwrap_or(Value::Null);
    if answer.status == 200 && said["ok"] == true {
        return Ok(said["result"].take());
    }
    let code = said["error_code"].as_u64().unwrap_or(u64::from(answer.status));
    let words = said["description"].as_str().map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
    let words = format!("{method}: {}", crate::wire::frame::cut(&words, 200));
    let wait = said["parameters"]["retry_after"].as_u64().map(Duration::from_secs).or(answer.retry_after);
    Err(match code {
        401 | 404 => ChannelError::Terminal(
            format!("Telegram does not know this bot token ({words})"),
            "get a new one from @BotFather and set channels.telegram.botToken".into(),
        ),
        429 => ChannelError::Later(words, wait.unwrap_or(Duration::from_secs(5))),
        400 | 403 | 413 => ChannelError::Refused(words),
        _ => ChannelError::Lost(words),
    })
}

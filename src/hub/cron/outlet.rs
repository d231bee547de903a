//! Where results of automatic runs go: the seam that messengers and the guarded HTTP client stand behind.

use serde_json::Value;

/// Somebody to send to.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub channel: String,
    pub to: String,
    pub account_id: Option<String>,
    pub thread_id: Option<Value>,
}

/// What is known of the recipient.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub agent_id: &'a str,
    /// Whose last conversation counts, when nobody is named.
    pub session_key: &'a str,
    /// `last`, `owner`, a channel, or nothing.
    pub channel: Option<&'a str>,
    pub to: Option<&'a str>,
    pub account_id: Option<&'a str>,
    pub thread_id: Option<&'a Value>,
}

/// Called once, on any thread.
pub type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A POST of JSON.
#[derive(Debug)]
pub struct Post {
    pub url: String,
    pub token: Option<crate::sys::secret::Secret>,
    pub body: String,
}

/// Called on the state thread: nothing here may block.
pub trait Outlet: Send {
    /// Finds the recipient, or says why there is none.
    fn route(&self, wanted: &Wanted<'_>) -> Result<Route, String>;
    fn send(&self, route: Route, text: String, done: Done);
    fn post(&self, post: Post, done: Done);
}

//! What the process tests are made of: a gateway to start, clients to hold, an upstream to script.
//!
//! Nothing here asserts what the product should do; that is the tests' business. Waiting is always for a condition and
//! always has a limit. What a test starts ends with the test, also when it fails.

#![allow(dead_code, unused_imports, reason = "the test binary and the bench binary each use a part")]

#[cfg(unix)]
pub mod canary;
pub mod device;
pub mod discord;
pub mod gateway;
pub mod golden;
pub mod homeserver;
pub mod mattermost;
pub mod raw;
pub mod scratch;
pub mod service;
pub mod signal;
pub mod slack;
pub mod talk;
pub mod telegram;
#[cfg(unix)]
pub mod terminal;
pub mod upstream;
pub mod wait;
pub mod ws;

pub use gateway::Gateway;
pub use raw::Raw;
pub use upstream::{Answer, Upstream};
pub use ws::Ws;

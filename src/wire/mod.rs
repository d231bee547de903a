//! The vocabulary of the gateway protocol, version 4: frames, errors, scopes, events, params and results by family.
//!
//! No I/O, no clock, no state: everything here turns bytes into typed values and back. Names are the protocol's own
//! (`ChatSendParams`, `hello-ok`, `stateVersion`), so that the published schema can be searched with them.
//!
//! Invariant: request frames and params are closed objects; an unknown property is an error that names it.

pub mod agent;
pub mod agent_change;
pub mod agents;
pub mod approval;
pub mod channels;
pub mod chat;
pub mod command;
pub mod config;
pub mod config_read;
pub mod connect;
pub mod cron;
pub mod cron_job;
pub mod decode;
pub mod device;
pub mod diagnostics;
pub mod embeddings;
pub mod error;
pub mod event;
pub mod exec_approvals;
pub mod frame;
pub mod health;
pub mod hooks;
pub mod host;
pub mod json;
pub mod logs;
pub mod misfit;
pub mod models;
pub mod node;
pub(crate) mod object;
pub mod openai;
pub mod presence;
pub mod question;
pub mod responses;
pub mod scope;
pub mod session;
pub mod session_branch;
pub mod session_change;
pub mod session_group;
pub mod session_usage;
pub mod skills;
pub mod sorted;
pub mod suggestion;
pub mod suspend;
pub mod task;
pub mod tools;
pub mod tree;
pub mod usage;
pub mod user;

/// The version of the protocol this gateway speaks.
pub const PROTOCOL: u32 = 4;
/// The oldest version a node or a probe may still ask for.
pub const MINIMUM_PROBE_PROTOCOL: u32 = 3;

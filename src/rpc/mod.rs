//! The methods of the control protocol: one table, one file per family, one conversation per connection.
//!
//! A method is one row in [`table`]; its handler's signature names its params and result, the row names the thread it
//! runs on and the scope it needs. What the reference has and this gateway lacks is listed with a reason in [`absent`].

pub mod absent;
pub mod admin;
mod agent;
mod agent_change;
mod agent_files;
mod agents;
mod approvals;
mod calendar;
mod channels;
mod chat;
mod chat_inject;
mod chat_read;
mod config;
mod config_read;
mod conversation;
mod cron;
mod delivery;
mod devices;
mod diagnostics;
mod exec_approvals;
mod gateway;
mod health;
mod logs;
mod models;
mod nodes;
mod questions;
mod said;
mod secrets;
pub mod send;
mod session_branch;
mod session_change;
mod session_compact;
mod session_groups;
mod session_read;
mod session_search;
mod session_spent;
mod session_upkeep;
mod session_usage;
mod sessions;
mod skills;
mod suggestions;
mod system;
pub mod table;
mod tasks;
mod tools;
mod usage;
mod users;
mod writes;

pub use chat::{message as stored_message, run_limit, target};
pub use conversation::{Conversation, Desk};
pub use skills::skills_of;
pub use table::{METHODS, Method, advertised, find};

/// Asks the state thread on behalf of a task.
fn ask<T: Send + 'static>(
    context: &crate::hub::TaskContext,
    name: &'static str,
    f: impl FnOnce(&mut crate::hub::State) -> Result<T, crate::wire::error::RpcError> + Send + 'static,
) -> Result<T, crate::wire::error::RpcError> {
    let asked = context.hub.ask(name, |state, _| f(state));
    asked.map_err(|gone| crate::wire::error::RpcError::unavailable(gone.to_string()).retryable())?
}

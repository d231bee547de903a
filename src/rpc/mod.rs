//! The methods of the control protocol: one table, one file per family, one conversation per connection.
//!
//! A method is one row in [`table`]; its handler's signature names its params and result, the row names the thread it
//! runs on and the scope it needs. What the reference has and this gateway lacks is listed with a reason in [`absent`].

pub mod absent;
pub mod admin;
mod agent;
mod channels;
mod chat;
mod config;
mod conversation;
mod devices;
mod health;
mod logs;
mod models;
mod secrets;
mod sessions;
pub mod table;
mod writes;

pub use chat::{message as stored_message, run_limit, target};
pub use conversation::{Conversation, Desk};
pub use table::{METHODS, Method, advertised, find};

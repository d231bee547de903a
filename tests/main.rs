//! The one integration test binary: everything that needs the built program, the tree or both.
//!
//! `tidy` reads the tree. Every other module starts the real binary in a state directory of its own and talks to it
//! over sockets. Tests share nothing, so any number of them run side by side.

mod support;

mod agents;
mod approvals;
mod attacks;
mod attacks_http;
mod channels;
mod chat;
mod chat_approvals;
mod command_line;
mod compaction;
mod config_faults;
mod config_reload;
mod control_ui;
mod cron;
mod deliveries;
mod devices;
mod discord;
mod doctor;
mod gateway_start;
mod handover;
mod hook_delivery;
mod hostile;
mod http;
mod http_openai;
mod http_own;
mod http_recorded;
mod interleavings;
mod irc;
mod liars;
mod matrix;
mod matrix_rooms;
mod mattermost;
mod message_tool;
mod models;
mod nodes;
mod operators;
mod packages;
mod pdf;
mod protocol;
mod questions;
mod queue;
mod refusals;
mod secrets;
mod secrets_cli;
mod service;
mod sessions;
mod settings;
mod signal;
mod skills;
mod slack;
mod suggestions;
#[cfg(unix)]
mod terminal;
mod tidy;
mod tls;
mod tools;
mod usage;

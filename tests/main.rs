//! The one integration test binary: everything that needs the built program, the tree or both.
//!
//! `tidy` reads the tree. Every other module starts the real binary in a state directory of its own and talks to it
//! over sockets. Tests share nothing, so any number of them run side by side.

mod support;

mod attacks;
mod channels;
mod chat;
mod command_line;
mod config_reload;
mod cron;
mod devices;
mod gateway_start;
mod handover;
mod hostile;
mod http;
mod http_openai;
mod http_own;
mod liars;
mod matrix;
mod models;
mod nodes;
mod protocol;
mod queue;
mod refusals;
mod secrets;
mod service;
mod sessions;
mod tidy;
mod tls;
mod tools;

//! An always-on gateway for a personal AI agent.
#![forbid(unsafe_code)]

pub mod agent;
pub mod auth;
pub mod channels;
pub mod cli;
pub mod client;
pub mod config;
pub mod gateway;
pub mod hub;
pub mod net;
pub mod providers;
pub mod routes;
pub mod rpc;
pub mod service;
pub mod store;
pub mod sys;
pub mod wire;

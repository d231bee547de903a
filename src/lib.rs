//! An always-on gateway for a personal AI agent: one process, one port, a few megabytes.
//!
//! This page is the map of the house. Each module's own page says what it is for, what it deliberately does not do, and
//! what always holds.
//!
//! # Layers
//!
//! A module imports only from a lower number; equal numbers do not import each other. A test enforces it.
//!
//! | layer | modules | what they are |
//! |---|---|---|
//! | 8 | `main` | argv in, exit code out |
//! | 7 | [`cli`] | one file per command |
//! | 6 | [`gateway`], [`client`] | the composition root; the blocking protocol client |
//! | 5 | [`routes`] | HTTP: one table, one file per surface |
//! | 4 | [`rpc`], [`agent`] | the methods of the protocol; one agent run |
//! | 3 | [`hub`] | the state thread |
//! | 2 | [`auth`], [`providers`], [`channels`], [`service`], [`skills`] | who calls; models; messengers; service managers; what agents are taught |
//! | 1 | [`config`], [`store`], [`net`] | the key table and loader; SQLite; sockets, and the one guarded fetch |
//! | 0 | [`wire`], [`sys`] | the protocol's vocabulary; the platform |
//!
//! # Threads
//!
//! | thread | how many | what it owns |
//! |---|---|---|
//! | main | 1 | start, signals, stop |
//! | accept | one per address | its listener |
//! | `conn N` | one per connection | its socket's reading side, the handshake, HTTP handlers |
//! | `conn N out` | one per WebSocket | its socket's writing side |
//! | `conn N in` | while a client makes itself known | nothing; it spares the connection's stack |
//! | state | 1 | [`hub::State`]: peers, runs, presence, timers |
//! | store | 1 | the one connection that writes to the database |
//! | `run X` | one per agent run | the turn, the call upstream, the tools |
//! | task | 0 to 4 | handlers that may block; they end when idle |
//! | `ch X`, `ch X out` | two per messenger account | that account's connection; its deliveries |
//! | signals | 1 (Unix) | the signal pipe |
//! | config watch | 0 or 1 | the watch on the configuration file |
//! | config load | 0 or 1 | a reading of the file and the secrets it names |
//! | `secret file` | while secrets are read | one file |
//! | `ask in`, `ask out` | while a secret provider or the reader of PDF files runs | both ends of that program |
//! | watchdog | 0 or 1 | the answer to a supervisor that wants to hear from us |
//! | mdns | 0 or 1 | the answers to who looks for gateways on the local network |
//! | tool | one per `/tools/invoke` call, 0 to 4 for `tools.invoke` | that tool |
//! | compact | 0 to 4 | a session that somebody wants summed up |
//! | compact clock | one per call for a summary | how long that call may take |
//! | `probe N` | while a provider is checked | one credential |
//!
//! # A request's way
//!
//! `net` reads a frame on the connection's thread; [`rpc::Conversation`] finds its row in [`rpc::METHODS`], checks role
//! and scope and decodes the params there. State handlers go to the state thread, tasks to the pool; the answer goes into
//! the client's mailbox, and the writer thread sends it. A message to an agent becomes a run: the state thread orders it,
//! the run's thread writes the input to the store (only then is it acknowledged), calls the model, reports each step as an
//! event, and writes the answer before the last one.
//!
//! # What always holds
//!
//! - The state thread waits for nobody; everybody else may wait for it. There is no lock order because nobody holds a lock
//!   while waiting.
//! - Durable before acknowledged: writes of many requests share one commit of the store thread.
//! - Everything a peer can make grow is counted in bytes and has a cap; every wait has a deadline with a name.
//! - Nothing is advertised that is not built: tables produce hello-ok's lists, and absences have reasons ([`rpc::absent`]).
//! - A picture is held once from the socket to the model: [`wire::json::lift`] takes it out of the body,
//!   [`sys::shared_text`] passes it on, [`providers`] send it from there.
//! - What is a program in all but name is read elsewhere: the text of a PDF comes from a child with limits ([`sys::pdf`]).
//! - No async runtime, no unsafe code of ours; tiny_http gives words (methods, statuses, headers, responses), never its
//!   `Server`, which one EMFILE ends and which cannot read and write an upgraded stream at once.
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
pub mod skills;
pub mod store;
pub mod sys;
pub mod wire;

//! The words and flags of `channels`, `pairing` and `message`.
//!
//! No logic here; the invariants of [`super`] hold.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// the messengers the agent is connected to
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "channels", help_triggers("--help", "help"))]
pub struct Channels {
    #[argh(subcommand)]
    pub command: ChannelsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, read once")]
pub enum ChannelsCommand {
    List(ChannelsList),
    Status(ChannelsStatus),
    Add(ChannelsAdd),
    Remove(ChannelsRemove),
    Login(ChannelsLogin),
    Logout(ChannelsLogout),
}

/// list the accounts of the configuration
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list", help_triggers("--help", "help"))]
pub struct ChannelsList {
    /// also the messengers without an account
    #[argh(switch)]
    pub all: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

talks_to_a_gateway! {
    /// show every channel account and whether it works
    #[argh(subcommand, name = "status", help_triggers("--help", "help"))]
    pub struct ChannelsStatus {
        /// let the gateway ask the messengers now
        #[argh(switch)]
        pub probe: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// add an account, after asking the messenger whether it works
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "add", help_triggers("--help", "help"))]
pub struct ChannelsAdd {
    /// the messenger, as in telegram
    #[argh(option, arg_name = "id")]
    pub channel: Option<String>,
    /// the account (default)
    #[argh(option, arg_name = "id")]
    pub account: Option<String>,
    /// a name for people
    #[argh(option, arg_name = "text")]
    pub name: Option<String>,
    /// bot token, or access token of matrix
    #[argh(option, arg_name = "token")]
    pub token: Option<String>,
    /// app-level token (slack)
    #[argh(option, arg_name = "token")]
    pub app_token: Option<String>,
    /// a file that holds the token
    #[argh(option, arg_name = "file")]
    pub token_file: Option<String>,
    /// shared secret (webhook), signing secret (slack)
    #[argh(option, arg_name = "text")]
    pub secret: Option<String>,
    /// where answers are posted (webhook), or the address of the server or daemon
    #[argh(option, arg_name = "url")]
    pub url: Option<String>,
    /// server (irc)
    #[argh(option, arg_name = "host")]
    pub host: Option<String>,
    /// number of the bot (signal)
    #[argh(option, arg_name = "number")]
    pub signal_number: Option<String>,
    /// nick (irc)
    #[argh(option, arg_name = "nick")]
    pub nick: Option<String>,
    /// password (server of irc, user of matrix)
    #[argh(option, arg_name = "text")]
    pub password: Option<String>,
    /// id of a sender who may write to the agent; may be given more than once
    #[argh(option, arg_name = "id")]
    pub allow_from: Vec<String>,
    /// any other key of the section, as key=value; may be given more than once
    #[argh(option, arg_name = "key=value")]
    pub set: Vec<String>,
    /// take the secret from the messenger's environment variable
    #[argh(switch)]
    pub use_env: bool,
    /// write it without asking the messenger
    #[argh(switch)]
    pub no_check: bool,
}

/// switch an account off, or take it out of the configuration
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "remove", help_triggers("--help", "help"))]
pub struct ChannelsRemove {
    /// the messenger, as in telegram
    #[argh(option, arg_name = "id")]
    pub channel: String,
    /// the account (default)
    #[argh(option, arg_name = "id")]
    pub account: Option<String>,
    /// take its keys out instead of setting enabled to false
    #[argh(switch)]
    pub delete: bool,
}

talks_to_a_gateway! {
    /// ask the messenger whether an account's credentials work, and start it
    #[argh(subcommand, name = "login", help_triggers("--help", "help"))]
    pub struct ChannelsLogin {
        /// the messenger, as in telegram
        #[argh(option, arg_name = "id")]
        pub channel: String,
        /// the account (default)
        #[argh(option, arg_name = "id")]
        pub account: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// stop an account and forget what the gateway keeps of it
    #[argh(subcommand, name = "logout", help_triggers("--help", "help"))]
    pub struct ChannelsLogout {
        /// the messenger, as in telegram
        #[argh(option, arg_name = "id")]
        pub channel: String,
        /// the account (default)
        #[argh(option, arg_name = "id")]
        pub account: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// people who wrote to the agent and wait to be let in
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "pairing", help_triggers("--help", "help"))]
pub struct Pairing {
    #[argh(subcommand)]
    pub command: PairingCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum PairingCommand {
    List(PairingList),
    Approve(PairingApprove),
}

talks_to_a_gateway! {
    /// list those who wait
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct PairingList {
        /// the messenger, as in telegram
        #[argh(positional)]
        pub only: Option<String>,
        /// the same
        #[argh(option, arg_name = "id")]
        pub channel: Option<String>,
        /// one account
        #[argh(option, arg_name = "id")]
        pub account: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// let somebody in; the first one becomes the owner
    #[argh(subcommand, name = "approve", help_triggers("--help", "help"))]
    pub struct PairingApprove {
        /// the messenger, if several are configured, and the code
        #[argh(positional)]
        pub words: Vec<String>,
        /// the messenger, as in telegram
        #[argh(option, arg_name = "id")]
        pub channel: Option<String>,
        /// one account
        #[argh(option, arg_name = "id")]
        pub account: Option<String>,
        /// tell him that he is let in
        #[argh(switch)]
        pub notify: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// messages of the gateway's own
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "message", help_triggers("--help", "help"))]
pub struct Message {
    #[argh(subcommand)]
    pub command: MessageCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum MessageCommand {
    Send(MessageSend),
}

talks_to_a_gateway! {
    /// send a message into a messenger
    #[argh(subcommand, name = "send", help_triggers("--help", "help"))]
    pub struct MessageSend {
        /// where to: a chat's id, as in 123 or telegram:123
        #[argh(option, short = 't', arg_name = "chat")]
        pub target: String,
        /// the text, as Markdown
        #[argh(option, short = 'm', arg_name = "text")]
        pub message: Option<String>,
        /// a file on the gateway's host
        #[argh(option, arg_name = "path")]
        pub media: Option<String>,
        /// the messenger, as in telegram
        #[argh(option, arg_name = "id")]
        pub channel: Option<String>,
        /// the account that sends
        #[argh(option, arg_name = "id")]
        pub account: Option<String>,
        /// a thread or topic of the chat
        #[argh(option, arg_name = "id")]
        pub thread_id: Option<String>,
        /// the message this one answers
        #[argh(option, arg_name = "id")]
        pub reply_to: Option<String>,
        /// without a sound
        #[argh(switch)]
        pub silent: bool,
        /// only say what would be sent
        #[argh(switch)]
        pub dry_run: bool,
        /// how long to wait, in milliseconds (40000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

//! The words of `openclaw agent`.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

talks_to_a_gateway! {
    /// run one turn of an agent and print its answer
    #[argh(subcommand, name = "agent", help_triggers("--help", "help"))]
    pub struct Agent {
        /// what to say to the agent
        #[argh(option, short = 'm', arg_name = "text")]
        pub message: Option<String>,
        /// a file that holds what to say; - reads standard input
        #[argh(option, arg_name = "path")]
        pub message_file: Option<String>,
        /// which agent (the default one)
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// which session, by its key
        #[argh(option, arg_name = "key")]
        pub session_key: Option<String>,
        /// which session, by its id
        #[argh(option, arg_name = "id")]
        pub session_id: Option<String>,
        /// which session, by the person or group that it talks with
        #[argh(option, short = 't', arg_name = "recipient")]
        pub to: Option<String>,
        /// the messenger of the recipient
        #[argh(option, arg_name = "id")]
        pub channel: Option<String>,
        /// the model of this turn, as provider/model
        #[argh(option, arg_name = "model")]
        pub model: Option<String>,
        /// how long the model may think: off, minimal, low, medium or high
        #[argh(option, arg_name = "level")]
        pub thinking: Option<String>,
        /// how long the turn may take, in seconds (600); 0 sets no limit
        #[argh(option, arg_name = "seconds")]
        pub timeout: Option<u64>,
        /// also send the answer into a messenger: to the recipient, or where the session was spoken to last
        #[argh(switch)]
        pub deliver: bool,
        /// who gets the answer, when not the recipient
        #[argh(option, arg_name = "recipient")]
        pub reply_to: Option<String>,
        /// the messenger the answer goes through
        #[argh(option, arg_name = "id")]
        pub reply_channel: Option<String>,
        /// the account the answer goes through
        #[argh(option, arg_name = "id")]
        pub reply_account: Option<String>,
    }
}

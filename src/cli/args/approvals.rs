//! The commands about approvals.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// decide on commands that wait, and say which may run without being asked about (without a further word: get)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "approvals", help_triggers("--help", "help"))]
pub struct Approvals {
    #[argh(subcommand)]
    pub command: ApprovalsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum ApprovalsCommand {
    Get(ApprovalsGet),
    Set(ApprovalsSet),
    Pending(ApprovalsPending),
    Resolve(ApprovalsResolve),
    Allowlist(ApprovalsAllowlist),
}

talks_to_a_gateway! {
    /// show the rules about commands and what they come to
    #[argh(subcommand, name = "get", help_triggers("--help", "help"))]
    pub struct ApprovalsGet {
        /// nothing more: the rules are always a gateway's
        #[argh(switch)]
        pub gateway: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// replace the rules about commands
    #[argh(subcommand, name = "set", help_triggers("--help", "help"))]
    pub struct ApprovalsSet {
        /// the file with the new rules, JSON5
        #[argh(option, arg_name = "file")]
        pub file: Option<String>,
        /// read the new rules from standard input
        #[argh(switch)]
        pub stdin: bool,
        /// nothing more: the rules are always a gateway's
        #[argh(switch)]
        pub gateway: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// list what waits for a decision
    #[argh(subcommand, name = "pending", help_triggers("--help", "help"))]
    pub struct ApprovalsPending {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// decide: allow-once, allow-always or deny
    #[argh(subcommand, name = "resolve", help_triggers("--help", "help"))]
    pub struct ApprovalsResolve {
        /// the approval, by its id
        #[argh(positional)]
        pub id: String,
        /// allow-once, allow-always or deny
        #[argh(positional)]
        pub decision: String,
        /// a note for what is printed here; it is not kept
        #[argh(option, arg_name = "text")]
        pub reason: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// change the list of programs that need no approval
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "allowlist", help_triggers("--help", "help"))]
pub struct ApprovalsAllowlist {
    #[argh(subcommand)]
    pub command: AllowlistCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum AllowlistCommand {
    Add(AllowlistAdd),
    Remove(AllowlistRemove),
}

talks_to_a_gateway! {
    /// let a program run without being asked about
    #[argh(subcommand, name = "add", help_triggers("--help", "help"))]
    pub struct AllowlistAdd {
        /// glob over the program's path, or over its name if it has no slash
        #[argh(positional)]
        pub pattern: String,
        /// for this agent only (all agents)
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// nothing more: the rules are always a gateway's
        #[argh(switch)]
        pub gateway: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// ask about a program again
    #[argh(subcommand, name = "remove", help_triggers("--help", "help"))]
    pub struct AllowlistRemove {
        /// the pattern as it was added
        #[argh(positional)]
        pub pattern: String,
        /// for this agent only (all agents)
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// nothing more: the rules are always a gateway's
        #[argh(switch)]
        pub gateway: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

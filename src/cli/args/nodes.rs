//! The commands about nodes.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// look at the nodes, decide what they may be asked for, and ask them (without a further word: status)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "nodes", help_triggers("--help", "help"))]
pub struct Nodes {
    #[argh(subcommand)]
    pub command: NodesCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum NodesCommand {
    Status(NodesStatus),
    List(NodesList),
    Describe(NodesDescribe),
    Pending(NodesPending),
    Approve(NodesApprove),
    Reject(NodesReject),
    Remove(NodesRemove),
    Rename(NodesRename),
    Invoke(NodesInvoke),
    Notify(NodesNotify),
}

talks_to_a_gateway! {
    /// how every node is doing
    #[argh(subcommand, name = "status", help_triggers("--help", "help"))]
    pub struct NodesStatus {
        /// only those that are connected
        #[argh(switch)]
        pub connected: bool,
        /// only those that connected within this time, as in 24h or 7d
        #[argh(option, arg_name = "duration")]
        pub last_connected: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// what nodes offer: what waits for approval, and what was approved
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct NodesList {
        /// only those that are connected
        #[argh(switch)]
        pub connected: bool,
        /// only those that connected within this time, as in 24h or 7d
        #[argh(option, arg_name = "duration")]
        pub last_connected: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// everything about one node
    #[argh(subcommand, name = "describe", help_triggers("--help", "help"))]
    pub struct NodesDescribe {
        /// the node: its id, address or name
        #[argh(option, arg_name = "node")]
        pub node: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// what waits for approval
    #[argh(subcommand, name = "pending", help_triggers("--help", "help"))]
    pub struct NodesPending {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// approve what a node offers
    #[argh(subcommand, name = "approve", help_triggers("--help", "help"))]
    pub struct NodesApprove {
        /// the request, by its id; the only one if not given
        #[argh(positional)]
        pub request: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// turn down what a node offers
    #[argh(subcommand, name = "reject", help_triggers("--help", "help"))]
    pub struct NodesReject {
        /// the request, by its id
        #[argh(positional)]
        pub request: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// end a device's being a node
    #[argh(subcommand, name = "remove", help_triggers("--help", "help"))]
    pub struct NodesRemove {
        /// the node: its id, address or name
        #[argh(option, arg_name = "node")]
        pub node: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// give a node a name
    #[argh(subcommand, name = "rename", help_triggers("--help", "help"))]
    pub struct NodesRename {
        /// the node: its id, address or name
        #[argh(option, arg_name = "node")]
        pub node: String,
        /// the name, at most 64 characters
        #[argh(option, arg_name = "text")]
        pub name: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// ask a node to do something
    #[argh(subcommand, name = "invoke", help_triggers("--help", "help"))]
    pub struct NodesInvoke {
        /// the node: its id, address or name
        #[argh(option, arg_name = "node")]
        pub node: String,
        /// what to do, as in system.which
        #[argh(option, arg_name = "command")]
        pub command: String,
        /// its parameters, a JSON object ({{}})
        #[argh(option, arg_name = "json")]
        pub params: Option<String>,
        /// how long the node may take, in milliseconds (15000)
        #[argh(option, arg_name = "ms")]
        pub invoke_timeout: Option<u64>,
        /// a name for this call, so that the node does it once however often it is sent
        #[argh(option, arg_name = "key")]
        pub idempotency_key: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// show a notification on a node
    #[argh(subcommand, name = "notify", help_triggers("--help", "help"))]
    pub struct NodesNotify {
        /// the node: its id, address or name
        #[argh(option, arg_name = "node")]
        pub node: String,
        /// the headline
        #[argh(option, arg_name = "text")]
        pub title: Option<String>,
        /// the text
        #[argh(option, arg_name = "text")]
        pub body: Option<String>,
        /// passive, active or timeSensitive
        #[argh(option, arg_name = "level")]
        pub priority: Option<String>,
        /// how long the node may take, in milliseconds (15000)
        #[argh(option, arg_name = "ms")]
        pub invoke_timeout: Option<u64>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

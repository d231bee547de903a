//! The commands about devices and invitations.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// look at the devices that may connect, and decide about them (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "devices", help_triggers("--help", "help"))]
pub struct Devices {
    #[argh(subcommand)]
    pub command: DevicesCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum DevicesCommand {
    List(DevicesList),
    Approve(DevicesApprove),
    Reject(DevicesReject),
    Remove(DevicesRemove),
    Rename(DevicesRename),
    Rotate(DevicesRotate),
    Revoke(DevicesRevoke),
    Clear(DevicesClear),
}

talks_to_a_gateway! {
    /// list the devices that wait and those that were approved
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct DevicesList {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// let a waiting device in
    #[argh(subcommand, name = "approve", help_triggers("--help", "help"))]
    pub struct DevicesApprove {
        /// the request, by its id; the only one if not given
        #[argh(positional)]
        pub request: Option<String>,
        /// the latest request, if there are several
        #[argh(switch)]
        pub latest: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// turn a waiting device away
    #[argh(subcommand, name = "reject", help_triggers("--help", "help"))]
    pub struct DevicesReject {
        /// the request, by its id
        #[argh(positional)]
        pub request: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// forget a device and close its connections
    #[argh(subcommand, name = "remove", help_triggers("--help", "help"))]
    pub struct DevicesRemove {
        /// the device, by its id
        #[argh(positional)]
        pub device: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// give a device a name
    #[argh(subcommand, name = "rename", help_triggers("--help", "help"))]
    pub struct DevicesRename {
        /// the device, by its id
        #[argh(option, arg_name = "id")]
        pub device: String,
        /// the name, at most 64 characters
        #[argh(option, arg_name = "text")]
        pub name: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// replace a token of a device
    #[argh(subcommand, name = "rotate", help_triggers("--help", "help"))]
    pub struct DevicesRotate {
        /// the device, by its id
        #[argh(option, arg_name = "id")]
        pub device: String,
        /// which of its tokens: operator or node
        #[argh(option, arg_name = "role")]
        pub role: String,
        /// with these scopes only, separated by commas
        #[argh(option, arg_name = "scopes")]
        pub scope: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// end a token of a device
    #[argh(subcommand, name = "revoke", help_triggers("--help", "help"))]
    pub struct DevicesRevoke {
        /// the device, by its id
        #[argh(option, arg_name = "id")]
        pub device: String,
        /// which of its tokens: operator or node
        #[argh(option, arg_name = "role")]
        pub role: String,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// remove every device
    #[argh(subcommand, name = "clear", help_triggers("--help", "help"))]
    pub struct DevicesClear {
        /// do it
        #[argh(switch)]
        pub yes: bool,
        /// only turn away those that wait
        #[argh(switch)]
        pub pending: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// invite a new device with a code that is good once
    #[argh(subcommand, name = "qr", help_triggers("--help", "help"))]
    pub struct Qr {
        /// a code for a node: a device that offers its abilities and may do nothing here
        #[argh(switch)]
        pub node_only: bool,
        /// a code for a device that may do everything but what is the administrator's
        #[argh(switch)]
        pub limited: bool,
        /// also make a link that hands the code over, once
        #[argh(switch)]
        pub link: bool,
        /// the address under which the device reaches the gateway
        #[argh(option, arg_name = "url")]
        pub public_url: Option<String>,
        /// print the code and nothing else
        #[argh(switch)]
        pub setup_code_only: bool,
        /// print the code without the picture
        #[argh(switch)]
        pub no_ascii: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

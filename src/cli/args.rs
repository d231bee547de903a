//! The commands and their flags, declared once: argh parses by them, `--help` and the man page test are made from them.
//!
//! No logic here. Invariants, each with a test: a flag name takes a value everywhere or nowhere (so that it can be read
//! before the command is known), and no flag of a command has the name of a global one except `gateway run --dev`.

use argh::{ArgsInfo, FromArgs};

pub use super::config_args::*;

/// an always-on gateway for a personal AI agent
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(help_triggers("--help", "help"))]
pub struct Cli {
    /// use the profile "dev": its own state and configuration, port 19001
    #[argh(switch)]
    pub dev: bool,
    /// use the state and configuration of this profile
    #[argh(option, arg_name = "name")]
    pub profile: Option<String>,
    /// how much is logged: silent, fatal, error, warn, info, debug or trace
    #[argh(option, arg_name = "level")]
    pub log_level: Option<String>,
    /// print without colours
    #[argh(switch)]
    pub no_color: bool,
    /// print the version and exit
    #[argh(switch, short = 'V')]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, read once")]
pub enum Command {
    Gateway(Gateway),
    Status(Status),
    Health(Health),
    Agent(Agent),
    Sessions(Sessions),
    Logs(Logs),
    Channels(Channels),
    Pairing(Pairing),
    Message(Message),
    Models(Models),
    System(System),
    Cron(Cron),
    Devices(Devices),
    Approvals(Approvals),
    Nodes(Nodes),
    Skills(Skills),
    Tokens(Tokens),
    Qr(Qr),
    Config(Config),
    Secrets(Secrets),
    Setup(Setup),
    Onboard(Onboard),
    Doctor(Doctor),
    Protocol(Protocol),
    Completion(Completion),
}

/// what of the protocol is built
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "protocol", help_triggers("--help", "help"))]
pub struct Protocol {
    #[argh(subcommand)]
    pub command: ProtocolCommand,
}

/// what of the protocol is built
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum ProtocolCommand {
    Coverage(ProtocolCoverage),
}

/// list the methods of the reference as built, partial or absent; needs no gateway
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "coverage", help_triggers("--help", "help"))]
pub struct ProtocolCoverage {
    /// only those that are not built, or not in full
    #[argh(switch)]
    pub lacking: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// print what makes a shell complete commands and flags
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "completion", help_triggers("--help", "help"))]
pub struct Completion {
    /// which shell: bash, zsh or fish; the one of SHELL if not given
    #[argh(positional, arg_name = "shell")]
    pub name: Option<String>,
    /// the same, as other releases want it: bash, zsh or fish
    #[argh(option, short = 's', arg_name = "name")]
    pub shell: Option<String>,
}

/// run the gateway (without a further word), or ask a running one
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "gateway", help_triggers("--help", "help"))]
pub struct Gateway {
    #[argh(subcommand)]
    pub command: GatewayCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum GatewayCommand {
    Run(GatewayRun),
    Status(GatewayStatus),
    Health(GatewayHealth),
    Probe(GatewayProbe),
    Stability(GatewayStability),
    Discover(GatewayDiscover),
    Call(GatewayCall),
    Install(GatewayInstall),
    Uninstall(GatewayUninstall),
    Start(GatewayStart),
    Stop(GatewayStop),
    Restart(GatewayRestart),
}

/// make the gateway a service of this host and start it
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "install", help_triggers("--help", "help"))]
pub struct GatewayInstall {
    /// port the service listens on; otherwise the port of the configuration is recorded
    #[argh(option, arg_name = "port", from_str_fn(port))]
    pub port: Option<u16>,
    /// write the service anew and restart it when it is there already
    #[argh(switch)]
    pub force: bool,
    /// a service of the host, which starts with it, instead of one of the user's session
    #[argh(switch)]
    pub system: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// stop the gateway service for now
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "stop", help_triggers("--help", "help"))]
pub struct GatewayStop {
    /// keep it off until it is started by hand, also over reboots
    #[argh(switch)]
    pub disable: bool,
    /// nothing more; taken so that scripts for other releases run
    #[argh(switch)]
    pub force: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// Adds a command of the service that has no flags but `--json`.
macro_rules! acts_on_the_service {
    ($(#[$meta:meta])* pub struct $name:ident;) => {
        #[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
        $(#[$meta])*
        pub struct $name {
            /// print JSON, and nothing but JSON, on standard output
            #[argh(switch)]
            pub json: bool,
        }
    };
}

acts_on_the_service! {
    /// stop the gateway service and remove it
    #[argh(subcommand, name = "uninstall", help_triggers("--help", "help"))]
    pub struct GatewayUninstall;
}

acts_on_the_service! {
    /// start the installed gateway service
    #[argh(subcommand, name = "start", help_triggers("--help", "help"))]
    pub struct GatewayStart;
}

acts_on_the_service! {
    /// restart the installed gateway service
    #[argh(subcommand, name = "restart", help_triggers("--help", "help"))]
    pub struct GatewayRestart;
}

/// run the gateway in the foreground
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "run", help_triggers("--help", "help"))]
pub struct GatewayRun {
    /// port to listen on; before OPENCLAW_GATEWAY_PORT, gateway.port and 18789
    #[argh(option, arg_name = "port", from_str_fn(port))]
    pub port: Option<u16>,
    /// where to listen: loopback, lan, tailnet, auto or custom
    #[argh(option, arg_name = "mode")]
    pub bind: Option<String>,
    /// who may connect: none, token, password or trusted-proxy
    #[argh(option, arg_name = "mode")]
    pub auth: Option<String>,
    /// shared token; other users of this host can see it, the environment is safer
    #[argh(option, arg_name = "token")]
    pub token: Option<String>,
    /// shared password; other users of this host can see it, the environment is safer
    #[argh(option, arg_name = "password")]
    pub password: Option<String>,
    /// end the process that listens on the port, then start
    #[argh(switch)]
    pub force: bool,
    /// start although gateway.mode is not set
    #[argh(switch)]
    pub allow_unconfigured: bool,
    /// create a development configuration and workspace where missing
    #[argh(switch)]
    pub dev: bool,
    /// log everything to the terminal
    #[argh(switch)]
    pub verbose: bool,
}

/// ask the local network for gateways; what answers is only shown
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "discover", help_triggers("--help", "help"))]
pub struct GatewayDiscover {
    /// how long to collect answers, in milliseconds (2000)
    #[argh(option, arg_name = "ms")]
    pub timeout: Option<u64>,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// Adds the flags of every command that talks to a gateway, and the way to read them. The five that choose the gateway
/// are one for argh (see [`reach`]): as five they would be 0.1 MB of the program.
macro_rules! talks_to_a_gateway {
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $type:ident $(<$inner:ident>)?, )* }
    ) => {
        #[derive(FromArgs, Debug, PartialEq)]
        $(#[$meta])*
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type $(<$inner>)?, )*
            /// the gateway
            #[argh(option, arg_name = "gateway", from_str_fn(reach))]
            pub reach: Option<Box<Reach>>,
            /// print JSON, and nothing but JSON, on standard output
            #[argh(switch)]
            pub json: bool,
        }

        impl $name {
            /// What the user said about the gateway to talk to.
            pub fn wanted(&self) -> Wanted<'_> {
                Wanted::of(self.reach.as_deref())
            }
        }

        const _: () = {
            /// The same as people see it.
            #[derive(ArgsInfo)]
            #[allow(dead_code, reason = "nobody has one: it is there for its description")]
            $(#[$meta])*
            struct Shown {
                $( $(#[$field_meta])* $field: $type $(<$inner>)?, )*
                /// address of the gateway, as in ws://127.0.0.1:18789; needs its own --token or --password
                #[argh(option, arg_name = "url")]
                url: Option<String>,
                /// a gateway on this host that listens on this port
                #[argh(option, arg_name = "port")]
                port: Option<u16>,
                /// token to connect with
                #[argh(option, arg_name = "token")]
                token: Option<String>,
                /// password to connect with
                #[argh(option, arg_name = "password")]
                password: Option<String>,
                /// the only TLS certificate to accept, by its SHA-256
                #[argh(option, arg_name = "sha256")]
                tls_fingerprint: Option<String>,
                /// print JSON, and nothing but JSON, on standard output
                #[argh(switch)]
                json: bool,
            }

            impl ArgsInfo for $name {
                fn get_args_info() -> argh::CommandInfoWithArgs {
                    Shown::get_args_info()
                }
            }
        };
    };
}

use reach::reach;

mod agent;
mod approvals;
mod channels;
mod cron;
mod devices;
mod nodes;
pub mod reach;
mod secrets;
mod setup;
mod skills;
mod tokens;

pub use agent::*;
pub use approvals::*;
pub use secrets::*;
pub use setup::*;

pub use channels::*;
pub use cron::*;
pub use devices::*;
pub use nodes::*;
pub use reach::{Reach, Wanted};
pub use skills::*;
pub use tokens::*;

talks_to_a_gateway! {
    /// show where the gateway should be and whether it answers
    #[argh(subcommand, name = "status", help_triggers("--help", "help"))]
    pub struct GatewayStatus {
        /// also read from the gateway, and fail when it does not answer
        #[argh(switch)]
        pub require_rpc: bool,
        /// do not connect
        #[argh(switch)]
        pub no_probe: bool,
        /// also look for services of the whole system
        #[argh(switch)]
        pub deep: bool,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// ask a running gateway whether it is well
    #[argh(subcommand, name = "health", help_triggers("--help", "help"))]
    pub struct GatewayHealth {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// show what happened lately in a running gateway, without a word that anybody said
    #[argh(subcommand, name = "stability", help_triggers("--help", "help"))]
    pub struct GatewayStability {
        /// the newest so many events (25)
        #[argh(option, arg_name = "n")]
        pub limit: Option<u64>,
        /// only events of this type, as in run.completed
        #[argh(option, long = "type", arg_name = "type")]
        pub kind: Option<String>,
        /// only events after this one
        #[argh(option, arg_name = "n")]
        pub since_seq: Option<u64>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// find out what can be reached and what may be done there
    #[argh(subcommand, name = "probe", help_triggers("--help", "help"))]
    pub struct GatewayProbe {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// call one method of a running gateway
    #[argh(subcommand, name = "call", help_triggers("--help", "help"))]
    pub struct GatewayCall {
        /// the method, as in sessions.list
        #[argh(positional)]
        pub method: String,
        /// params as a JSON object ({})
        #[argh(option, arg_name = "json")]
        pub params: Option<String>,
        /// wait for the second answer of a method that answers twice
        #[argh(switch)]
        pub expect_final: bool,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// show the gateway, its agents, sessions and channels at a glance
    #[argh(subcommand, name = "status", help_triggers("--help", "help"))]
    pub struct Status {
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
        /// also show how the gateway was found
        #[argh(switch)]
        pub verbose: bool,
        /// also let the gateway ask the messengers now, and look at the services of the host
        #[argh(switch)]
        pub deep: bool,
        /// everything there is to say, the end of the log included; holds no secrets
        #[argh(switch)]
        pub all: bool,
    }
}

talks_to_a_gateway! {
    /// ask a running gateway for its health report
    #[argh(subcommand, name = "health", help_triggers("--help", "help"))]
    pub struct Health {
        /// how long to wait, in milliseconds (60000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
        /// let the gateway look again, and show every account and agent
        #[argh(switch)]
        pub verbose: bool,
    }
}

/// list conversations (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "sessions", help_triggers("--help", "help"))]
pub struct Sessions {
    #[argh(subcommand)]
    pub command: SessionsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SessionsCommand {
    List(SessionsList),
    Cleanup(SessionsCleanup),
}

talks_to_a_gateway! {
    /// put conversations away that nobody uses
    #[argh(subcommand, name = "cleanup", help_triggers("--help", "help"))]
    pub struct SessionsCleanup {
        /// also when the configuration only wants to be told (session.maintenance.mode)
        #[argh(switch)]
        pub enforce: bool,
        /// those of this agent; of the default one unless given
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// those of all agents
        #[argh(switch)]
        pub all_agents: bool,
        /// the conversation that stays in any case
        #[argh(option, arg_name = "key")]
        pub active_key: Option<String>,
        /// how long to wait, in milliseconds (60000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// list conversations, the latest first
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct SessionsList {
        /// only those touched in the last so many minutes
        #[argh(option, arg_name = "minutes")]
        pub active: Option<u64>,
        /// at most so many (100), or "all"
        #[argh(option, arg_name = "n")]
        pub limit: Option<String>,
        /// only those of this agent
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// print the end of the gateway's log, and go on if asked
    #[argh(subcommand, name = "logs", help_triggers("--help", "help"))]
    pub struct Logs {
        /// keep printing what is added
        #[argh(switch, short = 'f')]
        pub follow: bool,
        /// at most so many lines (200)
        #[argh(option, arg_name = "n")]
        pub limit: Option<String>,
        /// read at most so many bytes of the file (250000)
        #[argh(option, arg_name = "n")]
        pub max_bytes: Option<u64>,
        /// ask again so often while following, in milliseconds (1000)
        #[argh(option, arg_name = "ms")]
        pub interval: Option<u64>,
        /// print times in UTC
        #[argh(switch)]
        pub utc: bool,
        /// print times in the local time zone, as without the flag
        #[argh(switch)]
        pub local_time: bool,
        /// print without colours
        #[argh(switch)]
        pub plain: bool,
        /// how long to wait for one answer, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// look at the language models (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "models", help_triggers("--help", "help"))]
pub struct Models {
    #[argh(subcommand)]
    pub command: ModelsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum ModelsCommand {
    List(ModelsList),
}

talks_to_a_gateway! {
    /// list the models an agent can use
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct ModelsList {
        /// also those that are known but not configured
        #[argh(switch)]
        pub all: bool,
        /// only those of this provider
        #[argh(option, arg_name = "id")]
        pub provider: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// look at what is connected to the gateway
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "system", help_triggers("--help", "help"))]
pub struct System {
    #[argh(subcommand)]
    pub command: SystemCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SystemCommand {
    Presence(SystemPresence),
    Event(SystemEvent),
    Heartbeat(SystemHeartbeat),
}

talks_to_a_gateway! {
    /// print who is connected, as JSON
    #[argh(subcommand, name = "presence", help_triggers("--help", "help"))]
    pub struct SystemPresence {
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535".into()),
    }
}

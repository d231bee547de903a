//! The commands about secrets.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// look after secrets: what is written where, and moving it to a safer place
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "secrets", help_triggers("--help", "help"))]
pub struct Secrets {
    #[argh(subcommand)]
    pub command: SecretsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SecretsCommand {
    Reload(SecretsReload),
    Audit(SecretsAudit),
    Configure(SecretsConfigure),
    Apply(SecretsApply),
    Store(SecretsStore),
}

talks_to_a_gateway! {
    /// make the running gateway fetch its secrets again
    #[argh(subcommand, name = "reload", help_triggers("--help", "help"))]
    pub struct SecretsReload {
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// look for secrets in plain text and for references that lead nowhere
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "audit", help_triggers("--help", "help"))]
pub struct SecretsAudit {
    /// end with status 1 when there is a finding (2: a reference leads nowhere)
    #[argh(switch)]
    pub check: bool,
    /// also start the programs of exec providers
    #[argh(switch)]
    pub allow_exec: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// ask which secrets are to be kept where, and make a plan of it (needs a terminal)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "configure", help_triggers("--help", "help"))]
pub struct SecretsConfigure {
    /// write the plan to this file
    #[argh(option, arg_name = "path")]
    pub plan_out: Option<String>,
    /// carry the plan out without asking for it
    #[argh(switch)]
    pub apply: bool,
    /// do not ask again before secrets are taken out for good
    #[argh(switch)]
    pub yes: bool,
    /// only set up providers
    #[argh(switch)]
    pub providers_only: bool,
    /// use the providers that are there
    #[argh(switch)]
    pub skip_provider_setup: bool,
    /// also start the programs of exec providers
    #[argh(switch)]
    pub allow_exec: bool,
    /// print the plan as JSON on standard output
    #[argh(switch)]
    pub json: bool,
}

/// carry out a plan: references in, plain text out, for good
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "apply", help_triggers("--help", "help"))]
pub struct SecretsApply {
    /// the plan's file
    #[argh(option, arg_name = "path")]
    pub from: String,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// let the plan name programs, and start them to check
    #[argh(switch)]
    pub allow_exec: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// keep secrets in the store of this host's gateway
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "store", help_triggers("--help", "help"))]
pub struct SecretsStore {
    #[argh(subcommand)]
    pub command: SecretsStoreCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SecretsStoreCommand {
    List(StoreList),
    Set(StoreSet),
    Get(StoreGet),
    Rm(StoreRm),
}

/// list what is in the store; secrets are not shown
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list", help_triggers("--help", "help"))]
pub struct StoreList {
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// keep a value, which is read from standard input, a file or the terminal
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "set", help_triggers("--help", "help"))]
pub struct StoreSet {
    /// its name: A-Z, 0-9 and _
    #[argh(positional)]
    pub name: String,
    /// secret or env; what the name sounds like if not given
    #[argh(option, arg_name = "kind")]
    pub kind: Option<String>,
    /// the value; only for kind env, because other users may see command lines
    #[argh(option, arg_name = "value")]
    pub value: Option<String>,
    /// read the value from this file; - is standard input
    #[argh(option, arg_name = "path")]
    pub value_file: Option<String>,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
}

/// print a value of kind env
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "get", help_triggers("--help", "help"))]
pub struct StoreGet {
    /// its name
    #[argh(positional)]
    pub name: String,
}

/// forget values
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "rm", help_triggers("--help", "help"))]
pub struct StoreRm {
    /// their names
    #[argh(positional)]
    pub names: Vec<String>,
    /// do not ask
    #[argh(switch)]
    pub yes: bool,
}

//! The commands about tokens of limited power.

use argh::{ArgsInfo, FromArgs};

/// make, list and revoke tokens of limited power (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "tokens", help_triggers("--help", "help"))]
pub struct Tokens {
    #[argh(subcommand)]
    pub command: TokensCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum TokensCommand {
    List(TokensList),
    Create(TokensCreate),
    Revoke(TokensRevoke),
}

/// list the tokens of the configuration
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "list", help_triggers("--help", "help"))]
pub struct TokensList {
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// make a token and print it, once
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "create", help_triggers("--help", "help"))]
pub struct TokensCreate {
    /// what to call it
    #[argh(option, arg_name = "text")]
    pub name: String,
    /// what it may do, separated by commas (operator.read)
    #[argh(option, arg_name = "scopes")]
    pub scope: Option<String>,
    /// when it ends: a time from now, as in 12h or 30d, or a moment, as in 2026-12-24T18:00:00Z
    #[argh(option, arg_name = "when")]
    pub expires: Option<String>,
    /// addresses and networks it may be used from, separated by commas
    #[argh(option, arg_name = "networks")]
    pub cidr: Option<String>,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// end a token; connections made with it are closed
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "revoke", help_triggers("--help", "help"))]
pub struct TokensRevoke {
    /// the token, by its name
    #[argh(positional)]
    pub token_name: String,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

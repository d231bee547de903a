//! The words and flags of `config` and `doctor`; declared apart from the others only because they are many.
//!
//! No logic here; the invariants of [`super::args`] hold.

use argh::{ArgsInfo, FromArgs};

/// read, check and change the configuration
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "config", help_triggers("--help", "help"))]
pub struct Config {
    #[argh(subcommand)]
    pub command: ConfigCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum ConfigCommand {
    Get(ConfigGet),
    Set(ConfigSet),
    Unset(ConfigUnset),
    Patch(ConfigPatch),
    Validate(ConfigValidate),
    Explain(ConfigExplain),
    Schema(ConfigSchema),
    Diff(ConfigDiff),
    Restore(ConfigRestore),
    Path(ConfigPath),
    File(ConfigFile),
}

/// print one value; secrets are never shown
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "get", help_triggers("--help", "help"))]
pub struct ConfigGet {
    /// the key, as in gateway.port or agents.entries.main
    #[argh(positional)]
    pub path: String,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// change one value; everything else in the file stays as it is
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "set", help_triggers("--help", "help"))]
pub struct ConfigSet {
    /// the key, as in gateway.port
    #[argh(positional)]
    pub path: String,
    /// the value: JSON5 where it is, else plain text
    #[argh(positional)]
    pub value: Option<String>,
    /// the value must be JSON
    #[argh(switch)]
    pub strict_json: bool,
    /// the same as --strict-json; with --dry-run also print the report as JSON
    #[argh(switch)]
    pub json: bool,
    /// merge an object into the one that is there
    #[argh(switch)]
    pub merge: bool,
    /// replace an object although entries would be lost
    #[argh(switch)]
    pub replace: bool,
    /// where the secret is: env, file or exec
    #[argh(option, arg_name = "source")]
    pub ref_source: Option<String>,
    /// which provider block has the secret (default)
    #[argh(option, arg_name = "name")]
    pub ref_provider: Option<String>,
    /// the secret's name there
    #[argh(option, arg_name = "id")]
    pub ref_id: Option<String>,
    /// change it only if it has this value now
    #[argh(option, arg_name = "json")]
    pub expect_current_json: Option<String>,
    /// change it only if it is not set now
    #[argh(switch)]
    pub expect_current_absent: bool,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
}

/// take one key out of the file
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "unset", help_triggers("--help", "help"))]
pub struct ConfigUnset {
    /// the key, as in gateway.port
    #[argh(positional)]
    pub path: String,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// merge a JSON5 object into the file; null removes a key
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "patch", help_triggers("--help", "help"))]
pub struct ConfigPatch {
    /// read the object from this file
    #[argh(option, arg_name = "path")]
    pub file: Option<String>,
    /// read the object from standard input
    #[argh(switch)]
    pub stdin: bool,
    /// replace what is at this path instead of merging
    #[argh(option, arg_name = "key")]
    pub replace_path: Option<String>,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// check the file as the gateway would at its start
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "validate", help_triggers("--help", "help"))]
pub struct ConfigValidate {
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// say what a key is for, what it is now, where that comes from, and what a change would do
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "explain", help_triggers("--help", "help"))]
pub struct ConfigExplain {
    /// the key, as in gateway.port
    #[argh(positional)]
    pub path: String,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// print the JSON Schema of the file
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "schema", help_triggers("--help", "help"))]
pub struct ConfigSchema {
    /// print JSON, and nothing but JSON, on standard output (as without it)
    #[argh(switch)]
    pub json: bool,
}

/// show what changed since a backup
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "diff", help_triggers("--help", "help"))]
pub struct ConfigDiff {
    /// which backup: 0 is the newest (0)
    #[argh(option, arg_name = "number")]
    pub backup: Option<usize>,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// put a backup back in place, after showing what that changes
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "restore", help_triggers("--help", "help"))]
pub struct ConfigRestore {
    /// which backup: 0 is the newest (0)
    #[argh(option, arg_name = "number")]
    pub backup: Option<usize>,
    /// check everything and write nothing
    #[argh(switch)]
    pub dry_run: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// print the path of the configuration file in use
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "path", help_triggers("--help", "help"))]
pub struct ConfigPath {
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// the same as config path
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "file", help_triggers("--help", "help"))]
pub struct ConfigFile {
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

/// look for what is wrong with this instance and say how to mend it
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "doctor", help_triggers("--help", "help"))]
pub struct Doctor {
    /// mend what can be mended without guessing: file modes, older and unknown keys, the service's file
    #[argh(switch)]
    pub fix: bool,
    /// the same as --fix
    #[argh(switch)]
    pub repair: bool,
    /// ask nothing (as without it)
    #[argh(switch)]
    pub non_interactive: bool,
    /// answer every question with yes (there is none)
    #[argh(switch)]
    pub yes: bool,
    /// print JSON, and nothing but JSON, on standard output
    #[argh(switch)]
    pub json: bool,
}

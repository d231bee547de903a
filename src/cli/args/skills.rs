//! The words of `openclaw skills`.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// look at what agents are taught (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "skills", help_triggers("--help", "help"))]
pub struct Skills {
    #[argh(subcommand)]
    pub command: SkillsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
pub enum SkillsCommand {
    List(SkillsList),
    Info(SkillsInfo),
    Check(SkillsCheck),
}

talks_to_a_gateway! {
    /// list the skills of an agent
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct SkillsList {
        /// only those that can be used
        #[argh(switch)]
        pub eligible: bool,
        /// also what each one lacks
        #[argh(switch, short = 'v')]
        pub verbose: bool,
        /// the agent; the default one unless given
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// show one skill
    #[argh(subcommand, name = "info", help_triggers("--help", "help"))]
    pub struct SkillsInfo {
        /// its name or key
        #[argh(positional)]
        pub name: String,
        /// the agent; the default one unless given
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// show which skills can be used and what the others lack
    #[argh(subcommand, name = "check", help_triggers("--help", "help"))]
    pub struct SkillsCheck {
        /// the agent; the default one unless given
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// how long to wait, in milliseconds (10000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

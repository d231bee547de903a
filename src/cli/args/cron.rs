//! The commands about schedules, news and heartbeats.

use argh::{ArgsInfo, FromArgs};

use super::reach::{Reach, Wanted, reach};

/// look at scheduled jobs, make them and change them (without a further word: list)
#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand, name = "cron", help_triggers("--help", "help"))]
pub struct Cron {
    #[argh(subcommand)]
    pub command: CronCommand,
}

#[derive(FromArgs, ArgsInfo, Debug, PartialEq)]
#[argh(subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, read once")]
pub enum CronCommand {
    List(CronList),
    Status(CronStatus),
    Show(CronShow),
    Get(CronGet),
    Add(CronAdd),
    Edit(CronEdit),
    Enable(CronEnable),
    Disable(CronDisable),
    Run(CronRun),
    Runs(CronRuns),
    Rm(CronRm),
}

talks_to_a_gateway! {
    /// list scheduled jobs, the next one first
    #[argh(subcommand, name = "list", help_triggers("--help", "help"))]
    pub struct CronList {
        /// also those that are switched off
        #[argh(switch)]
        pub all: bool,
        /// only those of this agent
        #[argh(option, arg_name = "id")]
        pub agent: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// tell whether the scheduler runs and when it wakes next
    #[argh(subcommand, name = "status", help_triggers("--help", "help"))]
    pub struct CronStatus {
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// Adds a command that is about one job and has no flags of its own.
macro_rules! about_a_job {
    ($(#[$meta:meta])* pub struct $name:ident;) => {
        talks_to_a_gateway! {
            $(#[$meta])*
            pub struct $name {
                /// the job, by its id
                #[argh(positional)]
                pub job: String,
                /// how long to wait, in milliseconds (30000)
                #[argh(option, arg_name = "ms")]
                pub timeout: Option<u64>,
            }
        }
    };
}

about_a_job! {
    /// show one job for people, found by its id or its name
    #[argh(subcommand, name = "show", help_triggers("--help", "help"))]
    pub struct CronShow;
}

about_a_job! {
    /// print one job as JSON
    #[argh(subcommand, name = "get", help_triggers("--help", "help"))]
    pub struct CronGet;
}

about_a_job! {
    /// switch a job on
    #[argh(subcommand, name = "enable", help_triggers("--help", "help"))]
    pub struct CronEnable;
}

about_a_job! {
    /// switch a job off
    #[argh(subcommand, name = "disable", help_triggers("--help", "help"))]
    pub struct CronDisable;
}

about_a_job! {
    /// remove a job and stop its run
    #[argh(subcommand, name = "rm", help_triggers("--help", "help"))]
    pub struct CronRm;
}

talks_to_a_gateway! {
    /// run a job now
    #[argh(subcommand, name = "run", help_triggers("--help", "help"))]
    pub struct CronRun {
        /// the job, by its id
        #[argh(positional)]
        pub job: String,
        /// only if it is due
        #[argh(switch)]
        pub due: bool,
        /// wait for the end of the run; fail unless it succeeds
        #[argh(switch)]
        pub wait: bool,
        /// how long to wait for that end, as in 10m
        #[argh(option, arg_name = "time")]
        pub wait_timeout: Option<String>,
        /// how often to look, as in 2s
        #[argh(option, arg_name = "time")]
        pub poll_interval: Option<String>,
        /// how long to wait for one answer, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// print the history of a job's runs as JSON
    #[argh(subcommand, name = "runs", help_triggers("--help", "help"))]
    pub struct CronRuns {
        /// the job, by its id
        #[argh(positional)]
        pub job: Option<String>,
        /// the job, by its id, as older scripts say it
        #[argh(option, arg_name = "id")]
        pub id: Option<String>,
        /// one run, by its id
        #[argh(option, arg_name = "id")]
        pub run_id: Option<String>,
        /// at most so many (50)
        #[argh(option, arg_name = "n")]
        pub limit: Option<String>,
        /// leave out so many
        #[argh(option, arg_name = "n")]
        pub offset: Option<u64>,
        /// only those that ended so: ok, error, skipped or all
        #[argh(option, arg_name = "word")]
        pub status: Option<String>,
        /// only those whose answer or error has these words
        #[argh(option, arg_name = "text")]
        pub query: Option<String>,
        /// asc for the oldest first, desc for the newest first
        #[argh(option, arg_name = "order")]
        pub sort: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

/// Adds a command that writes a job, with the flags `add` and `edit` share.
macro_rules! writes_a_job {
    ($(#[$meta:meta])* pub struct $name:ident { $( $(#[$field_meta:meta])* pub $field:ident: $type:ident $(<$inner:ident>)?, )* }) => {
        talks_to_a_gateway! {
            $(#[$meta])*
            pub struct $name {
                $( $(#[$field_meta])* pub $field: $type $(<$inner>)?, )*
                /// name of the job
                #[argh(option, arg_name = "text")]
                pub name: Option<String>,
                /// name for people, if another
                #[argh(option, arg_name = "text")]
                pub display_name: Option<String>,
                /// what it is for
                #[argh(option, arg_name = "text")]
                pub description: Option<String>,
                /// once, at a time (2027-02-01T16:00:00Z) or after one (20m)
                #[argh(option, arg_name = "when")]
                pub at: Option<String>,
                /// again and again after this time (10m, 2h, 1d)
                #[argh(option, arg_name = "time")]
                pub every: Option<String>,
                /// by a cron expression of five or six fields
                #[argh(option, arg_name = "expression")]
                pub cron: Option<String>,
                /// time zone of the expression, or of a time without an offset
                #[argh(option, arg_name = "zone")]
                pub tz: Option<String>,
                /// exactly at that time, as without --stagger
                #[argh(switch)]
                pub exact: bool,
                /// spread jobs over this time (30s)
                #[argh(option, arg_name = "time")]
                pub stagger: Option<String>,
                /// where it runs: main, isolated, current or session:<key>
                #[argh(option, arg_name = "where")]
                pub session: Option<String>,
                /// the session it belongs to, by its key
                #[argh(option, arg_name = "key")]
                pub session_key: Option<String>,
                /// which agent (the default one)
                #[argh(option, arg_name = "id")]
                pub agent: Option<String>,
                /// what to say to the agent
                #[argh(option, short = 'm', arg_name = "text")]
                pub message: Option<String>,
                /// tell the main session this instead
                #[argh(option, arg_name = "text")]
                pub system_event: Option<String>,
                /// run this shell command instead, without an agent
                #[argh(option, arg_name = "command")]
                pub command: Option<String>,
                /// run exactly these words instead, a JSON array
                #[argh(option, arg_name = "json")]
                pub command_argv: Option<String>,
                /// directory of the command
                #[argh(option, arg_name = "dir")]
                pub command_cwd: Option<String>,
                /// bytes of the command's output that are kept
                #[argh(option, arg_name = "n")]
                pub output_max_bytes: Option<u64>,
                /// model of the run, as provider/model
                #[argh(option, arg_name = "model")]
                pub model: Option<String>,
                /// models to try when that fails, with commas between them
                #[argh(option, arg_name = "models")]
                pub fallbacks: Option<String>,
                /// how long the model may think: off, minimal, low, medium or high
                #[argh(option, arg_name = "level")]
                pub thinking: Option<String>,
                /// how long a run may take; 0 sets no limit
                #[argh(option, arg_name = "seconds")]
                pub timeout_seconds: Option<u64>,
                /// leave the files of the workspace out of the prompt
                #[argh(switch)]
                pub light_context: bool,
                /// only these tools, with commas between them
                #[argh(option, arg_name = "names")]
                pub tools: Option<String>,
                /// when the main session hears of it: now or next-heartbeat
                #[argh(option, arg_name = "when")]
                pub wake: Option<String>,
                /// send the answer to a messenger
                #[argh(switch)]
                pub announce: bool,
                /// the same, as older scripts say it
                #[argh(switch)]
                pub deliver: bool,
                /// keep the answer here
                #[argh(switch)]
                pub no_deliver: bool,
                /// which messenger (that of the last conversation)
                #[argh(option, arg_name = "id")]
                pub channel: Option<String>,
                /// to whom
                #[argh(option, arg_name = "recipient")]
                pub to: Option<String>,
                /// which account of the messenger
                #[argh(option, arg_name = "id")]
                pub account: Option<String>,
                /// which thread of the conversation
                #[argh(option, arg_name = "id")]
                pub thread_id: Option<String>,
                /// a run is good although its answer could not be sent
                #[argh(switch)]
                pub best_effort_deliver: bool,
                /// send the result to this address by HTTP
                #[argh(option, arg_name = "url")]
                pub webhook: Option<String>,
                /// forget a job that ran once
                #[argh(switch)]
                pub delete_after_run: bool,
                /// keep a job that ran once
                #[argh(switch)]
                pub keep_after_run: bool,
                /// how long to wait, in milliseconds (30000)
                #[argh(option, arg_name = "ms")]
                pub timeout: Option<u64>,
            }
        }

            impl $name {
                /// The flags that say what the job is.
                pub fn writing(&self) -> Writing<'_> {
                    let text = |value: &'_ Option<String>| -> Option<String> { value.clone() };
                    Writing {
                        texts: [
                            ("name", text(&self.name)),
                            ("displayName", text(&self.display_name)),
                            ("description", text(&self.description)),
                            ("agentId", text(&self.agent)),
                            ("sessionKey", text(&self.session_key)),
                            ("wakeMode", text(&self.wake)),
                        ],
                        at: self.at.as_deref(),
                        every: self.every.as_deref(),
                        cron: self.cron.as_deref(),
                        tz: self.tz.as_deref(),
                        stagger: if self.exact { Some("0s") } else { self.stagger.as_deref() },
                        session: self.session.as_deref(),
                        message: self.message.as_deref(),
                        system_event: self.system_event.as_deref(),
                        command: self.command.as_deref(),
                        command_argv: self.command_argv.as_deref(),
                        command_cwd: self.command_cwd.as_deref(),
                        output_max_bytes: self.output_max_bytes,
                        model: self.model.as_deref(),
                        fallbacks: self.fallbacks.as_deref(),
                        thinking: self.thinking.as_deref(),
                        timeout_seconds: self.timeout_seconds,
                        light_context: self.light_context,
                        tools: self.tools.as_deref(),
                        announce: self.announce || self.deliver,
                        no_deliver: self.no_deliver,
                        channel: self.channel.as_deref(),
                        to: self.to.as_deref(),
                        account: self.account.as_deref(),
                        thread_id: self.thread_id.as_deref(),
                        best_effort: self.best_effort_deliver,
                        webhook: self.webhook.as_deref(),
                        delete_after_run: if self.keep_after_run {
                            Some(false)
                        } else {
                            self.delete_after_run.then_some(true)
                        },
                    }
                }
            }
    };
}

/// What the flags of `add` and `edit` say about a job.
pub struct Writing<'a> {
    /// Fields that are texts, by their names in the protocol.
    pub texts: [(&'static str, Option<String>); 6],
    pub at: Option<&'a str>,
    pub every: Option<&'a str>,
    pub cron: Option<&'a str>,
    pub tz: Option<&'a str>,
    pub stagger: Option<&'a str>,
    pub session: Option<&'a str>,
    pub message: Option<&'a str>,
    pub system_event: Option<&'a str>,
    pub command: Option<&'a str>,
    pub command_argv: Option<&'a str>,
    pub command_cwd: Option<&'a str>,
    pub output_max_bytes: Option<u64>,
    pub model: Option<&'a str>,
    pub fallbacks: Option<&'a str>,
    pub thinking: Option<&'a str>,
    pub timeout_seconds: Option<u64>,
    pub light_context: bool,
    pub tools: Option<&'a str>,
    pub announce: bool,
    pub no_deliver: bool,
    pub channel: Option<&'a str>,
    pub to: Option<&'a str>,
    pub account: Option<&'a str>,
    pub thread_id: Option<&'a str>,
    pub best_effort: bool,
    pub webhook: Option<&'a str>,
    pub delete_after_run: Option<bool>,
}

writes_a_job! {
    /// make a job
    #[argh(subcommand, name = "add", help_triggers("--help", "help"))]
    pub struct CronAdd {
        /// when (a cron expression, or as --at), then what to say to the agent
        #[argh(positional)]
        pub schedule: Vec<String>,
        /// the job of this name in another program: made once, then brought up to date
        #[argh(option, arg_name = "key")]
        pub declaration_key: Option<String>,
        /// make it switched off
        #[argh(switch)]
        pub disabled: bool,
    }
}

writes_a_job! {
    /// change a job
    #[argh(subcommand, name = "edit", help_triggers("--help", "help"))]
    pub struct CronEdit {
        /// the job, by its id
        #[argh(positional)]
        pub job: String,
        /// switch it on
        #[argh(switch)]
        pub enable: bool,
        /// switch it off
        #[argh(switch)]
        pub disable: bool,
        /// back to the default agent
        #[argh(switch)]
        pub clear_agent: bool,
        /// back to the agent's model
        #[argh(switch)]
        pub clear_model: bool,
    }
}

talks_to_a_gateway! {
    /// tell an agent something, now or with its next turn
    #[argh(subcommand, name = "event", help_triggers("--help", "help"))]
    pub struct SystemEvent {
        /// what to tell it
        #[argh(option, arg_name = "text")]
        pub text: String,
        /// now, or next-heartbeat (as without the flag)
        #[argh(option, arg_name = "when")]
        pub mode: Option<String>,
        /// the session to tell it in, by its key
        #[argh(option, arg_name = "key")]
        pub session_key: Option<String>,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

talks_to_a_gateway! {
    /// look at heartbeats or switch them: last, enable, disable
    #[argh(subcommand, name = "heartbeat", help_triggers("--help", "help"))]
    pub struct SystemHeartbeat {
        /// last, enable or disable
        #[argh(positional)]
        pub what: String,
        /// how long to wait, in milliseconds (30000)
        #[argh(option, arg_name = "ms")]
        pub timeout: Option<u64>,
    }
}

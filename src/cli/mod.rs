//! The command line: argv in, exit code out.
//!
//! [`main`] puts the arguments in order ([`argv`]), lets argh read them ([`args`]) and runs one command, each in its own
//! file. Commands talk to a running gateway over the control socket; only `gateway run` is the gateway.
//!
//! Deliberately absent: state of any kind. Only `config set|unset|patch|restore`, `setup` and `doctor
//! --fix` write the configuration.
//!
//! Invariants: with `--json` nothing but JSON goes to standard output; no credential is ever printed; text that came
//! from a gateway is cleaned of control characters before it is printed.

pub mod args;
pub mod argv;
pub mod calls;
pub mod failure;
pub mod output;
mod pairing;
pub mod settings;
pub mod target;
mod tokens;

mod agent;
mod approvals;
mod channels;
mod channels_setup;
mod completion;
pub mod config_args;
mod config_changes;
mod config_path;
mod config_read;
mod config_write;
mod cron;
mod devices;
mod doctor;
mod doctor_system;
mod gateway_call;
mod gateway_discover;
mod gateway_health;
mod gateway_probe;
pub mod gateway_run;
mod gateway_service;
mod gateway_service_report;
mod gateway_service_spec;
mod gateway_stability;
mod gateway_status;
mod health;
mod help;
mod logs;
mod message;
mod models;
mod nodes;
mod probe;
mod protocol;
mod qr;
mod question;
mod secrets;
mod secrets_plan;
mod secrets_store;
mod sessions;
mod setup;
mod setup_model;
mod skills;
mod status;
mod system;

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal};
use std::process::ExitCode;

use argh::FromArgs;

use self::args::{
    AllowlistCommand, ApprovalsCommand, ChannelsCommand, Cli, Command, ConfigCommand, CronCommand, DevicesCommand,
    GatewayCommand, MessageCommand, ModelsCommand, NodesCommand, PairingCommand, ProtocolCommand, SecretsCommand,
    SecretsStoreCommand, SessionsCommand, SkillsCommand, SystemCommand, TokensCommand,
};
use self::argv::Line;
use self::failure::Failure;
use self::gateway_run::GatewayOptions;
use self::output::Shell;
use crate::sys::Env;
use crate::sys::paths::Selector;

/// Runs the gateway until it ends. A seam for tests, and the only way from here to the gateway.
pub type RunGateway = fn(&GatewayOptions, &Env) -> Result<(), Failure>;

/// Runs the command line of this process (without the program's name).
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let env = Env::of_process();
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && env.get("NO_COLOR").is_none() && env.get("TERM") != Some("dumb");
    let (mut out, mut err) = (BufWriter::new(stdout.lock()), io::stderr());
    let mut shell = Shell { out: &mut out, err: &mut err, env, selector: Selector::default(), log_level: None, colour };
    ExitCode::from(run(args, &mut shell, gateway_run::start))
}

/// Like [`main`], on any streams and environment; the exit status comes back as a number.
pub fn run(args: impl IntoIterator<Item = OsString>, shell: &mut Shell, run_gateway: RunGateway) -> u8 {
    let mut json = false;
    let done = read(args, &mut json)
        .and_then(|line| obey(&line, shell, run_gateway))
        .and_then(|()| shell.out.flush().map_err(Failure::from));
    let Err(failure) = done else { return 0 };
    match shell.failed(&failure, json).and_then(|()| shell.out.flush()) {
        Ok(()) => failure.status(),
        Err(unsaid) => Failure::from(unsaid).status().max(failure.status()),
    }
}

fn read(args: impl IntoIterator<Item = OsString>, json: &mut bool) -> Result<Line, Failure> {
    let args: Result<Vec<String>, OsString> = args.into_iter().map(OsString::into_string).collect();
    let args = args.map_err(|odd| Failure::usage(format!("not UTF-8: {}", odd.display())))?;
    *json = args.iter().any(|arg| arg == "--json");
    let line = argv::normalise(&args).map_err(|bad| Failure::usage(bad).hint(SEE_HELP))?;
    *json = line.json;
    Ok(line)
}

fn obey(line: &Line, shell: &mut Shell, run_gateway: RunGateway) -> Result<(), Failure> {
    if line.words.is_empty() && line.help {
        return help::print(shell);
    }
    let args: Vec<&str> = line.args.iter().map(String::as_str).collect();
    let cli = match Cli::from_args(&[PROGRAM], &args) {
        Ok(cli) => cli,
        Err(early) if early.status.is_ok() => return shell.line(args::reach::shown(&early.output).trim_end()),
        Err(early) => return Err(Failure::usage(early.output.trim().to_owned()).hint(see_help(line))),
    };
    if cli.version {
        return shell.line(concat!("openclaw ", env!("CARGO_PKG_VERSION")));
    }
    if let Some(level) = cli.log_level.as_deref().filter(|level| !LEVELS.contains(level)) {
        return Err(Failure::usage(format!("unknown log level: {level} (one of {})", LEVELS.join(", "))));
    }
    shell.colour &= !cli.no_color;
    shell.log_level = cli.log_level;
    shell.selector = Selector { profile: cli.profile, dev: cli.dev };
    match cli.command {
        None => help::print(shell),
        Some(Command::Gateway(gateway)) => obey_gateway(gateway.command, shell, run_gateway),
        Some(other) => obey_other(other, shell, run_gateway),
    }
}

/// Apart from all other commands, whose code would otherwise be in the memory of every gateway.
#[inline(never)]
fn obey_gateway(command: GatewayCommand, shell: &mut Shell, run_gateway: RunGateway) -> Result<(), Failure> {
    match command {
        GatewayCommand::Run(args) => gateway_run::run(shell, &args, run_gateway),
        GatewayCommand::Status(args) => gateway_status::run(shell, &args),
        GatewayCommand::Health(args) => gateway_health::run(shell, &args),
        GatewayCommand::Probe(args) => gateway_probe::run(shell, &args),
        GatewayCommand::Stability(args) => gateway_stability::run(shell, &args),
        GatewayCommand::Discover(args) => gateway_discover::run(shell, &args),
        GatewayCommand::Call(args) => gateway_call::run(shell, &args),
        GatewayCommand::Install(args) => gateway_service::install(shell, &args),
        GatewayCommand::Uninstall(args) => gateway_service::uninstall(shell, &args),
        GatewayCommand::Start(args) => gateway_service::start(shell, &args),
        GatewayCommand::Stop(args) => gateway_service::stop(shell, &args),
        GatewayCommand::Restart(args) => gateway_service::restart(shell, &args),
    }
}

#[inline(never)]
fn obey_other(command: Command, shell: &mut Shell, run_gateway: RunGateway) -> Result<(), Failure> {
    match command {
        Command::Gateway(gateway) => obey_gateway(gateway.command, shell, run_gateway),
        Command::Status(args) => status::run(shell, &args),
        Command::Health(args) => health::run(shell, &args),
        Command::Agent(args) => agent::run(shell, &args),
        Command::Sessions(sessions) => match sessions.command {
            SessionsCommand::List(args) => sessions::list(shell, &args),
            SessionsCommand::Cleanup(args) => sessions::cleanup(shell, &args),
        },
        Command::Logs(args) => logs::run(shell, &args),
        Command::Channels(channels) => match channels.command {
            ChannelsCommand::List(args) => channels_setup::list(shell, &args),
            ChannelsCommand::Status(args) => channels::status(shell, &args),
            ChannelsCommand::Add(args) => channels_setup::add(shell, &args),
            ChannelsCommand::Remove(args) => channels_setup::remove(shell, &args),
            ChannelsCommand::Login(args) => channels_setup::login(shell, &args),
            ChannelsCommand::Logout(args) => channels_setup::logout(shell, &args),
        },
        Command::Pairing(pairing) => match pairing.command {
            PairingCommand::List(args) => pairing::list(shell, &args),
            PairingCommand::Approve(args) => pairing::approve(shell, &args),
        },
        Command::Message(message) => match message.command {
            MessageCommand::Send(args) => message::send(shell, &args),
        },
        Command::Models(models) => match models.command {
            ModelsCommand::List(args) => models::list(shell, &args),
        },
        Command::Skills(skills) => match skills.command {
            SkillsCommand::List(args) => skills::list(shell, &args),
            SkillsCommand::Info(args) => skills::info(shell, &args),
            SkillsCommand::Check(args) => skills::check(shell, &args),
        },
        Command::System(system) => match system.command {
            SystemCommand::Presence(args) => system::presence(shell, &args),
            SystemCommand::Event(args) => system::event(shell, &args),
            SystemCommand::Heartbeat(args) => system::heartbeat(shell, &args),
        },
        Command::Cron(cron) => match cron.command {
            CronCommand::List(args) => cron::list(shell, &args),
            CronCommand::Status(args) => cron::status(shell, &args),
            CronCommand::Show(args) => cron::show(shell, &args),
            CronCommand::Get(args) => cron::get(shell, &args),
            CronCommand::Add(args) => cron::add(shell, &args),
            CronCommand::Edit(args) => cron::edit(shell, &args),
            CronCommand::Enable(args) => cron::enable(shell, &args),
            CronCommand::Disable(args) => cron::disable(shell, &args),
            CronCommand::Run(args) => cron::run(shell, &args),
            CronCommand::Runs(args) => cron::runs(shell, &args),
            CronCommand::Rm(args) => cron::rm(shell, &args),
        },
        Command::Devices(devices) => match devices.command {
            DevicesCommand::List(args) => devices::list(shell, &args),
            DevicesCommand::Approve(args) => devices::approve(shell, &args),
            DevicesCommand::Reject(args) => devices::reject(shell, &args),
            DevicesCommand::Remove(args) => devices::remove(shell, &args),
            DevicesCommand::Rename(args) => devices::rename(shell, &args),
            DevicesCommand::Rotate(args) => devices::rotate(shell, &args),
            DevicesCommand::Revoke(args) => devices::revoke(shell, &args),
            DevicesCommand::Clear(args) => devices::clear(shell, &args),
        },
        Command::Approvals(approvals) => match approvals.command {
            ApprovalsCommand::Get(args) => approvals::get(shell, &args),
            ApprovalsCommand::Set(args) => approvals::set(shell, &args),
            ApprovalsCommand::Pending(args) => approvals::pending(shell, &args),
            ApprovalsCommand::Resolve(args) => approvals::resolve(shell, &args),
            ApprovalsCommand::Allowlist(list) => match list.command {
                AllowlistCommand::Add(args) => approvals::allowlist_add(shell, &args),
                AllowlistCommand::Remove(args) => approvals::allowlist_remove(shell, &args),
            },
        },
        Command::Nodes(nodes) => match nodes.command {
            NodesCommand::Status(args) => nodes::status(shell, &args),
            NodesCommand::List(args) => nodes::list(shell, &args),
            NodesCommand::Describe(args) => nodes::describe(shell, &args),
            NodesCommand::Pending(args) => nodes::pending(shell, &args),
            NodesCommand::Approve(args) => nodes::approve(shell, &args),
            NodesCommand::Reject(args) => nodes::reject(shell, &args),
            NodesCommand::Remove(args) => nodes::remove(shell, &args),
            NodesCommand::Rename(args) => nodes::rename(shell, &args),
            NodesCommand::Invoke(args) => nodes::invoke(shell, &args),
            NodesCommand::Notify(args) => nodes::notify(shell, &args),
        },
        Command::Tokens(tokens) => match tokens.command {
            TokensCommand::List(args) => tokens::list(shell, &args),
            TokensCommand::Create(args) => tokens::create(shell, &args),
            TokensCommand::Revoke(args) => tokens::revoke(shell, &args),
        },
        Command::Qr(args) => qr::run(shell, &args),
        Command::Config(config) => match config.command {
            ConfigCommand::Path(args) => config_path::run(shell, args.json),
            ConfigCommand::File(args) => config_path::run(shell, args.json),
            ConfigCommand::Get(args) => config_read::get(shell, &args),
            ConfigCommand::Explain(args) => config_read::explain(shell, &args),
            ConfigCommand::Validate(args) => config_read::validate(shell, &args),
            ConfigCommand::Schema(args) => config_read::schema(shell, &args),
            ConfigCommand::Diff(args) => config_changes::diff(shell, &args),
            ConfigCommand::Set(args) => config_write::set(shell, &args),
            ConfigCommand::Unset(args) => config_write::unset(shell, &args),
            ConfigCommand::Patch(args) => config_write::patch(shell, &args),
            ConfigCommand::Restore(args) => config_changes::restore(shell, &args),
        },
        Command::Secrets(secrets) => match secrets.command {
            SecretsCommand::Reload(args) => secrets::reload(shell, &args),
            SecretsCommand::Audit(args) => secrets::audit(shell, &args),
            SecretsCommand::Configure(args) => secrets_plan::configure(shell, &args),
            SecretsCommand::Apply(args) => secrets_plan::apply(shell, &args),
            SecretsCommand::Store(store) => match store.command {
                SecretsStoreCommand::List(args) => secrets_store::list(shell, &args),
                SecretsStoreCommand::Set(args) => secrets_store::set(shell, &args),
                SecretsStoreCommand::Get(args) => secrets_store::get(shell, &args),
                SecretsStoreCommand::Rm(args) => secrets_store::rm(shell, &args),
            },
        },
        Command::Setup(args) => setup::run(shell, &args),
        Command::Onboard(args) => setup::run(shell, &args.into()),
        Command::Doctor(args) => doctor::run(shell, &args),
        Command::Protocol(protocol) => match protocol.command {
            ProtocolCommand::Coverage(args) => protocol::coverage(shell, &args),
        },
        Command::Completion(args) => completion::run(shell, &args),
    }
}

fn see_help(line: &Line) -> String {
    let words: String = line.words.iter().map(|word| format!("{word} ")).collect();
    format!("See: {PROGRAM} {words}--help")
}

const PROGRAM: &str = "openclaw";

const SEE_HELP: &str = "See: openclaw --help";

/// The words of the reference.
const LEVELS: [&str; 7] = ["silent", "fatal", "error", "warn", "info", "debug", "trace"];

#[cfg(test)]
mod config_tests;
#[cfg(test)]
mod man_tests;
#[cfg(test)]
mod tests;

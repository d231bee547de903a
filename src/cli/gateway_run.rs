//! `openclaw gateway` and `openclaw gateway run`: starts the gateway in the foreground.
//!
//! Only checks the flags; everything else, the configuration included, is the gateway's own work.

use super::args::GatewayRun;
use super::failure::{Failure, Kind};
use super::output::Shell;
use super::{PROGRAM, RunGateway};
use crate::config::{AuthMode, BindMode};
use crate::gateway::{self, StartError};
use crate::sys::Env;
use crate::sys::secret::Secret;

pub use crate::gateway::Options as GatewayOptions;

/// Runs the gateway until it ends.
pub fn run(shell: &mut Shell, args: &GatewayRun, run_gateway: RunGateway) -> Result<(), Failure> {
    let options = options(shell, args)?;
    run_gateway(&options, &shell.env)
}

/// The gateway of this program.
pub fn start(options: &GatewayOptions, env: &Env) -> Result<(), Failure> {
    gateway::run(options, env).map_err(|error| {
        let text = error.to_string();
        match error {
            StartError::Usage(_) => Failure::usage(text),
            StartError::Config(_) => Failure::config(text),
            StartError::Failed(_) => Failure::new(Kind::Internal, text),
            StartError::Broken(_) => Failure::new(Kind::Broken, text),
        }
    })
}

fn options(shell: &Shell, args: &GatewayRun) -> Result<GatewayOptions, Failure> {
    let unknown = |flag: &str, value: &str, known: Vec<&str>| {
        let known = known.join(", ");
        Failure::usage(format!("{flag} {value}: unknown mode (one of {known})"))
            .hint(format!("See: {PROGRAM} gateway run --help"))
    };
    let bind = args.bind.as_deref().map(|name| {
        let known = || BindMode::ALL.iter().map(|mode| mode.as_str()).collect();
        BindMode::named(name).ok_or_else(|| unknown("--bind", name, known()))
    });
    let auth = args.auth.as_deref().map(|name| {
        let known = || AuthMode::ALL.iter().map(|mode| mode.as_str()).collect();
        AuthMode::named(name).ok_or_else(|| unknown("--auth", name, known()))
    });
    // `gateway --dev` on the default profile means the dev profile: a trial run must not touch the real state.
    let mut selector = shell.selector.clone();
    selector.dev |= args.dev && selector.profile.is_none() && shell.env.get("OPENCLAW_PROFILE").is_none();
    Ok(GatewayOptions {
        selector,
        port: args.port,
        bind: bind.transpose()?,
        auth: auth.transpose()?,
        token: secret(args.token.as_deref()),
        password: secret(args.password.as_deref()),
        force: args.force,
        allow_unconfigured: args.allow_unconfigured,
        dev: args.dev,
        verbose: args.verbose,
        log_level: shell.log_level.clone(),
    })
}

/// An empty flag is a script's unset variable, not an empty password.
fn secret(value: Option<&str>) -> Option<Secret> {
    value.map(str::trim).filter(|value| !value.is_empty()).map(Secret::new)
}

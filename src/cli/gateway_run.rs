//! `openclaw gateway` and `openclaw gateway run`: starts the gateway in the foreground.
//!
//! Only checks the flags; everything else, the configuration included, is the gateway's own work.

use super::args::GatewayRun;
use super::failure::{Failure, Kind};
use super::output::Shell;
use super::{PROGRAM, RunGateway};
use crate::config::{AuthMode, BindMode};
use crate::sys::Env;
use crate::sys::paths::Selector;
use crate::sys::secret::Secret;

/// What the command line says about the gateway to run. `None` leaves it to environment and configuration.
#[derive(Debug, Clone, Default)]
pub struct GatewayOptions {
    /// The instance: its profile chooses state directory and configuration.
    pub selector: Selector,
    pub port: Option<u16>,
    pub bind: Option<BindMode>,
    pub auth: Option<AuthMode>,
    pub token: Option<Secret>,
    pub password: Option<Secret>,
    /// End whoever listens on the port first.
    pub force: bool,
    /// Start without `gateway.mode: "local"`.
    pub allow_unconfigured: bool,
    /// Create a development configuration and workspace where missing.
    pub dev: bool,
    pub verbose: bool,
    /// One of the reference's level words.
    pub log_level: Option<String>,
}

/// Runs the gateway until it ends.
pub fn run(shell: &mut Shell, args: &GatewayRun, run_gateway: RunGateway) -> Result<(), Failure> {
    let options = options(shell, args)?;
    run_gateway(&options, &shell.env)
}

/// The gateway of this program.
pub fn start(_options: &GatewayOptions, _env: &Env) -> Result<(), Failure> {
    Err(Failure::new(Kind::Internal, "this build has no gateway yet"))
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

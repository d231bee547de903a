//! `openclaw gateway health`: does the gateway answer, in one line.

use std::time::{Duration, Instant};

use super::args::GatewayHealth;
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::output::Shell;
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints `OK` with the time it took, or fails.
pub fn run(shell: &mut Shell, args: &GatewayHealth) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let begun = Instant::now();
    let health = calls.once(Identity::cli(&["operator.read"]), "health", json!({}))?;
    if args.json {
        return shell.json(&health);
    }
    if health.get("ok") != Some(&true.into()) {
        return Err(Failure::new(Kind::Refused, "the gateway says it is not well").hint("Look with: openclaw health"));
    }
    let ok = shell.mark(true, "OK");
    shell.line(format!("Gateway Health: {ok} ({} ms)", begun.elapsed().as_millis()))
}

/// A gateway that needs ten seconds to say it is well is not.
const USUAL: Duration = Duration::from_secs(10);

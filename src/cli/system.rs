//! `openclaw system presence`: who is connected.

use std::time::Duration;

use serde_json::json;

use super::args::SystemPresence;
use super::calls::Calls;
use super::failure::Failure;
use super::output::Shell;
use super::settings::Settings;
use crate::client::Identity;

/// Prints the gateway's list as JSON, with and without `--json`: that is what scripts have always read.
pub fn presence(shell: &mut Shell, args: &SystemPresence) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let list = calls.once(Identity::cli(&["operator.read"]), "system-presence", json!({}))?;
    shell.json(&list)
}

const USUAL: Duration = Duration::from_secs(30);

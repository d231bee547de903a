//! `openclaw system`: who is connected, news for an agent, heartbeats.

use std::time::Duration;

use super::args::{SystemEvent, SystemHeartbeat, SystemPresence};
use super::calls::Calls;
use super::failure::Failure;
use super::output::Shell;
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints the gateway's list as JSON, with and without `--json`: that is what scripts have always read.
pub fn presence(shell: &mut Shell, args: &SystemPresence) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let list = calls.once(Identity::cli(&["operator.read"]), "system-presence", json!({}))?;
    shell.json(&list)
}

/// Tells an agent something.
pub fn event(shell: &mut Shell, args: &SystemEvent) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mode = args.mode.as_deref().unwrap_or("next-heartbeat");
    let mut params = json!({"mode": mode, "text": args.text});
    if let Some(key) = &args.session_key {
        params["sessionKey"] = key.as_str().into();
    }
    let done = calls.once(Identity::cli(&["operator.write"]), "wake", params)?;
    if args.json { shell.json(&done) } else { shell.line("ok") }
}

/// Shows the last heartbeat, or switches heartbeats on or off.
pub fn heartbeat(shell: &mut Shell, args: &SystemHeartbeat) -> Result<(), Failure> {
    let enabled = match args.what.as_str() {
        "last" => None,
        "enable" => Some(true),
        "disable" => Some(false),
        _ => return Err(Failure::usage("heartbeat wants one of: last, enable, disable")),
    };
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let result = match enabled {
        None => calls.once(Identity::cli(&["operator.read"]), "last-heartbeat", json!({}))?,
        Some(enabled) => {
            calls.once(Identity::cli(&["operator.admin"]), "set-heartbeats", json!({"enabled": enabled}))?
        }
    };
    shell.json(&result)
}

const USUAL: Duration = Duration::from_secs(30);

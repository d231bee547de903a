//! `openclaw gateway call METHOD`: one request, its answer as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::GatewayCall;
use super::calls::Calls;
use super::failure::Failure;
use super::output::Shell;
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::scope::{NAMES, Scopes};

/// Prints the payload of the answer. Without `--expect-final` the first answer of a two-stage method is the answer.
pub fn run(shell: &mut Shell, args: &GatewayCall) -> Result<(), Failure> {
    let params = params(args.params.as_deref())?;
    let settings = Settings::load(shell)?;
    let calls = Calls::new(shell, &settings, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(Identity::cli(&everything()))?;
    let method = args.method.trim();
    let result = if args.expect_final {
        calls.ask_final(&mut client, method, params, &mut |_| false)?
    } else {
        calls.ask(&mut client, method, params)?
    };
    client.close();
    if !args.json {
        shell.note(format!("Gateway call: {method}"))?;
    }
    shell.json(&result)
}

fn params(text: Option<&str>) -> Result<Value, Failure> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(json!({})) };
    let params: Value = serde_json::from_str(text).map_err(|bad| {
        Failure::usage(format!("--params is not JSON: {bad}")).hint("Example: --params '{\"limit\": 5}'")
    })?;
    match params {
        Value::Object(_) => Ok(params),
        _ => Err(Failure::usage("--params must be a JSON object")),
    }
}

/// The methods are the gateway's affair, so is what each needs: a caller who does not know asks for all an operator has.
fn everything() -> Vec<&'static str> {
    let default = Scopes::operator_default();
    NAMES.iter().filter(|(scope, _)| default.holds(*scope)).map(|(_, name)| *name).collect()
}

/// The protocol's customary patience.
const USUAL: Duration = Duration::from_secs(30);

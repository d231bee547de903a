//! `openclaw gateway call METHOD`: one request, its answer as JSON.

use std::time::Duration;

use serde_json::Value;

use super::args::GatewayCall;
use super::calls::Calls;
use super::failure::Failure;
use super::output::Shell;
use super::settings::Settings;
use crate::client::Identity;
use crate::rpc;
use crate::rpc::table::Need;
use crate::wire::misfit;
use crate::wire::scope::{NAMES, Scope, Scopes};
use crate::wire::tree::json;

/// Prints the payload of the answer. Without `--expect-final` the first answer of a two-stage method is the answer.
pub fn run(shell: &mut Shell, args: &GatewayCall) -> Result<(), Failure> {
    let method = args.method.trim();
    let params = params(args.params.as_deref())?;
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(Identity::cli(&scopes(method)))?;
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
    let params: Value = misfit::read(text).map_err(|bad| {
        Failure::usage(format!("--params is not JSON: {bad}")).hint("Example: --params '{\"limit\": 5}'")
    })?;
    match params {
        Value::Object(_) => Ok(params),
        _ => Err(Failure::usage("--params must be a JSON object")),
    }
}

/// The least that will do. What a method of another gateway needs is not known here: then everything an operator has.
fn scopes(method: &str) -> Vec<&'static str> {
    match rpc::find(method).map(|row| row.need) {
        Some(Need::Any | Need::Node) => vec![Scope::Read.name()],
        Some(Need::Scope(scope)) => vec![scope.name()],
        Some(Need::Dynamic) | None => {
            let all = Scopes::operator_default();
            NAMES.iter().filter(|(scope, _)| all.holds(*scope)).map(|(_, name)| *name).collect()
        }
    }
}

/// The protocol's customary patience.
const USUAL: Duration = Duration::from_secs(30);

//! `openclaw models list`: the language models an agent can use.

use std::time::Duration;

use serde_json::Value;

use super::args::ModelsList;
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, list_at, number_at, shorten, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::wire::tree::json;

/// Prints the catalogue.
pub fn list(shell: &mut Shell, args: &ModelsList) -> Result<(), Failure> {
    let settings = Settings::load(shell)?;
    let calls = Calls::new(&settings, args.wanted(), args.timeout, USUAL)?;
    let view = if args.all { "all" } else { "default" };
    let who = Identity::backend("models.list", &["operator.read"]);
    let mut result = calls.once(who, "models.list", json!({"view": view, "includeDetails": true}))?;
    if let Some(models) = result.get_mut("models").and_then(Value::as_array_mut) {
        models.retain(|model| args.provider.as_deref().is_none_or(|wanted| model["provider"] == wanted));
    }
    let models = list_at(&result, "/models");
    if args.json {
        result["count"] = models.len().into();
        return shell.json(&result);
    }
    if models.is_empty() {
        return shell.line("No models.");
    }
    let rows: Vec<Vec<String>> = models.iter().map(cells).collect();
    for line in table(&["Model", "Input", "Context", "Local", "Available", "Tags"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

fn cells(model: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(model, pointer).unwrap_or_default();
    let join = |pointer: &str| {
        list_at(model, pointer).iter().filter_map(|item| text_at(item, "")).collect::<Vec<_>>().join(",")
    };
    let context = number_at(model, "/contextWindow").map(|tokens| match tokens {
        0..1000 => tokens.to_string(),
        _ => format!("{}k", tokens / 1000),
    });
    let yes = |name: &str| if model[name] == true { "yes" } else { "no" };
    let available = match text("/unavailableReason") {
        why if why.is_empty() || model["available"] == true => yes("available").to_owned(),
        why => format!("no ({why})"),
    };
    vec![
        shorten(&format!("{}/{}", text("/provider"), text("/id")), MODEL_WIDTH),
        join("/input"),
        context.unwrap_or_default(),
        yes("local").to_owned(),
        available,
        join("/tags"),
    ]
}

const USUAL: Duration = Duration::from_secs(30);

const MODEL_WIDTH: usize = 60;

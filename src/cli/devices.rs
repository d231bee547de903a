//! `openclaw devices`: the devices that may connect, those that wait, and their tokens.

use std::time::Duration;

use serde_json::Value;

use super::args::{
    DevicesApprove, DevicesClear, DevicesList, DevicesReject, DevicesRemove, DevicesRename, DevicesRevoke,
    DevicesRotate,
};
use super::calls::Calls;
use super::failure::Failure;
use super::output::{Shell, age, list_at, number_at, shorten, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::sys::clock;
use crate::wire::tree::json;

/// Shows what waits and what was approved.
pub fn list(shell: &mut Shell, args: &DevicesList) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let result = calls.once(pairing(&[]), "device.pair.list", json!({}))?;
    if args.json {
        return shell.json(&result);
    }
    let (pending, paired) = (list_at(&result, "/pending"), list_at(&result, "/paired"));
    if pending.is_empty() && paired.is_empty() {
        return shell.line("No devices.");
    }
    if !pending.is_empty() {
        shell.line("Waiting for approval:")?;
        let rows: Vec<_> = pending.iter().map(waiting).collect();
        for line in table(&["Request", "Device", "Role", "Scopes", "From", "Age", "Kind"], &rows) {
            shell.line(line)?;
        }
    }
    if !paired.is_empty() {
        shell.line("Approved:")?;
        let rows: Vec<_> = paired.iter().map(approved).collect();
        for line in table(&["Device", "Name", "Roles", "Scopes", "Seen", "Tokens"], &rows) {
            shell.line(line)?;
        }
    }
    Ok(())
}

/// Approves a request. The connection asks for what the device asks for: nobody grants more than they hold.
pub fn approve(shell: &mut Shell, args: &DevicesApprove) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let all = calls.once(pairing(&[]), "device.pair.list", json!({}))?;
    let pending = list_at(&all, "/pending");
    let request = match (&args.request, pending) {
        (Some(id), _) => pending.iter().find(|request| request["requestId"] == id.as_str()),
        (None, [only]) => Some(only),
        (None, [latest, ..]) if args.latest => Some(latest),
        (None, []) => return Err(Failure::usage("no device waits for approval")),
        (None, _) => {
            return Err(Failure::usage("several devices wait for approval")
                .hint("Name the request (openclaw devices list), or add --latest."));
        }
    };
    let Some(request) = request else {
        return Err(Failure::usage("no such request; it may have expired")
            .hint("The device asks again when it tries to connect. See: openclaw devices list"));
    };
    let scopes: Vec<String> = list_at(request, "/scopes").iter().filter_map(|scope| text_at(scope, "")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let params = json!({"requestId": request["requestId"]});
    let result = calls.once(pairing(&scopes), "device.pair.approve", params)?;
    match args.json {
        true => shell.json(&result),
        false => shell.line(format!("Approved {}", text_at(&result, "/device/deviceId").unwrap_or_default())),
    }
}

pub fn reject(shell: &mut Shell, args: &DevicesReject) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let result = calls.once(pairing(&[]), "device.pair.reject", json!({"requestId": args.request}))?;
    done(shell, args.json, &result, format!("Rejected {}", args.request))
}

pub fn remove(shell: &mut Shell, args: &DevicesRemove) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let result = calls.once(pairing(&[]), "device.pair.remove", json!({"deviceId": args.device}))?;
    done(shell, args.json, &result, format!("Removed {}", args.device))
}

pub fn rename(shell: &mut Shell, args: &DevicesRename) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let params = json!({"deviceId": args.device, "label": args.name});
    let result = calls.once(pairing(&[]), "device.pair.rename", params)?;
    done(shell, args.json, &result, format!("{} is now {}", args.device, args.name))
}

pub fn rotate(shell: &mut Shell, args: &DevicesRotate) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut params = json!({"deviceId": args.device, "role": args.role});
    if let Some(scopes) = &args.scope {
        params["scopes"] = scopes.split([',', ' ']).filter(|scope| !scope.is_empty()).collect();
    }
    let result = calls.once(pairing(&["operator.admin"]), "device.token.rotate", params)?;
    done(shell, args.json, &result, format!("Rotated the {} token of {}", args.role, args.device))
}

pub fn revoke(shell: &mut Shell, args: &DevicesRevoke) -> Result<(), Failure> {
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let params = json!({"deviceId": args.device, "role": args.role});
    let result = calls.once(pairing(&[]), "device.token.revoke", params)?;
    done(shell, args.json, &result, format!("Revoked the {} token of {}", args.role, args.device))
}

/// Removes every device, or turns away all that wait.
pub fn clear(shell: &mut Shell, args: &DevicesClear) -> Result<(), Failure> {
    if !args.yes {
        return Err(Failure::usage("this removes every device; add --yes to do it"));
    }
    let calls = Calls::new(&Settings::load(shell)?, args.wanted(), args.timeout, USUAL)?;
    let mut client = calls.connect(pairing(&[]))?;
    let all = calls.ask(&mut client, "device.pair.list", json!({}))?;
    let ids = |pointer: &str, name: &str| {
        list_at(&all, pointer).iter().filter_map(|row| text_at(row, name)).collect::<Vec<_>>()
    };
    let (requests, devices) = (ids("/pending", "/requestId"), ids("/paired", "/deviceId"));
    for id in &requests {
        calls.ask(&mut client, "device.pair.reject", json!({"requestId": id}))?;
    }
    let devices = if args.pending { Vec::new() } else { devices };
    for id in &devices {
        calls.ask(&mut client, "device.pair.remove", json!({"deviceId": id}))?;
    }
    client.close();
    let result = json!({"rejected": requests, "removed": devices});
    done(shell, args.json, &result, format!("Rejected {}, removed {}", requests.len(), devices.len()))
}

fn pairing(more: &[&str]) -> Identity {
    let mut scopes = vec!["operator.pairing"];
    scopes.extend(more);
    Identity::cli(&scopes)
}

fn done(shell: &mut Shell, json: bool, result: &Value, words: String) -> Result<(), Failure> {
    if json { shell.json(result) } else { shell.line(words) }
}

fn waiting(request: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(request, pointer).unwrap_or_default();
    vec![
        text("/requestId"),
        shorten(&text("/deviceId"), ID_WIDTH),
        text("/role"),
        words(request, "/scopes"),
        text("/remoteIp"),
        number_at(request, "/ts").map(|at| age(clock::now_ms().saturating_sub(at))).unwrap_or_default(),
        if request["isRepair"] == true { "known device" } else { "new" }.to_owned(),
    ]
}

fn approved(device: &Value) -> Vec<String> {
    let text = |pointer: &str| text_at(device, pointer);
    let tokens = list_at(device, "/tokens").iter().map(|token| {
        let state = if token["revokedAtMs"].is_number() { " (revoked)" } else { "" };
        format!("{}{state}", text_at(token, "/role").unwrap_or_default())
    });
    let seen = match (device["connected"] == true, number_at(device, "/lastSeenAtMs")) {
        (true, _) => "connected".to_owned(),
        (false, Some(at)) => age(clock::now_ms().saturating_sub(at)),
        (false, None) => "never".to_owned(),
    };
    vec![
        text("/deviceId").unwrap_or_default(),
        text("/label").or(text("/displayName")).or(text("/clientId")).unwrap_or_default(),
        words(device, "/roles"),
        words(device, "/scopes"),
        seen,
        tokens.collect::<Vec<_>>().join(","),
    ]
}

/// A list of names, without what they all begin with.
fn words(value: &Value, pointer: &str) -> String {
    let all = list_at(value, pointer).iter().filter_map(|name| text_at(name, ""));
    all.map(|name| name.trim_start_matches("operator.").to_owned()).collect::<Vec<_>>().join(",")
}

const USUAL: Duration = Duration::from_secs(10);

const ID_WIDTH: usize = 17;

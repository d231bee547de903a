//! `channels.*`: the messengers and their accounts, and who was let in.

use std::sync::Arc;
use std::time::Duration;

use super::ask;
use crate::auth::Caller;
use crate::channels::{self, AccountKey, CHANNELS, Outbound, Probe, Target, inbound, pairing};
use crate::hub::messengers::Look;
use crate::hub::sessions::stored;
use crate::hub::{Now, State, TaskContext};
use crate::store::outbox;
use crate::sys::clock;
use crate::wire::channels::*;
use crate::wire::error::RpcError;
use crate::wire::frame::cut;
use crate::wire::scope::Scope;
use crate::wire::sorted::Sorted;
use crate::wire::tree::json;

/// How long one account may take to answer a probe when the caller does not say, and at most (milliseconds).
const PROBE_MS: u64 = 10_000;
const PROBE_MS_MAX: u64 = 30_000;
/// Accounts asked at the same time.
const PROBES: usize = 8;
/// A connection that was not heard for so long is not well.
const SILENT_MS: u64 = 10 * 60 * 1000;
/// A probe uses TLS.
const STACK: usize = crate::sys::stack(256 << 10);

pub fn status(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChannelsStatusParams,
) -> Result<ChannelsStatusResult, RpcError> {
    let wanted = params.channel.map(|channel| channel.0);
    if let Some(id) = wanted.as_deref().filter(|id| channels::find(id).is_none()) {
        return Err(RpcError::invalid(format!("unknown channel: {}", cut(id, 64))));
    }
    let (mut looks, event_loop, config) = ask(context, "channels.status", |state| {
        let at = std::time::Instant::now();
        Ok((state.messengers.looks(), state.pulse.report(at, clock::now_ms()), state.shared.config.get()))
    })?;
    looks.retain(|look| wanted.as_deref().is_none_or(|id| id == look.account.spec.id));
    let mut probes: Vec<Option<Probe>> = looks.iter().map(|_| None).collect();
    if params.probe == Some(true) {
        let limit = params.timeout_ms.map_or(PROBE_MS, |ms| ms.0).clamp(100, PROBE_MS_MAX);
        probe_all(&looks, Duration::from_millis(limit), &mut probes);
    }
    let queued = context
        .store
        .read("count the outbox", |conn| {
            looks.iter().map(|look| outbox::waiting(conn, look.account.spec.id, &look.account.key.account)).collect()
        })
        .unwrap_or_else(|_| vec![0; looks.len()]);
    let now = clock::now_ms();
    let mut result = ChannelsStatusResult {
        ts: now,
        channel_order: Vec::new(),
        channel_labels: Sorted::new(),
        channel_detail_labels: Sorted::new(),
        channel_system_images: Sorted::new(),
        channel_meta: Vec::new(),
        event_loop,
        channels: Sorted::new(),
        channel_accounts: Sorted::new(),
        channel_default_account_id: Sorted::new(),
        status_issues: Vec::new(),
    };
    for ((look, probe), queued) in looks.iter().zip(probes).zip(queued) {
        let spec = look.account.spec;
        let id = spec.id.to_owned();
        if !result.channel_order.contains(&id) {
            result.channel_order.push(id.clone());
            let label = spec.label.to_owned();
            result.channel_labels.insert(id.clone(), label.clone());
            result.channel_detail_labels.insert(id.clone(), label.clone());
            result.channel_meta.push(ChannelMeta { id: id.clone(), label: label.clone(), detail_label: label });
            if let Some(account) = channels::account::default_account(&config, spec.id) {
                result.channel_default_account_id.insert(id.clone(), account);
            }
        }
        if let Some(error) = look.facts.last_error.as_ref().filter(|_| look.account.enabled) {
            result.status_issues.push(format!("{}: {error}", look.account.key));
        }
        let row = account_row(look, probe, queued, now);
        let summary = result.channels.get_or_insert_with(id.clone(), || ChannelSummary {
            configured: true,
            running: true,
            connected: true,
            last_error: None,
        });
        if row.enabled {
            summary.running &= row.running;
            summary.connected &= row.connected;
            summary.last_error = summary.last_error.take().or(row.last_error.clone());
        }
        result.channel_accounts.get_or_insert_with(id, Vec::new).push(row);
    }
    Ok(result)
}

fn account_row(look: &Look, probe: Option<Probe>, queued: u64, now: u64) -> ChannelAccount {
    let (account, facts) = (&look.account, &look.facts);
    let silent = facts.alive_ms.is_some_and(|at| now.saturating_sub(at) > SILENT_MS);
    ChannelAccount {
        account_id: account.key.account.to_string(),
        name: account.text("name").map(str::to_owned),
        enabled: account.enabled,
        configured: true,
        running: look.running,
        connected: facts.connected && look.running,
        reconnect_attempts: facts.attempts,
        last_connected_at: facts.connected_ms,
        last_error: facts.last_error.clone(),
        health_state: match () {
            () if !account.enabled => "disabled",
            () if facts.ended => "blocked",
            () if !look.running => "stopped",
            () if !facts.connected && facts.attempts > 0 => "reconnecting",
            () if !facts.connected => "starting",
            () if silent && look.channel.as_ref().is_some_and(|channel| channel.mode() == "polling") => "stale",
            () => "healthy",
        },
        last_start_at: facts.started_ms,
        last_stop_at: facts.stopped_ms,
        last_inbound_at: facts.inbound_ms,
        last_outbound_at: facts.outbound_ms,
        last_transport_activity_at: facts.alive_ms,
        next_retry_at: facts.retry_at_ms,
        identity: facts.identity.clone(),
        mode: look.channel.as_ref().map_or("", |channel| channel.mode()),
        dm_policy: account.text("dmPolicy").unwrap_or("pairing").to_owned(),
        allow_from: account.texts("allowFrom"),
        queued,
        last_probe_at: probe.as_ref().map(|_| now),
        probe: probe.map(|probe| ChannelProbe {
            ok: probe.ok,
            identity: probe.identity,
            error: probe.error,
            elapsed_ms: probe.elapsed_ms,
        }),
    }
}

/// Asks several at the same time: one that does not answer holds up no other.
fn probe_all(looks: &[Look], limit: Duration, probes: &mut [Option<Probe>]) {
    let mut pairs: Vec<_> = looks.iter().zip(probes.iter_mut()).collect();
    for some in pairs.chunks_mut(PROBES) {
        std::thread::scope(|scope| {
            for (look, probe) in some.iter_mut() {
                let Some(channel) = &look.channel else { continue };
                let started = std::thread::Builder::new().name("probe".into()).stack_size(STACK);
                // A probe that cannot start is one that was not made.
                drop(started.spawn_scoped(scope, move || **probe = Some(channel.probe(limit))));
            }
        });
    }
}

/// The messenger of a request, and the account if one is named; both must exist.
fn named(
    state: &State,
    method: &str,
    params: &ChannelsStartParams,
) -> Result<(&'static str, Option<String>), RpcError> {
    let Some(spec) = channels::find(&params.channel) else {
        return Err(RpcError::invalid(format!("invalid {method} channel")));
    };
    let account = params.account_id.as_deref().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
    let known = state.messengers.looks().iter().any(|look| {
        look.account.spec.id == spec.id && account.as_deref().is_none_or(|id| *look.account.key.account == *id)
    });
    match known {
        true => Ok((spec.id, account)),
        false => Err(RpcError::invalid(format!("{method}: {} has no such account", spec.id))),
    }
}

fn shown(account: Option<String>) -> String {
    account.unwrap_or_else(|| channels::account::DEFAULT.to_owned())
}

pub fn start(
    state: &mut State,
    _: &Arc<Caller>,
    params: ChannelsStartParams,
    _: Now,
) -> Result<ChannelsStartResult, RpcError> {
    let (channel, account) = named(state, "channels.start", &params)?;
    let started = state.start_channel(channel, account.as_deref()) > 0;
    Ok(ChannelsStartResult { channel: channel.into(), account_id: shown(account), started })
}

pub fn stop(
    state: &mut State,
    _: &Arc<Caller>,
    params: ChannelsStartParams,
    now: Now,
) -> Result<ChannelsStopResult, RpcError> {
    let (channel, account) = named(state, "channels.stop", &params)?;
    let stopped = state.stop_channel(channel, account.as_deref(), now) > 0;
    Ok(ChannelsStopResult { channel: channel.into(), account_id: shown(account), stopped })
}

/// Stops an account and forgets what it keeps: its reading position and who was let in. The configuration stays.
pub fn logout(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChannelsStartParams,
) -> Result<ChannelsLogoutResult, RpcError> {
    let (channel, account) = ask(context, "channels.logout", move |state| {
        let (channel, account) = named(state, "channels.logout", &params)?;
        let now = Now { at: std::time::Instant::now(), ms: clock::now_ms() };
        state.stop_channel(channel, account.as_deref(), now);
        Ok((channel, account))
    })?;
    let account = shown(account);
    let key = AccountKey { channel, account: account.as_str().into() };
    context
        .store
        .write("forget an account", move |conn| {
            inbound::forget(conn, &key)?;
            pairing::forget(conn, &key)
        })
        .map_err(stored)?;
    Ok(ChannelsLogoutResult { channel: channel.into(), account_id: account, cleared: true })
}

pub fn pairing_list(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChannelsPairingListParams,
) -> Result<ChannelsPairingListResult, RpcError> {
    let config = context.desk.shared.config.get();
    let mut accounts = channels::accounts(&config);
    if let Some(id) = params.channel.as_deref().filter(|id| channels::find(id).is_none()) {
        return Err(RpcError::invalid(format!("unknown channel: {}", cut(id, 64))));
    }
    accounts.retain(|account| {
        params.channel.as_deref().is_none_or(|id| id == account.spec.id)
            && params.account_id.as_deref().is_none_or(|id| *id == *account.key.account)
            && account.text("dmPolicy").unwrap_or("pairing") == "pairing"
    });
    let now = clock::now_ms();
    let pending = context
        .store
        .read("read pairing requests", |conn| {
            accounts.iter().map(|account| pairing::pending(conn, &account.key, now)).collect::<Result<Vec<_>, _>>()
        })
        .map_err(stored)?;
    let requests = accounts.iter().zip(pending).flat_map(|(account, pending)| {
        pending.into_iter().map(|request| PairingRequest {
            channel: account.spec.id.into(),
            channel_label: account.spec.label.into(),
            account_id: account.key.account.to_string(),
            sender_label: if request.name.is_empty() { request.sender.clone() } else { request.name },
            sender_id: request.sender,
            created_at: time(request.created_ms),
            last_seen_at: time(request.seen_ms),
            expires_at: time(request.created_ms + pairing::TTL_MS),
            request_id: request.code,
            notify_supported: true,
        })
    });
    Ok(ChannelsPairingListResult {
        requests: requests.collect(),
        accounts: accounts
            .iter()
            .map(|account| PairingAccount {
                channel: account.spec.id.into(),
                channel_label: account.spec.label.into(),
                account_id: account.key.account.to_string(),
                notify_supported: true,
            })
            .collect(),
        command_owner_configured: !config.commands.owner_allow_from.is_empty(),
        limits: PairingLimits { pending_per_account: pairing::PENDING, ttl_ms: pairing::TTL_MS },
    })
}

fn time(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.unwrap_or_default().to_string()
}

/// Making somebody the owner is more than letting him in.
pub fn approve_scope(params: &ChannelsPairingApproveParams) -> Scope {
    if params.bootstrap_command_owner == Some(true) { Scope::Admin } else { Scope::Pairing }
}

pub fn pairing_approve(
    context: &TaskContext,
    who: &Arc<Caller>,
    params: ChannelsPairingApproveParams,
) -> Result<ChannelsPairingApproveResult, RpcError> {
    let key = known(context, &params.channel, &params.account_id)?;
    let (code, notify) = (params.request_id.0.clone(), params.notify == Some(true));
    let now = clock::now_ms();
    let own = key.clone();
    let approved = context.store.write("let somebody in", move |conn| {
        let Some(request) = pairing::approve(conn, &own, &code, now)? else { return Ok(None) };
        if notify {
            let to = Target {
                channel: own.channel.into(),
                account: own.account.to_string(),
                chat: request.chat.clone(),
                kind: channels::ChatKind::Direct,
                ..Target::default()
            };
            let text = "You are let in: this assistant answers you now.".to_owned();
            let out = Outbound { to, text, ..Outbound::default() };
            outbox::put(conn, &inbound::row(&format!("paired-{}", request.code), 0, &out, ms(now)))?;
        }
        Ok(Some(request))
    });
    let request = approved.map_err(stored)?.ok_or_else(no_request)?;
    log::info!("{key}: {} was let in", request.sender.escape_debug());
    if notify {
        let to = Target { channel: key.channel.into(), account: key.account.to_string(), ..Target::default() };
        ask(context, "channels.pairing.approve", move |state| {
            state.messengers.poke(&to);
            Ok(())
        })?;
    }
    let owner = match params.bootstrap_command_owner {
        Some(true) => bootstrap_owner(context, who, &format!("{}:{}", key.channel, request.sender)),
        _ => "not-requested",
    };
    Ok(ChannelsPairingApproveResult {
        request_id: request.code,
        sender_id: request.sender,
        notification: if notify { "sent" } else { "not-requested" },
        command_owner_bootstrap: owner,
    })
}

/// Writes the first owner into the configuration.
fn bootstrap_owner(context: &TaskContext, who: &Arc<Caller>, entry: &str) -> &'static str {
    if !context.desk.shared.config.get().commands.owner_allow_from.is_empty() {
        return "already-configured";
    }
    let bytes = std::fs::read(&context.desk.paths.config).unwrap_or_default();
    let params = crate::wire::config::ConfigPatchParams {
        raw: json!({"commands": {"ownerAllowFrom": [entry]}}).to_string(),
        base_hash: Some(crate::config::write::hash(&bytes)),
        session_key: None,
        delivery_context: None,
        note: None,
        restart_delay_ms: None,
        replace_paths: Vec::new(),
    };
    match super::config::patch(context, who, params) {
        Ok(_) => "configured",
        Err(error) => {
            log::error!("make {entry} the owner: {}", error.message);
            "unavailable"
        }
    }
}

pub fn pairing_dismiss(
    context: &TaskContext,
    _: &Arc<Caller>,
    params: ChannelsPairingDismissParams,
) -> Result<ChannelsPairingDismissResult, RpcError> {
    let key = known(context, &params.channel, &params.account_id)?;
    let code = params.request_id.0;
    let now = clock::now_ms();
    let dismissed = context.store.write("turn somebody away", move |conn| pairing::dismiss(conn, &key, &code, now));
    let request = dismissed.map_err(stored)?.ok_or_else(no_request)?;
    Ok(ChannelsPairingDismissResult { request_id: request.code, sender_id: request.sender })
}

fn known(context: &TaskContext, channel: &str, account: &str) -> Result<AccountKey, RpcError> {
    let config = context.desk.shared.config.get();
    let found = channels::accounts(&config)
        .into_iter()
        .find(|own| own.spec.id == channel && *own.key.account == *account)
        .map(|account| account.key);
    found.ok_or_else(|| {
        let names: Vec<&str> = CHANNELS.iter().map(|spec| spec.id).collect();
        RpcError::invalid(format!(
            "no account \"{}\" of channel \"{}\" is configured (channels: {})",
            cut(account, 64),
            cut(channel, 64),
            names.join(", ")
        ))
    })
}

fn no_request() -> RpcError {
    RpcError::invalid("no pending pairing request has this code; it may have expired (openclaw pairing list)")
}

fn ms(now: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX)
}

//! `POST /api/v1/admin/rpc`: control methods for host tools that hold no WebSocket. There only when its plugin entry is
//! enabled; everything about a method is decided where WebSockets decide it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{HttpError, Visit, json, json_of};
use crate::config::Config;
use crate::net::{Exchange, Reply, Waited};
use crate::rpc::admin::{ALLOWED, LIST, available};
use crate::sys::random;
use crate::wire::error::{Code, RpcError};
use crate::wire::frame::cut;
use crate::wire::misfit;
use crate::wire::object::objects;

/// The plugin's name in `plugins.entries`.
const PLUGIN: &str = "admin-http-rpc";

pub fn enabled(config: &Config) -> bool {
    config.plugins.enables(PLUGIN)
}

objects! { lenient:
    struct Request {
        id: Option<Box<RawValue>> = default,
        method: Option<Box<RawValue>> = default,
        params: Option<Box<RawValue>> = default,
    }
}

#[derive(Serialize)]
struct Failed<'a> {
    id: &'a str,
    ok: bool,
    error: &'a RpcError,
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    ok: bool,
    payload: Methods,
}

#[derive(Serialize)]
struct Methods {
    methods: Vec<&'static str>,
}

pub fn create(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let invalid = |message: &str| HttpError::own(400, "invalid_request", message);
    let body = visit.body(exchange).map_err(HttpError::gateway)?;
    if body.trim_ascii().is_empty() {
        return Err(invalid("request body must be JSON"));
    }
    if misfit::read_bytes::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(invalid("request body must be valid JSON"));
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(invalid("request body must be an object"));
    }
    let request: Request = misfit::read_bytes(&body).map_err(|_| invalid("request body must be an object"))?;
    let text = |raw: Option<Box<RawValue>>| {
        let text = raw.and_then(|raw| misfit::read::<String>(raw.get()).ok());
        text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
    };
    let method = text(request.method).ok_or_else(|| invalid("method must be a non-empty string"))?;
    let id = text(request.id).unwrap_or_else(random::uuid);
    if method == LIST {
        return json_of(200, &Listed { id: &id, ok: true, payload: Methods { methods: available() } });
    }
    if !ALLOWED.contains(&method.as_str()) {
        let method = cut(&method, 128);
        return failed(&id, &RpcError::invalid(format!("admin HTTP RPC method is not supported: {method}")));
    }
    let Some(caller) = visit.caller.clone().map(Arc::new) else { return Err(HttpError::unauthorized()) };
    let site = visit.site;
    let answered = match site.admin.call(&site.desk, &caller, &method, request.params.as_deref()) {
        Ok(answered) => answered,
        Err(error) => return failed(&id, &error),
    };
    match exchange.wait(&answered, None) {
        Waited::Got(Ok(payload)) => {
            let id = serde_json::to_string(&id).map_err(|_| HttpError::internal())?;
            Ok(json(200, format!(r#"{{"id":{id},"ok":true,"payload":{}}}"#, payload.0)))
        }
        Waited::Got(Err(error)) => failed(&id, &error),
        Waited::PeerGone => Err(HttpError::unavailable("the client left")),
        Waited::Ended | Waited::TimedOut => {
            failed(&id, &RpcError::unavailable("gateway method failed before returning a response"))
        }
    }
}

fn failed(id: &str, error: &RpcError) -> Result<Reply, HttpError> {
    let status = match error.code {
        Code::InvalidRequest => 400,
        Code::ApprovalNotFound => 404,
        Code::NotPaired => 409,
        Code::Unavailable => 503,
        _ => 500,
    };
    json_of(status, &Failed { id, ok: false, error })
}

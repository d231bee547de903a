//! `GET /j/<code>`: hands a setup code to the device it was made for. Once.

use tiny_http::Method;

use super::{HttpError, Visit, json, json_of};
use crate::net::{Exchange, Reply};
use crate::wire::device::SetupPayload;

pub fn fetch(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    if *exchange.method() == Method::Head {
        // Looking at the link must not use it up: messengers and mail scanners do that.
        return Err(HttpError::method("GET".into()));
    }
    let link = visit.rest.clone();
    let hub = &visit.site.desk.hub;
    let found = hub.ask("follow a setup link", move |state, now| state.devices.fetch(&link, now.ms));
    match found.map_err(|_| HttpError::unavailable("the gateway is stopping"))? {
        Some(code) => json_of(
            200,
            &SetupPayload { url: &code.url, bootstrap_token: code.token.expose(), expires_at_ms: code.expires_at_ms },
        ),
        None => Ok(json(404, r#"{"error":"not_found"}"#.into())),
    }
}

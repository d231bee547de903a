//! What a person sees who opens the gateway in a browser.

use tiny_http::Response;

use super::{HttpError, Visit, field};
use crate::net::{Exchange, Reply};

/// Holds nothing secret: anybody who reaches the port may read it.
const PAGE: &str = include_str!("welcome.html");

pub fn welcome(_: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    Ok(Reply::full(
        Response::from_data(PAGE.as_bytes())
            .with_header(field("Content-Type", "text/html; charset=utf-8"))
            .with_header(field(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
            ))
            .with_header(field("X-Frame-Options", "DENY"))
            .with_header(field("Cache-Control", "no-cache")),
    ))
}

//! The Control UI: the built-in page, or the files of another one (`gateway.controlUi.root`).
//!
//! Needs no authentication: the files hold nothing secret, and what the page shows it asks for over the control socket.
//! Its small configuration is for whoever has the secret. Does not keep files in memory: they leave in pieces from the
//! program itself or from the disk.
//!
//! Invariant: a path names a file below the root or it is not found, however it is written (T37).

mod assets;
mod files;

use serde::Serialize;
use tiny_http::{Response, StatusCode};

use super::{HttpError, Visit, field, json_of};
use crate::config::Config;
use crate::config::gateway::UiEnvironment;
use crate::net::{Exchange, Reply};

/// First segments that belong to programs: what is not found there is not a page.
const RESERVED: [&str; 12] =
    ["api", "v1", "health", "healthz", "ready", "readyz", "startup", "startupz", "tools", "hooks", "j", "__openclaw__"];

/// `/x`, or nothing for the root.
pub fn base(config: &Config) -> String {
    let base = config.gateway.control_ui.base_path.as_deref().unwrap_or_default().trim().trim_matches('/');
    if base.is_empty() { String::new() } else { format!("/{base}") }
}

pub fn enabled(config: &Config) -> bool {
    config.gateway.control_ui.enabled
}

/// What is left of a path below the base, where the page may answer.
pub fn below<'p>(path: &'p str, config: &Config) -> Option<&'p str> {
    let base = base(config);
    let rest = path.strip_prefix(base.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let first = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    (!base.is_empty() || !RESERVED.contains(&first)).then_some(rest)
}

/// Everything below the base path.
pub fn fetch(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let base = base(&visit.config);
    let Some(path) = visit.rest.strip_prefix('/') else {
        return Ok(Reply::full(Response::empty(StatusCode(302)).with_header(field("Location", &format!("{base}/")))));
    };
    if !clean(path) {
        return Err(HttpError::not_found());
    }
    let page = path.is_empty() || path == "index.html" || is_page(path, exchange);
    match &visit.config.gateway.control_ui.root {
        Some(root) => files::serve(root, &base, path, page, exchange),
        None if page => Ok(assets::page(&base, exchange)),
        None => assets::file(path, exchange),
    }
}

/// What the reference's page asks for when it starts.
pub fn bootstrap(visit: &Visit<'_>, _: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    let version = env!("CARGO_PKG_VERSION");
    let agent = visit.config.default_agent_id();
    let face = visit.config.face(agent);
    json_of(
        200,
        &Bootstrap {
            base_path: &base(&visit.config),
            assistant_name: &face.name,
            assistant_avatar: &face.avatar,
            assistant_avatar_source: None,
            assistant_avatar_status: None,
            assistant_avatar_reason: None,
            assistant_agent_id: agent,
            server_version: version,
            server_build_id: &format!("{version}-rust"),
            embed_sandbox: "scripts",
            allow_external_embed_urls: false,
            automatically_fetch_favicons: false,
            seam_color: visit.config.ui.seam_color.as_deref(),
            environment: visit.config.gateway.control_ui.environment.as_ref(),
            community_invite: false,
            terminal_enabled: false,
            cli_agents_enabled: false,
            plugin_assets_require_auth: true,
            plugin_frame_grants: [],
        },
    )
}

/// No agent has a picture here; the page asks and draws a letter.
pub fn avatar(_: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Reply, HttpError> {
    match super::table::query(exchange.query()).iter().any(|(name, value)| name == "meta" && value == "1") {
        true => json_of(200, &NoAvatar::default()),
        false => Err(HttpError::not_found()),
    }
}

/// `control-ui-config.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bootstrap<'a> {
    base_path: &'a str,
    assistant_name: &'a str,
    assistant_avatar: &'a str,
    assistant_avatar_source: Option<&'a str>,
    assistant_avatar_status: Option<&'a str>,
    assistant_avatar_reason: Option<&'a str>,
    assistant_agent_id: &'a str,
    server_version: &'a str,
    server_build_id: &'a str,
    embed_sandbox: &'a str,
    allow_external_embed_urls: bool,
    automatically_fetch_favicons: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seam_color: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a UiEnvironment>,
    community_invite: bool,
    terminal_enabled: bool,
    cli_agents_enabled: bool,
    plugin_assets_require_auth: bool,
    plugin_frame_grants: [&'a str; 0],
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct NoAvatar {
    avatar_url: Option<&'static str>,
    avatar_source: Option<&'static str>,
    avatar_status: Option<&'static str>,
    avatar_reason: Option<&'static str>,
}

/// Plain segments only; what is still encoded after decoding once is somebody's trick.
fn clean(path: &str) -> bool {
    let plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment
                .chars()
                .any(|c| c.is_control() || matches!(c, '%' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
    };
    path.len() <= 1024
        && path.strip_suffix('/').unwrap_or(path).split('/').all(|segment| path.is_empty() || plain(segment))
}

/// A path of the page's own, opened by a person: no extension, and HTML is welcome.
fn is_page(path: &str, exchange: &Exchange<'_>) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let html = exchange.header("accept").is_some_and(|accept| accept.contains("text/html") || accept.contains("*/*"));
    html && !last.contains('.') && !path.starts_with("assets/")
}

/// Whether the client has this already.
fn unchanged(exchange: &Exchange<'_>, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_string();
    let has = |list: &str| list.split(',').any(|one| one.trim() == "*" || bare(one) == bare(tag));
    exchange.header("if-none-match").is_some_and(has)
}

fn not_modified(tag: &str, caching: &str) -> Reply {
    let response = Response::empty(StatusCode(304)).with_header(field("ETag", tag));
    Reply::full(response.with_header(field("Cache-Control", caching)))
}

/// Whether the client takes a coding. One that says nothing takes every one (RFC 9110, 12.5.3).
fn accepts(exchange: &Exchange<'_>, coding: &str) -> bool {
    let Some(list) = exchange.header("accept-encoding") else { return coding == "gzip" };
    let mut any = false;
    for item in list.split(',') {
        let (name, rest) = item.split_once(';').unwrap_or((item, ""));
        let refused = rest.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>() == Ok(0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case(coding) => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_looked_up() {
        for path in ["", "a.js", "assets/x/a.js", "chat/", "sessions/agent-main"] {
            assert!(clean(path), "{path}");
        }
        for path in
            ["..", "a/../b", "/etc/passwd", "a//b", "%2e%2e/x", "a\\b", "C:/x", ".git/config", "a/./b", "x\u{7}"]
        {
            assert!(!clean(path), "{path}");
        }
    }
}

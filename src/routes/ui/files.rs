//! Another page's files, from `gateway.controlUi.root`.
//!
//! Serves regular files that really lie below the root, with what was compressed beside them (`x.js.br`, `x.js.gz`).
//! `index.html` is told where it is served. Does not list folders and follows no link below the root.

use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use tiny_http::Response;

use super::{accepts, not_modified, unchanged};
use crate::net::{Exchange, Reply};
use crate::routes::{HttpError, field};
use crate::sys::beneath;

/// The one file that is read whole.
const PAGE_LIMIT: u64 = 1 << 20;

/// What another page may do: its own scripts and those in its page, styles anywhere, sockets.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; \
                      style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; \
                      font-src 'self'; worker-src 'self'; connect-src 'self' ws: wss: data:";

pub fn serve(root: &str, base: &str, path: &str, page: bool, exchange: &Exchange<'_>) -> Result<Reply, HttpError> {
    let root = Path::new(root);
    let plain = match page {
        true => None,
        false => found(beneath::open(root, path))?,
    };
    let Some(plain) = plain else {
        let file = page.then(|| found(beneath::open(root, "index.html"))).transpose()?.flatten();
        return index(file.ok_or_else(HttpError::not_found)?, base, exchange);
    };
    let caching = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut best = (plain, None);
    for (coding, suffix) in [("br", ".br"), ("gzip", ".gz")] {
        if exchange.header("accept-encoding").is_some()
            && accepts(exchange, coding)
            && let Some(file) = found(beneath::open(root, &format!("{path}{suffix}")))?
        {
            best = (file, Some(coding));
            break;
        }
    }
    let (file, coding) = best;
    let about = file.metadata().map_err(|_| HttpError::not_found())?;
    let when = about.modified().ok().and_then(|when| when.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let tag = format!("\"{:x}-{:x}{}\"", about.len(), when.as_millis(), coding.unwrap_or_default());
    if unchanged(exchange, &tag) {
        return Ok(not_modified(&tag, caching));
    }
    let length = usize::try_from(about.len()).map_err(|_| HttpError::not_found())?;
    let mut response = Response::new(200.into(), Vec::new(), file.take(about.len()), Some(length), None)
        .with_header(field("Content-Type", kind(path)))
        .with_header(field("Vary", "Accept-Encoding"))
        .with_header(field("ETag", &tag))
        .with_header(field("Cache-Control", caching))
        .with_header(field("X-Frame-Options", "DENY"))
        .with_header(field("Content-Security-Policy", &format!("{POLICY}; script-src 'self'")));
    if let Some(coding) = coding {
        response.add_header(field("Content-Encoding", coding));
    }
    Ok(Reply::full(response))
}

/// A file, or that there is none; what else may be wrong is the owner's affair and goes to the log.
fn found(opened: io::Result<std::fs::File>) -> Result<Option<std::fs::File>, HttpError> {
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) => {
            if error.kind() == io::ErrorKind::PermissionDenied {
                log::warn!("a file below gateway.controlUi.root cannot be read: {error}");
            }
            Ok(None)
        }
    }
}

fn index(file: std::fs::File, base: &str, exchange: &Exchange<'_>) -> Result<Reply, HttpError> {
    let mut text = String::new();
    let read = file.take(PAGE_LIMIT + 1).read_to_string(&mut text);
    if read.is_err() || text.len() as u64 > PAGE_LIMIT {
        log::warn!("index.html below gateway.controlUi.root is no text of at most 1 MiB");
        return Err(HttpError::not_found());
    }
    let text = placed(&text, base);
    let tag = format!("\"{}\"", &hash(&text)[..22]);
    if unchanged(exchange, &tag) {
        return Ok(not_modified(&tag, "no-cache"));
    }
    let mut scripts = String::from("script-src 'self' 'wasm-unsafe-eval'");
    for script in inline_scripts(&text) {
        scripts.push_str(&format!(" 'sha256-{}'", hash(script)));
    }
    Ok(Reply::full(
        Response::from_data(text)
            .with_header(field("Content-Type", "text/html; charset=utf-8"))
            .with_header(field("ETag", &tag))
            .with_header(field("Cache-Control", "no-cache"))
            .with_header(field("X-Frame-Options", "DENY"))
            .with_header(field("Content-Security-Policy", &format!("{POLICY}; {scripts}"))),
    ))
}

/// The page with its place written into it: relative addresses would break on deeper paths.
fn placed(text: &str, base: &str) -> String {
    let safe = base.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let mark = format!("<html data-openclaw-control-ui-base-path=\"{safe}\" data-openclaw-terminal-enabled=\"false\" ");
    let mut text = text.replacen("<html ", &mark, 1);
    for name in ["src", "href"] {
        text = text.replace(&format!("{name}=\"./"), &format!("{name}=\"{safe}/"));
    }
    text
}

/// What stands between `<script>` and `</script>` where no address does.
fn inline_scripts(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("<script") {
        rest = &rest[at..];
        let (Some(open), Some(end)) = (rest.find('>'), rest.find("</script>")) else { break };
        if open < end && !rest[..open].contains("src=") {
            found.push(&rest[open + 1..end]);
        }
        rest = &rest[end + "</script>".len()..];
    }
    found
}

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// `assets/name-Ab12Cd34.js`: another content has another name.
fn is_hashed(path: &str) -> bool {
    let stem = path.strip_prefix("assets/").and_then(|name| name.rsplit_once('.')).map_or("", |(stem, _)| stem);
    stem.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" | "map" => "application/json; charset=utf-8",
        "webmanifest" => "application/manifest+json; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_learns_its_place_and_its_scripts_are_named() {
        let page = r#"<!doctype html><html lang="en"><script a="b">one</script><script src="./x.js"></script>
            <link href="./y.css"><script>two</script></html>"#;
        let text = placed(page, "/oc");
        assert!(text.contains(r#"<html data-openclaw-control-ui-base-path="/oc" "#), "{text}");
        assert!(text.contains(r#"src="/oc/x.js""#) && text.contains(r#"href="/oc/y.css""#), "{text}");
        assert_eq!(inline_scripts(&text), ["one", "two"]);
        assert!(is_hashed("assets/index-D52hYidm.js") && !is_hashed("sw.js") && !is_hashed("assets/a-b.js"));
    }
}

//! The built-in page: its files, compressed when the program was built, and the one that is completed here.
//!
//! Does not unpack: every browser takes gzip, and a client that refuses it is told so (406).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use tiny_http::Response;

use super::{accepts, not_modified, unchanged};
use crate::net::{Exchange, Reply};
use crate::routes::{HttpError, field};

/// One file of the page. `bytes` are gzip, but for `index.html`.
pub struct Asset {
    pub name: &'static str,
    pub kind: &'static str,
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// Scripts only from here, no plugin, no frame, nothing of another site; a string never becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; \
                      media-src 'self' data: blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// `assets/<build>/<name>`, and the files whose names browsers know.
pub fn file(path: &str, exchange: &Exchange<'_>) -> Result<Reply, HttpError> {
    let hashed = path.strip_prefix("assets/").and_then(|rest| rest.strip_prefix(ID)?.strip_prefix('/'));
    let name = hashed.unwrap_or(path);
    let known = ASSETS.iter().find(|asset| asset.name == name && name != "index.html");
    let asset = known.filter(|_| hashed.is_some() || !name.ends_with(".js")).ok_or_else(HttpError::not_found)?;
    let caching = if hashed.is_some() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{ID}\"");
    if unchanged(exchange, &tag) {
        return Ok(not_modified(&tag, caching));
    }
    if !accepts(exchange, "gzip") {
        return Err(HttpError::plain(406, "These files are sent with gzip only."));
    }
    let response = Response::new(200.into(), Vec::new(), asset.bytes, Some(asset.bytes.len()), None)
        .with_header(field("Content-Type", asset.kind))
        .with_header(field("Content-Encoding", "gzip"))
        .with_header(field("Vary", "Accept-Encoding"))
        .with_header(field("ETag", &tag))
        .with_header(field("Cache-Control", caching))
        .with_header(field("Content-Security-Policy", POLICY));
    Ok(Reply::full(response))
}

/// The page, for whatever path below `base` a person has opened.
pub fn page(base: &str, exchange: &Exchange<'_>) -> Reply {
    let text = text(base);
    let tag = format!("\"{}\"", &hash(&text)[..22]);
    if unchanged(exchange, &tag) {
        return not_modified(&tag, "no-cache");
    }
    // The first paint's style is in the page; its hash lets it, and only it, be there.
    let style = text.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(css, _)| css);
    let policy = format!("{POLICY}; style-src 'self' 'sha256-{}'", hash(style));
    let response = Response::from_data(text)
        .with_header(field("Content-Type", "text/html; charset=utf-8"))
        .with_header(field("ETag", &tag))
        .with_header(field("Cache-Control", "no-cache"))
        .with_header(field("X-Frame-Options", "DENY"))
        .with_header(field("Content-Security-Policy", &policy));
    Reply::full(response)
}

fn text(base: &str) -> String {
    let page = ASSETS.iter().find(|asset| asset.name == "index.html").map_or(&b""[..], |asset| asset.bytes);
    let base = base.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    String::from_utf8_lossy(page).replace("{base}", &base).replace("{id}", ID)
}

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Bytes of everything a browser may fetch; the number.
    const CEILING: usize = 160 << 10;

    #[test]
    fn all_files_together_stay_small() {
        let sum: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(sum <= CEILING, "{sum} bytes");
    }

    #[test]
    fn the_page_names_only_files_that_exist() {
        let text = text("/oc");
        assert!(!text.contains('{') || !text.contains("{id}"), "{text}");
        let prefix = format!("/oc/assets/{ID}/");
        let named: Vec<&str> =
            text.split(&prefix).skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
        assert!(!named.is_empty());
        for name in named {
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
        }
        assert!(!text.contains("<script>"), "no inline script");
    }

    #[test]
    fn modules_import_only_files_that_exist_and_no_text_spans_lines() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let source = std::fs::read_to_string(folder.join(asset.name)).expect("the source of an asset");
            let dir = asset.name.rsplit_once('/').map_or("", |(dir, _)| dir);
            for import in source.split("from \"./").skip(1).chain(source.split("import(\"./").skip(1)) {
                let name = import.split('"').next().unwrap_or_default();
                let name = if dir.is_empty() { name.to_string() } else { format!("{dir}/{name}") };
                assert!(ASSETS.iter().any(|other| other.name == name), "{} imports {name}", asset.name);
            }
            for (number, line) in source.lines().enumerate() {
                assert!(line.matches('`').count() % 2 == 0, "{}:{}: a text spans lines", asset.name, number + 1);
            }
        }
    }

    #[test]
    fn a_base_path_cannot_leave_its_attribute() {
        assert!(!text("/\"><script>").contains("<script>"));
    }
}

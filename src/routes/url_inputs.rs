//! Images and files of a request that are given as URLs: fetched, when the owner allows it, through the one guarded
//! fetch.
//!
//! Off unless `allowUrl` says otherwise. What a request may cost is counted over all its parts; nothing is kept.
//! Invariant: a client that leaves ends the fetch made for it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::bounded;

use super::{HttpError, asking, documents};
use crate::config::gateway::UrlInput;
use crate::net::fetch::{Error, Fetch, Fetched, Limits, Policy, Target, fetch};
use crate::net::{Exchange, Waited};
use crate::providers::Part;
use crate::sys::abort::Abort;
use crate::wire::frame::cut;

/// Bytes of one image, and of one file, unless the configuration says otherwise.
pub const IMAGE_BYTES: u64 = 10 << 20;
pub const FILE_BYTES: u64 = 5 << 20;
/// Bytes of all images of one request, decoded.
const IMAGES_BYTES: u64 = 20 << 20;
/// PDF files of one request: each may take its ten seconds.
const PDFS: u32 = 8;
/// Of the name of a media type.
const MIME: usize = 128;
const REDIRECTS: u32 = 3;
const TIME: Duration = Duration::from_secs(10);
/// TLS and decoding.
const STACK: usize = 512 << 10;

/// What the parts of one request may still cost, and how their URLs are fetched.
pub struct Inputs<'a> {
    get: &'a mut Get<'a>,
    urls: u32,
    image_bytes: u64,
    pdfs: u32,
}

/// Fetches one URL by its rules, at most so many bytes.
pub type Get<'a> = dyn FnMut(&str, &UrlInput, u64) -> Result<Fetched, HttpError> + 'a;

impl<'a> Inputs<'a> {
    /// `urls`: how many may be fetched.
    pub fn new(urls: u32, get: &'a mut Get<'a>) -> Inputs<'a> {
        Inputs { get, urls, image_bytes: IMAGES_BYTES, pdfs: PDFS }
    }

    /// An image by its URL, `data:` included. The error goes to the client, with `what` in front when it is its fault.
    pub fn image(&mut self, mut url: String, rules: &UrlInput, what: &str) -> Result<Part, HttpError> {
        if let Some((mime, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            let (mime, length) = (cut(mime, MIME).to_string(), data.len());
            url.drain(..url.len() - length);
            return self.image_data(&mime, url, rules, what);
        }
        let limit = rules.max_bytes.unwrap_or(IMAGE_BYTES);
        let got = self.fetched(&url, rules, limit.min(self.image_bytes), what)?;
        let mime = match essence(&got.content_type) {
            mime if mime.starts_with("image/") => mime.to_string(),
            _ => sniffed(&got.body).unwrap_or_default().to_string(),
        };
        self.image_bytes -= got.body.len() as u64;
        let data = STANDARD.encode(&got.body);
        asking::image(&mime, data, rules).ok_or_else(|| HttpError::invalid(format!("{what}.")))
    }

    /// An image that came inside the request.
    pub fn image_data(&mut self, mime: &str, data: String, rules: &UrlInput, what: &str) -> Result<Part, HttpError> {
        let bad = || HttpError::invalid(format!("{what}."));
        let bytes = data.len() as u64 / 4 * 3;
        let part = asking::image(mime, data, rules).ok_or_else(bad)?;
        self.image_bytes = self.image_bytes.checked_sub(bytes).ok_or_else(bad)?;
        Ok(part)
    }

    /// A file that came inside the request, as a block for the prompt.
    pub fn file_data(&mut self, name: &str, mime: &str, data: &str, rules: &UrlInput) -> Result<String, HttpError> {
        self.one_more(mime)?;
        documents::block(name, mime, data, rules)
    }

    fn one_more(&mut self, mime: &str) -> Result<(), HttpError> {
        if essence(mime).eq_ignore_ascii_case(documents::PDF) {
            let more = || HttpError::invalid(format!("more than {PDFS} PDF files in a request."));
            self.pdfs = self.pdfs.checked_sub(1).ok_or_else(more)?;
        }
        Ok(())
    }

    /// A file by its URL, as a block for the prompt.
    pub fn file(&mut self, name: Option<&str>, url: &str, rules: &UrlInput, what: &str) -> Result<String, HttpError> {
        let got = self.fetched(url, rules, rules.max_bytes.unwrap_or(FILE_BYTES), what)?;
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let name = name.unwrap_or_else(|| path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("file"));
        let declared = essence(&got.content_type);
        let mime =
            if matches!(declared, "" | "application/octet-stream") { documents::mime_by_name(name) } else { declared };
        self.one_more(mime)
            .and_then(|()| documents::block_of(name, mime, &got.body, rules))
            .map_err(|error| error.about(what))
    }

    fn fetched(&mut self, url: &str, rules: &UrlInput, limit: u64, what: &str) -> Result<Fetched, HttpError> {
        if !rules.allow_url.unwrap_or(false) {
            return Err(HttpError::invalid(format!("{what}: URLs are not fetched here; send the data itself.")));
        }
        self.urls = self.urls.checked_sub(1).ok_or_else(|| HttpError::invalid(format!("{what}: too many URLs.")))?;
        let got = (self.get)(url, rules, limit).map_err(|error| error.about(what))?;
        match got.status {
            200..=299 => Ok(got),
            status => Err(HttpError::invalid(format!("{what}: the server answered {status}."))),
        }
    }
}

/// Fetches on a thread of its own, so that a client that leaves is noticed meanwhile.
pub fn get(exchange: &mut Exchange<'_>, url: &str, rules: &UrlInput, limit: u64) -> Result<Fetched, HttpError> {
    let policy = Policy { only: rules.url_allowlist.clone(), ..Policy::default() };
    let limits = Limits {
        bytes: limit,
        time: rules.timeout_ms.map_or(TIME, Duration::from_millis),
        redirects: rules.max_redirects.unwrap_or(REDIRECTS),
    };
    let (abort, url) = (Abort::new(), url.to_string());
    let (answer, answered) = bounded(1);
    let own = abort.clone();
    let made = std::thread::Builder::new().name("fetch".into()).stack_size(STACK).spawn(move || {
        let request = Fetch { url: &url, body: None, headers: &[], policy: &policy, limits };
        // The handler may have left: then nobody needs what was fetched.
        let _ = answer.send(fetch(&request, &own));
    });
    made.map_err(|error| {
        log::error!("start a thread for a fetch: {error}");
        HttpError::unavailable("the gateway could not start a thread")
    })?;
    match exchange.wait(&answered, None) {
        Waited::Got(Ok(got)) => Ok(got),
        Waited::Got(Err(Error::Busy)) => Err(HttpError::unavailable(Error::Busy.to_string())),
        Waited::Got(Err(error)) => Err(HttpError::invalid(format!("{error}."))),
        Waited::PeerGone => {
            abort.fire();
            Err(HttpError::unavailable("the client left"))
        }
        Waited::Ended | Waited::TimedOut => Err(HttpError::internal()),
    }
}

/// Whether a part names something to be fetched; anything else is data, or nonsense.
pub fn is_url(url: &str) -> bool {
    Target::parse(url).is_ok()
}

/// A media type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The type of an image by its first bytes, for servers that do not say.
fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: UrlInput = UrlInput {
        allow_url: Some(true),
        url_allowlist: Vec::new(),
        allowed_mimes: Vec::new(),
        max_bytes: None,
        max_chars: None,
        pdf: crate::config::gateway::PdfInput { max_pages: None },
        max_redirects: None,
        timeout_ms: None,
    };

    fn answering(
        status: u16,
        content_type: &str,
        body: &[u8],
    ) -> impl FnMut(&str, &UrlInput, u64) -> Result<Fetched, HttpError> {
        let got = (content_type.to_string(), body.to_vec());
        move |_, _, _| Ok(Fetched { status, content_type: got.0.clone(), body: got.1.clone() })
    }

    fn words<T: std::fmt::Debug>(result: Result<T, HttpError>) -> String {
        result.expect_err("refused").parts().1.to_string()
    }

    #[test]
    fn nothing_is_fetched_unless_the_owner_allows_it() {
        let mut never = |_: &str, _: &UrlInput, _: u64| -> Result<Fetched, HttpError> { panic!("fetched") };
        let mut inputs = Inputs::new(8, &mut never);
        let refused = words(inputs.image("http://a.example/x.png".into(), &UrlInput::default(), "Bad image"));
        assert_eq!(refused, "Bad image: URLs are not fetched here; send the data itself.");
        assert!(inputs.file(None, "http://a.example/x", &UrlInput::default(), "Bad file").is_err());
    }

    #[test]
    fn an_image_is_what_the_server_or_its_first_bytes_say() {
        for (said, body) in
            [("image/png; q=1", &b"x"[..]), ("application/octet-stream", b"\x89PNG1"), ("", b"\x89PNG1")]
        {
            let mut get = answering(200, said, body);
            let part = Inputs::new(8, &mut get).image("http://a.example/x".into(), &OPEN, "Bad").expect("an image");
            assert!(matches!(part, Part::Image { mime, .. } if mime == "image/png"), "{said}");
        }
        for (said, body) in [("text/html", &b"<p>"[..]), ("image/svg+xml", b"<svg>"), ("", b"x")] {
            let mut get = answering(200, said, body);
            assert_eq!(
                words(Inputs::new(8, &mut get).image("http://a.example/x".into(), &OPEN, "Bad")),
                "Bad.",
                "{said}"
            );
        }
    }

    #[test]
    fn t39_a_request_has_so_many_urls_and_so_many_bytes_of_images() {
        let large = vec![b'x'; 9 << 20];
        let mut get = answering(200, "image/png", &large);
        let mut inputs = Inputs::new(8, &mut get);
        let mut image = || inputs.image("http://a.example/x".into(), &OPEN, "Bad");
        assert!(image().is_ok() && image().is_ok(), "18 of 20 MB");
        let mut small = answering(200, "image/png", b"x");
        let mut inputs = Inputs::new(2, &mut small);
        let mut image = || inputs.image("http://a.example/x".into(), &OPEN, "Bad");
        assert!(image().is_ok() && image().is_ok());
        assert_eq!(words(image()), "Bad: too many URLs.");
        let mut limits = Vec::new();
        let mut noting = |_: &str, _: &UrlInput, limit: u64| {
            limits.push(limit);
            Ok(Fetched { status: 200, content_type: "image/png".into(), body: vec![b'x'; limit as usize] })
        };
        let mut inputs = Inputs::new(8, &mut noting);
        for _ in 0..2 {
            inputs.image("http://a.example/x".into(), &OPEN, "Bad").expect("an image");
        }
        assert!(inputs.image_data("image/png", "A".repeat(8), &OPEN, "Bad").is_err(), "all bytes are spent");
        assert_eq!(limits, [10 << 20, 10 << 20]);
    }

    #[test]
    fn a_file_by_url_is_named_and_typed_by_what_is_known() {
        let mut get = answering(200, "application/octet-stream", b"a,b");
        let block = Inputs::new(8, &mut get).file(None, "http://a.example/x/t.csv?s=1", &OPEN, "Bad").expect("a file");
        assert!(block.contains("t.csv") && block.contains("a,b") && !block.contains("s=1"), "{block}");
        let mut get = answering(404, "text/plain", b"no");
        assert_eq!(
            words(Inputs::new(8, &mut get).file(None, "http://a.example/", &OPEN, "Bad")),
            "Bad: the server answered 404."
        );
        let mut get = answering(200, "video/mp4", b"x");
        let refused = words(Inputs::new(8, &mut get).file(None, "http://a.example/", &OPEN, "Bad"));
        assert_eq!(refused, "Bad: Files of type video/mp4 are not supported.");
    }
}

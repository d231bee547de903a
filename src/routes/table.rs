//! The route table. 404, 405 with `Allow`, HEAD and body limits come from its rows.

use tiny_http::Method;

use super::{Auth, HttpError, Visit, chat_completions, models, page, probes};
use crate::config::Config;
use crate::net::{Exchange, Reply};

/// One row.
pub struct Route {
    pub method: Method,
    /// A path; `{rest..}` at its end matches what is left, slashes included.
    pub pattern: &'static str,
    pub auth: Auth,
    pub enabled: fn(&Config) -> bool,
    /// Body bytes.
    pub limit: usize,
    pub handler: Handler,
}

pub type Handler = fn(&Visit<'_>, &mut Exchange<'_>) -> Result<Reply, HttpError>;

macro_rules! routes {
    ($( $method:ident $pattern:literal $auth:ident, $enabled:expr, $limit:expr, $handler:path; )*) => {
        /// Every route, first match wins.
        pub static ROUTES: &[Route] = &[ $( Route {
            method: routes!(@method $method),
            pattern: $pattern,
            auth: Auth::$auth,
            enabled: $enabled,
            limit: $limit,
            handler: $handler,
        } ),* ];
    };
    (@method GET) => { Method::Get };
    (@method POST) => { Method::Post };
}

routes! {
    GET  "/health"              Open,     always, 0, probes::live;
    GET  "/healthz"             Open,     always, 0, probes::live;
    GET  "/ready"               Open,     always, 0, probes::ready;
    GET  "/readyz"              Open,     always, 0, probes::ready;
    GET  "/startup"             Open,     always, 0, probes::started;
    GET  "/startupz"            Open,     always, 0, probes::started;
    GET  "/v1/models"           Operator, |c| c.gateway.http.endpoints.chat_completions.enabled, 0, models::list;
    GET  "/v1/models/{rest..}"  Operator, |c| c.gateway.http.endpoints.chat_completions.enabled, 0, models::get;
    POST "/v1/chat/completions" Operator, |c| c.gateway.http.endpoints.chat_completions.enabled, 20 << 20, chat_completions::create;
    GET  "/"                    Open,     always, 0, page::welcome;
}

fn always(_: &Config) -> bool {
    true
}

/// The row for a request, and what its hole matched. A row that is switched off is not there.
pub fn find(method: &Method, path: &str, config: &Config) -> Result<(&'static Route, String), HttpError> {
    let mut allow: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        let Some(rest) = matched(route.pattern, path) else { continue };
        if !(route.enabled)(config) {
            continue;
        }
        if route.method == *method || (*method == Method::Head && route.method == Method::Get) {
            return Ok((route, rest));
        }
        // Every path has the page at `/` beneath it; other methods there are simply not found.
        if route.pattern != "/" && !allow.contains(&route.method.as_str()) {
            allow.push(route.method.as_str());
            if route.method == Method::Get && !path.starts_with("/v1/") {
                allow.push("HEAD");
            }
        }
    }
    match allow.is_empty() {
        true => Err(HttpError::not_found()),
        false => Err(HttpError::method(allow.join(", "))),
    }
}

fn matched(pattern: &str, path: &str) -> Option<String> {
    match pattern.strip_suffix("{rest..}") {
        Some(prefix) => decoded(path.strip_prefix(prefix)?),
        None => (pattern == path).then(String::new),
    }
}

/// Percent-decodes; what is no UTF-8 or holds a NUL matches nothing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |b: u8| (b as char).to_digit(16);
                bytes.push((digit(high)? * 16 + digit(low)?) as u8);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_their_methods_agree() {
        for (at, row) in ROUTES.iter().enumerate() {
            assert!(ROUTES[..at].iter().all(|other| other.pattern != row.pattern || other.method != row.method));
            assert!(row.pattern.starts_with('/'));
            assert!(row.method == Method::Post || row.limit == 0, "{}", row.pattern);
        }
    }

    #[test]
    fn a_path_finds_its_row_or_is_told_what_there_is() {
        let config = Config::default();
        let status = |method, path| match find(&method, path, &config) {
            Ok((route, rest)) => format!("{} {rest}", route.pattern),
            Err(error) => format!("{error:?}").split(',').next().unwrap_or("").to_string(),
        };
        assert_eq!(status(Method::Get, "/healthz"), "/healthz ");
        assert_eq!(status(Method::Head, "/healthz"), "/healthz ");
        assert_eq!(status(Method::Get, "/v1/models/openclaw%2Fmain"), "/v1/models/{rest..} openclaw/main");
        assert_eq!(status(Method::Get, "/v1/models/"), "/v1/models/{rest..} ");
        assert_eq!(status(Method::Get, "/health/"), "HttpError { status: 404");
        assert_eq!(status(Method::Post, "/healthz"), "HttpError { status: 405");
        assert_eq!(status(Method::Get, "/v1/models/%zz"), "HttpError { status: 404");
        assert_eq!(status(Method::Get, "/v1/models/%00"), "HttpError { status: 404");
    }
}

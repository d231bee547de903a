//! The route table. 404, 405 with `Allow`, HEAD and body limits come from its rows.

use tiny_http::Method;

use super::{
    Auth, HttpError, Visit, admin_rpc, channels, chat_completions, embeddings, hooks, join, metrics, models, probes,
    responses, session_pages, tools_invoke, ui,
};
use crate::config::Config;
use crate::net::{Exchange, Reply};
use crate::wire::scope::Scope;

/// One row.
pub struct Route {
    pub method: Method,
    /// A path. `{hooks}` and `{ui}` at its beginning are the configured ones of webhooks and of the page, `{key}` matches
    /// one segment, `{rest..}` at its end what is left, slashes included.
    pub pattern: &'static str,
    pub auth: Auth,
    pub enabled: fn(&Config) -> bool,
    /// Body bytes.
    pub limit: usize,
    pub handler: Handler,
}

/// The row under all others.
const PAGE: &str = "{ui}{rest..}";

pub type Handler = fn(&Visit<'_>, &mut Exchange<'_>) -> Result<Reply, HttpError>;

macro_rules! routes {
    ($( $method:ident $pattern:literal $auth:ident, $enabled:expr, $limit:expr, $handler:path; )*) => {
        /// Every route, first match wins.
        pub static ROUTES: &[Route] = &[ $( Route {
            method: routes!(@method $method),
            pattern: $pattern,
            auth: routes!(@auth $auth),
            enabled: $enabled,
            limit: $limit,
            handler: $handler,
        } ),* ];
    };
    (@method GET) => { Method::Get };
    (@method POST) => { Method::Post };
    (@auth Open) => { Auth::Open };
    (@auth Operator) => { Auth::Operator };
    (@auth $scope:ident) => { Auth::Needs(Scope::$scope) };
}

routes! {
    GET  "/health"              Open,     always, 0, probes::live;
    GET  "/healthz"             Open,     always, 0, probes::live;
    GET  "/ready"               Open,     always, 0, probes::ready;
    GET  "/readyz"              Open,     always, 0, probes::ready;
    GET  "/startup"             Open,     always, 0, probes::started;
    GET  "/startupz"            Open,     always, 0, probes::started;
    GET  "/metrics"             Read,     metrics::enabled, 0, metrics::fetch;
    GET  "/api/diagnostics/prometheus" Read, metrics::enabled, 0, metrics::fetch;
    GET  "/v1/models"           Read,     openai, 0, models::list;
    GET  "/v1/models/{rest..}"  Read,     openai, 0, models::get;
    POST "/v1/chat/completions" Write,    |c| c.gateway.http.endpoints.chat_completions.enabled, 20 << 20, chat_completions::create;
    POST "/v1/embeddings"       Write,    openai, 5 << 20, embeddings::create;
    POST "/v1/responses"        Write,    |c| c.gateway.http.endpoints.responses.enabled, 20 << 20, responses::create;
    POST "/tools/invoke"        Operator, always, 2 << 20, tools_invoke::create;
    GET  "/sessions/{key}/history" SessionsRead, always, 0, session_pages::history;
    POST "/sessions/{key}/kill" Operator, always, 64 << 10, session_pages::kill;
    POST "/api/v1/admin/rpc"    Operator, admin_rpc::enabled, 1 << 20, admin_rpc::create;
    POST "{hooks}/{rest..}"     Open,     hooks, 256 << 10, hooks::receive;
    POST "/channels/{rest..}"   Open,     |c| !c.channels.is_empty(), 1 << 20, channels::receive;
    GET  "/j/{rest..}"          Open,     always, 0, join::fetch;
    GET  "{ui}/control-ui-config.json" Operator, ui::enabled, 0, ui::bootstrap;
    GET  "/__openclaw__/control-ui-config.json" Operator, ui::enabled, 0, ui::bootstrap;
    GET  "{ui}/avatar/{rest..}" Operator, ui::enabled, 0, ui::avatar;
    GET  "{ui}{rest..}"         Open,     ui::enabled, 0, ui::fetch;
}

/// Whether a route begins work, which a suspended gateway does not.
pub fn works(pattern: &str) -> bool {
    ["/v1/", "/tools/", "/sessions/", "/api/v1/", "{hooks}"].iter().any(|head| pattern.starts_with(head))
}

fn always(_: &Config) -> bool {
    true
}

fn hooks(config: &Config) -> bool {
    hooks::policy::base(config).is_some()
}

/// Either of the two surfaces that share models and embeddings.
fn openai(config: &Config) -> bool {
    let endpoints = &config.gateway.http.endpoints;
    endpoints.chat_completions.enabled || endpoints.responses.enabled
}

/// The row for a request, and what its hole matched. A row that is switched off is not there.
pub fn find(method: &Method, path: &str, config: &Config) -> Result<(&'static Route, String), HttpError> {
    let mut allow: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        // The page lies beneath every path: it hides no endpoint's 405, and other methods find nothing there.
        let page = route.pattern == PAGE;
        if page && (!allow.is_empty() || !matches!(method, Method::Get | Method::Head)) {
            continue;
        }
        let Some(rest) = matched(route.pattern, path, config) else { continue };
        if !(route.enabled)(config) {
            continue;
        }
        if route.method == *method || (*method == Method::Head && route.method == Method::Get) {
            return Ok((route, rest));
        }
        if !allow.contains(&route.method.as_str()) {
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

fn matched(pattern: &str, path: &str, config: &Config) -> Option<String> {
    if let Some(pattern) = pattern.strip_prefix("{hooks}") {
        return matched(pattern, path.strip_prefix(hooks::policy::base(config)?.as_str())?, config);
    }
    if let Some(pattern) = pattern.strip_prefix("{ui}") {
        return matched(pattern, ui::below(path, config)?, config);
    }
    if let Some((before, after)) = pattern.split_once("{key}") {
        let key = path.strip_prefix(before)?.strip_suffix(after)?;
        return decoded(key).filter(|_| !key.is_empty() && !key.contains('/'));
    }
    match pattern.strip_suffix("{rest..}") {
        Some(prefix) => decoded(path.strip_prefix(prefix)?),
        None => (pattern == path).then(String::new),
    }
}

/// The pairs of a query, decoded; what cannot be decoded is left out.
pub fn query(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| decoded(&text.replace('+', " "));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter_map(|(name, value)| Some((plain(name)?, plain(value)?))).collect()
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
            assert!(
                row.pattern.starts_with('/') || row.pattern.starts_with("{hooks}/") || row.pattern.starts_with("{ui}")
            );
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
        assert_eq!(
            status(Method::Get, "/sessions/agent%3Amain%3Ax%2Fy/history"),
            "/sessions/{key}/history agent:main:x/y"
        );
        assert_eq!(status(Method::Get, "/sessions//history"), "{ui}{rest..} /sessions//history");
        assert_eq!(status(Method::Get, "/sessions/a/b/history"), "{ui}{rest..} /sessions/a/b/history");
        assert_eq!(status(Method::Get, "/"), "{ui}{rest..} /");
        assert_eq!(status(Method::Get, "/tools/invoke"), "HttpError { status: 405");
        assert_eq!(status(Method::Get, "/api/nope"), "HttpError { status: 404");
        assert_eq!(status(Method::Get, "/sessions/a/kill"), "HttpError { status: 405");
        assert_eq!(status(Method::Post, "/api/v1/admin/rpc"), "HttpError { status: 404");
        assert_eq!(status(Method::Post, "/"), "HttpError { status: 404");
        assert_eq!(status(Method::Get, "/v1/models/%00"), "HttpError { status: 404");
    }
}

//! URLs that somebody else chose, taken apart so strictly that no two readers can disagree about where they lead.
//!
//! What is unusual is refused instead of repaired: credentials, backslashes, percent signs in a host, numbers that only
//! some resolvers read as addresses. Bytes beyond ASCII in path and query are percent-encoded, as browsers do.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub secure: bool,
    pub host: Host,
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub path: String,
}

/// A name in lower case, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Reads an absolute http or https URL. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Target, &'static str> {
        if text.len() > LONGEST {
            return Err("the URL is too long");
        }
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7F || byte == b'\\') {
            return Err("the URL holds a space, a backslash or a control character");
        }
        let (scheme, rest) = text.split_once("://").ok_or("the URL is not absolute")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("only http and https URLs are fetched"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = authority_of(authority)?;
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Target { secure, host, port, path: path_of(path) })
    }

    /// Where a `Location` leads from here.
    pub fn join(&self, location: &str) -> Result<Target, &'static str> {
        let scheme = if self.secure { "https" } else { "http" };
        if location.contains("://") && !location.starts_with(['/', '?', '#']) {
            return Target::parse(location);
        }
        if location.starts_with("//") {
            return Target::parse(&format!("{scheme}:{location}"));
        }
        let (path, query) = self.path.split_once('?').map_or((self.path.as_str(), None), |(p, q)| (p, Some(q)));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match location.bytes().next() {
            None | Some(b'#') => query.map_or(path.to_string(), |query| format!("{path}?{query}")),
            Some(b'/') => location.to_string(),
            Some(b'?') => format!("{path}{location}"),
            // `javascript:` and its like are no paths.
            _ if location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) => {
                return Err("only http and https URLs are fetched");
            }
            _ => format!("{folder}/{location}"),
        };
        Target::parse(&format!("{scheme}://{}{path}", self.authority()))
    }

    /// The URL in its one spelling.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// Scheme, host and port: what may be shown of a URL and what credentials belong to.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }

    pub fn same_origin(&self, other: &Target) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }

    fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
            host => host.text(),
        };
        if self.port == if self.secure { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl Host {
    /// The name, or the address without brackets.
    pub fn text(&self) -> String {
        match self {
            Host::Name(name) => name.clone(),
            Host::Address(ip) => ip.to_string(),
        }
    }

    /// Whether a pattern of a list means this host: the name itself, or `*.` and a name this one ends in.
    pub fn matches(&self, pattern: &str) -> bool {
        let pattern = pattern.trim().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let own = self.text();
        match (pattern.strip_prefix("*."), self) {
            (Some(parent), Host::Name(_)) => {
                own.strip_suffix(parent).is_some_and(|label| label.len() > 1 && label.ends_with('.'))
            }
            (Some(_), Host::Address(_)) => false,
            (None, Host::Address(ip)) => pattern.parse().is_ok_and(|listed: IpAddr| listed == *ip),
            (None, Host::Name(_)) => own == pattern,
        }
    }
}

fn authority_of(text: &str) -> Result<(Host, Option<u16>), &'static str> {
    if text.contains('@') {
        return Err("the URL holds credentials");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("the URL's host is no IPv6 address")?;
            let address: Ipv6Addr = address.parse().map_err(|_| "the URL's host is no IPv6 address")?;
            let port = match port.strip_prefix(':') {
                Some(port) => port,
                None if port.is_empty() => "",
                None => return Err("the URL's port is no number"),
            };
            (Host::Address(address.into()), port)
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (host_of(name)?, port)
        }
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|number: &u16| digits && *number != 0);
    number.map(|number| (host, Some(number))).ok_or("the URL's port is no number")
}

/// A name, or four decimal numbers. A last label that is a number in any base makes an address in some resolvers, and
/// then only the plain spelling counts.
fn host_of(text: &str) -> Result<Host, &'static str> {
    let name = text.to_ascii_lowercase();
    if name.is_empty() || name.len() > 253 {
        return Err("the URL has no host");
    }
    let fine = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inner) && !label.starts_with('-')
    };
    if !name.split('.').all(fine) {
        return Err("the URL's host is no name that can be looked up");
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !hex && !last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Host::Name(name));
    }
    // The standard library takes four decimal numbers without leading zeros, and nothing else.
    name.parse::<Ipv4Addr>().map(|ip| Host::Address(ip.into())).map_err(|_| "the URL's host is an address spelt oddly")
}

fn path_of(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^' | 0x80.. => {
                // Writing to a string cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
            byte => path.push(char::from(byte)),
        }
    }
    path
}

/// Longer URLs exist in data only.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<String, &'static str> {
        Target::parse(text).map(|target| target.url())
    }

    #[test]
    fn a_url_has_one_spelling() {
        for (written, plain) in [
            ("HTTPS://Example.COM", "https://example.com/"),
            ("http://a.example:80/x?y#z", "http://a.example/x?y"),
            ("https://a.example:8443?q=ü", "https://a.example:8443/?q=%C3%BC"),
            ("http://[2606:4700:0:0::1111]:81/a", "http://[2606:4700::1111]:81/a"),
            ("http://93.184.216.34", "http://93.184.216.34/"),
        ] {
            assert_eq!(url(written).as_deref(), Ok(plain), "{written}");
        }
    }

    #[test]
    fn t38_an_address_in_any_other_spelling_is_refused() {
        for odd in [
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "127.0.0.01",
            "127.0.0.1.",
            "1.2.3.0x4",
            "127.0.0.1.example.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "127。0.0.1",
            "localhost.",
            "0",
            "256.0.0.1",
            "[::1",
            "[::1%25eth0]",
            "[127.0.0.1]",
            "-a.example",
            "a..example",
            "",
        ] {
            assert!(url(&format!("http://{odd}/")).is_err(), "{odd}");
        }
        for odd in [
            "http://a@127.0.0.1/",
            "http://public.example\\@127.0.0.1/",
            "http://a.example:0/",
            "http://a.example:80a/",
            "http://a.example:65536/",
            "http:a.example",
            "//a.example",
            "file:///etc/passwd",
            "gopher://a.example/",
            "http://a.example/\r\nx: y",
            " http://a.example/",
            "ftp://a.example",
        ] {
            assert!(url(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_location_leads_where_a_browser_would_go() {
        let from = Target::parse("https://a.example:444/x/y?z=1").expect("a URL");
        let to = |location: &str| from.join(location).map(|target| target.url());
        assert_eq!(to("/p?q").as_deref(), Ok("https://a.example:444/p?q"));
        assert_eq!(to("n").as_deref(), Ok("https://a.example:444/x/n"));
        assert_eq!(to("?n").as_deref(), Ok("https://a.example:444/x/y?n"));
        assert_eq!(to("#f").as_deref(), Ok("https://a.example:444/x/y?z=1"));
        assert_eq!(to("//b.example/").as_deref(), Ok("https://b.example/"));
        assert_eq!(to("http://127.0.0.1/?u=x://y").as_deref(), Ok("http://127.0.0.1/?u=x://y"));
        assert_eq!(to("/p?u=http://b.example").as_deref(), Ok("https://a.example:444/p?u=http://b.example"));
        for odd in ["javascript:alert(1)", "file:///etc/passwd", "data:text/plain,x", "///", "//u@b.example"] {
            assert!(to(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_pattern_means_a_name_or_what_is_below_it() {
        let host = |text: &str| Target::parse(&format!("http://{text}")).expect("a URL").host;
        assert!(host("cdn.example.com").matches("CDN.example.com"));
        assert!(host("a.b.example.com").matches("*.example.com"));
        for other in ["example.com", "evilexample.com", "example.com.evil.example"] {
            assert!(!host(other).matches("*.example.com"), "{other}");
        }
        assert!(!host("cdn.example.com.evil.example").matches("cdn.example.com"));
        assert!(host("127.0.0.1").matches("127.0.0.1") && host("[::1]").matches("[0::1]"));
        assert!(!host("127.0.0.1").matches("*.0.0.1"));
    }
}

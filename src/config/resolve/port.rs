//! Which TCP port.

use super::{Refusal, Source};
use crate::config::Config;

/// The port of the default profile.
pub const DEFAULT_PORT: u16 = 18789;

/// The port of the profile `dev`.
pub const DEV_PORT: u16 = 19001;

/// `--port`, then `OPENCLAW_GATEWAY_PORT`, then `gateway.port`, then the profile's own. `--port 0` asks the system for a
/// free port.
pub fn port(flag: Option<&str>, config: &Config) -> Result<(u16, Source), Refusal> {
    if let Some(text) = flag {
        let port = digits(text.trim()).ok_or_else(|| refusal("--port"))?;
        return Ok((port, Source::Flag("--port")));
    }
    const NAME: &str = "OPENCLAW_GATEWAY_PORT";
    if let Some(text) = config.vars.get(NAME) {
        let port = last_port(text).filter(|port| *port != 0).ok_or_else(|| refusal(NAME))?;
        return Ok((port, Source::Env(NAME)));
    }
    if let Some(port) = config.gateway.port {
        return Ok((port, Source::Config("gateway.port")));
    }
    let profile = config.paths.as_ref().and_then(|paths| paths.profile.as_deref());
    Ok((profile_port(profile), Source::Default))
}

/// The port of a profile that was given none. Clients of the profile work out the same, so they find their gateway.
pub fn profile_port(profile: Option<&str>) -> u16 {
    match profile {
        None => DEFAULT_PORT,
        Some("dev") => DEV_PORT,
        Some(name) => {
            // FNV-1a, spread over 20000..60000: the reference's choice.
            let hash =
                name.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
            u16::try_from(20_000 + hash % 40_000).unwrap_or(DEFAULT_PORT)
        }
    }
}

fn refusal(source: &str) -> Refusal {
    Refusal::usage(format!("Invalid {source}. Use a port number from 1 to 65535, for example {DEFAULT_PORT}."))
}

fn digits(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A number, `host:number` or `[v6]:number`: container tools export the published address.
fn last_port(text: &str) -> Option<u16> {
    match text.rsplit_once(':') {
        None => digits(text),
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => digits(port),
        Some((host, port)) if !host.is_empty() && !host.contains(':') => digits(port),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::sys::Env;
    use crate::sys::paths::{Paths, Selector};

    fn config(value: serde_json::Value, env: &[(&str, &str)]) -> Config {
        let env: Env = env.iter().copied().chain([("HOME", "/h")]).collect();
        let paths = Paths::resolve(&env, &Selector::default()).unwrap();
        Config { vars: env, paths: Some(Arc::new(paths)), ..Config::from_value(value).unwrap() }
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        const ENV: (&str, &str) = ("OPENCLAW_GATEWAY_PORT", "2");
        let file = json!({"gateway": {"port": 3}});
        assert_eq!(port(Some("1"), &config(file.clone(), &[ENV])), Ok((1, Source::Flag("--port"))));
        assert_eq!(port(None, &config(file.clone(), &[ENV])), Ok((2, Source::Env("OPENCLAW_GATEWAY_PORT"))));
        assert_eq!(port(None, &config(file, &[])), Ok((3, Source::Config("gateway.port"))));
        assert_eq!(port(None, &config(json!({}), &[])), Ok((18789, Source::Default)));
        assert_eq!(port(None, &config(json!({}), &[("OPENCLAW_PROFILE", "dev")])), Ok((19001, Source::Default)));
        assert_eq!(port(Some("0"), &config(json!({}), &[])).unwrap().0, 0);
    }

    #[test]
    fn bad_values_name_their_source() {
        for bad in ["", "x", "-1", "65536", "1.5", "0x10", "1 2"] {
            let error = port(Some(bad), &config(json!({}), &[])).unwrap_err();
            assert_eq!(error.message, "Invalid --port. Use a port number from 1 to 65535, for example 18789.");
        }
        for bad in ["x", "0", "::1", "a:b", "1:2:3", ":5", "[::1]5"] {
            let error = port(None, &config(json!({}), &[("OPENCLAW_GATEWAY_PORT", bad)])).unwrap_err();
            assert!(error.message.starts_with("Invalid OPENCLAW_GATEWAY_PORT. "), "{bad}");
        }
    }

    #[test]
    fn an_address_in_the_variable_gives_its_port() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "localhost:8080"] {
            let got = port(None, &config(json!({}), &[("OPENCLAW_GATEWAY_PORT", text)]));
            assert_eq!(got.map(|(port, _)| port), Ok(8080), "{text}");
        }
    }

    #[test]
    fn profiles_have_ports_of_their_own_that_never_change() {
        assert_eq!((profile_port(None), profile_port(Some("dev"))), (18789, 19001));
        // Computed by hand: FNV-1a of "a" is 0xe40c292c.
        assert_eq!(u32::from(profile_port(Some("a"))), 20_000 + 0xe40c_292c_u32 % 40_000);
        assert_ne!(profile_port(Some("rescue")), profile_port(Some("ops")));
    }
}

//! How the commands talk to a gateway: choose it, connect with the least scopes that do, ask, and explain a failure.
//!
//! A gateway on another host grants a program without a device nothing but `health`. To such a one a command shows the
//! key of this installation, and asks for everything commands ever need, so that one approval there is enough.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::Wanted;
use super::failure::{Failure, Kind};
use super::output::clean;
use super::settings::Settings;
use super::target::Target;
use crate::client::device::DeviceKey;
use crate::client::{Client, ClientError, Deadlines, Event, Identity, RpcFailure};

/// One command's conversation with a gateway, with one budget of time for all of it.
pub struct Calls {
    pub target: Target,
    /// Where the key of this installation lies; `None`: none is shown.
    state_dir: Option<PathBuf>,
    until: Instant,
    whole: Duration,
}

impl Calls {
    /// Chooses the gateway and starts the clock.
    pub fn new(
        settings: &Settings,
        wanted: Wanted,
        timeout_ms: Option<u64>,
        usual: Duration,
    ) -> Result<Calls, Failure> {
        let whole = timeout(timeout_ms, usual)?;
        let target = Target::choose(&wanted, settings, &settings.vars)?;
        let state_dir = settings.config.paths.as_ref().map(|paths| paths.state_dir.clone());
        Ok(Calls { state_dir, ..Calls::to(target, whole) })
    }

    /// A conversation with a gateway that was chosen already; the clock starts now.
    pub fn to(target: Target, whole: Duration) -> Calls {
        Calls { target, state_dir: None, until: Instant::now() + whole, whole }
    }

    /// Connects as `who` with the target's credentials. A gateway that says it is still starting is asked again until
    /// the budget is used up.
    pub fn connect(&self, who: Identity) -> Result<Client, Failure> {
        self.try_connect(who).map_err(|failed| explain(&failed, "connect", &self.target))
    }

    /// Like [`Calls::connect`], with the failure as it came, for commands that report it themselves.
    pub fn try_connect(&self, who: Identity) -> Result<Client, ClientError> {
        let who = who.with_token(self.target.token.clone()).with_password(self.target.password.clone());
        let who = self.with_device(who)?;
        loop {
            let deadlines = Deadlines::default().within(self.left());
            let failed = match Client::connect(&self.target.address, &who, deadlines) {
                Ok(client) => return Ok(client),
                Err(failed) => failed,
            };
            match starting(&failed) {
                Some(pause) if pause < self.left() => std::thread::sleep(pause),
                _ => return Err(failed),
            }
        }
    }

    /// A command that only looks whether somebody is there stays without a name, and leaves no request behind.
    fn with_device(&self, mut who: Identity) -> Result<Identity, ClientError> {
        let Some(state_dir) = self.state_dir.as_deref().filter(|_| !self.target.is_here() && who.mode != "probe")
        else {
            return Ok(who);
        };
        let key = DeviceKey::of(state_dir).map_err(|error| {
            let told = format!("{}: {error}", DeviceKey::path(state_dir).display());
            ClientError::Io(std::io::Error::new(error.kind(), told))
        })?;
        who.device = Some(Arc::new(key));
        who.scopes = SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
        Ok(who)
    }

    /// Connects, asks one thing, says goodbye.
    pub fn once(&self, who: Identity, method: &str, params: Value) -> Result<Value, Failure> {
        let mut client = self.connect(who)?;
        let result = self.ask(&mut client, method, params)?;
        client.close();
        Ok(result)
    }

    /// Asks one thing on an open connection.
    pub fn ask(&self, client: &mut Client, method: &str, params: Value) -> Result<Value, Failure> {
        let asked = client.request_within(method, params, self.left());
        asked.map_err(|failed| explain(&failed, method, &self.target))
    }

    /// Asks a method that answers twice; shows each event to `seen`.
    pub fn ask_final(
        &self,
        client: &mut Client,
        method: &str,
        params: Value,
        seen: &mut dyn FnMut(&Event) -> bool,
    ) -> Result<Value, Failure> {
        let asked = client.request_final(method, params, self.left(), seen);
        asked.map_err(|failed| explain(&failed, method, &self.target))
    }

    /// What is left of the budget; never quite nothing, so that a late step fails as a timeout.
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// The whole budget in milliseconds.
    pub fn budget_ms(&self) -> u64 {
        self.whole.as_millis() as u64
    }
}

/// Reads `--timeout`: milliseconds, at least one.
pub fn timeout(ms: Option<u64>, usual: Duration) -> Result<Duration, Failure> {
    match ms {
        None => Ok(usual),
        Some(0) => Err(Failure::usage("--timeout must be at least 1")),
        Some(ms) => Ok(Duration::from_millis(ms).min(LONGEST)),
    }
}

/// How long to wait before asking a gateway again that said it is not ready yet.
fn starting(failed: &ClientError) -> Option<Duration> {
    let ClientError::Refused { error, .. } = failed else { return None };
    let starting = error.code == "UNAVAILABLE" && error.retryable == Some(true);
    let pause = error.retry_after_ms.filter(|ms| ms.is_finite() && *ms >= 0.0).unwrap_or(500.0);
    starting.then(|| Duration::from_millis(pause as u64).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
}

/// Turns a failed conversation into words: what happened, with which gateway, how it was found, what to do.
pub fn explain(failed: &ClientError, method: &str, target: &Target) -> Failure {
    let (kind, what) = (kind_of(failed), story(failed, method));
    let about_target = !matches!(failed, ClientError::Rpc(_));
    let message = if about_target { format!("{what}\n{}", target.lines()) } else { what };
    let failure = Failure::new(kind, message);
    match advice(failed) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What happened, without the target: one or two lines.
pub fn story(failed: &ClientError, method: &str) -> String {
    match failed {
        ClientError::Refused { error, close } => {
            let refused = format!("gateway connect failed: {}", clean(&error.message));
            match close {
                Some(close) => format!("{refused}\n{}", clean(&close.to_string())),
                None => refused,
            }
        }
        ClientError::Rpc(error) => rpc_story(error, method),
        ClientError::Closed(closed) => clean(&closed.to_string()),
        ClientError::Timeout { within, .. } if method != "connect" => {
            format!("gateway timeout after {}ms ({method})", within.as_millis())
        }
        other => {
            let mut words = format!("gateway connect failed: {}", clean(&other.to_string()));
            if let Some(source) = std::error::Error::source(other) {
                words.push_str(&format!(": {source}"));
            }
            words
        }
    }
}

fn rpc_story(error: &RpcFailure, method: &str) -> String {
    match error.code.as_str() {
        "" => format!("{method} failed: {}", clean(&error.message)),
        code => format!("{method} failed: {} ({})", clean(&error.message), clean(code)),
    }
}

fn kind_of(failed: &ClientError) -> Kind {
    match failed {
        ClientError::Rpc(_) | ClientError::Refused { .. } => Kind::Refused,
        ClientError::Address(_) => Kind::Usage,
        _ => Kind::Unreachable,
    }
}

fn advice(failed: &ClientError) -> Option<String> {
    let error = match failed {
        ClientError::Refused { error, .. } => error,
        ClientError::Unreachable { .. } => {
            return Some("Is it running? Start it with: openclaw gateway   Look with: openclaw gateway status".into());
        }
        ClientError::Upgrade { .. } | ClientError::Protocol(_) => {
            return Some("Something else may be listening there. Look with: openclaw gateway status".into());
        }
        _ => return None,
    };
    let detail = |name: &str| error.details.as_ref().and_then(|all| all.get(name)).and_then(Value::as_str);
    if error.detail_code() == Some("PAIRING_REQUIRED") {
        let id = detail("requestId").map(clean).unwrap_or_default();
        return Some(format!(
            "On the gateway's host, approve this one and run the command again: openclaw devices approve {id}"
        ));
    }
    if let Some(hint) = detail("remediationHint") {
        return Some(clean(hint));
    }
    let hint = match error.detail_code()? {
        "DEVICE_IDENTITY_REQUIRED" | "AUTH_TOKEN_MISSING" | "AUTH_PASSWORD_MISSING" => {
            "Give the gateway's secret: --token, gateway.auth.token in the configuration, or OPENCLAW_GATEWAY_TOKEN."
        }
        "AUTH_TOKEN_MISMATCH" | "AUTH_PASSWORD_MISMATCH" | "AUTH_DEVICE_TOKEN_MISMATCH" => {
            "The secret used is not the gateway's: compare gateway.auth with OPENCLAW_GATEWAY_TOKEN and \
             OPENCLAW_GATEWAY_PASSWORD here and in the gateway's environment."
        }
        "AUTH_RATE_LIMITED" => "Wait before trying again.",
        "PROTOCOL_MISMATCH" => "Update the older of the two programs.",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Everything a command may need, as the reference's own command line asks for it.
const SCOPES: [&str; 5] =
    ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

/// A day: a longer wait on a command line is a mistake, and sums of instants must not overflow.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Between two attempts at a gateway that is starting: it is ready within a second or not soon.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

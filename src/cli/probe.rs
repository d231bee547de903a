//! One look at a gateway: does it answer, who is it, what may be done there.
//!
//! Shared by `gateway status`, `gateway probe` and `status`. Prints nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::calls::{Calls, story};
use crate::client::{Client, ClientError, Identity};
use crate::wire::tree::json;

/// A gateway that answered.
pub struct Seen {
    /// From the first packet to `hello-ok`.
    pub latency: Duration,
    pub version: Option<String>,
    pub connection: Option<String>,
    pub role: Option<String>,
    pub scopes: Vec<String>,
}

/// Connects as `who`. The connection is still open, for those who want to ask more.
pub fn look(calls: &Calls, who: Identity) -> Result<(Seen, Client), ClientError> {
    let begun = Instant::now();
    let client = calls.try_connect(who)?;
    let latency = begun.elapsed();
    let hello = client.hello();
    let seen = Seen {
        latency,
        version: hello.and_then(|hello| hello.version()).map(str::to_owned),
        connection: hello.and_then(|hello| hello.0.pointer("/server/connId")?.as_str().map(str::to_owned)),
        role: hello.and_then(|hello| hello.role()).map(str::to_owned),
        scopes: hello.map(|hello| hello.scopes().into_iter().map(str::to_owned).collect()).unwrap_or_default(),
    };
    Ok((seen, client))
}

impl Seen {
    /// The best thing the granted scopes allow, in the reference's words.
    pub fn capability(&self) -> &'static str {
        let has = |scope: &str| self.scopes.iter().any(|granted| granted == scope);
        match () {
            () if has("operator.admin") => "admin_capable",
            () if has("operator.write") => "write_capable",
            () if has("operator.read") => "read_only",
            () => "connected_no_operator_scope",
        }
    }

    /// Name and version of the gateway, for JSON.
    pub fn server(&self) -> Value {
        json!({"version": self.version, "connId": self.connection})
    }
}

/// What a failed look says about what could be done.
pub fn lost_capability(failed: &ClientError) -> &'static str {
    match failed {
        ClientError::Refused { error, .. } if error.detail_code() == Some("PAIRING_REQUIRED") => "pairing_pending",
        _ => "unknown",
    }
}

/// Whether something answered that is not, or not willingly, a gateway.
pub fn somebody_is_there(failed: &ClientError) -> bool {
    !matches!(failed, ClientError::Unreachable { .. } | ClientError::Address(_))
}

/// The failure in one line.
pub fn one_line(failed: &ClientError) -> String {
    story(failed, "connect").replace('\n', "; ")
}

/// The capability as people read it.
pub fn spoken(capability: &str) -> String {
    capability.replace('_', "-")
}

//! Who is here, for people to see: the gateway itself, the clients a person sits at, and nodes.
//!
//! Command-line tools and back ends come and go within a second; they are not shown.

use crate::auth::{Caller, Role};
use crate::sys::order;
use crate::wire::connect::ClientId;
use crate::wire::frame::OWNER_PROFILE;
use crate::wire::presence::{PresenceEntry, PresenceIdentity, PresenceUser};

/// Rows of clients that left are kept so long, so that a reload does not blink (milliseconds).
const LINGER_MS: u64 = 5 * 60 * 1000;
/// Rows at most; the oldest that left goes first.
const ROWS: usize = 128;

/// The rows and their version.
pub struct Presence {
    own: PresenceEntry,
    rows: Vec<Row>,
    pub version: u64,
    /// Set by every change, cleared when the event went out.
    pub changed: bool,
}

struct Row {
    conn: u64,
    gone: bool,
    entry: PresenceEntry,
}

impl Presence {
    pub fn new(own: PresenceEntry) -> Presence {
        Presence { own, rows: Vec::new(), version: 1, changed: false }
    }

    /// The gateway first, then clients by their last change, newest first.
    pub fn rows(&self) -> Vec<&PresenceEntry> {
        let mut rows: Vec<&PresenceEntry> = self.rows.iter().map(|row| &row.entry).collect();
        order::by_key(&mut rows, |row| std::cmp::Reverse(row.ts));
        rows.insert(0, &self.own);
        rows
    }

    pub fn arrived(&mut self, caller: &Caller, now_ms: u64) {
        if !caller.tracked() && caller.role != Role::Node {
            return;
        }
        let entry = entry(caller, now_ms);
        self.rows.retain(|row| !(row.gone && same(&row.entry, &entry)));
        self.rows.push(Row { conn: caller.conn, gone: false, entry });
        self.prune(now_ms);
        self.touch();
    }

    pub fn left(&mut self, conn: u64, now_ms: u64) {
        let Some(row) = self.rows.iter_mut().find(|row| row.conn == conn && !row.gone) else { return };
        row.gone = true;
        row.entry.reason = Some("disconnect".into());
        row.entry.scopes = None;
        row.entry.ts = now_ms;
        self.prune(now_ms);
        self.touch();
    }

    fn prune(&mut self, now_ms: u64) {
        self.rows.retain(|row| !row.gone || now_ms.saturating_sub(row.entry.ts) < LINGER_MS);
        while self.rows.len() > ROWS {
            let Some(oldest) = self.rows.iter().position(|row| row.gone) else { break };
            self.rows.remove(oldest);
        }
    }

    fn touch(&mut self) {
        self.version += 1;
        self.changed = true;
    }
}

fn same(a: &PresenceEntry, b: &PresenceEntry) -> bool {
    a.host == b.host && a.device_id == b.device_id && a.instance_id == b.instance_id && a.mode == b.mode
}

fn entry(caller: &Caller, now_ms: u64) -> PresenceEntry {
    let client = &caller.client;
    let name = client.display_name.clone().unwrap_or_else(|| client.id.as_str().to_string());
    let node = caller.role == Role::Node;
    let owner = !node && client.id != ClientId::NodeHost;
    let what = if node { "Node" } else { "Client" };
    PresenceEntry {
        text: Some(format!("{what}: {name} · mode {}", client.mode.as_str())),
        host: Some(name),
        version: Some(client.version.clone()),
        platform: Some(client.platform.clone()),
        device_family: client.device_family.clone(),
        mode: Some(client.mode.as_str().into()),
        reason: Some("connect".into()),
        user: owner.then_some(PresenceUser {
            id: OWNER_PROFILE,
            identity: PresenceIdentity { kind: "profile", id: OWNER_PROFILE },
        }),
        online_since: (!node).then_some(now_ms),
        device_id: client.device_id.clone(),
        roles: Some(vec![caller.role.as_str().into()]),
        scopes: (!node).then_some(caller.scopes),
        instance_id: client.instance_id.clone(),
        ts: now_ms,
        ..PresenceEntry::default()
    }
}

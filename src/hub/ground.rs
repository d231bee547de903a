//! What the sender of a message took for granted: its view of the session may be old.
//!
//! Looked at in the transaction that takes the message in, so nothing comes between the look and the message.

use rusqlite::Connection;
use serde::Serialize;

use crate::store::{StoreError, sessions, transcript};
use crate::wire::error::RpcError;

/// Entries looked at for the last message, and their bytes; the last entry is always among them.
const LAST: usize = 4;
const LAST_BYTES: usize = 256 << 10;

/// The ground a message stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ground {
    /// The transcript that must be the session's present one.
    pub session_id: Option<String>,
    /// The last message the sender saw; the inner None: that nothing was said. Without `session_id` nothing may have
    /// been said since; with it, it must be part of the transcript.
    pub leaf: Option<Option<String>>,
}

impl Ground {
    /// Declines when the session is another one by now.
    pub fn check(&self, conn: &Connection, key: &str) -> Result<(), StoreError> {
        let row = sessions::get(conn, key)?;
        let present = row.as_ref().map(|row| row.session_id.as_str());
        let same = self.session_id.as_deref().is_none_or(|id| present == Some(id));
        let Some(leaf) = &self.leaf else {
            return if same { Ok(()) } else { Err(changed(key)) };
        };
        let last = match present {
            Some(id) => {
                // A summary is nobody's message: clients do not see it.
                let entries = transcript::page(conn, id, None, LAST, LAST_BYTES)?;
                entries.into_iter().rev().find(|entry| entry.role != transcript::COMPACTION).map(|entry| entry.id)
            }
            None => None,
        };
        let holds = same
            && match (leaf, present) {
                (leaf, _) if *leaf == last => true,
                (Some(leaf), Some(id)) if self.session_id.is_some() => transcript::find_in(conn, id, leaf)?.is_some(),
                _ => false,
            };
        if holds { Ok(()) } else { Err(branched()) }
    }
}

fn changed(key: &str) -> StoreError {
    let words = format!("Session \"{key}\" changed before expected work could start.");
    StoreError::Declined(Box::new(RpcError::unavailable(words)))
}

fn branched() -> StoreError {
    let words = "active branch changed; review and retry";
    StoreError::Declined(Box::new(RpcError::invalid(words).details(&Reason { reason: "active-leaf-changed" })))
}

/// Details of a refusal that clients branch on.
#[derive(Serialize)]
pub struct Reason {
    pub reason: &'static str,
}

//! `bindings[]`: which agent answers whom.

use serde_json::Value;

use super::sections::DmScope;
use crate::wire::object::objects;

objects! { kept:
    /// One rule; the closest one that fits wins.
    #[derive(Debug, Clone, Default)]
    pub struct Binding {
        pub agent_id: String,
        /// `route`, or nothing; other kinds belong to the larger product.
        pub kind: Option<String> as "type",
        pub matches: BindingMatch as "match",
        pub session: BindingSession,
    }

    /// What a message must be; what is not said fits everything.
    #[derive(Debug, Clone, Default)]
    pub struct BindingMatch {
        pub channel: String,
        /// Without one only the default account; `*` is every account.
        pub account_id: Option<String>,
        pub peer: Option<BindingPeer>,
        pub guild_id: Option<String>,
        pub team_id: Option<String>,
        pub roles: Vec<String>,
    }

    /// A person, a group or a room.
    #[derive(Debug, Clone, Default)]
    pub struct BindingPeer {
        /// `direct`, `group` or `channel`.
        pub kind: String,
        /// An id, as text or number; `*` is every one of its kind.
        pub id: Value,
    }

    /// Over `session.*`, for what the binding fits.
    #[derive(Debug, Clone, Default)]
    pub struct BindingSession {
        pub dm_scope: Option<DmScope>,
        /// `per-group` or `main`.
        pub group_scope: Option<String>,
    }
}

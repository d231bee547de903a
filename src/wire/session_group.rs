//! `sessions.groups.*`: the groups people put sessions into.
//!
//! Source: `SessionsGroups*` of the published schema. What a session is in stands in its `category`. Groups have no folder
//! to begin sessions in, because sessions have none.

use serde::Serialize;

use super::decode::Text;
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct SessionsGroupsListParams {}

    #[derive(Debug)]
    pub struct SessionsGroupsPutParams {
        /// In the order they are shown.
        pub names: Vec<Text<512>>,
        pub section_order: Option<Vec<Text<512>>>,
    }

    #[derive(Debug)]
    pub struct SessionsGroupsRenameParams {
        pub name: Text<512>,
        pub to: Text<512>,
    }

    #[derive(Debug)]
    pub struct SessionsGroupsDeleteParams {
        pub name: Text<512>,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsGroupsListResult {
    pub groups: Vec<Group>,
    pub section_order: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionsGroupsMutationResult {
    pub ok: bool,
    pub groups: Vec<Group>,
    pub section_order: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_sessions: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Group {
    pub name: String,
    pub position: usize,
}

//! `channels.status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decode::{Name, Whole};
use super::health::EventLoop;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelsStatusParams {
    /// Ask the messengers themselves instead of reporting what is known.
    pub probe: Option<bool>,
    pub timeout_ms: Option<Whole>,
    pub channel: Option<Name>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsStatusResult {
    pub ts: u64,
    pub channel_order: Vec<String>,
    pub channel_labels: BTreeMap<String, String>,
    pub channel_detail_labels: BTreeMap<String, String>,
    pub channel_system_images: BTreeMap<String, String>,
    pub channel_meta: Vec<ChannelMeta>,
    pub event_loop: EventLoop,
    pub channels: BTreeMap<String, ChannelSummary>,
    pub channel_accounts: BTreeMap<String, Vec<ChannelAccount>>,
    pub channel_default_account_id: BTreeMap<String, String>,
    pub status_issues: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelMeta {
    pub id: String,
    pub label: String,
    pub detail_label: String,
}

#[derive(Debug, Serialize)]
pub struct ChannelSummary {
    pub configured: bool,
    pub running: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelAccount {
    pub account_id: String,
    pub enabled: bool,
    pub configured: bool,
    pub running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

//! `channels.status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::Caller;
use crate::hub::{Now, State};
use crate::wire::channels::{ChannelsStatusParams, ChannelsStatusResult};
use crate::wire::error::RpcError;

/// Without messengers the lists are empty; the shape is the one clients read.
pub fn status(
    state: &mut State,
    _: &Arc<Caller>,
    params: ChannelsStatusParams,
    now: Now,
) -> Result<ChannelsStatusResult, RpcError> {
    if let Some(channel) = params.channel {
        return Err(RpcError::invalid(format!("unknown channel: {}", crate::wire::frame::cut(&channel, 64))));
    }
    Ok(ChannelsStatusResult {
        ts: now.ms,
        channel_order: Vec::new(),
        channel_labels: BTreeMap::new(),
        channel_detail_labels: BTreeMap::new(),
        channel_system_images: BTreeMap::new(),
        channel_meta: Vec::new(),
        event_loop: state.pulse.report(now.at, now.ms),
        channels: BTreeMap::new(),
        channel_accounts: BTreeMap::new(),
        channel_default_account_id: BTreeMap::new(),
        status_issues: Vec::new(),
    })
}

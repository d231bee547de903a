//! `config.get`: the configuration in use, without its secrets.

use std::sync::Arc;

use crate::auth::Caller;
use crate::config::redact;
use crate::hub::TaskContext;
use crate::wire::config_read::{ConfigGetParams, ConfigGetResult, ConfigWarning};
use crate::wire::error::RpcError;

pub fn get(context: &TaskContext, _: &Arc<Caller>, _: ConfigGetParams) -> Result<ConfigGetResult, RpcError> {
    let config = super::ask(context, "config.get", |state| Ok(state.shared.config.get()))?;
    let shown = redact::value(&config.tree);
    let hash = format!("sha256:v1:{}", config.hash);
    Ok(ConfigGetResult {
        path: config.path.display().to_string(),
        included_paths: config.files.iter().skip(1).map(|file| file.display().to_string()).collect(),
        exists: config.exists,
        raw: redact::text(&config.raw),
        parsed: shown.clone(),
        source_config: shown.clone(),
        resolved: shown.clone(),
        valid: true,
        runtime_config: shown.clone(),
        config: shown,
        hash: hash.clone(),
        issues: [],
        warnings: config
            .warnings
            .iter()
            .map(|text| ConfigWarning { path: String::new(), message: text.clone() })
            .collect(),
        legacy_issues: [],
        config_revision_hash: hash.clone(),
        applied_config_hash: hash,
    })
}

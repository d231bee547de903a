//! `openclaw config path` (also `config file`): which configuration file is in use.

use super::failure::Failure;
use super::output::Shell;
use crate::sys::paths::Paths;
use crate::wire::tree::json;

/// Prints the path, whether the file exists or not: it is the one that would be read.
pub fn run(shell: &mut Shell, json: bool) -> Result<(), Failure> {
    let paths = Paths::resolve(&shell.env, &shell.selector).map_err(|bad| Failure::usage(bad.to_string()))?;
    let path = paths.config.display().to_string();
    if json { shell.json(&json!({"path": path, "exists": paths.config.is_file()})) } else { shell.line(path) }
}

//! The document of rules about commands: kept as one fact of the store, changed by whoever saw it last.

use ring::digest::{SHA256, digest};

use crate::sys::random;
use crate::wire::exec_approvals::{ExecApprovalsFile, ExecSecurity};
use crate::wire::misfit::{self, Misfit};

/// Scope and name of the document among the store's named facts.
pub const RULES: (&str, &str) = ("exec", "approvals");

/// The document of rules about commands, as it was last written. Swapped whole.
#[derive(Debug, Default)]
pub struct Rules {
    pub file: ExecApprovalsFile,
    /// SHA-256 of its text; what a writer must have seen.
    pub hash: String,
    /// False: nobody has written one yet.
    pub exists: bool,
}

impl Rules {
    /// Reads the stored text. `None` is a document nobody has written yet.
    pub fn read(text: Option<&str>) -> Result<Rules, Misfit> {
        let file = text.map(misfit::read).transpose()?;
        let exists = file.is_some();
        let file: ExecApprovalsFile = file.unwrap_or_default();
        Ok(Rules { hash: hash(&text_of(&file)), file, exists })
    }

    /// Rules that let nothing run.
    pub fn closed() -> Rules {
        let mut file = ExecApprovalsFile::default();
        file.defaults.security = Some(ExecSecurity::Deny);
        Rules::of(file).0
    }

    pub fn of(file: ExecApprovalsFile) -> (Rules, String) {
        let text = text_of(&file);
        (Rules { hash: hash(&text), file, exists: true }, text)
    }
}

fn text_of(file: &ExecApprovalsFile) -> String {
    serde_json::to_string(file).expect("strings, numbers and lists are always JSON")
}

fn hash(text: &str) -> String {
    random::to_hex(digest(&SHA256, text.as_bytes()).as_ref())
}

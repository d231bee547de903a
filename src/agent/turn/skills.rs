//! What a run has of skills: looked up once, when it is needed first.

use std::path::PathBuf;

use super::Turning;
use crate::skills::{Catalog, called_for};

/// The skills of a run, as far as prompt and tools need them.
#[derive(Default)]
pub(in crate::agent) struct Equipment {
    /// The list in the prompt.
    pub list: Option<String>,
    /// What the prompt says of those the sender asks for.
    pub asked_for: Option<String>,
    /// Why the message is not answered: it asks for what it may not have.
    pub refused: Option<String>,
    /// Folders tools may read.
    pub folders: Vec<PathBuf>,
    /// Variables of commands.
    pub variables: Vec<(String, String)>,
}

impl Turning<'_> {
    pub(in crate::agent) fn equipment(&self) -> &Equipment {
        self.skills.get_or_init(|| {
            let agent_id = &self.order.agent_id;
            let catalog = Catalog::of(&self.config, agent_id);
            if catalog.skills.is_empty() {
                return Equipment::default();
            }
            let (asked_for, refused) = match catalog.wanted(&self.order.input.text) {
                Ok(wanted) => (called_for(&wanted), None),
                Err(why) => (None, Some(why)),
            };
            Equipment {
                list: catalog.prompt(agent_id),
                asked_for,
                refused,
                folders: catalog.folders(),
                variables: catalog.variables(),
            }
        })
    }
}

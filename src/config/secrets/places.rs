//! Where credentials stand in a file, before anything is resolved: for an audit, and for moving them elsewhere.

use super::reference::Reference;
use super::{Spot, is_placeholder};
use crate::config::json5::{Kind, Node, Place};
use crate::config::keys;

/// One credential.
pub struct Credential {
    pub path: String,
    pub at: Place,
    pub written: Written,
}

/// What stands there.
pub enum Written {
    /// The secret itself.
    Plain(String),
    Reference(Reference),
    /// `${NAME}`: it is in the environment.
    Variable,
}

/// All credentials of a tree, in its order.
pub fn credentials(root: &Node) -> Vec<Credential> {
    let mut all = Vec::new();
    walk(root, "", Spot::root(), &mut all);
    all
}

/// Whether a credential may stand at a path.
pub fn is_credential(path: &[&str]) -> bool {
    let spot = path.iter().fold(Spot::root(), |spot, name| spot.below(name));
    spot.secret && (spot.open || spot.ours.is_some_and(|names| names.secret))
}

fn walk(node: &Node, path: &str, spot: Spot, all: &mut Vec<Credential>) {
    if spot.secret {
        let written = match &node.kind {
            Kind::String(text) if text.trim().is_empty() => return,
            Kind::String(text) if is_placeholder(text) || text.contains("${") => Some(Written::Variable),
            Kind::String(text) => Some(Written::Plain(text.clone())),
            Kind::Number(number) => Some(Written::Plain(number.to_string())),
            _ => Reference::of(node).map(Written::Reference),
        };
        if let Some(written) = written {
            all.push(Credential { path: path.to_owned(), at: node.at, written });
            return;
        }
    }
    match &node.kind {
        Kind::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), spot.item(), all);
            }
        }
        Kind::Object(entries) => {
            for entry in entries {
                walk(&entry.value, &keys::join(path, &entry.key), spot.below(&entry.key), all);
            }
        }
        _ => {}
    }
}

//! A stored message, as far as summaries read it.

use serde::Deserialize;

use crate::wire::misfit;
use crate::wire::object::objects;

objects! { kept:
    /// Fields of any role; what a role does not have is absent.
    #[derive(Debug, Default)]
    pub struct Said {
        content: Content,
        pub usage: Option<Used>,
        pub stop_reason: Option<String>,
        pub tool_name: Option<String>,
        pub is_error: bool,
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

impl Default for Content {
    fn default() -> Content {
        Content::Blocks(Vec::new())
    }
}

objects! { lenient:
    #[derive(Debug)]
    struct Block {
        text: Option<String>,
        name: Option<String>,
    }
}

objects! { kept:
    /// What an answer of a model took.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Used {
        pub input: u64,
        pub output: u64,
        pub cache_read: u64,
        pub cache_write: u64,
        pub total_tokens: u64,
        pub cost: Price,
    }

    /// US dollars.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Price {
        pub total: f64,
    }
}

impl Said {
    /// `None` for what is no message.
    pub fn read(message: &str) -> Option<Said> {
        misfit::read(message).ok()
    }

    /// Its text, trimmed; a tool call stands as what `call` makes of the tool's name. Pictures are passed over.
    pub fn text(self, call: impl Fn(&str) -> String) -> String {
        let text = match self.content {
            Content::Text(text) => text,
            Content::Blocks(blocks) => {
                let parts = blocks.into_iter().filter_map(|block| block.text.or(block.name.map(|name| call(&name))));
                parts.filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n")
            }
        };
        text.trim().to_owned()
    }
}

/// The first characters; the last of them says that more follow.
pub fn shortened(text: &str, chars: usize) -> String {
    let mut short: String = text.chars().take(chars).collect();
    if short.len() < text.len() {
        short.pop();
        short.push('…');
    }
    short
}

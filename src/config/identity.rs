//! Who an agent says it is: the configuration's word, else what stands in its workspace's IDENTITY.md.

use std::io::Read;
use std::path::Path;

use super::Config;
use crate::sys::beneath;

/// Bytes read of IDENTITY.md.
const LARGEST: u64 = 64 << 10;
/// Characters of one field: it is shown in lists.
const IDENTITY_CHARS: usize = 200;
/// The name of an agent that was given none.
const NAMELESS: &str = "Assistant";

/// How clients show an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    pub name: String,
    /// `agent`, `workspace` or `default`.
    pub name_source: &'static str,
    /// A picture's address, an emoji or a letter.
    pub avatar: String,
    pub emoji: Option<String>,
}

impl Config {
    /// The face of an agent. Reads its IDENTITY.md.
    pub fn face(&self, agent: &str) -> Face {
        let entry = self.agent(agent);
        let own = entry.map(|entry| entry.identity.clone()).unwrap_or_default();
        let file = Identity::of(&self.agent_workspace(agent));
        let named = own.name.or_else(|| entry.and_then(|entry| entry.name.clone()));
        let (name, name_source) = match (named, file.name) {
            (Some(name), _) => (name, "agent"),
            (None, Some(name)) => (name, "workspace"),
            (None, None) => (NAMELESS.to_owned(), "default"),
        };
        let emoji = own.emoji.or(file.emoji);
        let letter = || name.chars().next().map(|first| first.to_uppercase().to_string());
        // A picture in the workspace has no address here.
        let shown = |avatar: &String| avatar.starts_with("https://") || avatar.starts_with("data:image/");
        let picture = [own.avatar, file.avatar].into_iter().flatten().find(shown);
        let avatar = picture.or_else(|| emoji.clone()).or_else(letter).unwrap_or_else(|| "A".into());
        Face { name, name_source, avatar, emoji }
    }
}

/// Who the agent says it is, from IDENTITY.md. Fields nobody filled in are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: Option<String>,
    pub emoji: Option<String>,
    /// A path in the workspace, a URL or a data URI; not checked.
    pub avatar: Option<String>,
}

impl Identity {
    /// The identity in a workspace; empty when there is none.
    pub fn of(workspace: &Path) -> Identity {
        let mut bytes = Vec::new();
        let read = beneath::open(workspace, "IDENTITY.md").and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
        read.map(|_| Identity::parse(&String::from_utf8_lossy(&bytes))).unwrap_or_default()
    }

    /// Reads `- Label: value` lines; the value may stand on the next line. What is still in brackets is a hint to fill in.
    pub fn parse(text: &str) -> Identity {
        let mut found = Identity::default();
        let mut lines = text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let Some((label, value)) = line.trim_start_matches(['-', '*', '+', ' ']).split_once(':') else { continue };
            let label = bare(label).to_ascii_lowercase();
            let mut value = bare(value);
            if value.is_empty() {
                let next = lines.peek().filter(|next| !next.starts_with(['-', '#']) && !next.contains("**"));
                value = next.map_or("", |next| bare(next));
            }
            if value.is_empty() || (value.starts_with('(') && value.ends_with(')')) {
                continue;
            }
            let value = value.chars().take(IDENTITY_CHARS).collect();
            let slot = match label.as_str() {
                "name" => &mut found.name,
                "emoji" => &mut found.emoji,
                "avatar" => &mut found.avatar,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        found
    }
}

/// Without Markdown's emphasis and quotes around it.
fn bare(text: &str) -> &str {
    text.trim().trim_matches(|c: char| ['*', '_', '`', '"'].contains(&c) || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_from_its_lines() {
        let some = |text: &str| Some(text.to_owned());
        let text = "# Me\n- **Name:** Clawd\n- **Creature:**\n  lobster\n- **vibe:** _warm_\n* Emoji: 🦞\n- Avatar: https://x/y.png";
        let identity = Identity::parse(text);
        assert_eq!(identity.name, some("Clawd"));
        assert_eq!(identity.emoji, some("🦞"));
        assert_eq!(identity.avatar, some("https://x/y.png"));
        let hints =
            "- **Name:**\n  _(pick something you like)_\n- **Emoji:** (one)\n- Theme:\n\nA sentence: with a colon.";
        assert_eq!(Identity::parse(hints), Identity::default());
        assert_eq!(Identity::parse(&format!("Name: {}", "x".repeat(9000))).name.unwrap().len(), 200);
    }
}

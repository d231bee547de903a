//! The `skills` section: where skills lie, which are on, and what they are given.
//!
//! Shapes only; finding them is the work of [`crate::skills`].

use crate::sys::secret::Secret;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

objects! { kept:
    /// `skills.*`.
    #[derive(Debug, Clone, Default)]
    pub struct SkillsConfig {
        pub load: SkillsLoad,
        pub limits: SkillsLimits,
        /// By the skill's key: its name unless its head says another.
        pub entries: Sorted<String, SkillEntry>,
    }

    /// `skills.load.*`.
    #[derive(Debug, Clone, Default)]
    pub struct SkillsLoad {
        /// More directories, after all others.
        pub extra_dirs: Vec<String>,
        /// Directories a linked skill may lie in though they are outside its root.
        pub allow_symlink_targets: Vec<String>,
    }

    /// `skills.limits.*`, and `agents.entries.*.skillsLimits`.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct SkillsLimits {
        pub max_candidates_per_root: Option<usize>,
        pub max_skill_file_bytes: Option<u64>,
        pub max_skills_in_prompt: Option<usize>,
        pub max_skills_loaded_per_source: Option<usize>,
        /// Characters of the list in a prompt.
        pub max_skills_prompt_chars: Option<usize>,
    }

    /// `skills.entries.<key>`.
    #[derive(Debug, Clone, Default)]
    pub struct SkillEntry {
        /// False switches the skill off.
        pub enabled: Option<bool>,
        /// Becomes the variable the skill names as its own.
        pub api_key: Option<Secret>,
        /// Variables of the commands of a run, where the gateway has none of that name.
        pub env: Sorted<String, Secret>,
    }
}

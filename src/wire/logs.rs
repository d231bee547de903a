//! `logs.tail`.

use serde::Serialize;

use super::decode::{Int, Whole};
use super::object::objects;

objects! { strict:
    #[derive(Debug)]
    pub struct LogsTailParams {
        /// Byte offset to go on from; absent: the end of the file.
        pub cursor: Option<Whole>,
        pub limit: Option<Int<1, 5000>>,
        pub max_bytes: Option<Int<1, 1_000_000>>,
    }
}

#[derive(Debug, Serialize)]
pub struct LogsTailResult {
    pub file: String,
    /// Pass it as `cursor` next time.
    pub cursor: u64,
    pub size: u64,
    pub lines: Vec<String>,
    pub truncated: bool,
    /// The file is shorter than the cursor: it was rotated or replaced.
    pub reset: bool,
}

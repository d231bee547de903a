//! (being built)
pub mod tools;
pub mod workspace;

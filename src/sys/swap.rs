//! A value that is replaced whole and read often.
//!
//! Readers take an `Arc` of what is current and keep it as long as they like; a replacement never waits for them. The
//! lock is held for the copy of a pointer.

use std::sync::{Arc, RwLock};

/// One current value.
#[derive(Debug)]
pub struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    pub fn new(value: T) -> Swap<T> {
        Swap(RwLock::new(Arc::new(value)))
    }

    /// What is current now.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(value);
    }
}

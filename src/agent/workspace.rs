//! The agent's workspace.

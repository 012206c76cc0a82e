//! The agent.

pub mod discover;

//! Discovery against the running kernel: what appears is found, what vanishes is forgotten, what
//! cannot be read is an error.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test panics when its surroundings fail it"
)]

mod host;
mod hostile;
mod lab;
mod netnses;
mod privileges;
mod renewing;
mod speed;
mod sweeping;
mod watching;

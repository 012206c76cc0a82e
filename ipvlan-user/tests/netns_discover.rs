//! Discovery against the running kernel: what appears is found, what vanishes is forgotten, what
//! cannot be read is an error.

#![expect(
    clippy::expect_used,
    reason = "a test panics when its surroundings fail it"
)]

mod common;
#[path = "netns_discover/host.rs"]
mod host;
#[path = "netns_discover/hostile.rs"]
mod hostile;
#[path = "netns_discover/lab.rs"]
mod lab;
#[path = "netns_discover/netnses.rs"]
mod netnses;
#[path = "netns_discover/privileges.rs"]
mod privileges;
#[path = "netns_discover/renewing.rs"]
mod renewing;
#[path = "netns_discover/speed.rs"]
mod speed;
#[path = "netns_discover/sweeping.rs"]
mod sweeping;
#[path = "netns_discover/watching.rs"]
mod watching;

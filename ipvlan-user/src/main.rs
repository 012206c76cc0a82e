//! The `ipvlan` command.
fn main() {}

//! Lab command.
fn main() {}

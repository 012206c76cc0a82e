//! Benchmarks: what a frame costs, on which way and beside what.

pub mod row;

//! Replaced by the one that tests drive.

fn main() {}

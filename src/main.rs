//! The tracegate binary.

fn main() {}

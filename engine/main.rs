//! Calls `cli::main`, nothing else.

fn main() {}

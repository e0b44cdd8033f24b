//! Calls `cli::main`, nothing else.

fn main() -> std::process::ExitCode {
    runplan::cli::main()
}

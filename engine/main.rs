//! Calls `cli::main`, nothing else.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = match args.split_first() {
        Some((first, rest)) if first == "__supervise" => runplan::process::supervise_main(rest),
        Some((first, rest)) if first == runplan::postgres::GUARD => runplan::postgres::guard_main(rest),
        _ => 2,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(70))
}

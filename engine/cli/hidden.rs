//! The subcommands that runplan starts itself with. Must never appear in the help, nor parse anything but their own form.

use crate::postgres;
use crate::process;
use crate::steps;
use std::ffi::OsString;
use std::process::ExitCode;

/// None: it is none of them.
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = args.get(1..)?.split_first()?;
    let code = match name.to_str()? {
        "__supervise" => process::supervise_main(rest),
        postgres::GUARD => postgres::guard_main(rest),
        steps::FEED => steps::feed_main(rest),
        _ => return None,
    };
    Some(ExitCode::from(u8::try_from(code).unwrap_or(70)))
}

//! Signed decisions of a run as files that `ssh-keygen -Y verify` proves without runplan.

use super::error::Error;
use super::files;
use crate::report;
use crate::terminal::Screen;
use std::path::Path;

/// Writes each signed decision, its signature, and who may sign.
///
/// # Errors
/// The directory is there already, or cannot be written.
pub fn export(screen: &Screen, report: &report::Report, directory: &Path) -> Result<(), Error> {
    let signed: Vec<_> =
        report.approvals.iter().filter_map(|one| Some((one, one.signed.as_ref()?))).collect();
    if signed.is_empty() {
        return Err(Error::usage_with(
            format!("{} has no signed decision", report.run),
            "a decision is signed where the site file lists SSH keys for who decides",
        ));
    }
    std::fs::create_dir(directory).map_err(|error| {
        let message = format!("{} cannot be made: {error}", directory.display());
        Error::usage_with(message, "give a directory that is not there yet, in one that is")
    })?;
    let mut signers = String::new();
    let mut commands = Vec::new();
    for (number, (approval, signed)) in signed.iter().enumerate() {
        let name = format!("{}-{}.json", number + 1, approval.step);
        files::create(&directory.join(&name), &signed.text)?;
        files::create(&directory.join(format!("{name}.sig")), &signed.signature)?;
        let who = principal(&approval.by);
        let line = format!("{who} namespaces=\"{}\" {}\n", crate::run::NAMESPACE, signed.key);
        if !signers.contains(&line) {
            signers.push_str(&line);
        }
        commands.push(format!(
            "ssh-keygen -Y verify -n {} -f allowed_signers -I {who} -s {name}.sig < {name}",
            crate::run::NAMESPACE
        ));
    }
    files::create(&directory.join("allowed_signers"), &signers)?;
    screen.say(&format!("{} in {}; there:", count(signed.len()), directory.display()));
    commands.iter().for_each(|command| screen.say(&format!("  {command}")));
    Ok(())
}

fn count(all: usize) -> String {
    if all == 1 { "one signed decision".to_owned() } else { format!("{all} signed decisions") }
}

/// A name as `allowed_signers` takes it: without spaces, commas and patterns.
fn principal(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "._@+-".contains(c) { c } else { '_' }).collect()
}

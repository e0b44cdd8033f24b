//! The author's fields -> a program with its surroundings. Must never let a secret into argv, into a file, or into the
//! part of the environment that is not kept secret.

use super::super::attempt::{Attempt, broken};
use crate::plan::action::Shell;
use crate::plan::{Text, template};
use crate::process::{Command, Stdin};
use crate::run::Failure;
use crate::secret::{Redactor, Secret};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Renders a command. `key` names the file of its script.
///
/// # Errors
/// A template, a secret where none may be, or a script that cannot be written.
pub async fn command(attempt: &Attempt, action: &Shell, key: &str) -> Result<Command, Failure> {
    let texts: Vec<&Text> = action
        .argv
        .iter()
        .flatten()
        .chain(&action.run)
        .chain(&action.cwd)
        .chain(&action.stdin)
        .chain(action.env.values())
        .collect();
    let scope = attempt.scope(texts).await?;
    let plain = |text: &Text| template::plain(&text.raw, &scope).map_err(|error| broken(text, &error));
    let secrets = attempt.world.secrets.all();
    let redactor = Redactor::new(&secrets);
    let mut command = Command::new(Vec::<String>::new());
    match (&action.argv, &action.run) {
        (Some(argv), None) => {
            for text in argv {
                command.argv.push(open_to_all(plain(text)?, text, &redactor)?);
            }
        }
        (None, Some(run)) => {
            let script = template::script(&run.raw, &scope).map_err(|error| broken(run, &error))?;
            let text = open_to_all(script.text, run, &redactor)?;
            command.argv.clone_from(&action.shell);
            command.argv.push(write(&attempt.world.state, key, &text)?);
            for (name, value) in script.env {
                add(&mut command, name, value, &redactor, false);
            }
        }
        _ => return Err(Failure::new("runplan::shell::command", "give either `argv` or `run`").permanent()),
    }
    for (name, text) in &action.env {
        add(&mut command, name.value.clone(), plain(text)?, &redactor, text.raw.contains("secrets"));
    }
    if let Some(text) = &action.stdin {
        command.stdin = Stdin::Bytes(Secret::new(plain(text)?));
    }
    command.cwd = Some(match &action.cwd {
        Some(text) => attempt.world.directory.join(plain(text)?),
        None => attempt.world.directory.clone(),
    });
    command.redact = secrets;
    Ok(command)
}

/// Arguments and scripts can be read by others on the machine.
fn open_to_all(value: String, text: &Text, redactor: &Redactor) -> Result<String, Failure> {
    if !redactor.finds(&value) {
        return Ok(value);
    }
    let message =
        format!("`{}` holds a secret, and every user of the machine could read it", text.raw.trim());
    Err(Failure::new("runplan::shell::secret", message).help("pass it by `env` or `stdin`").permanent())
}

fn add(command: &mut Command, name: String, value: String, redactor: &Redactor, is_secret: bool) {
    match is_secret || redactor.finds(&value) {
        true => command.secret_env.push((name, Secret::new(value))),
        false => command.env.push((name, value)),
    }
}

/// The script as a file of the run: a long one does not fit into an argument.
fn write(state: &Path, key: &str, text: &str) -> Result<String, Failure> {
    let path = path(state, key);
    let write = || {
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o700).open(&path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error: std::io::Error| {
        Failure::new("runplan::shell::script", format!("{}: {error}", path.display()))
            .help("check that the state directory has room and may be written")
    })?;
    Ok(path.to_string_lossy().into_owned())
}

fn path(state: &Path, key: &str) -> PathBuf {
    let path = state.join("process").join(format!("{key}.script"));
    std::path::absolute(&path).unwrap_or(path)
}

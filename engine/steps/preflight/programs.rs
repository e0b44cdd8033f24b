//! Secrets that can be read, programs that are there, client programs that fit their server. Starts no program but the
//! PostgreSQL clients for their `--version`, and the commands that print secrets.

use super::concern::{Concern, Found};
use super::late::{self, Known};
use super::scripts::{self, Symbol};
use super::server::Server;
use super::uses::{ScriptUse, Use, Uses, What};
use super::{Options, ids, steps_that};
use crate::plan::template::{Piece, pieces};
use crate::plan::{Action, Text};
use crate::postgres::Program;
use crate::process::which;
use crate::steps::backup;
use crate::steps::world::World;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reads every secret that the plan uses, without showing any.
pub async fn secrets(world: &World, uses: &Uses) -> Found {
    let mut found = Found::default();
    let mut read = 0;
    for name in &uses.secrets {
        match world.secrets.get(name).await {
            Ok(secret) if secret.is_empty() => {
                found.add(Concern::error("secret_empty", format!("the secret {name} is empty")));
            }
            Ok(_) => read += 1,
            Err(failure) => found.add(Concern::of_failure(&failure)),
        }
    }
    if read > 0 {
        found.fact("secrets", format!("{read} readable"));
    }
    found
}

/// The programs of `requires`, and those that steps start.
pub async fn look(world: &World, options: &Options, uses: &Uses) -> Found {
    let mut found = Found::default();
    for name in &world.shape.plan.requires {
        match is_there(name, None, &world.directory, options) {
            Ok(path) => found.fact(name, path),
            Err(why) => found.add(
                Concern::error("program_missing", format!("the plan requires `{name}`, which {why}"))
                    .help(format!("install {name}, or add its directory to PATH")),
            ),
        }
    }
    for used in &uses.programs {
        let (Known::Now(program), Known::Now(cwd)) =
            (late::plain(world, &used.program).await, directory(world, used.cwd.as_ref()).await)
        else {
            continue;
        };
        if let Err(why) = is_there(&program, cwd.as_deref(), &world.directory, options) {
            found.add(
                Concern::error("program_missing", format!("the step starts `{program}`, which {why}"))
                    .step(&used.step)
                    .help("install it, add its directory to PATH, or correct the path in the plan"),
            );
        }
    }
    for used in &uses.scripts {
        script(world, options, used, &mut found).await;
    }
    found
}

/// The programs that a script certainly comes to start.
async fn script(world: &World, options: &Options, used: &ScriptUse, found: &mut Found) {
    let (Known::Now(cwd), Ok(parts)) = (directory(world, used.cwd.as_ref()).await, pieces(&used.run.raw))
    else {
        return;
    };
    let mut symbols = Vec::new();
    for part in parts {
        match part {
            Piece::Literal(text, _) => symbols.extend(text.chars().map(Symbol::Char)),
            Piece::Expression(expression, _) => {
                symbols.push(Symbol::Value(value(world, used, expression).await))
            }
        }
    }
    for started in scripts::programs(symbols) {
        if used.own_path && !started.program.contains('/') {
            continue;
        }
        let asked = is_there(&started.program, cwd.as_deref(), &world.directory, options);
        let Err(why) = asked else { continue };
        let message = format!("the script starts `{}`, which {why}", started.program);
        // What an earlier program makes is not missing for certain.
        let concern = match started.first && !(started.program.contains('/') && follows_program(world, used))
        {
            true => Concern::error("program_missing", message),
            false => Concern::warning(
                "program_missing",
                format!("{message}; something before it would have to make it"),
            ),
        };
        found.add(
            concern
                .step(&used.step)
                .help("install it, add its directory to PATH, or correct the path in the plan"),
        );
    }
}

/// What a template of a script stands for; None: not known before its step.
async fn value(world: &World, used: &ScriptUse, expression: &str) -> Option<String> {
    let text = Text::written(format!("{{{{{expression}}}}}"), used.run.span);
    match late::plain(world, &text).await {
        Known::Now(value) if !expression.contains("secrets") => Some(value),
        _ => None,
    }
}

fn follows_program(world: &World, used: &ScriptUse) -> bool {
    let shape = &world.shape;
    let is_program = |at: usize| {
        shape.flow.steps().get(at).is_some_and(|step| matches!(step.action.value, Action::Shell(_)))
    };
    used.at < shape.flow.steps().len() && shape.graph.ancestors(used.at).into_iter().any(is_program)
}

async fn directory(world: &World, cwd: Option<&Text>) -> Known<Option<String>> {
    match cwd {
        None => Known::Now(None),
        Some(text) => match late::plain(world, text).await {
            Known::Now(path) => Known::Now(Some(path)),
            Known::After(what) => Known::After(what),
            Known::Never(failure) => Known::Never(failure),
        },
    }
}

/// Where a program is; else what is wrong, in words that follow its name.
fn is_there(program: &str, cwd: Option<&str>, beside: &Path, options: &Options) -> Result<String, String> {
    if !program.contains('/') {
        let path = options.path.clone().unwrap_or_default();
        return which(program, &path)
            .map(|path| path.display().to_string())
            .ok_or_else(|| "is not on PATH".to_owned());
    }
    let path = cwd.map_or(beside.to_owned(), |cwd| beside.join(cwd)).join(program);
    let path = std::path::absolute(&path).unwrap_or(path);
    match path.metadata() {
        Ok(file) if !file.is_file() => Err(format!("is not a file ({})", path.display())),
        Ok(file) if file.permissions().mode() & 0o111 == 0 => {
            Err(format!("may not be executed ({}: chmod +x)", path.display()))
        }
        Ok(_) => Ok(path.display().to_string()),
        Err(error) => Err(format!("is not there ({}: {error})", path.display())),
    }
}

/// pg_dump, pg_restore and psql for the server's version, where steps use them.
pub async fn clients(world: &World, server: &Server, uses: &[&Use]) -> Found {
    let backups = steps_that(uses, |what| matches!(what, What::Backup { .. }));
    let restores = steps_that(uses, |what| matches!(what, What::Restore { .. }));
    // A schema is compared as pg_dump writes it.
    let schemas = steps_that(uses, |what| matches!(what, What::Compare { schema: true }));
    let dumps: Vec<&Use> = backups.iter().chain(&schemas).copied().collect();
    // A backup is read back with it.
    let all: Vec<&Use> = dumps.iter().chain(&restores).copied().collect();
    let wanted = [("pg_dump", dumps), ("psql", restores), ("pg_restore", all)];
    let mut found = Found::default();
    for (name, steps) in wanted.into_iter().filter(|(_, steps)| !steps.is_empty()) {
        let (programs, major) = (world.programs.clone(), server.identity.major());
        let asked = tokio::task::spawn_blocking(move || programs.find(name, major)).await;
        match asked {
            Ok(Ok(program)) => {
                if name == "pg_dump" {
                    compression(&program, &steps, &mut found).await;
                }
                found.fact(name, format!("{} {}", program.path.display(), program.version));
                if let Some(note) = program.note {
                    found.add(Concern::warning("client_newer", note).help(format!(
                        "install the client programs of PostgreSQL {major}, or name them with --pg-bin DIR"
                    )));
                }
            }
            Ok(Err(error)) => {
                let concern =
                    Concern::error("client_missing", format!("{} ({})", error.message(), ids(&steps)));
                found.add(concern.help(error.help().unwrap_or("install it")));
            }
            Err(error) => found.add(Concern::error("client_missing", format!("{name}: {error}"))),
        }
    }
    found
}

/// Whether this pg_dump can compress as the steps say.
async fn compression(program: &Program, steps: &[&Use], found: &mut Found) {
    for used in steps {
        let What::Backup { format, compress, .. } = &used.what else { continue };
        let (program, format, compress) = (program.clone(), *format, *compress);
        let asked =
            tokio::task::spawn_blocking(move || backup::refuse_compression(&program, format, compress)).await;
        if let Ok(Err(failure)) = asked {
            found.add(Concern::of_failure(&failure).step(&used.step));
        }
    }
}

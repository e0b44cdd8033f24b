//! What can be rendered already, and what a text still waits for. Must never guess a value.

use crate::plan::template::{self, Scope, SqlText};
use crate::plan::{StepId, Text};
use crate::run::Failure;
use crate::steps::attempt::broken;
use crate::steps::world::World;

/// A text before the run.
#[derive(Debug, Clone)]
pub enum Known<T> {
    Now(T),
    /// What it waits for: a step's id, or a name that has no value yet.
    After(String),
    /// It can never be rendered, or a secret of it cannot be read.
    Never(Failure),
}

/// A text for a place that takes any text.
pub async fn plain(world: &World, text: &Text) -> Known<String> {
    render(world, text, |scope| template::plain(&text.raw, scope)).await
}

/// An address.
pub async fn url(world: &World, text: &Text) -> Known<String> {
    render(world, text, |scope| template::url(&text.raw, scope)).await
}

/// SQL; `raw` may be a file's text, `text` says where it is written.
pub async fn sql(world: &World, text: &Text, raw: &str) -> Known<SqlText> {
    let whole = Text::written(raw, text.span);
    render(world, &whole, |scope| template::sql(raw, scope)).await
}

async fn render<T>(
    world: &World,
    text: &Text,
    how: impl FnOnce(&Scope) -> Result<T, template::Error>,
) -> Known<T> {
    let scope = match world.scope(&[&text.raw]).await {
        Ok(scope) => scope,
        Err(failure) => return Known::Never(failure),
    };
    if let Some(name) = missing(world, &text.raw, &scope) {
        return Known::After(name);
    }
    match how(&scope) {
        Ok(done) => Known::Now(done),
        Err(error) => Known::Never(broken(text, &error)),
    }
}

/// Whether a step's condition is certainly false: then nothing of it is asked. None: it depends on what comes.
pub async fn condition(world: &World, text: &Text) -> Option<bool> {
    let scope = world.scope(&[&text.raw]).await.ok()?;
    let names = template::condition_references(&text.raw).ok()?;
    let late = names.iter().any(|name| !scope.has(&name.path) && !name.guarded);
    if late || names.iter().any(|name| name.parts.first().is_some_and(|root| root == "steps")) {
        return None;
    }
    template::condition(&text.raw, &scope).ok()
}

/// The step that a text waits for.
pub fn step_of(world: &World, raw: &str) -> Option<(StepId, String)> {
    let names = template::references(raw, false).ok()?;
    names.iter().find_map(|name| {
        let mut parts = name.parts.iter().map(String::as_str);
        (parts.next() == Some("steps")).then_some(())?;
        let rest: Vec<&str> = parts.collect();
        // `maintenance.open` is an id of two parts.
        (1..=rest.len()).rev().find_map(|many| {
            let id = rest.get(..many)?.join(".");
            let step = world.shape.flow.step(&id)?;
            Some((step.id.value.clone(), rest.get(many..)?.join(".")))
        })
    })
}

fn missing(world: &World, raw: &str, scope: &Scope) -> Option<String> {
    let names = template::references(raw, false).ok()?;
    let late = names.iter().find(|name| !name.guarded && !scope.has(&name.path))?;
    Some(match step_of(world, raw) {
        Some((step, _)) if late.path.starts_with("steps.") => step.to_string(),
        _ => late.path.clone(),
    })
}

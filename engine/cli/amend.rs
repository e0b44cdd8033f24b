//! The files of a plan as they are now, beside those that a run was started with: told apart, and adopted when asked. Must
//! never adopt what `check` finds wrong, nor another form of a step that acted.

use super::error::Error;
use super::files::{self, Opened};
use super::values::{self, ValueArgs};
use super::{actor, check, run, stored};
use crate::drive;
use crate::plan::digest;
use crate::review::difference::{Change, Difference, Sections, difference};
use crate::review::{self, Review, ReviewInput};
use crate::run::{Amended, Input, Shape, Started, State};
use crate::store::Held;
use crate::terminal::{self, Screen};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Where the plan of a run was read from.
pub fn path(started: &Started) -> PathBuf {
    let name = started.sources.first().map(|source| source.name.as_str()).unwrap_or_default();
    let name = Path::new(name);
    Path::new(&started.directory).join(name.file_name().unwrap_or(name.as_os_str()))
}

/// The plan as it is now.
///
/// # Errors
/// It cannot be read.
pub fn now(started: &Started, site: Option<&Path>) -> Result<Opened, Error> {
    files::open(&path(started), site)
}

/// What would happen otherwise now. None: the same would, or what is there now is no plan.
pub fn changed(state: &State, started: &Started) -> Option<Difference> {
    if is_untouched(started) {
        return None;
    }
    let opened = now(started, None).ok()?;
    if check::findings(&opened.loaded).iter().any(crate::plan::Finding::is_error) {
        return None;
    }
    let shape = stored::shape_of(opened.loaded).ok()?;
    let shape = stored::with_fitting_values(shape, &started.params)?;
    let found = compare(&state.shape, &shape, &started.params, &started.params);
    (!found.equal).then_some(found)
}

/// Whether the files are those that the run goes by, to the byte: then they are the same plan, and to read, check and review
/// it again would hold a resume up for nothing.
fn is_untouched(started: &Started) -> bool {
    let plan = path(started);
    let site = plan.canonicalize().ok().and_then(|plan| files::find_site(&plan));
    if site.is_some() != started.has_site {
        return false;
    }
    let directory = Path::new(&started.directory);
    started.sources.iter().enumerate().all(|(at, source)| {
        let path = match (at, &site) {
            (0, _) => plan.clone(),
            (1, Some(site)) => site.clone(),
            _ => directory.join(&source.name),
        };
        files::read_text(&path).is_ok_and(|text| text == source.text)
    })
}

fn compare(old: &Shape, new: &Shape, then: &Map<String, Value>, now: &Map<String, Value>) -> Difference {
    let (old, old_parts) = reviewed(old, then);
    let (new, new_parts) = reviewed(new, now);
    difference((&old, &old_parts), (&new, &new_parts))
}

fn reviewed(shape: &Shape, params: &Map<String, Value>) -> (Review, Sections) {
    let input = ReviewInput { params: params.clone(), ..ReviewInput::default() };
    (review::review(&shape.loaded, &shape.graph, &input), digest::of_parts(&shape.loaded))
}

/// Adopts the plan as it is now, durably. False: it has not changed.
///
/// # Errors
/// It cannot be read, has errors, or changes what is done; the journal fails.
pub fn amend(
    screen: &Screen,
    held: &Held,
    state: &mut State,
    given: &ValueArgs,
    site: Option<&Path>,
    runtime: &Runtime,
) -> Result<bool, Error> {
    let Some(started) = state.started.clone() else {
        return Err(Error::NeverBegan { run: state.run.clone() });
    };
    let opened = now(&started, site)?;
    check::stop_on(screen, &check::findings(&opened.loaded), &opened.loaded, false)?;
    let shape = stored::shape_of(opened.loaded)?;
    let known = |name: &String| shape.plan.params.get(name.as_str()).is_some();
    let base: Map<String, Value> =
        started.params.clone().into_iter().filter(|(name, _)| known(name)).collect();
    let params = given.over(base).complete(screen, &shape.plan, started.plan.as_str())?;
    let shape = stored::with_values(screen, shape, &params)?;
    let plan_digest = digest::of_plan(&shape.loaded);
    let public = values::public(&shape.plan, &params);
    if plan_digest == started.plan_digest && public == started.params {
        screen.say("the plan has not changed since: there is nothing to amend");
        return Ok(false);
    }
    state.refuse(&shape, &public).map_err(|why| Error::NotAmended { run: state.run.clone(), why })?;
    let found = compare(&state.shape, &shape, &started.params, &public);
    if !screen.is_json() {
        screen.say("The plan is amended:");
        terminal::difference(screen, &found);
    }
    let input = ReviewInput { params, ..ReviewInput::default() };
    let amended = Amended {
        sources: run::sources(&shape.loaded),
        has_site: shape.site.is_some(),
        params: public,
        digest: digest::with_params(&plan_digest, &review::shown_params(&shape.plan, &input)),
        plan_digest,
        changes: summary(&found),
    };
    runtime.block_on(drive::record(
        held.journal(),
        state,
        &actor::whoami(),
        Input::Amend(Box::new(amended)),
    ))?;
    Ok(true)
}

/// In short lines, for the journal and the report.
fn summary(found: &Difference) -> Vec<String> {
    let steps = found.steps.iter().map(|step| match step.change {
        Change::Added => format!("step {} is new", step.id),
        Change::Removed => format!("step {} is gone", step.id),
        Change::Renamed => format!("step {} was {}", step.id, step.was.as_deref().unwrap_or_default()),
        Change::Changed => {
            let fields: Vec<&str> = step.fields.iter().map(|change| change.field.as_str()).collect();
            format!("step {}: {}", step.id, fields.join(", "))
        }
    });
    let params = found.params.iter().map(|change| format!("parameter {}", change.field));
    let plan = found.plan.iter().map(|change| format!("the plan's {}", change.field));
    steps.chain(params).chain(plan).chain(found.sections.iter().cloned()).collect()
}

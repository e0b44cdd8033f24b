//! A plan -> its flow: implicit `needs` written out, windows turned into steps that open and close them.

use super::flow::{Flow, Made};
use super::name::{Name, StepId};
use super::source::Sp;
use super::step::{Bare, Step};
use super::{Plan, Window};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The steps of a plan as they run. Unknown windows are left to `check`.
pub fn flow(plan: &Plan) -> Flow {
    expand(&plan.steps, plan)
}

/// Any list of steps (a rehearsal's preparation too) as it runs, in the plan's windows.
pub fn expand(written: &[Step], plan: &Plan) -> Flow {
    let mut steps = written.to_vec();
    let last = last_members(&steps);
    imply_needs(&mut steps, &last, plan);
    let mut made = HashMap::new();
    let mut out: Vec<Step> = Vec::with_capacity(steps.len() + 2 * plan.windows.len());
    let mut opened: HashSet<String> = HashSet::new();
    let frames = frames(&steps, plan, &mut made);
    for (at, step) in steps.into_iter().enumerate() {
        let window = step.window.as_ref().map(|name| name.as_str().to_owned());
        let frame = window.as_deref().and_then(|name| frames.get(name));
        if let (Some(frame), Some(name)) = (frame, &window)
            && opened.insert(name.clone())
        {
            out.push(frame.open.clone());
        }
        out.push(step);
        if let (Some(frame), Some(name)) = (frame, &window)
            && last.get(name.as_str()) == Some(&at)
        {
            out.push(frame.close.clone());
        }
    }
    admit(&mut out, &frames);
    Flow::new(out, made)
}

struct Frame {
    open: Step,
    close: Step,
    members: HashSet<StepId>,
}

/// The last written member of each window.
fn last_members(steps: &[Step]) -> HashMap<String, usize> {
    let mut last = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if let Some(window) = &step.window {
            last.insert(window.as_str().to_owned(), at);
        }
    }
    last
}

/// The written step that an id belongs to: `dump` of `dump[users]`, `verified` of `verified.counts`.
fn group(id: &StepId) -> &str {
    id.as_str().split(['.', '[']).next().unwrap_or_default()
}

/// The steps of a group that no other of them waits for.
fn leaves(steps: &[Step]) -> HashMap<String, Rc<[StepId]>> {
    let mut inner: HashSet<&StepId> = HashSet::new();
    for step in steps.iter().filter(|step| group(&step.id.value) != step.id.as_str()) {
        let own = group(&step.id.value);
        inner.extend(step.needs.iter().flatten().map(|need| &need.value).filter(|need| group(need) == own));
    }
    let mut leaves: HashMap<String, Vec<StepId>> = HashMap::new();
    for step in steps {
        let id = &step.id.value;
        if group(id) != id.as_str() && !inner.contains(id) {
            leaves.entry(group(id).to_owned()).or_default().push(id.clone());
        }
    }
    leaves.into_iter().map(|(group, ids)| (group, ids.into())).collect()
}

/// A step that gives no `needs` runs after the step written above it; after the end of a window, after its closing.
/// The copies of a `for_each` count as one step, side by side; so do the steps of an include, by their own order.
fn imply_needs(steps: &mut [Step], last: &HashMap<String, usize>, plan: &Plan) {
    chain_includes(steps);
    let leaves = leaves(steps);
    let mut above: Option<Above> = None;
    let mut before = None;
    let mut current = String::new();
    for (at, step) in steps.iter_mut().enumerate() {
        let own = group(&step.id.value).to_owned();
        let grouped = own != step.id.as_str();
        if !grouped || own != current {
            before = above.take();
        }
        current = if grouped { own.clone() } else { String::new() };
        match &mut step.needs {
            None => step.needs = Some(implied(step, before.as_ref(), last, plan)),
            Some(needs) => whole_groups(needs, &leaves),
        }
        // Shared: a step may have become thousands, and each of them comes by here.
        let ids =
            leaves.get(&own).filter(|_| grouped).cloned().unwrap_or_else(|| [step.id.value.clone()].into());
        above = Some((at, ids, step.window.clone()));
    }
}

/// Where the last step of it stands, what of it nothing follows, and its window.
type Above = (usize, Rc<[StepId]>, Option<Sp<Name>>);

fn implied(
    step: &Step,
    above: Option<&Above>,
    last: &HashMap<String, usize>,
    plan: &Plan,
) -> Vec<Sp<StepId>> {
    let Some((previous, ids, window)) = above else { return Vec::new() };
    let closed = window.as_ref().filter(|window| {
        last.get(window.as_str()) == Some(previous)
            && plan.windows.contains_key(window.as_str())
            && step.window.as_ref().is_none_or(|own| own.value != window.value)
    });
    match closed {
        Some(window) => vec![Sp::new(StepId::new(format!("{}.close", window.value)), step.id.span)],
        None => ids.iter().map(|id| Sp::new(id.clone(), step.id.span)).collect(),
    }
}

/// `needs: [dump]` of a step that has become several means all that nothing of it follows.
fn whole_groups(needs: &mut Vec<Sp<StepId>>, leaves: &HashMap<String, Rc<[StepId]>>) {
    if needs.iter().any(|need| leaves.contains_key(need.as_str())) {
        *needs = needs
            .drain(..)
            .flat_map(|need| match leaves.get(need.as_str()) {
                Some(ids) => ids.iter().map(|id| Sp::new(id.clone(), need.span)).collect(),
                None => vec![need],
            })
            .collect();
    }
}

/// Inside an include a step without `needs` runs after the one above it there; the first one is left to the outer order.
fn chain_includes(steps: &mut [Step]) {
    let is_inner = |id: &StepId| id.as_str().split('[').next().is_some_and(|id| id.contains('.'));
    let written = |id: &StepId| id.as_str().split('[').next().unwrap_or_default().to_owned();
    let mut above: Option<(String, Vec<StepId>)> = None;
    let mut before: Option<Vec<StepId>> = None;
    for step in steps {
        let id = step.id.value.clone();
        if !is_inner(&id) {
            above = None;
            continue;
        }
        let own = written(&id);
        match &mut above {
            // Another copy of the same inner step.
            Some((known, ids)) if *known == own => ids.push(id.clone()),
            Some((known, ids)) if group(&StepId::new(known.as_str())) == group(&id) => {
                before = Some(std::mem::take(ids));
                above = Some((own, vec![id.clone()]));
            }
            _ => {
                before = None;
                above = Some((own, vec![id.clone()]));
            }
        }
        if step.needs.is_none()
            && let Some(ids) = &before
        {
            let span = step.id.span;
            step.needs = Some(ids.iter().map(|id| Sp::new(id.clone(), span)).collect());
        }
    }
}

fn frames(steps: &[Step], plan: &Plan, made: &mut HashMap<StepId, Made>) -> HashMap<String, Frame> {
    let mut frames = HashMap::new();
    for (name, window) in &plan.windows {
        let members: Vec<&Step> = steps
            .iter()
            .filter(|step| step.window.as_ref().is_some_and(|w| w.as_str() == name.value))
            .collect();
        if members.is_empty() {
            continue;
        }
        let ids: HashSet<StepId> = members.iter().map(|step| step.id.value.clone()).collect();
        // It opens when everything its members wait for outside is finished ...
        let mut before: Vec<Sp<StepId>> = Vec::new();
        for need in members.iter().flat_map(|step| step.needs.iter().flatten()) {
            if !ids.contains(&need.value) && !before.contains(need) {
                before.push(need.clone());
            }
        }
        // ... and closes after the members that no other member waits for.
        let inner: HashSet<&StepId> =
            members.iter().flat_map(|step| step.needs.iter().flatten()).map(|need| &need.value).collect();
        let after: Vec<Sp<StepId>> = members
            .iter()
            .filter(|step| !inner.contains(&step.id.value))
            .map(|step| step.id.clone())
            .collect();
        let open = made_step(name, "open", window, before);
        let close = made_step(name, "close", window, after);
        let label = Name::new(name.value.as_str());
        made.insert(open.id.value.clone(), Made::Open(label.clone()));
        made.insert(close.id.value.clone(), Made::Close(label));
        frames.insert(name.value.clone(), Frame { open, close, members: ids });
    }
    frames
}

fn made_step(name: &Sp<String>, end: &str, window: &Window, needs: Vec<Sp<StepId>>) -> Step {
    let bare = if end == "open" { &window.open } else { &window.close };
    Step {
        title: Some(format!("{end} window {}", name.value)),
        needs: Some(needs),
        window: Some(Sp::new(Name::new(name.value.as_str()), name.span)),
        // Each end of a window is the undo of the other: an undo works behind closed doors, and ends with opening them.
        undo: Some(Box::new(if end == "open" { window.close.clone() } else { window.open.clone() })),
        ..step_of(StepId::new(format!("{}.{end}", name.value)), name.span, bare)
    }
}

/// An action without a place, as a step.
pub fn step_of(id: StepId, span: super::Span, bare: &Bare) -> Step {
    Step {
        id: Sp::new(id, span),
        title: None,
        description: None,
        needs: Some(Vec::new()),
        when: None,
        window: None,
        timeout: bare.timeout,
        retry: bare.retry.clone(),
        undo: None,
        irreversible: None,
        unguarded: None,
        continue_on_failure: false,
        for_each: None,
        fresh_for: None,
        action: bare.action.clone(),
    }
}

/// Every member waits for its window's opening.
fn admit(steps: &mut [Step], frames: &HashMap<String, Frame>) {
    for step in steps {
        let Some(frame) = step.window.as_ref().and_then(|window| frames.get(window.as_str())) else {
            continue;
        };
        if !frame.members.contains(&step.id.value) {
            continue;
        }
        let needs = step.needs.get_or_insert_with(Vec::new);
        let inside = needs.iter().any(|need| frame.members.contains(&need.value));
        if !inside {
            // What it waited for outside, the opening waits for.
            needs.clear();
            needs.push(Sp::new(frame.open.id.value.clone(), step.id.span));
        }
    }
}

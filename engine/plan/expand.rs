//! A plan -> its flow: implicit `needs` written out, windows turned into steps that open and close them.

use super::flow::{Flow, Made};
use super::name::{Name, StepId};
use super::source::Sp;
use super::step::{Bare, Step};
use super::{Plan, Window};
use std::collections::{HashMap, HashSet};

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

/// A step that gives no `needs` runs after the step written above it; after the end of a window, after its closing.
fn imply_needs(steps: &mut [Step], last: &HashMap<String, usize>, plan: &Plan) {
    let mut above: Option<(usize, StepId, Option<Sp<Name>>)> = None;
    for (at, step) in steps.iter_mut().enumerate() {
        if step.needs.is_none() {
            step.needs = Some(match &above {
                None => Vec::new(),
                Some((previous, id, window)) => {
                    let closed = window.as_ref().filter(|window| {
                        last.get(window.as_str()) == Some(previous)
                            && plan.windows.contains_key(window.as_str())
                            && step.window.as_ref().is_none_or(|own| own.value != window.value)
                    });
                    let need = match closed {
                        Some(window) => StepId::new(format!("{window}.close", window = window.value)),
                        None => id.clone(),
                    };
                    vec![Sp::new(need, step.id.span)]
                }
            });
        }
        above = Some((at, step.id.value.clone(), step.window.clone()));
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

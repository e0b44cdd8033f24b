//! What changed between two reviewed plans, in terms of what would happen: steps, their final text, order, effects, the
//! point of no return, guards, digests. Pure; it must never compare layout, comments or the order of keys.

pub mod attention;
pub mod markdown;
pub mod text;

use super::{NoReturn, Review, Reviewed};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// What follows from other fields and would tell everything twice.
const DERIVED: &[&str] =
    &["id", "wave", "needs", "estimate_ms", "estimate_of", "action.does", "undo_action.does"];

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub format: u32,
    /// Both would do exactly the same.
    pub equal: bool,
    pub old: Side,
    pub new: Side,
    /// What a reviewer should look at first, in words.
    pub attention: Vec<String>,
    /// Fields of the plan as a whole: name, title, severity.
    pub plan: Vec<FieldChange>,
    pub params: Vec<FieldChange>,
    /// In the new plan's order; removed ones where they stood.
    pub steps: Vec<StepChange>,
    /// Parts of the files that differ, as `handlers` or `site: roles`; steps and parameters are told above.
    pub sections: Vec<String>,
}

/// One of the two plans.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    pub plan: String,
    pub digest: Option<String>,
    pub plan_digest: String,
    pub steps: usize,
    pub no_return: Option<NoReturn>,
}

/// A field and its values; null where it was not, or is no more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    pub field: String,
    pub old: Value,
    pub new: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Added,
    Removed,
    /// The same step under another id.
    Renamed,
    Changed,
}

/// A step that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepChange {
    pub id: String,
    pub change: Change,
    /// Its old id, when it was renamed.
    pub was: Option<String>,
    pub kind: String,
    pub effect: String,
    /// What changed in it; of an added or removed step everything.
    pub fields: Vec<FieldChange>,
}

impl StepChange {
    /// What is worth a line: of a whole step not what its first line says.
    fn told(&self) -> impl Iterator<Item = &FieldChange> {
        let is_whole = matches!(self.change, Change::Added | Change::Removed);
        let obvious = move |field: &str| is_whole && matches!(field, "kind" | "effect" | "decision");
        self.fields.iter().filter(move |change| !obvious(&change.field))
    }
}

/// The parts of a plan's files by name, each with a digest of what it says.
pub type Sections = Vec<(String, String)>;

/// What changed from `old` to `new`.
pub fn difference(old: (&Review, &Sections), new: (&Review, &Sections)) -> Difference {
    let renamed = renames(old.0, new.0);
    let steps = steps(old.0, new.0, &renamed);
    let plan = plan_fields(old.0, new.0);
    let params = map_changes(&shown_params(old.0), &shown_params(new.0));
    let mut sections = sections(old.1, new.1);
    sections.retain(|name| match name.as_str() {
        "steps" => steps.is_empty(),
        "params" => params.is_empty(),
        name => !plan.iter().any(|change| change.field == name),
    });
    let mut difference = Difference {
        format: 1,
        equal: old.0.plan_digest == new.0.plan_digest && steps.is_empty(),
        old: side(old.0),
        new: side(new.0),
        attention: Vec::new(),
        plan,
        params,
        steps,
        sections,
    };
    difference.attention = attention::of(&difference);
    difference
}

fn side(review: &Review) -> Side {
    Side {
        plan: review.plan.clone(),
        digest: review.digest.clone(),
        plan_digest: review.plan_digest.clone(),
        steps: review.steps.len(),
        no_return: review.no_return.clone(),
    }
}

fn plan_fields(old: &Review, new: &Review) -> Vec<FieldChange> {
    let fields = |review: &Review| {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
        Map::from_iter([
            ("name".to_owned(), Value::String(review.plan.clone())),
            ("title".to_owned(), text(&review.title)),
            ("severity".to_owned(), text(&review.severity)),
        ])
    };
    map_changes(&fields(old), &fields(new))
}

/// A required parameter without a value is shown as itself, so that it differs from an optional one.
fn shown_params(review: &Review) -> Map<String, Value> {
    let value = |(name, value): (&String, &Value)| match value {
        Value::Null if review.missing.contains(name) => (name.clone(), format!("‹param {name}›").into()),
        Value::Null => (name.clone(), "none".into()),
        value => (name.clone(), value.clone()),
    };
    review.params.iter().map(value).collect()
}

fn map_changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<FieldChange> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    new.keys()
        .chain(gone)
        .filter_map(|name| {
            let value = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
            let (old, new) = (value(old), value(new));
            (old != new).then(|| FieldChange { field: name.clone(), old, new })
        })
        .collect()
}

fn sections(old: &Sections, new: &Sections) -> Vec<String> {
    let known: HashMap<&str, &str> =
        old.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
    let now: HashSet<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
    let changed = new.iter().filter(|(name, digest)| known.get(name.as_str()) != Some(&digest.as_str()));
    let gone = old.iter().filter(|(name, _)| !now.contains(name.as_str()));
    changed.chain(gone).map(|(name, _)| name.clone()).collect()
}

/// New id -> old id, where exactly one removed step and one added step say the same.
fn renames<'r>(old: &'r Review, new: &'r Review) -> HashMap<&'r str, &'r str> {
    let without = |step: &'r Reviewed, others: &HashSet<&str>| {
        let mut fields = flat(step);
        fields.retain(|name, _| name != "title");
        (!others.contains(step.id.as_str())).then(|| (Value::Object(fields).to_string(), step.id.as_str()))
    };
    let ids = |review: &'r Review| review.steps.iter().map(|step| step.id.as_str()).collect::<HashSet<_>>();
    let (old_ids, new_ids) = (ids(old), ids(new));
    let mut gone: HashMap<String, Vec<&str>> = HashMap::new();
    for (text, id) in old.steps.iter().filter_map(|step| without(step, &new_ids)) {
        gone.entry(text).or_default().push(id);
    }
    let mut come: HashMap<String, Vec<&str>> = HashMap::new();
    for (text, id) in new.steps.iter().filter_map(|step| without(step, &old_ids)) {
        come.entry(text).or_default().push(id);
    }
    come.iter()
        .filter_map(|(text, come)| match (come.as_slice(), gone.get(text).map(Vec::as_slice)) {
            ([new], Some([old])) => Some((*new, *old)),
            _ => None,
        })
        .collect()
}

fn steps(old: &Review, new: &Review, renamed: &HashMap<&str, &str>) -> Vec<StepChange> {
    let before: HashMap<&str, &Reviewed> = old.steps.iter().map(|step| (step.id.as_str(), step)).collect();
    let new_id: HashMap<&str, &str> = renamed.iter().map(|(new, old)| (*old, *new)).collect();
    let kept: HashSet<&str> = new
        .steps
        .iter()
        .filter_map(|step| {
            renamed
                .get(step.id.as_str())
                .copied()
                .or(before.contains_key(step.id.as_str()).then_some(step.id.as_str()))
        })
        .collect();
    let mut changes = Vec::new();
    // Removed steps are told before the first kept step that stood after them.
    let mut rest = old.steps.iter().peekable();
    for step in &new.steps {
        let was = renamed.get(step.id.as_str()).copied();
        let Some(previous) = before.get(was.unwrap_or(&step.id)) else {
            changes.push(whole(step, Change::Added));
            continue;
        };
        while let Some(gone) = rest.next_if(|gone| !kept.contains(gone.id.as_str())) {
            changes.push(whole(gone, Change::Removed));
        }
        rest.next_if(|gone| gone.id == previous.id);
        let mut fields = map_changes(&flat(previous), &flat(step));
        fields.extend(order(previous, step, &new_id));
        if was.is_some() || !fields.is_empty() {
            let change = if was.is_some() { Change::Renamed } else { Change::Changed };
            changes.push(StepChange { was: was.map(str::to_owned), change, fields, ..whole(step, change) });
        }
    }
    let told: HashSet<String> = changes.iter().map(|change| change.id.clone()).collect();
    let left = rest.filter(|gone| !kept.contains(gone.id.as_str()) && !told.contains(&gone.id));
    changes.extend(left.map(|gone| whole(gone, Change::Removed)));
    changes
}

fn whole(step: &Reviewed, change: Change) -> StepChange {
    let mut fields = flat(step);
    fields.insert("needs".to_owned(), step.needs.clone().into());
    let empty = Map::new();
    let fields = match change {
        Change::Added => map_changes(&empty, &fields),
        Change::Removed => map_changes(&fields, &empty),
        Change::Renamed | Change::Changed => Vec::new(),
    };
    StepChange {
        id: step.id.clone(),
        change,
        was: None,
        kind: step.kind.clone(),
        effect: step.effect.clone(),
        fields,
    }
}

/// What the step waits for; a renamed step is the same one.
fn order(old: &Reviewed, new: &Reviewed, new_id: &HashMap<&str, &str>) -> Option<FieldChange> {
    let mut before: Vec<&str> =
        old.needs.iter().map(|need| new_id.get(need.as_str()).copied().unwrap_or(need)).collect();
    let mut now: Vec<&str> = new.needs.iter().map(String::as_str).collect();
    before.sort_unstable();
    now.sort_unstable();
    (before != now).then(|| FieldChange {
        field: "needs".to_owned(),
        old: old.needs.clone().into(),
        new: new.needs.clone().into(),
    })
}

/// The fields of a step by their dotted names; checks by theirs.
fn flat(step: &Reviewed) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Ok(Value::Object(map)) = serde_json::to_value(step) {
        map.iter().for_each(|(name, value)| flatten(name, value, &mut fields));
    }
    fields.retain(|name, _| !DERIVED.contains(&name.as_str()));
    fields
}

fn flatten(path: &str, value: &Value, fields: &mut Map<String, Value>) {
    let named = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(map) if map.is_empty() => {}
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, fields));
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if items.iter().all(|item| named(item).is_some()) => {
            for item in items {
                let name = named(item).unwrap_or_default();
                let mut rest = item.clone();
                rest.as_object_mut().map(|map| map.shift_remove("name"));
                flatten(&format!("{path}[{name}]"), &rest, fields);
            }
        }
        value => {
            fields.insert(path.to_owned(), value.clone());
        }
    }
}

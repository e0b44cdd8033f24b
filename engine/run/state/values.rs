//! What templates may read of a run: `steps.<id>` and `run`.

use super::super::transition::StepState;
use super::State;
use crate::plan::StepId;
use jiff::Timestamp;
use serde_json::Value;

impl State {
    /// The value of `steps.<id>` in templates. None: the step has no result.
    pub fn results(&self, id: &StepId) -> Option<Value> {
        let entry = self.entry(id)?;
        match entry.state {
            // What it gave is what its undo goes by.
            StepState::Done | StepState::Undoing | StepState::UndoFailed | StepState::Left => {}
            // What it gave before counts until it gives something new.
            StepState::Waiting | StepState::Running | StepState::Retrying { .. } if entry.renewed => {}
            // A step that may fail has results when it gave some.
            StepState::Failed if !entry.outputs.is_empty() => {}
            _ => return None,
        }
        let mut results = entry.outputs.clone();
        let time = |at: Option<Timestamp>| at.map_or(Value::Null, |at| at.to_string().into());
        results.insert("started_at".to_owned(), time(entry.started_at));
        results.insert("finished_at".to_owned(), time(entry.finished_at));
        if let (Some(start), Some(end)) = (entry.started_at, entry.finished_at) {
            results.insert("elapsed".to_owned(), elapsed(start, end).into());
        }
        results.insert("attempts".to_owned(), entry.attempts.into());
        Some(Value::Object(results))
    }

    /// The value of `run` in templates.
    pub fn run_values(&self, now: Timestamp) -> Value {
        let started = self.started.as_deref();
        let waiting: Vec<String> = self
            .awaiting()
            .map(|id| {
                self.entry(id)
                    .and_then(|entry| entry.ask.as_ref())
                    .map_or_else(String::new, |ask| ask.message.clone())
            })
            .collect();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let failed = self.failed().next().or_else(|| self.unknown().next());
        serde_json::json!({
            "id": self.run.as_str(),
            "plan": self.shape.plan.name.as_str(),
            "reason": text(started.and_then(|started| started.reason.as_ref())),
            // Not for templates: what the operator took upon himself.
            "accepted": started.iter().flat_map(|started| &started.accepted).map(|one| &one.code).collect::<Vec<_>>(),
            "severity": text(started.and_then(|started| started.severity.as_ref())),
            "requester": self.requester.as_ref().map(|actor| actor.name.clone()).unwrap_or_default(),
            "started_at": self.started_at.map(|at| at.to_string()).unwrap_or_default(),
            "elapsed": self.started_at.map(|start| elapsed(start, self.finished_at.unwrap_or(now))).unwrap_or_default(),
            "waiting_for": waiting.join("; "),
            "failed_step": failed.map(|id| id.as_str().to_owned()).unwrap_or_default(),
        })
    }
}

/// `3m12s`, to the second; below a second in milliseconds.
fn elapsed(start: Timestamp, end: Timestamp) -> String {
    let ms = u64::try_from(end.duration_since(start).as_millis().max(0)).unwrap_or(0);
    let ms = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    crate::plan::Duration::from_ms(ms).to_string()
}

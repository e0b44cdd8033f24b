//! Values as a run holds them: what the types of the parameters took, and the count of what they refused.

use super::values;
use crate::support::chance::Chance;
use crate::support::stage::Stage;
use runplan::check::{CheckOptions, Given, check, resolve_params};
use runplan::plan::Finding;
use serde_json::{Map, Value};

/// The values of one batch, `p0` first.
pub struct Batch {
    pub values: Vec<Value>,
    pub refused: usize,
}

impl Batch {
    /// Hostile values for these parameters, as many as they are. `fits`: what the place can hold.
    pub fn new(
        stage: &Stage,
        kinds: &[&'static str],
        chance: &mut Chance,
        fits: impl Fn(&Value) -> bool,
    ) -> Self {
        let mut batch = Self { values: Vec::with_capacity(kinds.len()), refused: 0 };
        let mut given = Map::new();
        for (at, kind) in kinds.iter().enumerate() {
            let name = format!("p{at}");
            let param = stage.plan().params.iter().find(|(known, _)| known.value == name).unwrap().1;
            let value = loop {
                let value = values::of(kind, chance);
                match param.accept(&value) {
                    Ok(()) if fits(&value) => break value,
                    Ok(()) => {}
                    Err(why) => {
                        let is_text = matches!(*kind, "string" | "path") && value.is_string();
                        let has_nul = value.as_str().is_some_and(|text| text.contains('\0'));
                        assert!(!is_text || has_nul, "{value} is refused: {why}");
                        batch.refused += 1;
                    }
                }
            };
            assert!(!value.to_string().contains("\\u0000"), "NUL is accepted: {value}");
            given.insert(name, value.clone());
            batch.values.push(value);
        }
        let resolved =
            resolve_params(stage.plan(), &Given { cli: Vec::new(), file: given.clone(), env: &|_| None });
        assert_eq!((resolved.findings, &resolved.missing), (Vec::<Finding>::new(), &Vec::new()));
        assert_eq!(Value::Object(resolved.values), Value::Object(given), "what is given is what is held");
        batch
    }

    pub fn give(&self, stage: &mut Stage) {
        let params = self.values.iter().enumerate().map(|(at, value)| (format!("p{at}"), value.clone()));
        stage.give(params.collect());
    }
}

/// The plan passes its own check: only then is it ever run.
pub fn assert_checked(stage: &Stage) {
    let found = check(&stage.world.shape.loaded, &CheckOptions::default());
    let errors: Vec<&str> =
        found.iter().filter(|one| one.is_error()).map(|one| one.message.as_str()).take(5).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// A value as a program gets it.
pub fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The same text, or the same number written otherwise.
pub fn is_same(given: &Value, arrived: &str) -> bool {
    match given {
        Value::Number(number) if number.is_f64() => arrived.parse::<f64>().ok() == number.as_f64(),
        Value::Array(items) if items.iter().any(Value::is_f64) => {
            serde_json::from_str::<Vec<f64>>(arrived).ok()
                == Some(items.iter().filter_map(Value::as_f64).collect())
        }
        other => argument(other) == arrived,
    }
}

//! The JSON Schemas of plan and site file, from the same definitions that decode them.

use super::decode::Schemas;
use super::{Plan, Site};

/// `schemas/plan.schema.json`
pub fn plan() -> serde_json::Value {
    Schemas::page::<Plan>("plan.schema.json", "A runplan plan").to_value()
}

/// `schemas/site.schema.json`
pub fn site() -> serde_json::Value {
    Schemas::page::<Site>("site.schema.json", "A runplan site file").to_value()
}

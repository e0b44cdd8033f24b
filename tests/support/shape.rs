//! Plans for the core's tests: text in, shape out.

use runplan::graph::Graph;
use runplan::plan::load;
use runplan::run::Shape;
use std::sync::Arc;

/// A plan without databases, ready to run.
pub fn shape(text: &str) -> Shape {
    let loaded = load(("test.yaml", text), None, &|_| Err("there are no files".to_owned()));
    assert_eq!(loaded.findings, [], "{text}");
    let graph = Graph::new(&loaded.flow).unwrap();
    Shape {
        plan: loaded.plan.clone().unwrap(),
        site: None,
        flow: loaded.flow.clone(),
        graph: Arc::new(graph),
        loaded: Arc::new(loaded),
    }
}

/// What a run of it starts with.
pub fn started(attended: bool) -> runplan::run::Started {
    runplan::run::Started {
        plan: runplan::plan::Name::new("test"),
        title: None,
        sources: Vec::new(),
        has_site: false,
        params: serde_json::Map::new(),
        plan_digest: String::new(),
        digest: String::new(),
        reason: None,
        severity: None,
        incident_started_at: None,
        overridden: None,
        directory: ".".to_owned(),
        attended,
        wait: false,
        accepted: Vec::new(),
        targets: std::collections::BTreeMap::new(),
        rehearsal: false,
        began_with: None,
        pg_bin: None,
        version: "test".to_owned(),
    }
}

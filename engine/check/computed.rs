//! Templates computed before the run, as far as their values are known: what cannot be computed now cannot be computed half
//! way through either. It must never blame a text that the run may not come to.

use super::uses::{self, Owner, Place, Use};
use crate::plan::template::{self, Error, Names, Scope, value_of};
use crate::plan::{Finding, Loaded, Plan, Span};
use serde_json::{Map, Value};

/// Templates that fail whatever the parameters are. What another rule has blamed is not blamed again.
pub fn check(context: &super::context::Context<'_>, findings: &mut Vec<Finding>) {
    let scope = scope(context.plan, &Map::new());
    let read = context.uses.iter().zip(&context.names);
    for (one, names) in read {
        let Ok(names) = names else { continue };
        let Some(finding) = fault(context.loaded, one, names, &scope) else { continue };
        let whole = one.text.span;
        let is_within =
            |span: Span| span.file == whole.file && span.start < whole.end && whole.start < span.end;
        if !findings.iter().any(|known| known.is_error() && known.span.is_some_and(is_within)) {
            findings.push(finding);
        }
    }
}

/// Templates that fail with these values, of steps that run with them.
pub fn computed(loaded: &Loaded, values: &Map<String, Value>) -> Vec<Finding> {
    let Some(plan) = loaded.plan.as_deref() else { return Vec::new() };
    let scope = scope(plan, values);
    let may_be_skipped = |one: &Use<'_>| match one.owner {
        Owner::Step(at) | Owner::After(at) => {
            let when = loaded.flow.steps().get(at).and_then(|step| step.when.as_ref());
            one.place != Place::Condition && when.is_some_and(|when| !is_true(&when.raw, &scope))
        }
        Owner::Setting => false,
        // Nobody knows whether it comes to them.
        Owner::Checks(_) | Owner::Handler(_) | Owner::Rehearsal => true,
    };
    uses::collect(loaded, plan)
        .iter()
        .filter(|one| !may_be_skipped(one))
        .filter_map(|one| fault(loaded, one, &uses::names(one).ok()?, &scope))
        .collect()
}

/// Parameters that are no secret: a value must not get into a message.
fn scope(plan: &Plan, values: &Map<String, Value>) -> Scope {
    let mut params = values.clone();
    params.retain(|name, _| plan.params.get(name.as_str()).is_some_and(|param| !param.secret));
    Scope::review([("params".to_owned(), value_of(&Value::Object(params)))])
}

fn is_true(when: &str, scope: &Scope) -> bool {
    let is_known = template::read_condition(when).is_ok_and(|names| is_known(&names, scope));
    is_known && template::condition(when, scope) == Ok(true)
}

/// Whether everything it names has a value already.
fn is_known(names: &Names, scope: &Scope) -> bool {
    names.references.iter().all(|reference| scope.has(&reference.path))
        && !names.functions.iter().any(|function| function.name == "now")
}

fn fault(loaded: &Loaded, one: &Use<'_>, names: &Names, scope: &Scope) -> Option<Finding> {
    let text = one.text.raw.as_str();
    if one.place != Place::Condition && !one.text.has_template() {
        return None;
    }
    let error = render(text, one.place, names, scope).err()?;
    let source = loaded.sources.get(one.text.file()).map_or("", |source| &source.text);
    let span = one.text.locate(error.range, source);
    let message = format!("the template cannot be computed: {}", error.message);
    Some(
        Finding::error("runplan::check::template_fails", span, message).label("here").help(
            "correct the expression; a value that may be missing takes `| default(...)` or a condition",
        ),
    )
}

/// As it will be put in its place; what is not known yet stands for itself.
fn render(text: &str, place: Place, names: &Names, scope: &Scope) -> Result<(), Error> {
    match place {
        Place::Sql | Place::Query | Place::Predicate => template::sql(text, scope).map(drop),
        Place::Script => template::script(text, scope).map(drop),
        Place::Url => template::url(text, scope).map(drop),
        Place::Body | Place::Expected => template::value(text, scope).map(drop),
        Place::Condition if is_known(names, scope) => template::condition(text, scope).map(drop),
        Place::Condition => Ok(()),
        // The whole language: only as a whole, and only when nothing of it is late.
        Place::Message if !is_known(names, scope) => match template::pieces(text) {
            Ok(_) => template::plain(text, scope).map(drop),
            Err(_) => Ok(()),
        },
        Place::Message => template::message(text, &scope.of_a_run()).map(drop),
        Place::Argument
        | Place::Environment
        | Place::Stdin
        | Place::Header
        | Place::Graphql
        | Place::Path
        | Place::Database
        | Place::Object
        | Place::Connection
        | Place::Severity => template::plain(text, scope).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;

    fn faults(steps: &str, values: &str) -> Vec<String> {
        let plan = format!(
            "runplan: 1\nname: t\nparams:\n  l: {{ type: list, default: [a] }}\n  n: {{ type: integer, default: 1 }}\n  \
             s: {{ type: string, secret: true, required: true }}\n\
             databases: {{ app: {{ url: \"postgres://h/d\" }} }}\nsteps:\n{steps}"
        );
        let loaded = load(("t.yaml", &plan), None, &|_| Err(String::new()));
        assert!(!loaded.has_errors(), "{:?}", loaded.findings);
        let found = computed(&loaded, &serde_json::from_str(values).unwrap());
        found.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn what_fails_with_the_values_is_told() {
        let step =
            |text: &str| format!("  - {{ id: a, sql: {{ database: app, statement: \"SELECT {text}\" }} }}\n");
        assert!(faults(&step("{{ params.l[0] }}"), r#"{"l": ["a"]}"#).is_empty());
        let found = faults(&step("{{ params.l[0] }}"), r#"{"l": []}"#);
        assert_eq!(found, ["the template cannot be computed: `params.l[0]` has no value here"]);
        assert!(faults(&step("{{ params.l[0] }}"), "{}").is_empty(), "nobody knows the list yet");
        assert_eq!(faults(&step("{{ 6 / (params.n - 1) }}"), r#"{"n": 1}"#).len(), 1);
        assert!(faults(&step("{{ params.s | int }}"), r#"{"s": "secret"}"#).is_empty());
    }

    #[test]
    fn what_is_skipped_is_not_blamed() {
        let step = "  - { id: a, when: params.l | length > 0, notify: { channels: [console], message: \"{{ params.l[0] }}\" } }\n";
        assert!(faults(step, r#"{"l": []}"#).is_empty());
        let step =
            "  - { id: a, when: \"params.l[3] == 'a'\", notify: { channels: [console], message: m } }\n";
        assert_eq!(faults(step, r#"{"l": []}"#).len(), 1);
    }

    #[test]
    fn whole_messages_are_computed() {
        let step =
            |text: &str| format!("  - {{ id: a, notify: {{ channels: [console], message: \"{text}\" }} }}\n");
        assert!(faults(&step("{% for x in params.l %}{{ x }}{% endfor %}"), r#"{"l": ["a"]}"#).is_empty());
        assert!(
            faults(&step("{% for x in params.l %}{{ run.id }}{% endfor %}"), r#"{"l": ["a"]}"#).is_empty()
        );
        let endless = "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}";
        assert_eq!(faults(&step(endless), "{}").len(), 1);
    }
}

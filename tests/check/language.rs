//! What `for_each`, `uses` and windows become: the steps, their needs and their texts.

use super::corpus::{directory, read};
use runplan::graph::Graph;
use runplan::plan::{Action, Flow, Loaded};

fn order(loaded: &Loaded) -> Vec<String> {
    loaded
        .flow
        .steps()
        .iter()
        .map(|step| {
            let needs: Vec<&str> = Flow::needs(step).map(|need| need.as_str()).collect();
            format!("{} <- {}", step.id.value, needs.join(", "))
        })
        .collect()
}

fn good(name: &str) -> Loaded {
    let loaded = read(&directory("good").join(name));
    assert_eq!(loaded.findings, []);
    assert!(Graph::new(&loaded.flow).is_ok());
    loaded
}

#[test]
fn copies_stand_side_by_side() {
    let loaded = good("each.yaml");
    assert_eq!(
        order(&loaded),
        [
            "first <- ",
            "count[users] <- first",
            "count[escrows] <- first",
            "told[a] <- count[users], count[escrows]",
            "told[b] <- count[users], count[escrows]",
            "last <- count[users], count[escrows], told[a], told[b]",
        ]
    );
    let Action::Sql(sql) = &loaded.flow.steps()[2].action.value else { panic!("no sql") };
    assert_eq!(
        sql.statement.as_ref().map(|text| text.raw.as_str()),
        Some("SELECT count(*) FROM {{ \"escrows\" | ident }} WHERE {{ \"escrows\" }} <> ''")
    );
    let Action::Notify(notify) = &loaded.flow.steps()[4].action.value else { panic!("no notify") };
    assert!(notify.message.raw.starts_with("{{ \"b\" }}: {{ {\"c\":2} }} "), "{}", notify.message.raw);
}

#[test]
fn a_list_follows_the_values_of_the_run() {
    let loaded = good("each-late.yaml");
    assert_eq!(order(&loaded), ["a[…] <- "]);
    let values = serde_json::json!({ "t": ["x", "y"] });
    let known = loaded.with_params(values.as_object().unwrap());
    assert_eq!(order(&known), ["a[x] <- ", "a[y] <- "]);
    let none = loaded.with_params(serde_json::json!({ "t": [] }).as_object().unwrap());
    assert_eq!(order(&none), [""; 0]);
}

#[test]
fn an_included_plan_stands_in_the_place_of_its_step() {
    let loaded = good("include.yaml");
    assert_eq!(
        order(&loaded),
        [
            "before <- ",
            "suite.first <- before",
            "suite.counted[users] <- suite.first",
            "suite.counted[escrows] <- suite.first",
            "suite.last <- suite.counted[users], suite.counted[escrows]",
            "after <- suite.last",
        ]
    );
    let Action::Notify(notify) = &loaded.flow.steps()[4].action.value else { panic!("no notify") };
    assert_eq!(
        notify.message.raw,
        "{{ steps.suite.first.summary }} {{ (\"https://\" ~ (params.host) ~ \"/health\") }} {{ databases.app.name }}"
    );
    let Action::Verify(verify) = &loaded.flow.steps()[1].action.value else { panic!("no verify") };
    assert_eq!(verify.use_[0].as_str(), "suite.fine");
    assert_eq!(verify.database.as_ref().map(|text| text.raw.as_str()), Some("app"));
}

#[test]
fn includes_follow_each_other_and_stand_in_windows() {
    let twice = order(&good("include-twice.yaml"));
    assert_eq!(twice[3], "two.first <- one.last");
    let window = order(&good("include-in-window.yaml"));
    assert_eq!(
        window,
        ["closed.open <- ", "safe.kept <- closed.open", "closed.close <- safe.kept", "last <- closed.close"]
    );
}

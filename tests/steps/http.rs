//! Requests: what is sent, what is taken from the answer, and when a lost one is not sent again.

use crate::support::server::Server;
use crate::support::stage::{Stage, done, failed, plan};
use runplan::run::Outcome;
use runplan::steps;
use serde_json::json;
use std::time::Duration;

fn step(server: &Server, fields: &str) -> Stage {
    plan(&format!("steps:\n- id: s\n  http: {{ {fields} }}"))
        .param("base", server.url.as_str())
        .param("q", "a b&c=d/é")
        .secret("TOKEN", "hunter2-long")
        .set()
}

fn fine() -> Server {
    Server::start(|_| Some((200, "{\"status\": \"healthy\", \"n\": [1]}".to_owned())))
}

#[tokio::test]
async fn values_stay_in_their_places() {
    let server = fine();
    let stage = step(
        &server,
        "method: POST, url: \"{{ params.base }}/x/{{ params.q }}?q={{ params.q }}\", repeatable: true,
         headers: { Authorization: \"Bearer {{ secrets.TOKEN }}\" },
         json: { text: \"say \\\"{{ params.q }}\\\"\", number: 5, whole: \"{{ params.q }}\" }",
    );
    let outputs = stage.done("s").await;
    assert_eq!((&outputs["status"], &outputs["json"]["n"]), (&json!(200), &json!([1])));
    let asked = &server.asked()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.path, "/x/a%20b%26c%3Dd%2F%C3%A9?q=a%20b%26c%3Dd%2F%C3%A9");
    assert_eq!(asked.header("authorization"), Some("Bearer hunter2-long"));
    assert_eq!(asked.json(), json!({ "text": "say \"a b&c=d/é\"", "number": 5, "whole": "a b&c=d/é" }));
}

#[tokio::test]
async fn an_answer_that_is_not_the_wanted_one_fails() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/down" => Some((503, "{\"status\": \"down\"}".to_owned())),
        _ => Some((200, "{\"status\": \"healthy\"}".to_owned())),
    });
    let of = async |fields: &str| step(&server, fields).act("s").await;
    let failure = failed(of("url: \"{{ params.base }}/down\"").await);
    assert!(failure.message.contains("status 503"), "{failure:?}");
    done(of("url: \"{{ params.base }}/down\", expect: { status: 503, json: { status: down } }").await);
    let failure = failed(of("url: \"{{ params.base }}/up\", expect: { json: { status: down } }").await);
    assert!(failure.message.contains("status = healthy (wanted: status = down)"), "{failure:?}");
}

#[tokio::test]
async fn what_the_answer_holds_of_secrets_and_cookies_is_not_kept() {
    let server = Server::with_headers(|asked| {
        let token = asked.header("authorization").unwrap_or_default().to_owned();
        Some((200, vec![("Set-Cookie".to_owned(), "session=1".to_owned())], format!("you sent {token}")))
    });
    let stage =
        step(&server, "url: \"{{ params.base }}\", headers: { Authorization: \"{{ secrets.TOKEN }}\" }");
    let outputs = stage.done("s").await;
    assert_eq!(outputs["body"], "you sent [redacted]");
    assert_eq!(outputs["headers"].get("set-cookie"), None);
}

#[tokio::test]
async fn until_asks_again_and_ends_with_the_step() {
    let mut count = 0;
    let server = Server::start(move |_| {
        count += 1;
        match count {
            1 => None,
            2 => Some((503, String::new())),
            _ => Some((200, "{\"done\": true}".to_owned())),
        }
    });
    let stage = step(&server, "url: \"{{ params.base }}\", until: { json: { done: true } }, every: 10ms");
    stage.done("s").await;
    assert_eq!(server.asked().len(), 3);
    let stage = step(&server, "url: \"{{ params.base }}\", until: { json: { done: false } }, every: 10ms");
    let attempt = stage.attempt("s", 1);
    let (outcome, ()) = tokio::join!(steps::act(&attempt), async {
        runplan::clock::sleep(Duration::from_millis(100)).await;
        attempt.cancelled.cancel();
    });
    let failure = failed(outcome);
    assert!(failure.message.contains("done = true"), "{failure:?}");
}

#[tokio::test]
async fn a_lost_answer_is_failed_unknown_or_the_probes() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/state" => Some((200, "{\"on\": true}".to_owned())),
        "/gateway" => Some((502, String::new())),
        _ => None,
    });
    let of = async |fields: &str| step(&server, fields).act("s").await;
    failed(of("url: \"{{ params.base }}/x\"").await);
    failed(of("method: POST, url: \"{{ params.base }}/x\", repeatable: true").await);
    let unknown = of("method: POST, url: \"{{ params.base }}/x\"").await;
    assert!(matches!(unknown, Outcome::Unknown(_)), "{unknown:?}");
    let unknown = of("method: POST, url: \"{{ params.base }}/gateway\"").await;
    assert!(matches!(unknown, Outcome::Unknown(_)), "{unknown:?}");
    let probe = |on: bool| {
        format!(
            "probe: {{ http: {{ url: \"{{{{ params.base }}}}/state\" }}, expect: {{ json: {{ on: {on} }} }} }}"
        )
    };
    done(of(&format!("method: POST, url: \"{{{{ params.base }}}}/x\", {}", probe(true))).await);
    failed(of(&format!("method: POST, url: \"{{{{ params.base }}}}/x\", {}", probe(false))).await);
    failed(of("method: POST, url: \"http://127.0.0.1:9/x\"").await);
    let unasked = "probe: { http: { url: \"http://127.0.0.1:9/\" } }";
    let unknown = of(&format!("method: POST, url: \"{{{{ params.base }}}}/x\", {unasked}")).await;
    assert!(matches!(unknown, Outcome::Unknown(_)), "{unknown:?}");
}

#[tokio::test]
async fn after_a_crash_only_what_may_be_sent_twice_is() {
    let server = fine();
    let post = "method: POST, url: \"{{ params.base }}\"";
    let mut stage = step(&server, post);
    assert!(matches!(stage.settle("s").await, Outcome::Again(_)), "it was not sent");
    stage.act_until("s", "sending", false).await;
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Again(_)), "it was not sent");
    stage.act_until("s", "sending", true).await;
    stage.restart().await;
    assert!(matches!(stage.settle("s").await, Outcome::Unknown(_)));
    assert_eq!(server.asked().len(), 0);
    assert!(matches!(step(&server, "url: \"{{ params.base }}\"").settle("s").await, Outcome::Again(_)));
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = fine();
    let away = format!("{}/there", other.url);
    let server = Server::with_headers(move |asked| match asked.path.as_str() {
        "/away" => Some((302, vec![("Location".to_owned(), away.clone())], String::new())),
        "/here" => Some((302, vec![("Location".to_owned(), "/end".to_owned())], String::new())),
        _ => Some((200, Vec::new(), "{}".to_owned())),
    });
    let headers = "headers: { Authorization: \"{{ secrets.TOKEN }}\", X-Key: \"{{ secrets.TOKEN }}\" }";
    step(&server, &format!("url: \"{{{{ params.base }}}}/away\", {headers}")).done("s").await;
    let asked = &other.asked()[0];
    assert_eq!((asked.header("authorization"), asked.header("x-key")), (None, None));
    step(&server, &format!("url: \"{{{{ params.base }}}}/here\", {headers}")).done("s").await;
    assert_eq!(server.asked().last().unwrap().header("x-key"), Some("hunter2-long"));
    let post = "method: POST, url: \"{{ params.base }}/away\", expect: { status: 302 }";
    step(&server, post).done("s").await;
    assert_eq!(other.asked().len(), 1, "a POST is not sent on");
}

fn api(answers: Vec<(u16, serde_json::Value)>) -> Server {
    let mut answers = answers.into_iter();
    Server::start(move |_| answers.next().map(|(status, json)| (status, json.to_string())))
}

const MUTATION: &str = "method: POST, url: \"{{ params.base }}/graphql\", \
     graphql: { query: \"mutation($id: String!) { a(id: $id) }\", variables: { id: \"{{ params.q }}\" } }";

#[tokio::test]
async fn graphql_is_sent_as_data_and_its_errors_are_a_failure() {
    let server = api(vec![(200, json!({ "data": { "a": 5 } }))]);
    let outputs = step(&server, MUTATION).done("s").await;
    assert_eq!(outputs["json"]["data"]["a"], 5);
    let asked = &server.asked()[0];
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let query = "mutation($id: String!) { a(id: $id) }";
    assert_eq!(asked.json(), json!({ "query": query, "variables": { "id": "a b&c=d/é" } }));

    let refused = json!({ "errors": [{ "message": "no such field" }] });
    let failure = failed(step(&api(vec![(200, refused.clone())]), MUTATION).act("s").await);
    assert!(failure.message.contains("errors: no such field (wanted: "), "{failure:?}");
    // Also where the status is the wanted one, and where the author asks for another part of the answer.
    let wanted = format!("{MUTATION}, expect: {{ status: 200 }}");
    failed(step(&api(vec![(200, refused)]), &wanted).act("s").await);
    // A part of it may have been done.
    let half = json!({ "data": null, "errors": [{ "message": "it broke" }] });
    let unknown = step(&api(vec![(200, half.clone())]), MUTATION).act("s").await;
    assert!(matches!(&unknown, Outcome::Unknown(_)), "{unknown:?}");
    let again = format!("{MUTATION}, repeatable: true");
    failed(step(&api(vec![(200, half)]), &again).act("s").await);
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_it() {
    let server = {
        let mut count = 0;
        Server::with_headers(move |_| {
            count += 1;
            let after = vec![("Retry-After".to_owned(), "0".to_owned())];
            match count {
                1 => Some((429, after, "slow down".to_owned())),
                2 => Some((503, after, String::new())),
                _ => Some((200, Vec::new(), json!({ "data": { "a": 1 } }).to_string())),
            }
        })
    };
    let stage = step(&server, MUTATION);
    stage.done("s").await;
    assert_eq!(server.asked().len(), 3, "what was refused is sent again, also a mutation");
    assert!(stage.warnings()[0].contains("429"), "{:?}", stage.warnings());
    // 503 without a time is an answer like any other; 429 is one where it is the wanted one.
    let server = Server::start(|_| Some((503, String::new())));
    failed(step(&server, "url: \"{{ params.base }}\"").act("s").await);
    let server = Server::start(|_| Some((429, String::new())));
    step(&server, "url: \"{{ params.base }}\", expect: { status: 429 }").done("s").await;
    assert_eq!(server.asked().len(), 1);
    // Nobody waits for a day.
    let day = vec![("Retry-After".to_owned(), "86400".to_owned())];
    let server = Server::with_headers(move |_| Some((429, day.clone(), String::new())));
    let failure = failed(step(&server, "url: \"{{ params.base }}\"").act("s").await);
    assert!(failure.message.contains("status 429"), "{failure:?}");
}

#[tokio::test]
async fn a_probe_waits_for_what_comes_late() {
    let mut asked = 0;
    let server = Server::start(move |request| match request.path.as_str() {
        "/state" => {
            asked += 1;
            Some((200, json!({ "there": asked > 2 }).to_string()))
        }
        _ => None,
    });
    let probe = |limit: &str| {
        format!(
            "method: POST, url: \"{{{{ params.base }}}}/make\", probe: {{ http: {{ url: \"{{{{ params.base }}}}/state\", \
             until: {{ json: {{ there: true }} }}, every: {limit} }} }}"
        )
    };
    done(step(&server, &probe("10ms")).act("s").await);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn of_an_endless_answer_only_a_part_is_read() {
    let server = Server::start(|_| Some((200, "x".repeat(9 << 20))));
    let outputs = step(&server, "url: \"{{ params.base }}\"").done("s").await;
    assert_eq!(outputs["body"].as_str().unwrap().len(), 64 * 1024);
    assert_eq!(outputs["json"], json!(null));
}

#[tokio::test]
async fn what_is_left_out_of_an_answer_is_said() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/large" => Some((200, format!("[\"{}\"]", "x".repeat(9 << 20)))),
        _ => Some((200, "x".repeat(100_000))),
    });
    let large = step(&server, "url: \"{{ params.base }}/large\"");
    large.done("s").await;
    let warnings = large.warnings().join("\n");
    assert!(warnings.contains("the answer is larger than 8 MiB: over 256 KiB nothing"), "{warnings}");
    for wanted in ["{ a: 1 }", "[1]"] {
        let fields = format!("url: \"{{{{ params.base }}}}/large\", expect: {{ json: {wanted} }}");
        let failure = failed(step(&server, &fields).act("s").await);
        assert!(failure.message.contains("the answer is larger than 8 MiB"), "{failure:?}");
        assert!(!failure.message.contains("is not JSON"), "{failure:?}");
    }
    let middling = step(&server, "url: \"{{ params.base }}/middling\"");
    middling.done("s").await;
    let warnings = middling.warnings().join("\n");
    assert!(
        warnings.contains("has 100000 bytes: only its first 65536 bytes are kept as `body`"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_says_where_to() {
    let server = Server::with_headers(|_| {
        let to = "https://u:p4ssword@elsewhere.example/there?token=hunter3".to_owned();
        Some((307, vec![("Location".to_owned(), to)], String::new()))
    });
    let failure = failed(step(&server, "method: POST, url: \"{{ params.base }}/x\"").act("s").await);
    let words =
        "status 307, a redirect to https://elsewhere.example/there, which is not followed (wanted: success)";
    assert!(failure.message.ends_with(words), "{failure:?}");
}

#[tokio::test]
async fn a_header_that_http_does_not_allow_is_named_and_its_value_is_not() {
    let server = fine();
    let of = async |token: &str| {
        let text = "steps:\n- id: s\n  http: { url: \"{{ params.base }}\", headers: { X-Key: \"{{ secrets.TOKEN }}\" } }";
        let stage = plan(text).param("base", server.url.as_str()).secret("TOKEN", token).set();
        failed(stage.act("s").await)
    };
    for (token, words) in [
        ("hunter2-long\n", "the value of the header `X-Key` ends in a line break, which HTTP does not allow"),
        (
            "hunter2\r\nX-Evil: 1",
            "the value of the header `X-Key` has a line break, which HTTP does not allow",
        ),
        (
            "hunter2\u{1}long",
            "the value of the header `X-Key` has a control character, which HTTP does not allow",
        ),
    ] {
        let failure = of(token).await;
        assert_eq!((failure.message.as_str(), failure.permanent), (words, true));
        assert!(!failure.help.unwrap().contains("hunter2"));
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn waiting_says_what_for_and_what_was_answered_last() {
    let mut count = 0;
    let server = Server::start(move |_| {
        count += 1;
        Some((200, json!({ "state": if count > 2 { "done" } else { "busy hunter2-long" } }).to_string()))
    });
    let fields = "url: \"{{ params.base }}/job\", headers: { X-Key: \"{{ secrets.TOKEN }}\" }, \
                  until: { json: { state: done } }, every: 10ms";
    let stage = step(&server, fields);
    stage.done("s").await;
    let told = stage.progress();
    let (doing, _) = told.first().expect("it says that it waits");
    assert!(
        doing.starts_with(&format!(
            "waiting for {}/job (last: state = busy [redacted] (wanted: state = done))",
            server.url
        )),
        "{told:?}"
    );
}

/// What became of a POST that is answered so, with the probe's status and body.
async fn posted(answer: (u16, &str), probe: Option<(u16, &str)>, more: &str) -> (Outcome, Vec<String>) {
    let (status, body) = (answer.0, answer.1.to_owned());
    let probed = probe.map(|(status, body)| (status, body.to_owned()));
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/state" => probed.clone(),
        _ => Some((status, body.clone())),
    });
    let probe = match probe {
        Some(_) => "probe: { http: { url: \"{{ params.base }}/state\" }, expect: { json: { on: true } } }, ",
        None => "",
    };
    let fields = format!("method: POST, {probe}{more}url: \"{{{{ params.base }}}}/x\"");
    let outcome = step(&server, &fields).act("s").await;
    (outcome, server.asked().into_iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect())
}

fn unknown(outcome: Outcome) -> String {
    let Outcome::Unknown(evidence) = outcome else { panic!("{outcome:?}") };
    format!("{}: {}", evidence.message, evidence.facts.join("; "))
}

#[tokio::test]
async fn a_probe_that_is_not_answered_has_not_said_no() {
    let no = Some((200, "{\"on\": false}"));
    failed(posted((502, ""), no, "").await.0);
    failed(posted((502, ""), Some((404, "{}")), "").await.0);
    for (probe, words) in [
        ((503, "{\"on\": false}"), "status 503"),
        ((500, ""), "status 500"),
        ((401, "{\"on\": false}"), "status 401"),
        ((200, "<html>sign in</html>"), "the answer is not JSON"),
    ] {
        let words_of = unknown(posted((502, ""), Some(probe), "").await.0);
        assert!(words_of.contains("the probe was not answered: ") && words_of.contains(words), "{words_of}");
    }
}

#[tokio::test]
async fn what_was_taken_on_but_answered_otherwise_is_not_called_undone() {
    let wanted = "expect: { json: { state: RELEASED } }, ";
    let odd = (200, "{\"state\": \"OK\"}");
    let words = unknown(posted(odd, None, wanted).await.0);
    assert!(
        words.contains("state = OK (wanted: state = RELEASED)") && words.contains("no `probe`"),
        "{words}"
    );
    let words = unknown(posted(odd, Some((200, "{\"on\": true}")), wanted).await.0);
    assert!(words.starts_with("the request took effect, but its answer is not the wanted one: "), "{words}");
    let failure = failed(posted(odd, Some((200, "{\"on\": false}")), wanted).await.0);
    assert!(failure.permanent, "it is not sent again by itself: {failure:?}");
    let (outcome, asked) = posted(odd, Some((503, "")), wanted).await;
    unknown(outcome);
    assert_eq!(asked, ["POST /x", "GET /state"]);
    // Where it does no harm, or changes nothing, it has just failed.
    failed(posted(odd, None, "repeatable: true, expect: { json: { state: RELEASED } }, ").await.0);
}

#[tokio::test]
async fn a_status_says_whether_a_request_may_have_been_done() {
    for status in [408, 499, 500, 502, 503, 504, 507, 520, 524] {
        unknown(posted((status, ""), None, "").await.0);
        failed(posted((status, ""), None, "repeatable: true, ").await.0);
    }
    for status in [400, 404, 409, 501, 505] {
        failed(posted((status, ""), None, "").await.0);
    }
}

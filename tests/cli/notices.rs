//! What people are told without a plan asking for it, on every kind of channel, by receivers that check what they get.

use crate::support::authority::Authority;
use crate::support::mail::MailServer;
use crate::support::sandbox::Sandbox;
use crate::support::server::{Asked, Server};
use runplan::clock::Stopwatch;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const APPROVED: &str = "title: Data corruption\nseverity: critical\nsteps:\n  \
    - { id: go, approve: { message: \"Swap it?\" } }\n";

fn site(channels: &str) -> String {
    format!(
        "runplan: 1\nsecrets: {{ HOOK: {{ env: HOOK }}, KEY: {{ env: KEY }} }}\nchannels:\n{channels}\n\
         contacts: {{ lead: {{ name: Ada, call: \"+49 30 1234567\" }} }}\nseverities: {{ critical: {{ impact: Data loss, allow_requester: true }} }}\n"
    )
}

/// What was told: preflight asks every channel whether it is there, and that tells nobody anything.
fn told(server: &Server) -> Vec<Asked> {
    server.asked().into_iter().filter(|asked| asked.method == "POST").collect()
}

fn ok() -> Server {
    Server::start(|_| Some((200, "ok".to_owned())))
}

#[test]
fn a_channel_is_told_of_the_events_it_wants_and_of_no_others() {
    let server = ok();
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "hunter2-long");
    sandbox.write(
        "runplan.yaml",
        &site(
            "  all: { type: webhook, url: \"{{ secrets.HOOK }}/all\", secret: \"{{ secrets.KEY }}\", events: [start, waiting, parked, failed, done] }\n  \
             calm: { type: webhook, url: \"{{ secrets.HOOK }}/calm\", events: [done], message: \"{{ run.id }} over; {{ site.contacts.lead.name }}\" }\n  \
             minor: { type: webhook, url: \"{{ secrets.HOOK }}/minor\", events: [start, done], severities: [low] }",
        ),
    );
    sandbox.plan(APPROVED);
    sandbox.run("plan.yaml --reason 'wallets are empty'").code(4);
    let run = sandbox.only_run();
    sandbox.run(&format!("approve {run} go --comment yes"));
    sandbox.run("resume").code(0);

    let to =
        |path: &str| told(&server).into_iter().filter(|asked| asked.path == path).collect::<Vec<Asked>>();
    let events: Vec<Value> = to("/all").iter().map(|asked| asked.json()["event"].clone()).collect();
    assert_eq!(
        events,
        ["start", "waiting", "done"],
        "no second word when a run parks for the approval it told of"
    );
    let bodies: Vec<String> =
        to("/all").iter().map(|asked| asked.json()["message"].as_str().unwrap().to_owned()).collect();
    assert!(bodies[0].contains("has begun: Data corruption\nreason: wallets are empty"), "{}", bodies[0]);
    assert!(
        bodies[1].contains(&format!("Swap it?\nrunplan approve {run} go\ncall Ada: +49 30 1234567")),
        "{}",
        bodies[1]
    );
    assert!(bodies[2].contains(&format!("runplan report {run}")), "{}", bodies[2]);
    assert!(to("/all").iter().all(|asked| signed(asked, "hunter2-long")));
    let calm = to("/calm");
    assert_eq!(calm.len(), 1);
    assert_eq!(calm[0].json()["message"], format!("{run} over; Ada"));
    assert!(to("/minor").is_empty());
}

/// As a receiver checks it: by what the manual says.
#[allow(clippy::disallowed_methods, reason = "python3 is run as a receiver would run it")]
fn signed(asked: &Asked, secret: &str) -> bool {
    let manual = include_str!("../../docs/notifications.md");
    let recipe = manual.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let ask = "import os, sys\nsys.exit(0 if is_from_runplan(os.environb[b'BODY'], os.environ['HEADER'], os.environb[b'SECRET']) else 1)\n";
    let asks = |body: &str| {
        let mut python = std::process::Command::new("python3");
        python.args(["-c", &format!("{recipe}\n{ask}")]).env("BODY", body).env("SECRET", secret);
        let status = python.env("HEADER", asked.header("x-runplan-signature").unwrap()).status().unwrap();
        status.code() == Some(0)
    };
    asks(&asked.body)
        && !asks(&asked.body.replace("wallets", "purses").replace("\"format\":1", "\"format\":2"))
}

#[test]
fn pagerduty_has_one_incident_for_a_run_and_closes_it() {
    let server = Server::start(|_| Some((202, json!({ "status": "success" }).to_string())));
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "R0UT1NGKEYR0UT1NGKEY");
    sandbox.write(
        "runplan.yaml",
        &site("  pager: { type: pagerduty, routing_key: \"{{ secrets.KEY }}\", url: \"{{ secrets.HOOK }}/v2/enqueue\", events: [failed, done] }"),
    );
    sandbox.plan(
        "steps:\n  - { id: made, shell: { argv: [test, -e, flag], repeatable: true, changes: none } }\n",
    );
    sandbox.run("plan.yaml --yes").code(4);
    sandbox.write("flag", "");
    sandbox.run("resume").code(0);
    let [opened, closed] = &told(&server)[..] else { panic!("two events: {:?}", told(&server)) };
    let (opened, closed) = (opened.json(), closed.json());
    // What the Events API v2 requires.
    for body in [&opened, &closed] {
        assert_eq!(body["routing_key"], "R0UT1NGKEYR0UT1NGKEY");
        assert_eq!(body["dedup_key"], format!("runplan/{}", sandbox.only_run()));
    }
    assert_eq!((&opened["event_action"], &closed["event_action"]), (&json!("trigger"), &json!("resolve")));
    let payload = &opened["payload"];
    assert!(payload["summary"].as_str().unwrap().contains("step made failed"), "{payload}");
    assert!(payload["source"].as_str().is_some_and(|source| !source.is_empty()));
    assert_eq!(payload["severity"], "critical");
    assert!(payload["custom_details"]["message"].as_str().unwrap().contains("runplan resume"));
}

#[test]
fn a_program_reads_the_message() {
    let sandbox = Sandbox::new().variable("KEY", "hunter2-long").variable("HOOK", "x");
    sandbox.write(
        "runplan.yaml",
        &site("  page: { type: command, argv: [sh, -c, 'cat > told; echo $TOKEN $RUNPLAN_NOTIFY_LEVEL $RUNPLAN_NOTIFY_WHAT >> told'], env: { TOKEN: \"{{ secrets.KEY }}\" } }"),
    );
    sandbox.plan("steps:\n  - { id: told, notify: { channels: [page], level: critical, message: \"it is $(down)\", details: { what: \"all of it\" } } }\n");
    sandbox.run("plan.yaml").code(0);
    assert_eq!(sandbox.read("told"), "it is $(down)\n  what: all of ithunter2-long critical all of it\n");
}

#[test]
fn a_mail_is_sent_with_tls_and_password_and_only_to_a_trusted_server() {
    for mode in ["starttls", "tls", "none"] {
        let server = MailServer::start(mode);
        let trusted = server.certificate().display().to_string();
        let sandbox = Sandbox::new()
            .variable("KEY", "hunter2-of-mail")
            .variable("HOOK", "x")
            .variable("SSL_CERT_FILE", &trusted);
        let account = if mode == "none" { "" } else { "user: runplan, password: \"{{ secrets.KEY }}\", " };
        sandbox.write(
            "runplan.yaml",
            &site(&format!(
                "  mail: {{ type: email, server: localhost, port: {}, tls: {mode}, {account}from: \"runplan <runplan@example.com>\", to: [\"a@example.com\", \"Bob <b@example.com>\"] }}",
                server.port
            )),
        );
        sandbox.plan("steps:\n  - { id: told, notify: { channels: [mail], level: critical, message: \"Ünser <b>plan</b>\\nstands\", required: true } }\n");
        sandbox.run("plan.yaml").code(0);
        let mails = server.mails();
        let [mail] = &mails[..] else { panic!("{mode}: {mails:?}") };
        assert_eq!(mail["to"], json!(["a@example.com", "b@example.com"]));
        assert_eq!(mail["tls"], mode != "none", "{mode}");
        assert_eq!(mail["user"], if mode == "none" { Value::Null } else { "runplan".into() });
        let data = mail["data"].as_str().unwrap();
        for wanted in [
            "Message-ID: <",
            ".runplan@example.com>",
            "X-Runplan-Run: plan-",
            "Auto-Submitted: auto-generated",
            "Subject: [runplan] CRITICAL: =?utf-8?b?",
        ] {
            assert!(data.contains(wanted), "{wanted}\n{data}");
        }
        assert!(!data.contains("hunter2"));
    }
    let server = MailServer::start("starttls");
    let sandbox = Sandbox::new().variable("KEY", "wrong-password").variable("HOOK", "x");
    let plan = |tls: &str| {
        sandbox.write(
            "runplan.yaml",
            &site(&format!(
                "  mail: {{ type: email, server: localhost, port: {}, tls: {tls}, user: runplan, password: \"{{{{ secrets.KEY }}}}\", from: r@example.com, to: [a@example.com] }}",
                server.port
            )),
        );
        sandbox.plan("steps:\n  - { id: told, notify: { channels: [mail], message: m, required: true } }\n");
    };
    plan("starttls");
    sandbox.run("plan.yaml").code(4).says("the mail server is not trusted");
    let sandbox = sandbox.variable("SSL_CERT_FILE", &server.certificate().display().to_string());
    let refused = sandbox.run("plan.yaml").code(4);
    refused.says("the mail server refused it (535)");
    assert!(server.mails().is_empty());
}

/// Not only when something is to be told at night.
#[test]
fn a_channel_that_is_not_trusted_is_found_before_it_is_needed() {
    let authority = Authority::new();
    authority.signed("good", "/CN=localhost", Some("DNS:localhost"));
    let hook = Server::secure(authority.server("good"), |_| Some((200, Vec::new(), "ok".to_owned())));
    let (mail, over_tls) = (MailServer::start("starttls"), MailServer::start("tls"));
    let mut sandbox = Sandbox::new().variable("HOOK", &hook.url).variable("KEY", "wrong-password");
    let email = |name: &str, port: u16, tls: &str| {
        format!(
            "  {name}: {{ type: email, server: localhost, port: {port}, tls: {tls}, user: runplan, password: \"{{{{ secrets.KEY }}}}\", from: r@example.com, to: [a@example.com] }}\n"
        )
    };
    let channels = [
        "  hook: { type: webhook, url: \"{{ secrets.HOOK }}/secret-path\" }\n".to_owned(),
        email("mail", mail.port, "starttls"),
        email("wrapped", over_tls.port, "tls"),
        email("mistaken", mail.port, "tls"),
    ];
    sandbox.write("runplan.yaml", &site(&channels.concat()));
    let distrusted = |port: u16| {
        format!(
            "is not trusted: localhost:{port}: its certificate is not signed by an authority that this machine trusts"
        )
    };
    let hook_port: u16 = hook.url.rsplit(':').next().unwrap().parse().unwrap();
    let ports = [hook_port, mail.port, over_tls.port];
    let authorities = [authority.path("ca.crt"), mail.certificate(), over_tls.certificate()];
    for (trusted, path) in authorities.iter().enumerate() {
        sandbox.set("SSL_CERT_FILE", &path.display().to_string());
        let mut ran = sandbox.run("doctor");
        for (at, port) in ports.into_iter().enumerate() {
            ran = match at == trusted {
                true => ran.says(&format!("localhost:{port} answers, and its certificate is trusted")),
                false => ran.says(&distrusted(port)),
            };
        }
        ran = ran
            .says("> nothing is told there until this machine trusts the authority")
            .says("SSL_CERT_FILE=FILE");
        ran = ran.says(&format!("the channel mistaken cannot be reached: localhost:{}: ", mail.port));
        assert!(
            !ran.stdout.contains("secret-path") && !ran.stdout.contains("wrong-password"),
            "{}",
            ran.stdout
        );
    }
    assert!(told(&hook).is_empty() && mail.mails().is_empty() && over_tls.mails().is_empty());
}

#[test]
fn a_dead_receiver_holds_up_nothing_and_a_late_failure_is_told() {
    // It takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/secret-part", silent.local_addr().unwrap());
    let sandbox = Sandbox::new().variable("HOOK", &address).variable("KEY", "x-long-enough");
    sandbox.write(
        "runplan.yaml",
        &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\", events: [start] }"),
    );
    sandbox.plan(
        "steps:\n  - { id: told, notify: { channels: [hook], message: m } }\n  \
         - { id: made, shell: { argv: [touch, flag], repeatable: true, changes: none } }\n",
    );
    let watch = Stopwatch::start();
    let started = sandbox.start("plan.yaml --yes");
    sandbox.until("the step after the notification is done", |sandbox| sandbox.exists("flag"));
    // Nine seconds: the patience of a step, and a slow machine; one try alone takes ten.
    assert!(watch.elapsed() < Duration::from_secs(30), "{:?}", watch.elapsed());
    drop(silent);
    let ran = started.wait().code(0);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert!(text.contains("the run goes on, the message is still tried"), "{text}");
    assert!(text.contains("not delivered to hook: "), "{text}");
    assert!(text.contains("not told yet; told by runplan resume plan-"), "{text}");
    assert!(!text.contains("secret-part"), "{text}");
}

#[test]
fn a_busy_receiver_is_tried_again_when_it_wants_to_be() {
    let mut count = 0;
    let server = Server::with_headers(move |asked| {
        count += u32::from(asked.method == "POST");
        let wait = vec![("Retry-After".to_owned(), "2".to_owned())];
        Some(if count == 1 { (429, wait, String::new()) } else { (200, Vec::new(), String::new()) })
    });
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "x-long-enough");
    sandbox.write("runplan.yaml", &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\" }"));
    sandbox.plan("steps:\n  - { id: told, notify: { channels: [hook], message: m, required: true } }\n");
    let watch = Stopwatch::start();
    sandbox.run("plan.yaml").code(0);
    assert!(watch.elapsed() >= Duration::from_secs(2));
    let [first, second] = &told(&server)[..] else { panic!("{:?}", told(&server)) };
    assert_eq!(first.header("idempotency-key"), second.header("idempotency-key"));
}

/// That a step failed and that the run stands still is one line of the journal, and two things to be told.
#[test]
fn a_failure_is_told_to_those_who_want_to_hear_of_it_and_a_standstill_to_the_others() {
    let server = ok();
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "x-long-enough");
    let channel = |name: &str, events: &str| {
        format!("  {name}: {{ type: webhook, url: \"{{{{ secrets.HOOK }}}}/{name}\", events: [{events}] }}\n")
    };
    let channels =
        [channel("oncall", "failed"), channel("team", "parked"), channel("both", "failed, parked")].concat();
    sandbox.write(
        "runplan.yaml",
        &site(&format!("{channels}  by_plan: {{ type: webhook, url: \"{{{{ secrets.HOOK }}}}/by_plan\" }}")),
    );
    sandbox.plan(
        "steps:\n  - { id: bad, shell: { argv: ['false'], repeatable: true, changes: none } }\n\
         handlers:\n  failed: [ { notify: { channels: [by_plan], message: it failed } } ]\n\
         \x20 parked: [ { notify: { channels: [by_plan], message: it stands } } ]\n",
    );
    sandbox.run("plan.yaml").code(4);
    let mut told: Vec<String> = told(&server)
        .iter()
        .map(|asked| {
            let body = asked.json();
            let what = body["event"].as_str().or(body["message"].as_str()).unwrap();
            format!("{} {what}", asked.path)
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        ["/both failed", "/by_plan it failed", "/by_plan it stands", "/oncall failed", "/team parked"]
    );
}

/// What a step says to a receiver that wants to be left alone is kept, as what the site says to it is.
#[test]
fn what_a_step_says_to_a_busy_receiver_is_told_by_whoever_takes_the_run_up() {
    let is_busy = Arc::new(AtomicBool::new(true));
    let busy = is_busy.clone();
    let server = Server::with_headers(move |_| {
        let wait = vec![("Retry-After".to_owned(), "3600".to_owned())];
        let is_busy = busy.load(Ordering::SeqCst);
        Some(if is_busy { (429, wait, String::new()) } else { (200, Vec::new(), String::new()) })
    });
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "x-long-enough");
    sandbox.write("runplan.yaml", &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\" }"));
    sandbox.plan(
        "steps:\n  - { id: told, notify: { channels: [hook], message: m } }\n  - { id: go, needs: [told], approve: { message: m } }\n",
    );
    sandbox
        .run("plan.yaml")
        .code(4)
        .says("not delivered yet, the message is still tried: hook: it answered with status 429");
    sandbox.run("status").code(0).says("Not told yet");
    is_busy.store(false, Ordering::SeqCst);
    sandbox.run("approve plan go").code(0);
    sandbox.run("resume").code(0);
    let all = told(&server);
    let keys: Vec<_> = all.iter().map(|asked| asked.header("idempotency-key")).collect();
    assert!(keys.windows(2).all(|two| two[0] == two[1]), "{keys:?}");
    let sent = all.len();
    sandbox.run("status").code(0);
    assert!(!sandbox.run("status").stdout.contains("Not told yet"));
    sandbox.run("report").code(0);
    assert_eq!(told(&server).len(), sent);
}

#[test]
fn what_comes_too_soon_is_put_together() {
    let server = ok();
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "x-long-enough");
    sandbox.write(
        "runplan.yaml",
        &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\", at_most_every: 2s }"),
    );
    let step = |name: &str| {
        format!("  - {{ id: {name}, needs: [], notify: {{ channels: [hook], message: {name} }} }}\n")
    };
    sandbox.plan(&format!("limits: {{ parallel: 4 }}\nsteps:\n{}", ["a", "b", "c", "d"].map(step).concat()));
    sandbox.run("plan.yaml").code(0);
    let texts: Vec<String> =
        told(&server).iter().map(|asked| asked.json()["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    for name in ["a", "b", "c", "d"] {
        assert!(texts.iter().any(|text| text.split("\n\n").any(|part| part == name)), "{name} in {texts:?}");
    }
}

#[test]
fn a_rehearsal_is_nobodys_incident() {
    let server = ok();
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "x-long-enough");
    sandbox.write(
        "runplan.yaml",
        &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\", events: [start, done] }"),
    );
    sandbox.plan(
        "rehearsal: { stand_ins: [] }\nsteps:\n  - { id: told, notify: { channels: [hook], message: m } }\n\
         handlers: { finished: [ { notify: { channels: [hook], message: m } } ] }\n",
    );
    sandbox.run("rehearse plan.yaml").code(0);
    assert!(told(&server).is_empty(), "{:?}", told(&server));
}

/// A receiver that is there and never answers a message, and a run that waits for a yes.
fn deaf() -> (Server, Sandbox) {
    let server = Server::start(|asked| {
        if asked.method == "POST" {
            loop {
                std::thread::park();
            }
        }
        Some((200, "ok".to_owned()))
    });
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "hunter2-long");
    sandbox.write(
        "runplan.yaml",
        &site("  deaf: { type: webhook, url: \"{{ secrets.HOOK }}/deaf\", events: [waiting, parked] }"),
    );
    sandbox.plan(APPROVED);
    (server, sandbox)
}

fn is_parked(sandbox: &Sandbox) -> bool {
    let said = sandbox.run("status --format json").stdout;
    said.contains("\"parked\":{") || said.contains("\"parked\": {")
}

#[test]
fn a_parked_run_that_still_delivers_hears_a_yes_and_is_let_go_of() {
    let (_server, sandbox) = deaf();
    let mut holder = sandbox.start("plan.yaml --reason r");
    sandbox.until("the run is parked", is_parked);
    assert!(!holder.ends_within(Duration::ZERO), "it still delivers");
    let run = sandbox.only_run();
    sandbox
        .run("approve plan go --comment yes")
        .code(0)
        .says("approved by")
        .says(&format!("next: runplan resume {run}"));
    assert!(!holder.ends_within(Duration::ZERO), "it still delivers");
    sandbox.run("approve plan go").code(2).complains("it is approved already, by");
    sandbox.run("stop plan").code(0).says("nothing to stop");
    let resumed = sandbox.start("resume");
    holder
        .wait()
        .code(4)
        .says("Parked after")
        .complains("still telling deaf: 0 of 1 done")
        .complains("not told yet");
    // Nobody waits for the receiver: the run is over, and what it has to say stays for whoever takes it up.
    sandbox.until("the run is done", |sandbox| sandbox.run("status").stdout.contains("Done after"));
    resumed.signal(Signal::INT);
    resumed.wait().code(0).complains("is asked to let go of it").says("Done after").complains("not told yet");
    sandbox.run("status").code(0).says("Not told yet").says("deaf: waiting of");
}

/// A receiver that is away until it is woken, and a run that waits for a yes.
fn asleep(events: &str) -> (Arc<AtomicBool>, Server, Sandbox) {
    let awake = Arc::new(AtomicBool::new(false));
    let is_awake = awake.clone();
    let server = Server::start(move |asked| {
        let is_there = asked.method != "POST" || is_awake.load(Ordering::SeqCst);
        Some(if is_there { (200, "ok".to_owned()) } else { (503, "asleep".to_owned()) })
    });
    let sandbox = Sandbox::new().variable("HOOK", &server.url).variable("KEY", "hunter2-long");
    let channel = format!("  hook: {{ type: webhook, url: \"{{{{ secrets.HOOK }}}}\", events: [{events}] }}");
    sandbox.write("runplan.yaml", &site(&channel));
    sandbox.plan(APPROVED);
    (awake, server, sandbox)
}

#[test]
fn what_was_left_undelivered_is_told_once_by_the_next_command() {
    let (awake, server, sandbox) = asleep("waiting");
    let holder = sandbox.start("plan.yaml --reason r");
    sandbox.until("the run is parked", is_parked);
    holder.signal(Signal::INT);
    holder.wait().code(4).complains("Ctrl-C leaves it for the next command").complains("not told yet");
    let status = sandbox.run("status").code(0);
    status.says("Parked after").says("Not told yet").says("hook: waiting of");
    let before = told(&server);
    awake.store(true, Ordering::SeqCst);
    sandbox.run("approve plan go --comment yes").code(0).says("approved by").says("told: hook");
    let after = told(&server);
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert!(after.iter().all(|one| one.header("idempotency-key") == after[0].header("idempotency-key")));
    let status = sandbox.run("status --format json").code(0).json();
    assert_eq!(status["untold"], json!([]));
    sandbox.run("resume").code(0).says("Done after");
    assert_eq!(told(&server).len(), after.len(), "once");
}

/// Kills it when the receiver has heard of it, and says what the run has yet to say.
fn killed(sandbox: &Sandbox, server: &Server, is_ready: impl Fn(&Sandbox) -> bool) -> String {
    let started = sandbox.start("plan.yaml --reason r --wait");
    sandbox.until("it is tried and not delivered", |sandbox| !told(server).is_empty() && is_ready(sandbox));
    started.signal(Signal::KILL);
    drop(started);
    sandbox.run("status").code(0).says("Not told yet").stdout
}

#[test]
fn what_a_step_had_not_delivered_when_its_process_was_killed_is_told_once_by_the_next() {
    let (awake, server, sandbox) = asleep("done");
    sandbox.plan(
        "title: t\nseverity: critical\nsteps:\n  \
         - { id: tell, notify: { channels: [hook], message: \"swap at {{ run.id }}\", details: { who: ann } } }\n  \
         - { id: go, needs: [tell], approve: { message: \"Swap it?\" } }\n",
    );
    let left = killed(&sandbox, &server, |sandbox| sandbox.run("status").stdout.contains("go: Swap it?"));
    assert!(left.contains("hook: tell of"), "{left}");
    awake.store(true, Ordering::SeqCst);
    sandbox.run("approve plan go").code(0).says("told: hook");
    let steps = |server: &Server| -> Vec<Asked> {
        told(server).into_iter().filter(|one| one.body.contains("swap at")).collect()
    };
    let all = steps(&server);
    let last = all.last().unwrap();
    assert!(last.body.contains(&sandbox.only_run()) && last.body.contains("ann"), "{last:?}");
    assert!(all.iter().all(|one| one.header("idempotency-key") == last.header("idempotency-key")), "{all:?}");
    sandbox.run("resume").code(0).says("Done after");
    assert_eq!(steps(&server).len(), all.len(), "once");
    assert_eq!(sandbox.run("status --format json").json()["untold"], json!([]));
}

#[test]
fn what_a_plan_says_at_the_end_outlives_its_process() {
    let (awake, server, sandbox) = asleep("failed");
    sandbox.plan(
        "title: t\nseverity: critical\nsteps:\n  \
         - { id: made, shell: { run: 'echo forty-two', repeatable: true, changes: none } }\n\
         handlers:\n  finished:\n    \
         - { notify: { channels: [hook], message: \"{{ run.id }} made {{ steps.made.stdout | default('nothing') }}\" } }\n",
    );
    let left = killed(&sandbox, &server, |sandbox| sandbox.run("status").stdout.contains("Done after"));
    let run = sandbox.only_run();
    assert!(left.contains("hook: finished of") && left.contains(&format!("runplan resume {run}")), "{left}");
    awake.store(true, Ordering::SeqCst);
    sandbox.run(&format!("resume {run}")).says("told: hook");
    let all = told(&server);
    let last = all.last().unwrap();
    assert!(last.body.contains(&format!("{run} made forty-two")), "{last:?}");
    assert!(all.iter().all(|one| one.header("idempotency-key") == last.header("idempotency-key")), "{all:?}");
    assert_eq!(sandbox.run("status --format json").json()["untold"], json!([]));
}

#[test]
fn a_slow_receiver_that_takes_it_after_all_gets_it_once() {
    let slow = Server::start(|asked| {
        // Longer than a step waits, shorter than a try.
        if asked.method == "POST" {
            runplan::clock::block(Duration::from_secs(7));
        }
        Some((200, "ok".to_owned()))
    });
    let sandbox = Sandbox::new().variable("HOOK", &slow.url).variable("KEY", "x-long-enough");
    sandbox.write(
        "runplan.yaml",
        &site("  hook: { type: webhook, url: \"{{ secrets.HOOK }}\", events: [failed] }"),
    );
    sandbox.plan("steps:\n  - { id: told, notify: { channels: [hook], message: m } }\n");
    sandbox.run("plan.yaml --yes").code(0).complains("still telling hook");
    assert_eq!(told(&slow).len(), 1);
    assert_eq!(sandbox.run("status --format json").json()["untold"], json!([]));
}

#[test]
fn broken_glass_of_a_parked_run_is_told_at_once_and_once() {
    let (awake, server, sandbox) = asleep("done");
    sandbox.run("plan.yaml --reason r").code(4);
    assert_eq!(told(&server).len(), 0);
    // Nobody is there to hear it: it stays in the outbox, and is not lost with the process.
    let breaking = sandbox.start("approve plan go --break-glass 'the lead is on a plane'");
    sandbox.until("it is tried", |_| !told(&server).is_empty());
    breaking.signal(Signal::KILL);
    drop(breaking);
    sandbox.run("status").code(0).says("Not told yet").says("hook: break-glass of");
    awake.store(true, Ordering::SeqCst);
    sandbox.run("resume").code(0).says("Done after");
    let texts = |part: &str| {
        let all = told(&server);
        let messages = all.iter().map(|asked| asked.json()["message"].as_str().unwrap().to_owned());
        messages.filter(|message| message.contains(part)).count()
    };
    let keys: std::collections::BTreeSet<String> = told(&server)
        .iter()
        .filter(|asked| asked.body.contains("BREAK-GLASS"))
        .map(|asked| asked.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert!(texts("BREAK-GLASS") >= 2 && keys.len() == 1, "tried twice, the same message: {keys:?}");
    assert_eq!(texts("is done"), 1);

    let (awake, server, sandbox) = asleep("done");
    awake.store(true, Ordering::SeqCst);
    sandbox.run("plan.yaml --reason r").code(4);
    sandbox
        .run("approve plan go --break-glass fire")
        .code(0)
        .says("told: hook")
        .complains("every channel is told");
    assert_eq!(told(&server).len(), 1);
    sandbox.run("resume").code(0);
    assert_eq!(told(&server).len(), 2, "then that it is done, and nothing twice");
}

#[test]
fn what_nobody_read_is_decided_before_the_run_goes_on() {
    use runplan::plan::{RunId, StepId};
    use runplan::run::{Actor, Post};
    let sandbox = Sandbox::new();
    sandbox.plan(APPROVED).run("plan.yaml --reason r").code(4);
    let store = runplan::store::Store::open(&sandbox.state()).unwrap();
    let run = RunId::parse(&sandbox.only_run()).unwrap();
    let me = sandbox.run("logs --format json").lines()[0]["actor"].clone();
    let me: Actor = serde_json::from_value(me).unwrap();
    let post = |post| store.post(&run, &me, &post).unwrap();
    post(Post::Reject { step: StepId::from("go"), reason: "not now".to_owned() });
    // What was said first counts.
    sandbox.run("approve plan go").code(2).says("not now").complains("does not wait for an approval");
    sandbox.run("resume").code(4);
    post(Post::Stop { hard: true, reason: "long ago".to_owned() });
    post(Post::Approve { step: StepId::from("go"), comment: "fine".to_owned() });
    sandbox.run("resume").code(0).says("approved by").says("Done after");
}

#[test]
fn what_is_heard_at_once_is_not_said_to_be_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "steps:\n  - { id: go, approve: { message: \"Now?\" } }\n\
         handlers: { finished: [ { notify: { channels: [console], message: over } } ] }\n",
    );
    sandbox.run("plan.yaml").code(4);
    sandbox.run("stop plan --for-good --reason over").code(0).says("over").silent_on_stderr();
}

//! What is around a run: the doctor, and the manual pages.

use crate::support::sandbox::Sandbox;

#[test]
fn the_doctor_names_what_is_wrong_and_what_mends_it() {
    let sandbox = Sandbox::new();
    sandbox
        .run("doctor")
        .code(0)
        .says("there is no runplan.yaml here or above")
        .says("this machine is ready");
    sandbox.write(
        "runplan.yaml",
        "runplan: 1\nsecrets: { URL: { env: NO_SUCH_VARIABLE } }\ndatabases: { app: { url: \"{{ secrets.URL }}\" } }\n\
         channels:\n  page: { type: command, argv: [no-such-program] }\n  \
         mail: { type: email, server: 127.0.0.1, port: 9, tls: none, from: a@b.c, to: [x@y.z] }\n",
    );
    let found = sandbox.run("doctor").code(6);
    let found =
        found.says("the environment variable NO_SUCH_VARIABLE is not set").says("export NO_SUCH_VARIABLE=");
    found.says("no-such-program is not on this machine").says("127.0.0.1:9").says("1 thing to mend");
    let json = sandbox.run("doctor --format json").code(6).json();
    assert_eq!((&json["format"], &json["bad"]), (&1.into(), &1.into()));
    sandbox.write("runplan.yaml", "runplan: 1\nchanels: {}\n");
    let broken = sandbox.run("doctor").code(6).says("runplan.yaml:2:1: the site file has no field `chanels`");
    broken.says("did you mean `channels`?").says("1 error in it").says("> runplan check");
    sandbox.write("runplan.yaml", "runplan: 1\nchannels: { a: { type: slak } }\ndatabases: [\n");
    sandbox.run("doctor").code(6).says("this is not YAML");
    // What cannot be read hides nothing else.
    sandbox.run("doctor --site nothing.yaml").code(6).says("there is no such file").says("pg_dump");
}

#[test]
fn the_doctor_names_programs_and_a_state_that_cannot_be_used() {
    let sandbox = Sandbox::new();
    sandbox.write("empty/keep", "");
    let found = sandbox.run("doctor --pg-bin empty").code(6);
    found
        .says("not in empty")
        .says("name the directory that it is in with --pg-bin DIR")
        .says("3 things to mend");
    sandbox.run("doctor --pg-bin nothing").code(6).says("there is no directory nothing");
    sandbox.write("loose/keep", "");
    mode(&sandbox, "loose", 0o777);
    sandbox.run("doctor --state loose").code(6).says("others may write").says("> chmod 700 it");
    sandbox.write("taken", "");
    sandbox.run("doctor --state taken").code(6).says("is in the way").says("> move the file away");
}

#[test]
fn the_doctor_misses_the_shell_of_scripts() {
    let found = Sandbox::new().run("doctor").code(0);
    found.says("bash  ").says("what the steps of one plan need: runplan preflight PLAN");
    let bare = Sandbox::new().variable("PATH", "").run("doctor").code(6);
    let bare = bare.says("not on PATH; every script").says("> install bash");
    assert!(!bare.all().contains("ready"), "{}", bare.all());
}

#[test]
fn the_doctor_names_what_others_can_read_and_never_shows_it() {
    let sandbox = Sandbox::new();
    let hook = "http://127.0.0.1:9/T0/B0/hunter2hook";
    sandbox.write("token", "hunter2token").write(
        "runplan.yaml",
        &format!(
            "runplan: 1\nsecrets: {{ T: {{ file: token }} }}\nchannels:\n  s: {{ type: slack, url: \"{hook}\" }}\n  \
             w: {{ type: webhook, url: \"http://127.0.0.1:9/x\", secret: \"{{{{ secrets.T }}}}\" }}\n"
        ),
    );
    let (secret, site) = ("can read the secret T in", "which holds the address of the channel s");
    for name in ["token", "runplan.yaml"] {
        mode(&sandbox, name, 0o644);
    }
    let found = sandbox.run("doctor").code(0).says(secret).says(site).says("> chmod 600");
    let found = found.says("the channel w cannot be reached: 127.0.0.1:9").says("> start what listens there");
    assert!(!found.all().contains("hunter2"), "{}", found.all());
    for name in ["token", "runplan.yaml"] {
        mode(&sandbox, name, 0o600);
    }
    let mended = sandbox.run("doctor").code(0);
    assert!(!mended.all().contains(secret) && !mended.all().contains(site), "{}", mended.all());
}

fn mode(sandbox: &Sandbox, name: &str, mode: u32) {
    std::fs::set_permissions(sandbox.path(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    sandbox.write("man/keep", "");
    sandbox.run("man --out man").code(0);
    let help = sandbox.run("--help").code(0).stdout;
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let mut count = 0;
    for line in commands.take_while(|line| line.starts_with("  ")) {
        let Some(name) = line.split_whitespace().next().filter(|_| !line.starts_with("   ")) else {
            continue;
        };
        if name == "help" {
            continue;
        }
        let page = sandbox.read(&format!("man/runplan-{name}.1"));
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
        count += 1;
    }
    assert!(count > 20, "{count} commands");
    for name in ["runs-prune", "backups-list", "backups-verify"] {
        assert!(sandbox.read(&format!("man/runplan-{name}.1")).contains("Examples"), "{name}");
    }
    sandbox.run("man runs prune").code(0).says("runplan\\-runs\\-prune");
    sandbox.run("man runs no-such").code(2).complains("there is no command runs no-such");
    sandbox.run("man no-such").code(2).complains("there is no command no-such");
    sandbox.run("man resume").code(0).says("runplan\\-resume");
}

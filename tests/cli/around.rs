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
    sandbox.run("doctor").code(6).says("has 1 error").says("runplan check");
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

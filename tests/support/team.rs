//! Two people with the site file that ships: the account that runs the tests starts runs, bob decides in them. Both have keys
//! of their own, and the example's names, keys and channel are replaced by them.
#![allow(clippy::disallowed_methods, reason = "ssh-keygen and id are started here")]

use super::sandbox::{Ran, Sandbox};
use super::server::Server;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const EXAMPLE: &str = include_str!("../../plans/example/runplan.yaml");

pub struct Team<'s> {
    sandbox: &'s Sandbox,
    channel: Server,
}

/// The account, as runplan calls it.
pub fn me() -> String {
    let named = Command::new("id").arg("-un").output().unwrap();
    match named.status.success() {
        true => String::from_utf8(named.stdout).unwrap().trim().to_owned(),
        false => format!("uid {}", rustix::process::getuid().as_raw()),
    }
}

fn key(sandbox: &Sandbox, name: &str) -> String {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(sandbox.path(name))
        .status();
    assert!(made.unwrap().success());
    sandbox.read(&format!("{name}.pub")).trim().to_owned()
}

impl<'s> Team<'s> {
    pub fn of(sandbox: &'s Sandbox) -> Self {
        let channel = Server::start(|_| Some((200, "ok".to_owned())));
        let listed = |name: &str| {
            let line = EXAMPLE.lines().find(|line| line.contains(&format!("name: {name},"))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        let site = EXAMPLE
            .replace(&listed("ann"), &key(sandbox, "mine"))
            .replace(&listed("bob"), &key(sandbox, "bobs"))
            .replace("name: ann", &format!("name: {}", me()))
            .replace("env: TEAM_WEBHOOK", &format!("file: {}", sandbox.path("hook").display()));
        sandbox.write("hook", &channel.url).write("site.yaml", &site);
        std::fs::set_permissions(sandbox.path("hook"), PermissionsExt::from_mode(0o600)).unwrap();
        Self { sandbox, channel }
    }

    /// What a line that starts a run ends with.
    pub fn site(&self) -> String {
        format!("--site {}", self.sandbox.path("site.yaml").display())
    }

    fn go_on(&self) -> Ran {
        self.sandbox.run(&format!("resume {} --plain", self.sandbox.only_run()))
    }

    /// Work is done by whoever started the run, who says so.
    pub fn does(&self, step: &str) -> Ran {
        let (run, key) = (self.sandbox.only_run(), self.sandbox.path("mine"));
        self.sandbox
            .run(&format!("approve {run} {step} --comment 'it is done' --key {}", key.display()))
            .code(0)
            .says(&format!("approved by {}, signed", me()));
        self.go_on()
    }

    /// A decision is not for whoever started the run: bob signs it, where there is nothing of the run but a file.
    pub fn agrees(&self, step: &str) -> Ran {
        let (run, me, elsewhere) = (self.sandbox.only_run(), me(), Sandbox::new());
        let path = |name: &str| self.sandbox.path(name).display().to_string();
        self.sandbox
            .run(&format!("approve {run} {step} --key {}", path("mine")))
            .code(2)
            .complains(&format!("{me} started the run and cannot approve it"));
        let written = format!("approve {run} {step} --as bob --out decision.json");
        self.sandbox.run(&format!("status {run}")).says(": runplan ").says(&written);
        let refused = self.sandbox.run(&format!("approve {run} {step}"));
        assert_ne!(refused.code, Some(0), "{}", refused.all());
        let asked = path("decision.json");
        let _ = std::fs::remove_file(&asked);
        self.sandbox.run(&format!("approve {run} {step} --as bob --out {asked}")).code(0);
        for name in ["decision.json", "bobs"] {
            elsewhere.write(name, &self.sandbox.read(name));
            std::fs::set_permissions(elsewhere.path(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
        elsewhere
            .run("approve --in decision.json --key bobs --out signed.json")
            .code(0)
            .says(&format!("started by: {me}"))
            .says("decided by: bob");
        self.sandbox.write("signed.json", &elsewhere.read("signed.json"));
        let taken = self.sandbox.run(&format!("approve --in {}", path("signed.json")));
        taken.code(0).says("approved by bob, signed")
    }

    /// The same, and the run goes on.
    pub fn decides(&self, step: &str) -> Ran {
        self.agrees(step);
        self.go_on()
    }

    /// What the team's channel was told.
    pub fn said(&self) -> Vec<String> {
        self.channel.asked().into_iter().map(|asked| asked.body).collect()
    }

    /// How often the team's channel was told something that holds these words.
    pub fn heard(&self, words: &str) -> usize {
        self.said().iter().filter(|said| said.contains(words)).count()
    }
}

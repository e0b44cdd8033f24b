//! `runplan approve` and `reject`: a decision by word, by signature, or in a file. Who may decide and what a signature is worth is
//! the run's business; must never sign what was not shown.

use super::actor;
use super::command::Globals;
use super::decision_file::DecisionFile;
use super::error::Error;
use super::exit::Exit;
use super::keys::SigningKey;
use super::named::{find, find_in_order, step_of, waiting};
use super::post::{prove_open, say, to};
use super::stored::Stored;
use crate::plan::StepId;
use crate::run::approval::{self, Verdict};
use crate::run::{Ask, Post, Signed, State, keys_of, signers};
use crate::store::{Store, may_mean};
use crate::terminal::{self, Screen};
use clap::Args;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Approves a step that waits for an approval.
///
/// Where the site file lists SSH keys for a person, the decision is signed: with the SSH agent, or with --key. What is shown is
/// what is signed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan approve k7f3 go
  runplan approve k7f3 go --comment 'checked with Ann'
  runplan approve k7f3 go --key ~/.ssh/id_ed25519          signed with a key file instead of the SSH agent
  runplan approve k7f3 go --as ann --out decision.json     written, to be signed elsewhere
  runplan approve --in decision.json --key id --out signed.json
  runplan approve --in signed.json                         taken, after it was signed
  runplan approve k7f3 go --break-glass 'nobody answers, customers lose money'")]
pub struct Approve {
    /// The run: its id, or the beginning or end of it
    #[arg(required_unless_present = "in_")]
    run: Option<String>,
    /// The step; may be left out when only one waits. With --in a file tells both, and what is given must be the same
    step: Option<String>,
    /// A comment for the report; for a task done by hand: the evidence
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT", conflicts_with = "in_")]
    comment: String,
    #[command(flatten)]
    sign: SignArgs,
    /// Take a decision from a file: to sign it with --out, else for the run
    #[arg(long = "in", id = "in_", value_name = "FILE")]
    in_: Option<PathBuf>,
    /// With --in: what `ssh-keygen -Y sign -n runplan-approval` made of its text
    #[arg(long, value_name = "FILE", requires = "in_")]
    signature: Option<PathBuf>,
    /// An emergency: go past roles, count and signatures; why. Everybody is told, and it stands first in the report
    #[arg(long, value_name = "REASON", conflicts_with_all = ["in_", "key", "as_", "out", "comment"])]
    break_glass: Option<String>,
}

/// Rejects a step that waits for an approval.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runplan reject k7f3 go --reason 'too many rows would be lost'")]
pub struct Reject {
    /// The run: its id, or the beginning or end of it
    run: String,
    /// The step; may be left out when only one waits
    step: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    sign: SignArgs,
}

/// How a decision is signed.
#[derive(Debug, Args)]
struct SignArgs {
    /// Sign with this private key instead of the SSH agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Who decides, as the site file calls them, when the key does not tell
    #[arg(long = "as", id = "as_", value_name = "NAME")]
    as_: Option<String>,
    /// Write the decision to a file that is not there yet, instead of telling the run
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Approve {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        if let Some(path) = &self.in_ {
            return self.take(screen, globals, path);
        }
        let (store, run) =
            find_in_order(globals, "approve", self.run.as_deref().unwrap_or_default(), self.step.as_deref())?;
        let state = Stored::read(&store, &run)?.state;
        let step = waiting(&state, self.step.as_deref())?;
        if let Some(reason) = self.break_glass {
            let exit = say(screen, &store, &run, to(&state, Post::BreakGlass { step, reason }))?;
            let site = state.shape.site.as_deref();
            let told = match site.is_some_and(|site| site.channels.iter().next().is_some()) {
                true => "every channel is told of it",
                false => "no channel is told of it: the site has none",
            };
            screen.warn(&format!("the glass is broken: this went past everybody who should decide; {told}"));
            return Ok(exit);
        }
        decide(screen, &store, &state, step, Verdict::Approve, self.comment, &self.sign)
    }

    /// Whoever names a run and a step beside a file means those that it is for.
    fn prove_meant(&self, path: &Path, said: &Map<String, Value>) -> Result<(), Error> {
        let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        let (run, step) = (word("run"), word("step"));
        let is_run = self.run.as_deref().is_none_or(|typed| may_mean(typed, run));
        let is_step = self.step.as_deref().is_none_or(|typed| typed == step);
        if is_run && is_step {
            return Ok(());
        }
        let typed: Vec<&str> = [&self.run, &self.step].into_iter().flatten().map(String::as_str).collect();
        Err(Error::usage_with(
            format!("{} decides on step {step} of {run}, not on `{}`", path.display(), typed.join(" ")),
            format!(
                "have the other one written: runplan approve {} --out FILE; or take this one: runplan approve --in {}",
                typed.join(" "),
                path.display()
            ),
        ))
    }

    /// A decision that came in a file.
    fn take(&self, screen: &Screen, globals: &Globals, path: &Path) -> Result<Exit, Error> {
        let mut file = DecisionFile::read(path)?;
        let said = file.said(path)?;
        self.prove_meant(path, &said)?;
        if let Some(path) = &self.signature {
            file.signature = Some(DecisionFile::signature(path)?);
        }
        show(screen, &said);
        if file.signature.is_none() {
            if self.sign.key.is_none() && self.sign.out.is_none() {
                return Err(not_signed(path));
            }
            let key = SigningKey::find(screen, self.sign.key.as_deref(), &file.keys)?;
            if !file.keys.is_empty() && !key.is_among(&file.keys) {
                let name = said.get("approver").and_then(Value::as_str).unwrap_or_default();
                return Err(Error::usage_with(
                    format!("this key is none of those that the site file lists for {name}"),
                    "sign with a listed one",
                ));
            }
            agree(screen)?;
            file.signature = Some(key.sign(file.text.clone())?.signature);
        }
        if let Some(out) = &self.sign.out {
            file.write(out)?;
            screen.say(&format!("signed; next, where the run is: runplan approve --in {}", out.display()));
            return Ok(Exit::Done);
        }
        let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        let (store, run) = find(globals, word("run"))?;
        let signed = file.signed().ok_or_else(|| not_signed(path))?;
        let step = step_of(&Stored::read(&store, &run)?.state, word("step"))?;
        say(screen, &store, &run, Post::Signed { step, signed })
    }
}

impl Reject {
    pub fn run(self, screen: &Screen, globals: &Globals) -> Result<Exit, Error> {
        let (store, run) = find_in_order(globals, "reject", &self.run, self.step.as_deref())?;
        let state = Stored::read(&store, &run)?.state;
        let step = waiting(&state, self.step.as_deref())?;
        if self.reason.trim().is_empty() {
            return Err(Error::usage_with("a no wants its reason", "give it with --reason '...'"));
        }
        decide(screen, &store, &state, step, Verdict::Reject, self.reason, &self.sign)
    }
}

fn decide(
    screen: &Screen,
    store: &Store,
    state: &State,
    step: StepId,
    verdict: Verdict,
    comment: String,
    args: &SignArgs,
) -> Result<Exit, Error> {
    prove_open(state, &comment)?;
    let ask = state.entry(&step).and_then(|entry| entry.ask.as_ref());
    let known = ask.map(|ask| signers(state, ask)).unwrap_or_default();
    let me = actor::whoami().name;
    let wants = args.key.is_some() || args.as_.is_some() || args.out.is_some();
    let by_word = ask.is_some_and(|ask| ask.people.is_empty() || ask.people.contains(&me));
    let (Some(ask), true) = (ask, wants || known.contains(&me) || (!known.is_empty() && !by_word)) else {
        let post = match verdict {
            Verdict::Approve => Post::Approve { step, comment },
            Verdict::Reject => Post::Reject { step, reason: comment },
        };
        return say(screen, store, &state.run, to(state, post));
    };
    let listed = |name: &String| keys_of(state, ask, name);
    let every: Vec<String> = match &args.as_ {
        Some(name) => listed(name),
        None => known.iter().flat_map(listed).collect(),
    };
    let only_written = args.out.is_some() && args.key.is_none();
    let key = match only_written {
        true => None,
        false => Some(SigningKey::find(screen, args.key.as_deref(), &every)?),
    };
    if let Some(key) = key.as_ref().filter(|key| !known.is_empty() && !key.is_among(&everybody(state))) {
        return Err(Error::usage_with(
            "this key is listed for nobody in the site file",
            format!("sign with a listed key; this one is {}", key.public().trim()),
        ));
    }
    let by = approver(state, ask, &known, &me, key.as_ref(), args)?;
    let Some(decision) = approval::decision(state, &step, &by, verdict, &comment) else {
        return Err(Error::usage(format!("step {step} does not wait for an approval")));
    };
    let file = DecisionFile {
        text: approval::canonical(&decision),
        signature: None,
        keys: keys_of(state, ask, &by),
    };
    if let Value::Object(said) = &decision {
        show(screen, said);
    }
    let signed = match key {
        None => None,
        Some(key) => {
            agree(screen)?;
            Some(key.sign(file.text.clone())?)
        }
    };
    finish(screen, store, state, step, file, signed, args)
}

fn finish(
    screen: &Screen,
    store: &Store,
    state: &State,
    step: StepId,
    file: DecisionFile,
    signed: Option<Signed>,
    args: &SignArgs,
) -> Result<Exit, Error> {
    let Some(out) = &args.out else {
        let signed = signed.ok_or_else(|| Error::usage(UNSIGNED))?;
        return say(screen, store, &state.run, Post::Signed { step, signed });
    };
    let is_signed = signed.is_some();
    DecisionFile { signature: signed.map(|signed| signed.signature), ..file }.write(out)?;
    let out = out.display();
    match is_signed {
        true => screen.say(&format!("signed; next, where the run is: runplan approve --in {out}")),
        false => {
            let sign = format!("next, where the key is: runplan approve --in {out} --out signed.json");
            screen.say_for_elsewhere(&sign);
        }
    }
    Ok(Exit::Done)
}

/// Every key that the site file lists.
fn everybody(state: &State) -> Vec<String> {
    let roles = state.shape.site.iter().flat_map(|site| site.roles.values());
    let people = roles.flat_map(|role| &role.people);
    people.flat_map(|person| person.keys.iter().map(|key| key.value.clone())).collect()
}

/// Whose key it is, whatever the roles.
fn owner(state: &State, key: Option<&SigningKey>) -> Option<String> {
    let mut people =
        state.shape.site.iter().flat_map(|site| site.roles.values()).flat_map(|role| &role.people);
    let is_whose = |keys: Vec<String>| key.is_some_and(|key| key.is_among(&keys));
    let found = people.find(|person| is_whose(person.keys.iter().map(|key| key.value.clone()).collect()));
    found.map(|person| person.name.value.clone())
}

/// Whose decision it is.
fn approver(
    state: &State,
    ask: &Ask,
    known: &[String],
    me: &str,
    key: Option<&SigningKey>,
    args: &SignArgs,
) -> Result<String, Error> {
    if let Some(name) = &args.as_ {
        return Ok(name.clone());
    }
    let owners = known.iter().filter(|name| key.is_some_and(|key| key.is_among(&keys_of(state, ask, name))));
    let owners: Vec<&String> = owners.collect();
    let mine = known.iter().find(|name| *name == me);
    match (mine, owners.as_slice(), known) {
        (Some(mine), owners, _) if key.is_none() || owners.contains(&mine) => Ok(mine.clone()),
        (_, [owner], _) => Ok((*owner).clone()),
        (_, _, [only]) => Ok(only.clone()),
        // The run says whose key it is, and who decides instead.
        // The run says that these may not decide, and who may.
        (_, [], _) if owner(state, key).is_some() => Ok(owner(state, key).unwrap_or_default()),
        (_, _, []) => Err(Error::usage_with(
            "nobody who may decide has a key in the site file",
            "list it under `roles`, as `people: [{ name: ann, keys: [...] }]`; or decide without a signature",
        )),
        _ => Err(Error::usage_with(
            format!("it is not clear who decides: {}", known.join(", ")),
            "say it with --as NAME",
        )),
    }
}

const UNSIGNED: &str = "nothing was signed";

fn not_signed(path: &Path) -> Error {
    Error::usage_with(
        format!("{} is not signed", path.display()),
        "sign it: `runplan approve --in FILE --key KEY --out SIGNED`, without --key with the SSH agent",
    )
}

fn show(screen: &Screen, said: &Map<String, Value>) {
    if screen.is_json() {
        return;
    }
    screen.say("The decision:");
    approval::shown(said).iter().for_each(|line| screen.say(&format!("  {line}")));
}

/// On a terminal nothing is signed that was not agreed to after it was shown.
fn agree(screen: &Screen) -> Result<(), Error> {
    match !screen.is_attended() || terminal::confirm(screen, "Sign this?") {
        true => Ok(()),
        false => Err(Error::usage(UNSIGNED)),
    }
}

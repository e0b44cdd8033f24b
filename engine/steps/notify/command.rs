//! A program that takes the message: its text on stdin, its parts as variables.

use super::deliver::{LIMIT, Refused, text};
use super::message::{Message, plain};
use crate::plan::site::Channel;
use crate::process::{self, Told};
use crate::steps::world::World;

pub async fn run(world: &World, channel: &Channel, message: &Message) -> Result<(), Refused> {
    let mut argv = Vec::new();
    for argument in channel.argv.iter().flatten() {
        argv.push(text(world, argument).await?);
    }
    let mut env = variables(message);
    for (name, value) in &channel.env {
        env.push((name.value.clone(), text(world, value).await?));
    }
    let program = argv.first().cloned().unwrap_or_default();
    let told =
        Told { argv: &argv, env: &env, directory: &world.directory, stdin: &message.whole(), limit: LIMIT };
    let redactor = world.secrets.redactor();
    process::tell(&told).await.map_err(|why| Refused::now(redactor.clean(&format!("{program} {why}"))))
}

fn variables(message: &Message) -> Vec<(String, String)> {
    let mut all = vec![
        ("RUNPLAN_NOTIFY_RUN".to_owned(), message.run.clone()),
        ("RUNPLAN_NOTIFY_PLAN".to_owned(), message.plan.clone()),
        ("RUNPLAN_NOTIFY_STEP".to_owned(), message.subject.clone()),
        ("RUNPLAN_NOTIFY_LEVEL".to_owned(), message.level.word().to_owned()),
        ("RUNPLAN_NOTIFY_KEY".to_owned(), message.key.clone()),
    ];
    let event = message.occasion.map(|occasion| occasion.word().to_owned());
    all.extend(event.map(|event| ("RUNPLAN_NOTIFY_EVENT".to_owned(), event)));
    for (name, value) in &message.details {
        // A NUL cannot be in a variable.
        let value = plain(value).replace('\0', "");
        all.push((format!("RUNPLAN_NOTIFY_{}", name.to_uppercase().replace('-', "_")), value));
    }
    all
}

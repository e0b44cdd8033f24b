//! Who has a target, in words that say how to go on.

use super::super::world::World;
use super::Holder;
use crate::postgres::claim::clear_sql;
use crate::postgres::{Claim, Settings};

/// A claim that is not ours to work under, in words.
pub fn in_the_way(claim: &Claim, database: &str, endpoint: &str, run: &str) -> Holder {
    let Claim { run: other, host, since, epoch, .. } = claim;
    let (by, state) = (claim.by(), state_of(claim));
    let command = |words: &str| command(claim, words);
    let (message, help) = if other == run {
        (
            format!(
                "run {run} was moved to {host} (by {by} at {since}, epoch {epoch}{state}) and goes on there; \
                 the database {database} on {endpoint} is changed from there only"
            ),
            format!("go on with `{}` on {host}", command("resume")),
        )
    } else {
        (
            format!(
                "the database {database} on {endpoint} is in the middle of run {other}, which {by} began to \
                 change it with at {since}{state}"
            ),
            format!(
                "`{}` on {host} shows what was done; go on with `{}` there, go back with `{}`, or give it up with `{} \
                 --for-good`; if {host} is lost, `runplan import FILE --takeover REASON` takes the run over. If its journal \
                 is lost or damaged for good: find out by hand what it did, and only then remove its mark: {}",
                command("status"),
                command("resume"),
                command("undo"),
                command("stop"),
                clear_sql(database)
            ),
        )
    };
    Holder { message, help, run: Some(other.clone()) }
}

/// `, its state in /var/lib/runplan`, where the claim says it.
fn state_of(claim: &Claim) -> String {
    claim.state.as_ref().map(|state| format!(", its state in {state}")).unwrap_or_default()
}

/// What to type where the run is: whoever types it may have another state directory.
fn command(claim: &Claim, words: &str) -> String {
    let state = claim.state.as_deref().map(|state| {
        let quoted = shlex::try_quote(state).map_or_else(|_| state.to_owned(), std::borrow::Cow::into_owned);
        format!(" --state {quoted}")
    });
    format!("runplan {words} {}{}", claim.run, state.unwrap_or_default())
}

/// Who holds the lock: a process that runs now.
pub fn busy(
    world: &World,
    live: &Settings,
    claim: Option<&Claim>,
    application: &str,
    since: &str,
    client: &str,
) -> Holder {
    let named =
        application.strip_prefix("runplan:").and_then(|name| name.rsplit_once(':')).map(|(run, _)| run);
    let run = claim.map(|claim| claim.run.clone()).or_else(|| named.map(str::to_owned));
    let who = match &run {
        Some(run) if *run == world.run.as_str() => format!("this run, {run}, on another machine"),
        Some(run) => format!("run {run}"),
        None if application.is_empty() => "another run".to_owned(),
        None => application.to_owned(),
    };
    let by = claim.map(|claim| format!(" of {}", claim.by())).unwrap_or_default();
    let from = if client.is_empty() { String::new() } else { format!(" from {client}") };
    let when = if since.is_empty() { String::new() } else { format!(" since {since}") };
    let state = claim.map(state_of).unwrap_or_default();
    let message = format!(
        "the database {} on {} is being changed by {who}{by}{from}{when}{state}",
        live.database(),
        live.endpoint()
    );
    let help = match (&run, claim) {
        (Some(_), Some(claim)) => format!(
            "it is under way now: `{}` there shows it; wait for its end, or `{}`",
            command(claim, "watch"),
            command(claim, "stop")
        ),
        (Some(run), None) => format!(
            "it is under way now: `runplan watch {run}` there shows it; wait for its end, or `runplan stop {run}`"
        ),
        (None, _) => "wait for its end, and try again".to_owned(),
    };
    Holder { message, help, run }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(json: &str) -> Claim {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_claim_says_where_its_run_is_found() {
        let text = r#"{"run":"r-1","operator":"alice","host":"db1","since":"2026-11-22T03:11:00Z","epoch":1,
            "uid":1000,"state":"/var/lib/my runs"}"#;
        let holder = in_the_way(&claim(text), "app", "db:5432", "r-2");
        assert_eq!(
            holder.message,
            "the database app on db:5432 is in the middle of run r-1, which alice (uid 1000) on db1 began to change it with at \
             2026-11-22T03:11:00Z, its state in /var/lib/my runs"
        );
        assert!(holder.help.contains("`runplan resume r-1 --state '/var/lib/my runs'`"), "{}", holder.help);
    }

    #[test]
    fn an_older_claim_says_what_it_knows() {
        let text =
            r#"{"run":"r-1","operator":"alice","host":"db1","since":"2026-11-22T03:11:00Z","epoch":1}"#;
        let holder = in_the_way(&claim(text), "app", "db:5432", "r-2");
        assert!(
            holder.message.ends_with("which alice on db1 began to change it with at 2026-11-22T03:11:00Z")
        );
        assert!(holder.help.contains("`runplan resume r-1` there"), "{}", holder.help);
    }
}

//! What became of a transaction whose end nobody heard. The journaled intent decides: without one nothing can have been
//! committed, with one the server is asked. Must never take silence for an answer.

use super::super::attempt::Attempt;
use super::super::targets::Target;
use super::orphan;
use crate::clock::{self, Stopwatch};
use crate::postgres::{Connection, Error, Verdict, Witness, witness};
use crate::run::{Evidence, Failure, Outcome, Outputs};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The fact that a COMMIT follows.
pub const INTENT: &str = "commit_intended";
/// How long a transaction whose client is gone may go on before its backend is ended.
const GRACE: Duration = Duration::from_secs(5);
/// How long a server is waited for that just lost us.
const REACHING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

/// What is durable before COMMIT.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent {
    pub witness: Witness,
    pub outputs: Outputs,
}

/// After a crash.
pub async fn settle(attempt: &Attempt, target: &Target) -> Outcome {
    let intent = match attempt.own_fact(INTENT).cloned().map(serde_json::from_value::<Intent>) {
        Some(Ok(intent)) => intent,
        Some(Err(error)) => {
            let facts = [format!("the fact {INTENT} cannot be read: {error}")];
            return Outcome::Unknown(Evidence::new("whether it was committed is not known", facts));
        }
        None => {
            leave_nothing(attempt, target).await;
            return Outcome::Again("its COMMIT was never sent".to_owned());
        }
    };
    match verdict(attempt, target, &intent.witness).await {
        Ok(Verdict::Committed) => Outcome::Done(intent.outputs),
        Ok(Verdict::Aborted) => {
            leave_nothing(attempt, target).await;
            Outcome::Again(format!("the server says that transaction {} was rolled back", intent.witness.xid))
        }
        Ok(Verdict::Unknown(why)) => Outcome::Unknown(evidence(&intent.witness, why)),
        Err(why) => Outcome::Unknown(evidence(&intent.witness, why)),
    }
}

/// The answer to COMMIT was lost, and we are still here to ask.
pub async fn after_lost_answer(
    attempt: &Attempt,
    target: &Target,
    intent: &Intent,
    lost: &Failure,
) -> Outcome {
    match verdict(attempt, target, &intent.witness).await {
        Ok(Verdict::Committed) => Outcome::Done(intent.outputs.clone()),
        Ok(Verdict::Aborted) => Outcome::Failed(
            Failure::new(lost.code.clone(), lost.message.clone())
                .help("nothing was changed: the server says that the transaction was rolled back"),
        ),
        Ok(Verdict::Unknown(why)) | Err(why) => {
            let mut evidence = evidence(&intent.witness, why);
            evidence.facts.insert(0, lost.message.clone());
            Outcome::Unknown(evidence)
        }
    }
}

fn evidence(witness: &Witness, why: String) -> Evidence {
    let identity = &witness.identity;
    Evidence::new(
        "whether the transaction was committed is not known",
        [
            why,
            format!(
                "transaction {} on {} (system identifier {}, timeline {}, WAL at {}), backend {} of {}",
                witness.xid,
                identity.endpoint,
                identity.system_identifier,
                identity.timeline,
                identity.lsn,
                witness.backend.pid,
                witness.backend.started
            ),
        ],
    )
}

/// Asks the server, and waits a while for one that is just coming back.
async fn verdict(attempt: &Attempt, target: &Target, witness: &Witness) -> Result<Verdict, String> {
    let watch = Stopwatch::start();
    loop {
        let asked = async {
            let connection = orphan::connect(attempt, target).await?;
            witness::ask(&connection, witness, GRACE).await
        };
        let error: Error = match asked.await {
            Ok(verdict) => return Ok(verdict),
            Err(error) => error,
        };
        if watch.elapsed() >= REACHING || attempt.cancelled.is_cancelled() {
            return Err(format!("the server cannot be asked: {}", error.message()));
        }
        clock::sleep(PAUSE).await;
    }
}

/// Ends what the interrupted attempt left on the server, so that its locks do not stand in the way of the next one.
/// What cannot be ended now cannot commit either: nobody will tell it to.
async fn leave_nothing(attempt: &Attempt, target: &Target) {
    let ended = async {
        let connection: Connection = orphan::connect(attempt, target).await?;
        orphan::end_all(attempt, &connection).await
    };
    match ended.await {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            attempt.warn(format!("the interrupted attempt's backends {left:?} were told to end and have not"))
        }
        Err(error) => attempt.warn(format!("the interrupted attempt's session was not looked for: {error}")),
    }
}

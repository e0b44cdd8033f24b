//! An author's `undo` that has to be tried again.

use crate::support::stage::{done, plan};
use runplan::run::Outcome;

#[tokio::test]
async fn an_undo_that_failed_runs_again_under_the_same_attempt() {
    let stage = plan(
        "steps:
  - id: made
    shell: { argv: [\"true\"] }
    undo: { shell: { run: \"test -e mended; echo again\" } }",
    )
    .set();
    done(stage.act("made").await);
    for _ in 0..2 {
        let failed = stage.undo("made").await;
        assert!(matches!(&failed, Outcome::Failed(why) if why.message.contains("exit code 1")), "{failed:?}");
    }
    std::fs::write(stage.path("mended"), "").unwrap();
    let outputs = done(stage.undo("made").await);
    assert_eq!(outputs["stdout"], "again\n");
}

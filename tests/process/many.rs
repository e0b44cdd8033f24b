//! Many at once.

use super::support::{Bench, block, sh};
use std::time::Duration;

#[test]
fn more_than_can_run_at_once_are_all_run() {
    let bench = Bench::new();
    block(async {
        let ends = (0..600).map(|number| {
            let supervisor = bench.supervisor.clone();
            async move {
                let command = sh(&format!("exit {}", number % 200));
                let mut running = supervisor.start(&format!("step{number}.1"), &command, None).await.unwrap();
                assert_eq!(running.wait().await.unwrap().code, Some(number % 200));
            }
        });
        futures_util::future::join_all(ends).await;
    });
}

#[test]
fn one_that_waits_for_its_turn_can_be_cancelled() {
    let bench = Bench::new();
    block(async {
        let sleep = sh("exec sleep 1000");
        let starts = (0..300).map(|number| {
            let (supervisor, sleep) = (bench.supervisor.clone(), &sleep);
            async move { supervisor.start(&format!("step{number}.1"), sleep, None).await.unwrap() }
        });
        let running = futures_util::future::join_all(starts).await;
        let waiting: Vec<_> = running.iter().filter(|running| running.pid().is_none()).collect();
        assert!(!waiting.is_empty());
        for one in waiting {
            assert!(
                one.cancel(Duration::ZERO)
                    .await
                    .unwrap_err()
                    .to_string()
                    .contains("cancelled before its turn")
            );
        }
        let ends = running
            .iter()
            .filter(|running| running.pid().is_some())
            .map(|one| one.cancel(Duration::from_secs(5)));
        for end in futures_util::future::join_all(ends).await {
            end.unwrap();
        }
    });
}

//! Programs that are ended: by their time, by a wish, or because the main one has ended and left them behind.

use super::support::{Bench, block, lives, number, sh, until};
use runplan::clock::Stopwatch;
use std::time::Duration;

/// A program with a child in its group, one in a session of its own, and one that has also let go of the lock; each
/// writes its process id.
fn family(bench: &Bench) -> String {
    let pid = |name: &str| bench.path(name).display().to_string();
    format!(
        "sleep 1000 & echo $! > {}
        setsid bash -c 'echo $$ > {}; exec sleep 1000' &
        setsid bash -c 'echo $$ > {}; for fd in /proc/self/fd/*; do n=${{fd##*/}}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done; exec sleep 1000' </dev/null >/dev/null 2>&1 &
        echo begun; wait",
        pid("child"),
        pid("session"),
        pid("hidden")
    )
}

fn pids(bench: &Bench) -> Vec<i32> {
    ["child", "session", "hidden"].iter().map(|name| number(&bench.path(name))).collect()
}

#[test]
fn when_its_time_is_up_the_whole_tree_goes() {
    let bench = Bench::new();
    block(async {
        let time = Some(Duration::from_millis(500));
        let mut running = bench.supervisor.start("step.1", &sh(&family(&bench)), time).await.unwrap();
        let pids = pids(&bench);
        assert!(pids.iter().all(|pid| lives(*pid)));
        let exit = running.wait().await.unwrap();
        assert!(exit.timed_out && !exit.cancelled && exit.signal == Some(15), "{exit:?}");
        assert_eq!(exit.stdout.text(), "begun\n");
        assert!(pids.iter().all(|pid| !lives(*pid)), "{exit:?}");
    });
}

#[test]
fn a_cancel_ends_the_whole_tree_before_it_returns() {
    let bench = Bench::new();
    block(async {
        let mut running = bench.supervisor.start("step.1", &sh(&family(&bench)), None).await.unwrap();
        let pids = pids(&bench);
        running.cancel(Duration::from_secs(5)).await.unwrap();
        assert!(pids.iter().all(|pid| !lives(*pid)));
        let exit = running.wait().await.unwrap();
        assert!(exit.cancelled && !exit.timed_out && exit.signal == Some(15), "{exit:?}");
        assert!(exit.elapsed < Duration::from_secs(4), "{exit:?}");
    });
}

#[test]
fn who_ignores_sigterm_is_killed_after_the_grace_and_a_stopped_one_too() {
    let bench = Bench::new();
    block(async {
        let script =
            format!("trap '' TERM; echo $$ > {}; while :; do sleep 0.01; done", bench.path("pid").display());
        let mut running = bench.supervisor.start("step.1", &sh(&script), None).await.unwrap();
        number(&bench.path("pid"));
        // While another waits for the end: neither keeps the other from it.
        let begun = Stopwatch::start();
        let (cancelled, exit) = {
            let canceller = bench.supervisor.clone();
            let again = async move {
                let runplan::process::Found::Running(running) = canceller.find("step.1").await.unwrap()
                else {
                    panic!("it runs")
                };
                running.cancel(Duration::from_millis(200)).await
            };
            tokio::join!(again, running.wait())
        };
        cancelled.unwrap();
        assert_eq!(exit.unwrap().signal, Some(9));
        assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < Duration::from_secs(5));

        let running = bench.supervisor.start("step.2", &sh("kill -STOP $$"), None).await.unwrap();
        until("it is stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.pid().unwrap())).unwrap();
            stat.contains(") T ")
        });
        running.cancel(Duration::from_secs(20)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "SIGTERM reached it");
    });
}

#[test]
fn what_is_left_in_the_group_is_ended_and_told() {
    let bench = Bench::new();
    block(async {
        let pid = bench.path("pid");
        let begun = Stopwatch::start();
        let exit = bench.sh(&format!("sleep 1000 & echo $! > {}; echo done; exit 5", pid.display())).await;
        assert_eq!((exit.code, exit.stdout.text().as_str()), (Some(5), "done\n"));
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(!lives(number(&pid)));
        assert_eq!(exit.evidence, [format!("left behind and ended: sleep (pid {})", number(&pid))]);
    });
}

#[test]
fn what_follows_shortly_is_waited_for() {
    let bench = Bench::new();
    block(async {
        let exit = bench.sh("exec > >(sleep 0.1; cat); echo late").await;
        assert_eq!((exit.stdout.text().as_str(), exit.evidence.len()), ("late\n", 0), "{exit:?}");
    });
}

#[test]
fn a_daemon_may_stay_and_is_told() {
    let bench = Bench::new();
    block(async {
        let pid = bench.path("pid");
        let script = format!(
            "setsid bash -c 'echo $$ > {0}; exec sleep 1000' & until [ -s {0} ]; do :; done",
            pid.display()
        );
        let exit = bench.sh(&script).await;
        let daemon = number(&pid);
        assert_eq!(exit.code, Some(0));
        assert!(lives(daemon), "it left the group to stay");
        assert!(exit.evidence[0].contains(&format!("sleep (pid {daemon})")), "{exit:?}");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(daemon).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    });
}

//! The engine killed at every event and at random instants, with the supervisor and without, forward and while it undoes;
//! the server restarted under it; its connections cut.
#![allow(clippy::print_stdout, reason = "the tables are what is looked at")]

use super::case::{Case, Engine, Expected, Kill, Order, Player, Verdict, Way};
use super::scene::{self, Scene};
use super::table::Table;
use crate::support::bouncer::Bouncer;
use crate::support::chance::{self, Chance};
use crate::support::cluster;
use crate::support::proxy::{Cut, Proxy};
use runplan::postgres::Cluster;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

const PLACES: [&str; 3] = ["before_append", "after_commit", "after_append"];
const SUPERVISOR: [&str; 4] = ["before_fork", "after_fork", "before_exit_record", "after_exit_record"];

/// `make chaos`: everything; else a part of it.
fn is_full() -> bool {
    std::env::var_os("CHAOS").is_some()
}

/// `CASE=forward/instant/17`: only that one, and the others that begin so.
fn wanted(name: &str) -> bool {
    std::env::var("CASE").map_or(true, |case| {
        case.is_empty() || name == case || case.ends_with('/') && name.starts_with(&case)
    })
}

/// How many cases of a sort.
pub fn size(full: usize, part: usize) -> usize {
    let scale = |n: usize| {
        std::env::var("KILLS").ok().and_then(|k| k.parse::<usize>().ok()).map_or(n, |k| n * k / 1000)
    };
    if is_full() { scale(full) } else { part }
}

/// Of the part, all groups are played at once, beside all other tests.
/// `CHAOS_THREADS=6`: more at once, where processors stand idle.
pub fn threads(full: usize) -> usize {
    let wish = std::env::var("CHAOS_THREADS").ok().and_then(|text| text.parse().ok());
    if is_full() { wish.unwrap_or(full).max(1) } else { full / 2 }
}

/// What uninterrupted runs are like.
struct Measure {
    expected: Expected,
    /// The journal's last number before the undo, and at the end.
    forward: u64,
    all: u64,
    took: Duration,
}

fn measure(way: Way) -> Measure {
    let scene = Scene::new(&scene::Way::of(cluster::shared()), way == Way::Forward, None);
    let (expected, forward, all, took) = Player::new(&scene).measure(way);
    Measure { expected, forward, all, took }
}

/// A case's own chance: it does not depend on which others are played.
fn chance(seed: u64, name: &str) -> Chance {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Chance::new(seed ^ hash)
}

fn within(chance: &mut Chance, limit: Duration) -> Duration {
    Duration::from_millis(chance.below(limit.as_millis() as usize) as u64)
}

/// Every event, at every place; of the part, one in so many.
fn at_events(way: Way, measure: &Measure, one_in: u64, seed: u64) -> Vec<Case> {
    let (word, numbers) = match way {
        Way::Forward => ("forward", 1..=measure.forward),
        Way::Undo => ("undo", measure.forward + 1..=measure.all),
    };
    let mut cases = Vec::new();
    for (row, place) in PLACES.into_iter().enumerate() {
        for number in numbers.clone() {
            let is_edge = number == *numbers.start() || number + 2 > *numbers.end();
            if (number + seed + row as u64).is_multiple_of(one_in) || is_edge {
                let name = format!("{word}/{place}/{number}");
                cases.push(Case { name, way, kill: Kill::At { place, number }, again: Vec::new() });
            }
        }
    }
    cases
}

fn at_instants(way: Way, measure: &Measure, count: usize, seed: u64) -> Vec<Case> {
    let word = if way == Way::Forward { "forward" } else { "undo" };
    (0..count)
        .map(|index| {
            let supervisor = [Order::Spared, Order::Spared, Order::First, Order::Last][index % 4];
            let sort = if supervisor == Order::Spared { "instant" } else { "with_supervisor" };
            let name = format!("{word}/{sort}/{index}");
            let mut chance = chance(seed, &name);
            let delay = within(&mut chance, measure.took);
            let more = if chance.one_in(3) { 1 + chance.below(2) } else { 0 };
            let again = (0..more).map(|_| within(&mut chance, measure.took / 2)).collect();
            Case { name, way, kill: Kill::After { delay, supervisor }, again }
        })
        .collect()
}

/// Plays the cases on several threads; `play` has everything that a thread of its own needs.
fn play_all<'c, P: Fn(&Case) -> Verdict>(
    cases: &'c [Case],
    threads: usize,
    player: impl Fn() -> P + Sync,
) -> Table {
    let waiting: Mutex<VecDeque<&'c Case>> =
        Mutex::new(cases.iter().filter(|case| wanted(&case.name)).collect());
    let table = Mutex::new(Table::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(waiting.lock().unwrap().len()) {
            scope.spawn(|| {
                let play = player();
                loop {
                    let Some(case) = waiting.lock().unwrap().pop_front() else { break };
                    let verdict = catch_unwind(AssertUnwindSafe(|| play(case))).unwrap_or_else(|panic| {
                        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        Verdict { wrong: vec![format!("the harness: {words}")], ..Verdict::default() }
                    });
                    if is_full() && !verdict.is_good() {
                        println!("not good: {} {:.600?}", case.name, format!("{verdict:?}"));
                    }
                    table.lock().unwrap().add(&case.name, verdict);
                }
            });
        }
    });
    table.into_inner().unwrap()
}

fn conclude(title: &str, table: &Table, seed: u64) {
    table.print(title, seed);
    println!("asked or refused: {:#?}", table.parked());
    let faults = table.faults(seed);
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn killed_anywhere_it_ends_as_if_it_had_not_been() {
    let seed = chance::seed();
    let way = scene::Way::of(cluster::shared());
    let one_in = if is_full() { 1 } else { 29 };
    let measures = [measure(Way::Forward), measure(Way::Undo)];
    let mut cases = Vec::new();
    for (which, measure) in [Way::Forward, Way::Undo].into_iter().zip(&measures) {
        cases.extend(at_events(which, measure, one_in, seed));
    }
    cases.extend(at_instants(Way::Forward, &measures[0], size(800, 38), seed));
    cases.extend(at_instants(Way::Undo, &measures[1], size(200, 12), seed));
    let table = play_all(&cases, threads(8), || {
        |case: &Case| {
            let scene = Scene::new(&way, case.way == Way::Forward, None);
            let measure = &measures[usize::from(case.way == Way::Undo)];
            Player::new(&scene).play(case, &measure.expected)
        }
    });
    conclude("the engine killed, with its supervisor or without", &table, seed);
}

#[test]
fn killed_while_a_pooler_holds_its_clients_it_lets_them_go_on() {
    let seed = chance::seed();
    let way = scene::Way::of(cluster::shared());
    let bouncer =
        Bouncer::start(cluster::shared(), "*", "transaction", "ignore_startup_parameters = options");
    let scene = Scene::new(&way, true, None).pooled(&bouncer);
    let (expected, ..) = Player::new(&scene).measure(Way::Forward);
    let numbers = scene.numbers_of("switched");
    assert!(numbers.len() > 4, "{numbers:?}");
    let one_in = if is_full() { 1 } else { 5 };
    let mut cases = Vec::new();
    for (row, place) in PLACES.into_iter().enumerate() {
        for number in numbers.iter().copied() {
            if (number + seed + row as u64).is_multiple_of(one_in) {
                let name = format!("pooler/{place}/{number}");
                cases.push(Case {
                    name,
                    way: Way::Forward,
                    kill: Kill::At { place, number },
                    again: Vec::new(),
                });
            }
        }
    }
    let table = play_all(&cases, threads(4), || {
        |case: &Case| {
            let scene = Scene::new(&way, true, None).pooled(&bouncer);
            let mut verdict = Player::new(&scene).play(case, &expected);
            verdict.wrong.extend(scene.through(&bouncer));
            verdict
        }
    });
    conclude("the engine killed in a swap through a pooler", &table, seed);
}

#[test]
fn a_supervisor_that_dies_anywhere_leaves_no_doubt_that_is_not_said() {
    let seed = chance::seed();
    let way = scene::Way::of(cluster::shared());
    let measure = measure(Way::Forward);
    let mut cases = Vec::new();
    for place in SUPERVISOR {
        for number in 1..=if is_full() { 8 } else { 2 } {
            let name = format!("supervisor/{place}/{number}");
            cases.push(Case { name, way: Way::Forward, kill: Kill::At { place, number }, again: Vec::new() });
        }
    }
    let table = play_all(&cases, threads(4), || {
        |case: &Case| {
            let scene = Scene::new(&way, true, None);
            Player::new(&scene).with_mortal_supervisor().play(case, &measure.expected)
        }
    });
    conclude("the supervisor killed at its own records", &table, seed);
}

#[test]
fn a_server_that_crashes_under_it_changes_nothing() {
    let seed = chance::seed();
    let measure = measure(Way::Forward);
    let engines = [Engine::Lives, Engine::DiesBefore, Engine::DiesAfter];
    let cases: Vec<Case> = (0..size(100, 4))
        .map(|index| {
            let engine = engines[index % 3];
            let name = format!("restart/{engine:?}/{index}").to_lowercase();
            let mut chance = chance(seed, &name);
            let delay = within(&mut chance, measure.took);
            let more = usize::from(chance.one_in(3));
            let again = (0..more).map(|_| within(&mut chance, measure.took / 4)).collect();
            Case { name, way: Way::Forward, kill: Kill::Restart { delay, engine }, again }
        })
        .collect();
    let table = play_all(&cases, threads(4), || {
        let server = Mutex::new(Cluster::start(cluster::options()).unwrap());
        let measure = &measure;
        move |case: &Case| {
            let way = scene::Way::of(&server.lock().unwrap());
            let scene = Scene::new(&way, true, None);
            Player::new(&scene).with_server(&server).play(case, &measure.expected)
        }
    });
    conclude("the server restarted with -m immediate", &table, seed);
}

#[test]
fn connections_that_are_cut_change_nothing() {
    let seed = chance::seed();
    let way = scene::Way::of(cluster::shared());
    let measure = measure(Way::Forward);
    let mut cases: Vec<Case> = (0..size(100, 6))
        .map(|index| {
            let name = format!("cut/bytes/{index}");
            let bytes = chance(seed, &name).below(LARGEST_CUT) as u64;
            Case { name, way: Way::Forward, kill: Kill::Bytes(bytes), again: Vec::new() }
        })
        .collect();
    for (word, cut) in [("commit_lost", Cut::BeforeCommit), ("answer_lost", Cut::AfterCommit)] {
        let name = format!("cut/{word}/0");
        cases.push(Case { name, way: Way::Forward, kill: Kill::Commit(cut), again: Vec::new() });
    }
    let table = play_all(&cases, threads(4), || {
        |case: &Case| {
            let proxy = Proxy::start(way.port());
            let scene = Scene::new(&way, true, Some(proxy.port()));
            Player::new(&scene).with_proxy(&proxy).play(case, &measure.expected)
        }
    });
    conclude("a connection cut", &table, seed);
}

/// About as many bytes as a run sends and receives.
const LARGEST_CUT: usize = 400_000;

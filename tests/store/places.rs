//! Places where a state directory cannot be, or ceases to be.

use super::support::{Chain, Helper, State, ann, block, run_id};
use miette::Diagnostic;
use runplan::run::Post;
use runplan::store::{Error, Journal, Store};
use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

fn code(error: &Error) -> String {
    assert!(error.help().is_some(), "{error}");
    error.code().unwrap().to_string()
}

#[test]
fn the_place_is_where_the_environment_says() {
    let with = |pairs: &[(&str, &str)]| {
        let find = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| OsString::from(pair.1));
        Store::default_dir(find).map(|path| path.display().to_string())
    };
    let home = ("HOME", "/home/ann");
    let xdg = ("XDG_STATE_HOME", "/var/state");
    assert_eq!(with(&[home]).unwrap(), "/home/ann/.local/state/runplan");
    assert_eq!(with(&[home, xdg]).unwrap(), "/var/state/runplan");
    assert_eq!(with(&[home, xdg, ("RUNPLAN_STATE", "there")]).unwrap(), "there");
    assert_eq!(with(&[home, ("XDG_STATE_HOME", "relative")]).unwrap(), "/home/ann/.local/state/runplan");
    assert_eq!(
        with(&[home, ("XDG_STATE_HOME", ""), ("RUNPLAN_STATE", "")]).unwrap(),
        "/home/ann/.local/state/runplan"
    );
    assert_eq!(code(&with(&[]).unwrap_err()), "runplan::store::no_home");
}

#[test]
fn everything_is_private() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    block(held.journal().append(0, &Chain::new().take(1))).unwrap();
    let mut seen = 0;
    let mut open = vec![state.root()];
    while let Some(path) = open.pop() {
        let data = path.metadata().unwrap();
        let expected = if data.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(data.mode() & 0o777, expected, "{}", path.display());
        seen += 1;
        if data.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(seen, 11, "state runs new RUN process files; journal.db -wal -shm head lock");
}

#[test]
fn a_file_in_the_way_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("state")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, Error::InTheWay { path } if *path == file), "{error}");
        assert_eq!(code(&error), "runplan::store::in_the_way");
    }
    let nowhere = place.path().join("nowhere");
    std::os::unix::fs::symlink(place.path().join("gone"), &nowhere).unwrap();
    let error = Store::open(&nowhere).unwrap_err();
    assert!(matches!(&error, Error::InTheWay { path } if *path == nowhere), "{error}");
    let state = place.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    std::fs::write(state.join("runs"), "").unwrap();
    let error = Store::open(&state).unwrap_err();
    assert!(matches!(&error, Error::InTheWay { path } if path.ends_with("runs")), "{error}");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let place = tempfile::tempdir().unwrap();
    for (mode, fine) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false), (0o1777, false)] {
        std::fs::set_permissions(place.path(), Permissions::from_mode(mode)).unwrap();
        for opened in [Store::open(place.path()), Store::open_to_read(place.path())] {
            match opened {
                Ok(_) => assert!(fine, "{mode:o}"),
                Err(error) => {
                    assert!(!fine, "{mode:o} {error}");
                    assert_eq!(code(&error), "runplan::store::permissive");
                }
            }
        }
    }
}

#[test]
fn looking_makes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a/b");
    let store = Store::open_to_read(&path).unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert!(matches!(store.find("x"), Err(Error::NoRun { .. })));
    assert!(!place.path().join("a").exists());
}

/// This test binary where an unprivileged user can reach it.
fn reachable_exe(place: &Path) -> PathBuf {
    let exe = place.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    std::fs::set_permissions(&exe, Permissions::from_mode(0o755)).unwrap();
    exe
}

/// Root may write everywhere, so another user tries; who is not root is that user already.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let root = rustix::process::geteuid().is_root();
    let exe = root.then(|| reachable_exe(place.path()));
    let hear = |path: &Path| match &exe {
        Some(exe) => Helper::unprivileged("open", path, exe).hear().unwrap(),
        None => Helper::start("open", path).hear().unwrap(),
    };
    let own = |path: &Path, mode| {
        std::fs::create_dir(path).unwrap();
        if root {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let closed = place.path().join("closed");
    own(&closed, 0o500);
    let said = hear(&closed);
    assert!(said.starts_with("runplan::store::not_writable"), "{said}");
    assert!(said.contains(&closed.display().to_string()), "{said}");
    let said = hear(&closed.join("state"));
    assert!(said.starts_with("runplan::store::not_writable"), "{said}");
    let half = place.path().join("half");
    own(&half, 0o700);
    own(&half.join("runs"), 0o500);
    own(&half.join("new"), 0o700);
    let said = hear(&half);
    assert!(said.starts_with("runplan::store::not_writable"), "{said}");
    let fine = place.path().join("fine");
    own(&fine, 0o700);
    assert_eq!(hear(&fine), "opened");
    if root {
        let foreign = place.path().join("foreign");
        std::fs::create_dir(&foreign).unwrap();
        std::fs::set_permissions(&foreign, Permissions::from_mode(0o755)).unwrap();
        let said = hear(&foreign);
        assert!(said.starts_with("runplan::store::foreign"), "{said}");
        assert!(said.contains("belongs to uid 0, and this is uid 65534"), "{said}");
        let error = Store::open(&fine).unwrap_err();
        assert!(matches!(error, Error::Foreign { owner: 65534, me: 0, .. }), "{error}");
    }
}

#[test]
fn a_full_disk_parks_without_loss() {
    let place = tempfile::tempdir().unwrap();
    for size in ["700k", "732k", "800k", "1m"] {
        let mut helper = Helper::mounted("fill", place.path(), size, "true");
        let acknowledged: u64 = helper.expect("filled").parse().unwrap();
        assert!(acknowledged > 30 && acknowledged.is_multiple_of(3), "{acknowledged}");
        helper.finish();
    }
}

#[test]
fn a_read_only_file_system_can_be_looked_at() {
    let place = tempfile::tempdir().unwrap();
    let mut helper = Helper::mounted("read_only", place.path(), "4m", "true");
    helper.expect("read");
    helper.finish();
}

#[test]
fn a_vanished_directory_stops_the_run() {
    let gone = ["runs", "runs/RUN", "runs/RUN/journal.db", "runs/RUN/journal.db-wal"];
    for (name, mend) in gone.iter().flat_map(|name| [(name, false), (name, true)]) {
        let state = State::new();
        let held = state.store.create(&run_id()).unwrap();
        let mut chain = Chain::new();
        block(held.journal().append(0, &chain.take(3))).unwrap();
        assert!(!held.journal().is_lost());
        let path = state.root().join(name.replace("RUN", run_id().as_str()));
        let aside = state.directory.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        let known_at_once = !name.ends_with("wal");
        assert_eq!(held.journal().is_lost(), known_at_once, "{name}");
        let error = block(held.journal().append(3, &chain.take(1))).unwrap_err();
        assert_eq!(code(&error), "runplan::store::vanished", "{name}: {error}");
        assert!(held.journal().is_lost());
        if mend {
            std::fs::rename(&aside, &path).unwrap();
            drop(held);
            let records = state.store.load(&run_id()).unwrap().whole().unwrap();
            assert!(records.len() >= 3, "{name}: what was acknowledged is there again");
        }
    }
}

#[test]
fn another_database_in_its_place_stops_the_run() {
    let state = State::new();
    let held = state.store.create(&run_id()).unwrap();
    let mut chain = Chain::new();
    block(held.journal().append(0, &chain.take(1))).unwrap();
    std::fs::copy(state.file("journal.db"), state.file("copy")).unwrap();
    std::fs::rename(state.file("copy"), state.file("journal.db")).unwrap();
    assert!(held.journal().is_lost());
    let error = block(held.journal().append(1, &chain.take(1))).unwrap_err();
    assert!(matches!(error, Error::Vanished { .. }), "{error}");
}

#[test]
fn a_post_to_a_run_that_vanished_is_refused() {
    let state = State::new();
    drop(state.store.create(&run_id()).unwrap());
    std::fs::remove_file(state.file("journal.db")).unwrap();
    let post = Post::Stop { hard: false, reason: String::new() };
    let error = state.store.post(&run_id(), &ann(), &post).unwrap_err();
    assert_eq!(code(&error), "runplan::store::vanished");
    assert!(!state.file("journal.db").exists(), "it made one");
}

//! A physical copy of a cluster's data directory, and the cluster set back to it.
#![allow(clippy::disallowed_methods, reason = "cp is started here")]

use runplan::postgres::{Cluster, Stop};
use std::path::Path;

/// Copies the data of a cluster, stopped for the time being.
pub fn copy(cluster: &mut Cluster) {
    cluster.stop_server(Stop::Fast).unwrap();
    let directory = cluster.directory().to_owned();
    cp(&directory.join("data"), &directory.join("copy"));
    cluster.start_server().unwrap();
}

/// Puts the copy in the place of the data; the server is another one that was started from it.
pub fn set_back(cluster: &mut Cluster) {
    cluster.stop_server(Stop::Immediate).unwrap();
    let directory = cluster.directory().to_owned();
    std::fs::remove_dir_all(directory.join("data")).unwrap();
    cp(&directory.join("copy"), &directory.join("data"));
    cluster.start_server().unwrap();
}

fn cp(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

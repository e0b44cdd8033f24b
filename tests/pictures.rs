//! The README's pictures are of the program as it is: `make pictures` runs the demo's rehearsal on a terminal and opens its
//! report in a browser. Without `PICTURES` the pictures that are kept are looked at, and a small run is drawn.
#![allow(
    clippy::disallowed_methods,
    reason = "the browser is started here, and the repository is written to"
)]

use crate::support::picture::svg;
use crate::support::sandbox::Sandbox;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMAND: &str = "runplan rehearse plans/scenario-2.yaml --reason 'wallets are empty since 02:40'";
const LARGEST_SVG: u64 = 100_000;
const LARGEST_PNG: u64 = 400_000;

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures").join(name)
}

fn home(sandbox: &Sandbox) -> String {
    sandbox.path("").display().to_string().trim_end_matches('/').to_owned()
}

/// What the README shows.
fn shown() -> Vec<PathBuf> {
    let readme = include_str!("../README.md");
    let images = readme.split("](docs/pictures/").skip(1);
    images.map(|rest| place(rest.split(')').next().unwrap())).collect()
}

#[test]
fn the_readme_shows_pictures_that_are_there() {
    let shown = shown();
    assert_eq!(shown.len(), 3);
    for path in shown {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = bytes.len() as u64;
        if path.extension().unwrap() == "png" {
            assert!(bytes.starts_with(b"\x89PNG") && length < LARGEST_PNG, "{} {length}", path.display());
        } else {
            let text = String::from_utf8(bytes).unwrap();
            assert!(length < LARGEST_SVG, "{} {length}", path.display());
            assert!(text.contains(COMMAND) && text.contains("</svg>"), "{}", path.display());
            assert!(
                !text.contains("/tmp/") && !text.contains("/home/") && !text.contains("/root"),
                "{}",
                path.display()
            );
        }
    }
    let live = std::fs::read_to_string(place("live.svg")).unwrap();
    for part in ["CLOSED to traffic for", "usually", "next: ", "to stop: "] {
        assert!(live.contains(part), "{part}");
    }
}

#[test]
fn a_screen_becomes_text_in_its_colours() {
    let sandbox = Sandbox::new();
    sandbox.plan(
        "title: A <plan> & more\nsteps:\n  - { id: told, notify: { channels: [console], message: 日本 } }\n",
    );
    let mut terminal = sandbox.terminal("plan.yaml", 24, 80);
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let picture = svg(&terminal.screen(), "runplan plan.yaml", "A run", &home(&sandbox));
    assert!(
        picture.contains(">A &lt;plan&gt; &amp; more<")
            || picture.contains("A &lt;plan&gt; &amp; more</text>"),
        "{picture}"
    );
    assert!(
        picture.contains("日本") && picture.contains("fill=\"#56d364\"") && picture.contains("<title>A run")
    );
    let texts = picture.lines().filter(|line| line.starts_with("<text")).count();
    assert!(texts > 5 && picture.trim_end().ends_with("</svg>"), "{picture}");
}

#[test]
fn the_pictures_are_made() {
    if std::env::var_os("PICTURES").is_none() {
        return;
    }
    let sandbox = Sandbox::patient();
    std::os::unix::fs::symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("plans"), sandbox.path("plans"))
        .unwrap();
    let line = format!("{} --state state", COMMAND.strip_prefix("runplan ").unwrap());
    // The first one is what the second one's estimates go by.
    sandbox.run(&line).code(0);
    let mut terminal = sandbox.terminal(&line, 36, 104);
    terminal.until("CLOSED to traffic for 2s");
    let live = svg(
        &terminal.screen(),
        COMMAND,
        "The live view of a rehearsal, while writing is being stopped",
        &home(&sandbox),
    );
    assert_eq!(terminal.wait(), 0, "{}", terminal.text());
    let end = svg(&terminal.screen(), COMMAND, "The end of a rehearsal", &home(&sandbox));
    std::fs::create_dir_all(place("")).unwrap();
    std::fs::write(place("live.svg"), live).unwrap();
    std::fs::write(place("end.svg"), end).unwrap();
    sandbox.run("report --format html --out report.html --state state").code(0);
    photograph(&sandbox.path("report.html"), &place("report.png"), sandbox.path("profile").as_path());
}

/// The top of a page, as a browser shows it.
fn photograph(page: &Path, picture: &Path, profile: &Path) {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let status = Command::new(&chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--hide-scrollbars", "--window-size=1180,1500"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

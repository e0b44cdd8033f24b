//! What the live view draws, at given moments on screens of given sizes: `screens/*.txt` are read by people.
//! `UPDATE=1 cargo test --test main terminal::` writes them.

mod moments;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use moments::{Moment, at};
use runplan::terminal::{Canvas, Paint, draw};
use std::path::Path;
use unicode_width::UnicodeWidthStr;

fn shown(moment: &Moment, columns: usize, rows: usize) -> String {
    let paint = Paint { colour: false };
    let canvas = Canvas { columns, rows, asked: false, paint, zone: TimeZone::UTC };
    let lines = draw(&moment.scene(), moment.now, &canvas);
    let mut height = 0;
    for line in &lines {
        height += line.width().div_ceil(columns).max(1);
        // A command is broken by the terminal alone, so that it can be copied.
        let is_command = line.trim_start().starts_with("runplan ");
        assert!(is_command || line.width() <= columns, "{} of {columns}: {line}", line.width());
    }
    assert!(height <= rows, "{height} lines of {rows}");
    lines.join("\n") + "\n"
}

/// Holds it against what was drawn when somebody last looked.
#[track_caller]
fn screen(name: &str, text: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal/screens").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{name} is drawn differently:\n{text}\nUPDATE=1 writes it");
}

#[test]
fn the_middle_of_a_rollback() {
    for columns in [120, 80, 40, 30, 20] {
        screen(&format!("dumping-{columns}"), &shown(&moments::dumping(), columns, 22));
    }
}

#[test]
fn people_are_waited_for() {
    for columns in [80, 30] {
        screen(&format!("asking-{columns}"), &shown(&moments::asking(), columns, 22));
    }
}

#[test]
fn a_command_says_where_the_runs_are_and_stays_in_one_piece() {
    let moment = moments::asking();
    let scene = moment.scene_of_runs_in(Some("'/srv/the runs/of ours'"));
    for columns in [120, 39, 20] {
        let paint = Paint { colour: false };
        let canvas = Canvas { columns, rows: 30, asked: true, paint, zone: TimeZone::UTC };
        let lines = draw(&scene, moment.now, &canvas);
        let command = "runplan --state '/srv/the runs/of ours' approve k7f3 go";
        let whole = command.replace("k7f3", "scenario-2-20261122-0311-k7f3");
        let wanted = if columns == 120 { &whole } else { command };
        assert!(lines.iter().any(|line| line.trim() == wanted), "{columns}: {lines:#?}");
        assert!(lines.concat().contains("answer below"), "{columns}: {lines:#?}");
    }
}

#[test]
fn a_deadline_that_passed_a_retry_and_a_failure() {
    screen("trouble-80", &shown(&moments::trouble(), 80, 22));
    screen("trouble-80x8", &shown(&moments::trouble(), 80, 8));
}

#[test]
fn going_back() {
    screen("undoing-80", &shown(&moments::undoing(), 80, 22));
}

#[test]
fn the_point_of_no_return_is_told_before_and_after() {
    let stop = |moment: &Moment| {
        let text = shown(moment, 200, 22);
        text.lines().find(|line| line.contains("to stop")).unwrap().trim().to_owned()
    };
    assert_eq!(
        stop(&moments::begun()),
        "to stop: safe now: nothing in use is changed before maintenance.open"
    );
    assert!(
        stop(&moments::asking()).starts_with("to stop: any time before dropped begins; an undo goes back")
    );
    assert_eq!(
        stop(&moments::dropping()),
        "to stop: dropped has begun and cannot be undone: the way out is forward; the application stays closed meanwhile"
    );
}

#[test]
fn two_hundred_steps_on_a_small_screen() {
    // Forty run at once, three people are waited for, one is tried again; the others are a count.
    let moment = moments::many();
    let text = shown(&moment, 79, 22);
    screen("many-79x22", &text);
    for asked in ["asked_1", "asked_2", "asked_3"] {
        assert!(text.contains(asked), "{asked} in\n{text}");
    }
    for rows in 1..60 {
        shown(&moment, 79, rows);
    }
    for columns in 1..90 {
        shown(&moment, columns, 22);
    }
}

#[test]
fn the_clocks_go_on_between_events() {
    let mut moment = moments::dumping();
    let before = shown(&moment, 80, 22);
    moment.now = at(moment.now.as_second() - moments::BEGAN + 61);
    let after = shown(&moment, 80, 22);
    let line = |text: &str| text.lines().find(|line| line.contains("CLOSED")).unwrap().trim().to_owned();
    assert_eq!(line(&before), "CLOSED to traffic for 1m10s (window maintenance)");
    assert_eq!(line(&after), "CLOSED to traffic for 2m11s (window maintenance)");
}

#[test]
fn text_of_a_step_cannot_leave_its_line() {
    let moment = moments::hostile();
    let text = shown(&moment, 80, 22);
    assert!(!text.contains('\u{1b}') && !text.contains('\r') && !text.contains('\u{202e}'), "{text:?}");
    screen("hostile-80", &text);
}

#[test]
fn colours_are_words_too() {
    let moment = moments::trouble();
    let canvas =
        |colour| Canvas { columns: 80, rows: 22, asked: false, paint: Paint { colour }, zone: TimeZone::UTC };
    let coloured = draw(&moment.scene(), moment.now, &canvas(true)).join("\n");
    let plain = draw(&moment.scene(), moment.now, &canvas(false)).join("\n");
    assert!(coloured.contains("\u{1b}[1;31m") && !plain.contains('\u{1b}'));
    let mut bare = coloured;
    for code in ["0", "1", "2", "32", "33", "36", "1;31"] {
        bare = bare.replace(&format!("\u{1b}[{code}m"), "");
    }
    let trimmed: Vec<&str> = bare.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n"), plain);
}

#[test]
fn a_log_is_told_again_who_is_waited_for() {
    let mut moment = moments::asking();
    let often: Vec<i64> = (470..=1500).step_by(10).collect();
    let lines = moment.reminders(false, &often);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("go still waits for dba (bob, cem), since "), "{lines:#?}");
    assert!(lines[0].contains("(5m00s); 1 of 2 agreed (ann), until "), "{lines:#?}");
    assert!(lines[2].contains("(15m00s)"), "{lines:#?}");
    assert!(lines[2].ends_with("runplan approve scenario-2-20261122-0311-k7f3 go"), "{lines:#?}");
    assert_eq!(moment.reminders(true, &often), Vec::<String>::new(), "the question stands there");
    assert_eq!(moments::dropping().reminders(false, &[5000]), Vec::<String>::new(), "it is decided");
}

#[test]
fn a_moment_is_drawn_the_same_again() {
    let moment = moments::dumping();
    assert_eq!(shown(&moment, 80, 22), shown(&moment, 80, 22));
    assert!(moment.now > Timestamp::UNIX_EPOCH);
}

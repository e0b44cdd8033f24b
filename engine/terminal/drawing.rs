//! A scene at a moment, as lines for a screen of a size. Pure. Must never draw more lines or wider ones than it was told:
//! what does not fit is folded to a count, people who are waited for last.

use super::cells::{Cells, wrapped};
use super::line::clock;
use super::paint::{Paint, Tone};
use super::scene::{Deadline, Late, Next, Row, Scene, Sign, Wait};
use crate::report::amount::{between, count};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Narrower screens get a line for each piece.
const NARROW: usize = 60;
/// Longer ids are not padded.
const WIDEST_ID: usize = 24;
const WIDEST_BAR: usize = 24;
/// A deadline that is nearer is a caution.
const NEAR_MS: u64 = 15 * 60 * 1000;

/// How much room there is, and how it looks.
#[derive(Debug, Clone)]
pub struct Canvas {
    pub columns: usize,
    pub rows: usize,
    /// A question stands below, with its answers.
    pub asked: bool,
    pub paint: Paint,
    pub zone: TimeZone,
}

/// How much is told of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Whole,
    /// One line a step.
    Line,
}

/// The lines, at most as many as the canvas has rows.
pub fn draw(scene: &Scene, now: Timestamp, canvas: &Canvas) -> Vec<String> {
    let easel = Easel { scene, now, columns: canvas.columns.max(1), asked: canvas.asked, zone: &canvas.zone };
    let lines = easel.fitting(canvas.rows.max(1));
    lines.into_iter().map(|line| line.cut(easel.columns).painted(canvas.paint)).collect()
}

struct Easel<'e> {
    scene: &'e Scene,
    now: Timestamp,
    columns: usize,
    asked: bool,
    zone: &'e TimeZone,
}

impl Easel<'_> {
    /// The fullest form that has room.
    fn fitting(&self, rows: usize) -> Vec<Cells> {
        // On a narrow screen the foot's sentences would take the room of how far the steps are.
        let second = match self.columns < NARROW {
            true => (Detail::Whole, Detail::Line),
            false => (Detail::Line, Detail::Whole),
        };
        for (steps, foot) in [(Detail::Whole, Detail::Whole), second, (Detail::Line, Detail::Line)] {
            let mut lines: Vec<Cells> = self.scene.rows.iter().flat_map(|row| self.row(row, steps)).collect();
            lines.extend(self.foot(foot));
            if self.height(&lines) <= rows {
                return lines;
            }
        }
        self.folded(rows)
    }

    /// More steps than rows: those that want to be seen most, the others as a count.
    fn folded(&self, rows: usize) -> Vec<Cells> {
        let mut foot = self.foot(Detail::Line);
        while self.height(&foot) > rows / 2 {
            // Without its command, what is next is said in vain.
            let is_command = foot.pop().is_some_and(|last| last.is_whole());
            if is_command {
                foot.pop();
            }
        }
        let room = rows - self.height(&foot);
        let all = &self.scene.rows;
        let shown = if all.len() <= room { all.len() } else { room.saturating_sub(1) };
        let mut lines: Vec<Cells> =
            all.iter().take(shown).flat_map(|row| self.row(row, Detail::Line)).collect();
        if shown < all.len() && room > 0 {
            lines.push(Cells::of(Tone::Faint, &format!("  … and {}", kinds(&all[shown..]))));
        }
        lines.extend(foot);
        lines
    }

    fn height(&self, lines: &[Cells]) -> usize {
        lines.iter().map(|line| line.clone().cut(self.columns).height(self.columns)).sum()
    }

    fn row(&self, row: &Row, detail: Detail) -> Vec<Cells> {
        let (mark, tone) = sign(row.sign);
        let is_narrow = self.columns < NARROW;
        let width = self.scene.rows.iter().map(|row| Cells::of(Tone::Plain, &row.id).width()).max();
        let width = if is_narrow { 0 } else { width.unwrap_or(0).min(WIDEST_ID) };
        let name = Cells::of(tone, mark).and(Tone::Plain, " ").and(Tone::Strong, &row.id).padded(width + 2);
        let time = self.time(row);
        if detail == Detail::Line || is_narrow {
            let room = self.columns.saturating_sub(time.len() + 1);
            let mut first = name.and(Tone::Plain, "  ").cut(room);
            if !is_narrow {
                first = first.and(tone_of_text(row), &self.brief(row)).cut(room.saturating_sub(1));
            }
            let first = first.padded(room).and(Tone::Plain, " ").and(Tone::Faint, &time);
            let mut lines = vec![first];
            if detail == Detail::Whole {
                let mut text = vec![format!("  {}", row.what)];
                text.extend(self.details(row).into_iter().map(|line| format!("  {line}")));
                let text = text.iter().flat_map(|line| wrapped(line, self.columns, 2));
                lines.extend(text.map(|line| Cells::of(tone_of_text(row), &line)));
            }
            return lines;
        }
        let usual = row.usual.map(|usual| format!(", usually {}", span(usual.ms))).unwrap_or_default();
        let time = format!("{time}{usual}");
        let room = self.columns.saturating_sub(time.len() + 2);
        let head = name.and(Tone::Plain, "  ").and(tone_of_text(row), &row.what).cut(room).padded(room);
        let mut lines = vec![head.and(Tone::Plain, "  ").and(Tone::Faint, &time)];
        for text in self.details(row) {
            lines.extend(
                wrapped(&format!("    {text}"), self.columns, 6)
                    .iter()
                    .map(|line| Cells::of(tone_of_text(row), line)),
            );
        }
        lines
    }

    /// Since when.
    fn time(&self, row: &Row) -> String {
        row.since.map(|since| span(between(since, self.now))).unwrap_or_default()
    }

    /// The one thing worth saying where there is room for one.
    fn brief(&self, row: &Row) -> String {
        self.details(row).into_iter().next().unwrap_or_else(|| row.what.clone())
    }

    fn details(&self, row: &Row) -> Vec<String> {
        match &row.wait {
            Some(Wait::People { given, count, who, task, expires_at }) => {
                vec![self.people(*given, *count, who, *task, *expires_at)]
            }
            Some(Wait::Again { attempt, at }) => {
                vec![format!("attempt {attempt} failed; again in {}", span(between(self.now, *at)))]
            }
            Some(Wait::Nothing) => Vec::new(),
            None => self.progress(row).into_iter().collect(),
        }
    }

    fn people(&self, given: usize, count: u16, who: &str, task: bool, expires: Option<Timestamp>) -> String {
        let named = |or: &str| if who.is_empty() { or.to_owned() } else { who.to_owned() };
        let mut text = match task {
            true => format!("waits until {} has done it", named("somebody")),
            false => format!("waits for {}: {given} of {count} agreed", named("people")),
        };
        if let Some(expires) = expires.filter(|expires| *expires <= self.now) {
            let ago = span(between(expires, self.now));
            text.push_str(&format!("; EXPIRED {ago} ago, at {}: counts as no", clock(expires, self.zone)));
        } else if let Some(expires) = expires {
            let left = span(between(self.now, expires));
            text.push_str(&format!("; rejected in {left}, at {}", clock(expires, self.zone)));
        }
        text
    }

    fn progress(&self, row: &Row) -> Option<String> {
        let elapsed = row.since.map_or(0, |since| between(since, self.now));
        let Some(gauge) = &row.gauge else {
            let usual = row.usual.filter(|usual| usual.ms >= 1000)?;
            let rest = usual.ms.saturating_sub(elapsed);
            return Some(match rest {
                0 => format!("{} longer than usual", span(elapsed - usual.ms)),
                rest => {
                    format!("{} about {} left", self.bar(elapsed as f64 / usual.ms as f64), span(rest))
                }
            });
        };
        let doing = &gauge.progress.doing;
        let Some(part) = gauge.part() else {
            let so_far = if gauge.progress.done > 0 { format!(": {}", gauge.words()) } else { String::new() };
            return Some(format!("{doing}{so_far}"));
        };
        let left = gauge.left(self.now).map(|left| format!(", about {} left", span(left)));
        Some(format!("{doing} {} {}{}", self.bar(part), gauge.words(), left.unwrap_or_default()))
    }

    /// `[█████░░░░░]`
    fn bar(&self, part: f64) -> String {
        let width = (self.columns / 4).clamp(4, WIDEST_BAR);
        let full = ((part.clamp(0.0, 1.0) * width as f64) as usize).min(width);
        format!("[{}{}]", "█".repeat(full), "░".repeat(width - full))
    }

    /// What is about the whole run.
    fn foot(&self, detail: Detail) -> Vec<Cells> {
        let mut lines: Vec<(Tone, String)> = Vec::new();
        for (window, since) in &self.scene.closed {
            let time = span(between(*since, self.now));
            lines.push((Tone::Caution, format!("CLOSED to traffic for {time} (window {window})")));
        }
        lines.push((Tone::Plain, self.whole()));
        lines.extend(self.deadline());
        let turn = self.late().map_or(&self.scene.turn, |late| &late.turn);
        if let Some(turn) = turn {
            lines.push((Tone::Caution, turn.clone()));
        }
        let before = lines.len() + 1;
        lines.push((Tone::Busy, self.next()));
        lines.push((Tone::Faint, format!("to stop: {}", self.scene.stopping)));
        if let Some(coming) = self.coming() {
            lines.push((Tone::Faint, coming));
        }
        let margin = if self.columns < NARROW { "" } else { "  " };
        let mut cells = Vec::new();
        for (at, (tone, text)) in lines.into_iter().enumerate() {
            let text = format!("{margin}{text}");
            // What is to be done is always whole.
            let is_whole = detail == Detail::Whole || tone == Tone::Busy;
            let broken = if is_whole { wrapped(&text, self.columns, margin.len() + 2) } else { vec![text] };
            cells.extend(broken.iter().map(|line| Cells::of(tone, line)));
            if at + 1 == before
                && let Some(command) = self.command()
            {
                cells.push(Cells::whole(Tone::Busy, &format!("{margin}{command}")));
            }
        }
        cells
    }

    /// `7 of 10 steps done in 4m12s, about 3m00s to go (as in 3 runs)`
    fn whole(&self) -> String {
        let scene = self.scene;
        let time =
            scene.began.map(|began| format!(", {}", span(between(began, self.now)))).unwrap_or_default();
        let left = self.left().map(|(left, source)| format!(", about {} to go as in {source}", span(left)));
        let bar = match self.columns < NARROW || scene.steps == 0 {
            true => String::new(),
            false => format!("{} ", self.bar(scene.settled as f64 / scene.steps as f64)),
        };
        let noun = count(scene.steps, "step");
        format!("{bar}{} of {noun} done{time}{}", scene.settled, left.unwrap_or_default())
    }

    /// The longest way from here to the end.
    fn left(&self) -> Option<(u64, &str)> {
        let source = self.scene.source.as_deref()?;
        let one = |row: &Row| {
            let elapsed = row.since.map_or(0, |since| between(since, self.now));
            row.usual.map_or(0, |usual| usual.ms.saturating_sub(elapsed)) + row.after
        };
        let left = self.scene.rows.iter().map(one).max()?;
        (left >= 1000).then_some((left, source))
    }

    fn deadline(&self) -> Option<(Tone, String)> {
        let Deadline { severity, at, is_now } = self.scene.deadline.as_ref()?;
        let time = clock(*at, self.zone);
        Some(match between(self.now, *at) {
            _ if *is_now => {
                let passed = span(between(*at, self.now));
                (
                    Tone::Caution,
                    format!("{severity}: due at once, {passed} since the incident began ({time})"),
                )
            }
            0 => {
                let late = span(between(*at, self.now));
                (Tone::Bad, format!("DEADLINE of {severity} passed {late} ago ({time})"))
            }
            left => {
                let tone = if left < NEAR_MS { Tone::Caution } else { Tone::Plain };
                (tone, format!("deadline of {severity} in {} ({time})", span(left)))
            }
        })
    }

    fn late(&self) -> Option<&Late> {
        self.scene.late.as_ref().filter(|late| late.at <= self.now)
    }

    fn to_do(&self) -> &Next {
        self.late().map_or(&self.scene.next, |late| &late.next)
    }

    fn next(&self) -> String {
        let next = self.to_do();
        let words = match self.asked && next.asked {
            true => "answer below, or from any terminal",
            false => &next.words,
        };
        format!("next: {words}{}", if next.command.is_some() { ":" } else { "" })
    }

    /// On a line of its own, to be copied. The run by its end where there is no room for all of its name.
    fn command(&self) -> Option<String> {
        let (next, run) = (self.to_do().command.as_ref()?, &self.scene.run);
        let whole = Cells::of(Tone::Plain, next).width() + "  ".len();
        Some(match (whole <= self.columns, run.rsplit_once('-')) {
            (false, Some((_, end))) => next.replace(&format!(" {run}"), &format!(" {end}")),
            _ => next.clone(),
        })
    }

    fn coming(&self) -> Option<String> {
        let coming = &self.scene.coming;
        let named: Vec<&str> = coming.iter().take(3).map(String::as_str).collect();
        let more = coming.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| format!("then: {}{more}", named.join(", ")))
    }
}

fn sign(sign: Sign) -> (&'static str, Tone) {
    match sign {
        Sign::Asks => ("?", Tone::Caution),
        Sign::Unknown => ("!", Tone::Bad),
        Sign::Failed => ("✗", Tone::Bad),
        Sign::Undoing => ("◂", Tone::Busy),
        Sign::Running => ("▸", Tone::Busy),
        Sign::Retrying => ("↻", Tone::Caution),
    }
}

fn tone_of_text(row: &Row) -> Tone {
    match row.sign {
        Sign::Asks | Sign::Retrying => Tone::Caution,
        Sign::Unknown | Sign::Failed => Tone::Bad,
        Sign::Undoing | Sign::Running => Tone::Plain,
    }
}

/// `12 more that run, 1 more that failed`
fn kinds(rows: &[Row]) -> String {
    let words = [
        (Sign::Asks, "wait for people"),
        (Sign::Unknown, "of unknown outcome"),
        (Sign::Failed, "failed"),
        (Sign::Undoing, "being undone"),
        (Sign::Running, "running"),
        (Sign::Retrying, "to be tried again"),
    ];
    let each = words.iter().filter_map(|(sign, word)| {
        let number = rows.iter().filter(|row| row.sign == *sign).count();
        (number > 0).then(|| format!("{number} more {word}"))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A clock's time, in whole seconds: tenths would only flicker.
fn span(ms: u64) -> String {
    match ms / 1000 {
        secs @ 0..60 => format!("{secs}s"),
        _ => crate::report::amount::span(ms),
    }
}

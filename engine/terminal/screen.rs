//! The way to stdout and stderr. Results go to stdout, errors and remarks to stderr. A reader that went away (a closed
//! pipe) ends the talking, never the run.
#![allow(clippy::disallowed_methods, reason = "this is the one place that writes to the terminal")]

use super::paint::{Paint, Tone};
use super::tame::tame;
use crate::run::placed;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// Fields of JSON that hold what to type.
const COMMANDS: &[&str] = &["command", "help", "next", "remove"];

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// People.
    #[default]
    #[value(alias = "text")]
    Human,
    /// Programs.
    Json,
    /// A pull request, a wiki.
    Markdown,
    /// One page that needs nothing else; of a report.
    Html,
    /// A picture in a wiki; of a graph.
    Mermaid,
    /// A picture; of a graph.
    Svg,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// What was asked for on the command line.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub format: Format,
    pub color: Color,
    pub quiet: bool,
    pub verbose: u8,
    /// No line is ever drawn over.
    pub plain: bool,
    /// The state directory as it is typed, when a command has to name it.
    pub place: Option<String>,
    /// Who looks at it.
    pub me: Option<String>,
}

/// The terminal, or what stands in its place.
#[derive(Debug, Clone)]
pub struct Screen {
    pub format: Format,
    pub quiet: bool,
    pub verbose: u8,
    /// Lines may be drawn over: a terminal that can do it, and nobody said `--plain`.
    pub live: bool,
    /// It is heard, not seen: a terminal, and somebody said `--plain`. Sentences, no columns and no pictures.
    pub spoken: bool,
    /// Columns of the terminal; 80 where there is none.
    pub width: usize,
    pub zone: TimeZone,
    out: Paint,
    err: Paint,
    /// Where the commands that are shown find their runs, when they have to say it.
    place: Option<Arc<str>>,
    me: Option<Arc<str>>,
}

impl Screen {
    pub fn new(look: Look) -> Self {
        let (out_tty, err_tty) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |tty: bool| match look.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                tty && !dumb
                    && !look.plain
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            format: look.format,
            quiet: look.quiet,
            verbose: look.verbose,
            live: out_tty && !dumb && !look.plain && look.format == Format::Human,
            spoken: look.plain && (out_tty || err_tty) && look.format == Format::Human,
            width: width(),
            zone: TimeZone::system(),
            out: Paint { colour: wanted(out_tty) && look.format == Format::Human },
            err: Paint { colour: wanted(err_tty) },
            place: look.place.map(Arc::from),
            me: look.me.map(Arc::from),
        }
    }

    /// Who looks at it; None: anybody.
    pub fn me(&self) -> Option<&str> {
        self.me.as_deref()
    }

    /// Colours for stdout.
    pub fn paint(&self) -> Paint {
        self.out
    }

    /// Colours for stderr.
    pub fn error_paint(&self) -> Paint {
        self.err
    }

    /// Somebody sits at this terminal and can be asked.
    pub fn is_attended(&self) -> bool {
        let both = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        both && self.format == Format::Human
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Text with the state directory in its commands, when they have to name it.
    pub fn placed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        placed(text, self.place.as_deref())
    }

    /// A command as it can be typed in any shell.
    pub fn command(&self, command: &str) -> String {
        self.placed(command).into_owned()
    }

    /// A line of the result.
    pub fn line(&self, text: &str) {
        match self.format {
            // A program gets every character as it was; JSON escapes what it must.
            Format::Json => print(text, true),
            _ => print(&tame(&self.placed(text)), true),
        }
    }

    /// Text of the result: as it is for files and programs, harmless on a terminal.
    pub fn text(&self, text: &str) {
        let text = match self.format {
            Format::Human | Format::Markdown => self.placed(text),
            Format::Json | Format::Html | Format::Mermaid | Format::Svg => Cow::Borrowed(text),
        };
        match std::io::stdout().is_terminal() {
            true => print(&tame(&text), false),
            false => print(&text, false),
        }
    }

    /// A line on stderr that takes the place of the one that was said this way before; empty: it goes away. Where nothing can be
    /// drawn over it is a remark.
    pub fn redraw(&self, text: &str) {
        if !self.live {
            return self.remark_unless_empty(text);
        }
        let mut err = std::io::stderr().lock();
        let text: String = tame(text).chars().take(self.width.saturating_sub(1)).collect();
        let _ = err.write_all(format!("\r\u{1b}[K{text}").as_bytes()).and_then(|()| err.flush());
    }

    /// What moves the cursor too; all of it at once.
    pub(super) fn draw(&self, text: &str) {
        print(text, false);
    }

    /// What takes the place of an earlier picture. A terminal that knows the marks around it (private mode 2026, synchronized
    /// output) never shows half of it; others pass over them.
    pub(super) fn draw_over(&self, picture: &str) {
        print(&format!("\u{1b}[?2026h{picture}\u{1b}[?2026l"), false);
    }

    /// A line for people only: not with `--quiet`, not for programs.
    pub fn say(&self, text: &str) {
        if !self.quiet && self.format == Format::Human {
            print(&tame(&self.placed(text)), true);
        }
    }

    /// The same with a command that is typed on another machine, which has a state directory of its own.
    pub fn say_for_elsewhere(&self, text: &str) {
        if !self.quiet && self.format == Format::Human {
            print(&tame(text), true);
        }
    }

    /// One JSON value, in a line of its own.
    pub fn json(&self, value: &Value) {
        print(&self.with_place(value).to_string(), true);
    }

    /// A JSON document, indented on a terminal.
    pub fn document(&self, value: &Value) {
        let value = self.with_place(value);
        let text = serde_json::to_string_pretty(&value).unwrap_or_else(|_| value.to_string());
        print(&text, true);
    }

    /// A value whose commands name the state directory, when they have to.
    fn with_place(&self, value: &Value) -> Value {
        match value {
            _ if self.place.is_none() => value.clone(),
            Value::Object(fields) => {
                let one = |(name, value): (&String, &Value)| {
                    let value = match value {
                        Value::String(text) if COMMANDS.contains(&name.as_str()) => {
                            self.placed(text).into_owned().into()
                        }
                        value => self.with_place(value),
                    };
                    (name.clone(), value)
                };
                Value::Object(fields.iter().map(one).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.with_place(item)).collect()),
            other => other.clone(),
        }
    }

    /// A remark beside the result: on stderr, not with `--quiet`.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            print_error(&self.placed(text));
        }
    }

    /// A remark, when there is any.
    pub fn remark_unless_empty(&self, text: &str) {
        if !text.is_empty() {
            self.remark(text);
        }
    }

    /// Something that needs attention: on stderr, always.
    pub fn warn(&self, text: &str) {
        let text = self.placed(text);
        print_error(&format!("{} {text}", self.err.of(Tone::Caution, "warning:")));
    }

    /// Text of errors, when there are any.
    pub fn error_unless_empty(&self, text: &str) {
        if !text.is_empty() {
            self.error(text);
        }
    }

    /// Text of an error: on stderr, always.
    pub fn error(&self, text: &str) {
        match self.format {
            Format::Json => print_error(text),
            _ => print_error(&self.placed(text)),
        }
    }
}

fn print(text: &str, newline: bool) {
    let mut out = std::io::stdout().lock();
    let end = if newline { "\n" } else { "" };
    // A closed pipe is the reader's way to say that it has enough.
    let _ = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
}

/// A line on stderr; also for those who have no screen yet.
pub fn print_error(text: &str) {
    let text = tame(text);
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| err.write_all(b"\n"));
}

/// Fewer columns hold no words.
const NARROWEST: usize = 12;

fn width() -> usize {
    let from_variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    let from_terminal = || Size::asked().map(|size| size.columns);
    from_terminal().filter(|width| *width > 0).or_else(from_variable).unwrap_or(80).clamp(NARROWEST, 200)
}

/// Of a terminal, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

impl Size {
    /// As it is now; 80 by 24 where nobody says.
    pub fn of_terminal() -> Self {
        let Self { columns, rows } = Self::asked().unwrap_or(Self { columns: 0, rows: 0 });
        let or = |known, else_| if known > 0 { known } else { else_ };
        Self { columns: or(columns, 80), rows: or(rows, 24) }
    }

    fn asked() -> Option<Self> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(Self { columns: size.ws_col.into(), rows: size.ws_row.into() })
    }
}

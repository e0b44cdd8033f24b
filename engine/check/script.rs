//! Where in a shell script a `{{ }}` stands. A value becomes `"${RUNPLAN_1}"`: right outside quotes and inside `$( )`,
//! wrong inside quotes, here-documents and comments, and after a backslash.

use super::context::Context;
use super::uses::Use;
use crate::plan::Finding;
use crate::plan::template::{Piece, pieces};

pub fn check(context: &Context<'_>, one: &Use<'_>, findings: &mut Vec<Finding>) {
    let Ok(pieces) = pieces(&one.text.raw) else { return };
    let mut scanner = Scanner::default();
    for piece in pieces {
        match piece {
            Piece::Literal(text, _) => scanner.read(text),
            Piece::Expression(expression, range) => {
                let (within, help) = match scanner.place() {
                    Place::Open => {
                        scanner.word = true;
                        continue;
                    }
                    Place::Single => ("single quotes", "end the quotes before it: 'text '{{ value }}' text'"),
                    Place::Double => {
                        ("double quotes", "end the quotes before it: \"text \"{{ value }}\" text\"")
                    }
                    Place::Here => (
                        "a here-document",
                        "pass the text by `stdin:`, or the value by `env:` and write \"$NAME\" in the document",
                    ),
                    Place::Comment => ("a comment", "remove it"),
                    Place::Escaped => ("an escape", "remove the backslash"),
                };
                let span = context.place(one.text, range.start - 2..range.end + 2);
                let message = format!("`{{{{{expression}}}}}` stands in {within} of a script");
                findings.push(
                    Finding::error("runplan::check::template_in_quotes", span, message)
                        .label("it is quoted by itself")
                        .help(help),
                );
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    Single,
    Double,
    Here,
    Comment,
    Escaped,
}

/// What is open, innermost last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Single,
    /// `$'...'`: a backslash escapes.
    Ansi,
    Double,
    /// `$( )`, `( )` inside of one: quotes begin anew.
    Command,
    /// `${ }`
    Braces,
    Backticks,
}

#[derive(Default)]
struct Scanner {
    levels: Vec<Level>,
    comment: bool,
    escaped: bool,
    /// The last character belongs to a word: a `#` after it is no comment.
    word: bool,
    /// The delimiters of here-documents that begin after this line, and whether tabs before them count.
    coming: Vec<(String, bool)>,
    here: Vec<(String, bool)>,
    line: String,
}

impl Scanner {
    fn place(&self) -> Place {
        if !self.here.is_empty() {
            return Place::Here;
        }
        if self.comment {
            return Place::Comment;
        }
        if self.escaped {
            return Place::Escaped;
        }
        match self.levels.last() {
            Some(Level::Single | Level::Ansi) => Place::Single,
            Some(Level::Double) => Place::Double,
            // In braces the quotes around them still hold.
            Some(Level::Braces) if self.levels.contains(&Level::Double) => Place::Double,
            Some(Level::Braces | Level::Command | Level::Backticks) | None => Place::Open,
        }
    }

    fn read(&mut self, text: &str) {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            at += if self.here.is_empty() { self.step(&chars, at) } else { self.document(chars[at]) };
        }
    }

    /// A character of a here-document; its end is a line of its own.
    fn document(&mut self, next: char) -> usize {
        if next != '\n' {
            self.line.push(next);
            return 1;
        }
        let line = std::mem::take(&mut self.line);
        if let Some((end, tabs)) = self.here.first() {
            let line = if *tabs { line.trim_start_matches('\t') } else { &line };
            if line == end {
                self.here.remove(0);
            }
        }
        1
    }

    /// Reads on from one character; how many it took.
    fn step(&mut self, chars: &[char], at: usize) -> usize {
        let (one, next) = (chars[at], chars.get(at + 1).copied());
        if self.comment {
            self.comment = one != '\n';
            return if self.comment { 1 } else { self.newline() };
        }
        if std::mem::take(&mut self.escaped) {
            self.word = true;
            return 1;
        }
        let level = self.levels.last().copied();
        match (level, one) {
            (Some(Level::Single), '\'') | (Some(Level::Ansi), '\'') | (Some(Level::Double), '"') => {
                self.levels.pop();
                self.word = true;
            }
            (Some(Level::Single), _) => {}
            (_, '\\') => self.escaped = true,
            (Some(Level::Ansi), _) => {}
            (_, '$') if next == Some('(') => return self.open(Level::Command, 2),
            (_, '$') if next == Some('{') => return self.open(Level::Braces, 2),
            (Some(Level::Backticks), '`') => {
                self.levels.pop();
            }
            (_, '`') => return self.open(Level::Backticks, 1),
            (Some(Level::Braces), '}') => {
                self.levels.pop();
            }
            (_, '"') => return self.open(Level::Double, 1),
            (Some(Level::Double), _) => {}
            (_, '$') if next == Some('\'') => return self.open(Level::Ansi, 2),
            (_, '\'') => return self.open(Level::Single, 1),
            (Some(Level::Braces), _) => {}
            (Some(Level::Command), '(') => return self.open(Level::Command, 1),
            (Some(Level::Command), ')') => {
                self.levels.pop();
            }
            (_, '#') if !self.word => self.comment = true,
            (_, '<') if next == Some('<') => return self.heredoc(chars, at),
            (_, '\n') => return self.newline(),
            _ => self.word = !(one.is_whitespace() || ";&|()<>".contains(one)),
        }
        1
    }

    fn open(&mut self, level: Level, taken: usize) -> usize {
        self.levels.push(level);
        self.word = false;
        taken
    }

    fn newline(&mut self) -> usize {
        self.word = false;
        self.here.append(&mut self.coming);
        1
    }

    /// `<<EOF`, `<<-'EOF'`; `<<<` is a word.
    fn heredoc(&mut self, chars: &[char], at: usize) -> usize {
        if chars.get(at + 2) == Some(&'<') {
            self.word = false;
            return 3;
        }
        let mut end = at + 2;
        let tabs = chars.get(end) == Some(&'-');
        end += usize::from(tabs);
        while chars.get(end).is_some_and(|c| matches!(c, ' ' | '\t')) {
            end += 1;
        }
        let start = end;
        while chars.get(end).is_some_and(|c| !c.is_whitespace() && !";&|()<>".contains(*c)) {
            end += 1;
        }
        let word: String = chars[start..end].iter().filter(|c| !"'\"\\".contains(**c)).collect();
        // `$((1 << 2))` shifts.
        let arithmetic = self.levels.ends_with(&[Level::Command, Level::Command]);
        if !word.is_empty() && !arithmetic {
            self.coming.push((word, tabs));
        }
        end - at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(script: &str) -> Place {
        let mut scanner = Scanner::default();
        scanner.read(script.split("{{").next().unwrap());
        scanner.place()
    }

    #[test]
    fn places_in_scripts() {
        use Place::{Comment, Double, Escaped, Here, Open, Single};
        for (script, wanted) in [
            ("echo {{ x }}", Open),
            ("echo \"a\"{{ x }}", Open),
            ("echo \"a {{ x }}\"", Double),
            ("echo 'it {{ x }}'", Single),
            ("echo $'it\\'s {{ x }}'", Single),
            ("echo it\\'s {{ x }}", Open),
            ("echo \"$(cat {{ x }})\"", Open),
            ("echo \"$(cat \"{{ x }}\")\"", Double),
            ("echo \"$(a) {{ x }}\"", Double),
            ("echo \"${A:-{{ x }}}\"", Double),
            ("echo ${A:-{{ x }}}", Open),
            ("echo `cat {{ x }}`", Open),
            ("# {{ x }}", Comment),
            ("a; # {{ x }}", Comment),
            ("echo a#{{ x }}", Open),
            ("# it's\necho {{ x }}", Open),
            ("cat <<EOF\n{{ x }}\nEOF\n", Here),
            ("cat <<-'END' | sort\na\n\tEND\necho {{ x }}", Open),
            ("cat <<A <<B\na\nA\n{{ x }}", Here),
            ("cat <<< {{ x }}", Open),
            ("echo $((1 << 2))\necho {{ x }}", Open),
            ("echo $# {{ x }}", Open),
            ("echo \\{{ x }}", Escaped),
            ("case a in (b) echo {{ x }}", Open),
        ] {
            assert_eq!(place(script), wanted, "{script}");
        }
    }
}

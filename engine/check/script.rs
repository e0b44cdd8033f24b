//! Where in a shell script a `{{ }}` stands. A value becomes `"${RUNPLAN_1}"`: right outside quotes and inside `$( )`,
//! wrong inside quotes, here-documents and comments, and after a backslash.

use super::context::Context;
use super::evaluated::{Words, computes_in_braces};
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
                        let rest = one.text.raw.get(range.end + 2..).unwrap_or_default();
                        let read_as = scanner.reads_as(rest);
                        scanner.value();
                        if let Some(read_as) = read_as {
                            findings.push(evaluated(context, one, expression, range, read_as));
                        }
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
                    Place::Delimiter => (
                        "the word that ends a here-document",
                        "write the word out: values are not read there",
                    ),
                    Place::Dollar => ("a name behind `$`", "remove the `$`; `\\$` is the sign itself"),
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

/// The shell would compute with the value, or read it as a script.
fn evaluated(
    context: &Context<'_>,
    one: &Use<'_>,
    expression: &str,
    range: std::ops::Range<usize>,
    read_as: &str,
) -> Finding {
    let span = context.place(one.text, range.start - 2..range.end + 2);
    let message = format!("`{{{{{expression}}}}}` would be read as {read_as}, which can run commands");
    Finding::error("runplan::check::template_evaluated", span, message)
        .label("quotes do not help here")
        .help("compute in the template (`{{ params.n + 1 }}`), or give it to a program as an argument: printf '%s' {{ value }}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Open,
    Single,
    Double,
    Here,
    /// `<<` stands before it.
    Delimiter,
    /// `$` stands before it: `$"..."` is text to translate.
    Dollar,
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

struct Scanner {
    /// The commands being read, the innermost last: one for the script, one for each `$( )`.
    commands: Vec<Words>,
    /// What was read of each `${`.
    braces: Vec<String>,
    levels: Vec<Level>,
    comment: bool,
    escaped: bool,
    /// The last character belongs to a word: a `#` after it is no comment.
    word: bool,
    /// The delimiters of here-documents that begin after this line, and whether tabs before them count.
    coming: Vec<(String, bool)>,
    here: Vec<(String, bool)>,
    line: String,
    /// The text read last ended in `<<`, or in the beginning of the word after it.
    delimiter: bool,
    /// It ended in a `$` that stands for nothing yet.
    dollar: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            commands: vec![Words::default()],
            braces: Vec::new(),
            levels: Vec::new(),
            comment: false,
            escaped: false,
            word: false,
            coming: Vec::new(),
            here: Vec::new(),
            line: String::new(),
            delimiter: false,
            dollar: false,
        }
    }
}

impl Scanner {
    /// What a value here would be, if not a word.
    fn reads_as(&self, rest: &str) -> Option<&'static str> {
        if self.levels.last() == Some(&Level::Braces)
            && self.braces.last().is_some_and(|text| computes_in_braces(text))
        {
            return Some("arithmetic");
        }
        self.commands.last().and_then(|words| words.reads_as(rest))
    }

    fn value(&mut self) {
        self.word = true;
        if let Some(words) = self.commands.last_mut() {
            words.value();
        }
        if let Some(text) = self.braces.last_mut() {
            text.push('x');
        }
    }

    /// Follows the words of the commands; `depth` and `escaped` are as they were before these characters.
    fn follow(&mut self, chars: &[char], before: Option<Level>, depth: usize, was_escaped: bool) {
        let after = self.levels.last().copied();
        let is_command = |level: Option<Level>| matches!(level, Some(Level::Command | Level::Backticks));
        if self.levels.len() > depth {
            if is_command(after) {
                let arithmetic = chars == ['('] && self.commands.last().is_some_and(Words::is_empty);
                self.commands.push(Words::within(arithmetic && is_command(before)));
            } else if after == Some(Level::Braces) {
                self.braces.push(String::new());
            }
            return;
        }
        if self.levels.len() < depth && is_command(before) {
            self.commands.pop();
        }
        if self.levels.len() < depth && before == Some(Level::Braces) {
            self.braces.pop();
        }
        let quoted = was_escaped || (before.is_some() && !is_command(before)) || self.levels.len() < depth;
        for one in chars {
            if let Some(text) = self.braces.last_mut() {
                text.push(*one);
            }
            match self.commands.last_mut() {
                Some(words) if quoted => words.quoted(*one),
                Some(words) => words.plain(*one),
                None => {}
            }
        }
    }

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
            _ if self.delimiter => Place::Delimiter,
            _ if self.dollar => Place::Dollar,
            Some(Level::Braces | Level::Command | Level::Backticks) | None => Place::Open,
        }
    }

    fn read(&mut self, text: &str) {
        let chars: Vec<char> = text.chars().collect();
        self.delimiter = false;
        let dollars = chars.iter().rev().take_while(|one| **one == '$').count();
        let backslashes = chars.iter().rev().skip(dollars).take_while(|one| **one == '\\').count();
        self.dollar = dollars > 0 && (dollars + backslashes) % 2 == 1;
        let mut at = 0;
        while at < chars.len() {
            if !self.here.is_empty() {
                at += self.document(chars[at]);
                continue;
            }
            let (before, depth) = (self.levels.last().copied(), self.levels.len());
            let (in_comment, was_escaped) = (self.comment, self.escaped);
            let taken = self.step(&chars, at);
            if !in_comment || !self.comment {
                self.follow(&chars[at..(at + taken).min(chars.len())], before, depth, was_escaped);
            }
            at += taken;
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
        // `$((1 << 2))` shifts.
        let arithmetic = self.levels.ends_with(&[Level::Command, Level::Command]);
        self.delimiter = end == chars.len() && !arithmetic;
        let word: String = chars[start..end].iter().filter(|c| !"'\"\\".contains(**c)).collect();
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
        use Place::{Comment, Delimiter, Dollar, Double, Escaped, Here, Open, Single};
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
            ("cat <<{{ x }}", Delimiter),
            ("cat << END{{ x }}", Delimiter),
            ("cat <<END {{ x }}", Open),
            ("echo ${{ x }}", Dollar),
            ("echo $${{ x }}", Open),
            ("echo \\${{ x }}", Open),
            ("case a in (b) echo {{ x }}", Open),
        ] {
            assert_eq!(place(script), wanted, "{script}");
        }
    }

    fn read_as(script: &str) -> Option<&'static str> {
        let (before, after) = script.split_once("{{ x }}").unwrap();
        let mut scanner = Scanner::default();
        scanner.read(before);
        scanner.reads_as(after)
    }

    #[test]
    fn where_a_value_would_be_code() {
        for script in [
            "echo $(( {{ x }} ))",
            "echo \"$((1 + {{ x }}))\"",
            "echo $[{{ x }}]",
            "(( {{ x }} > 1 ))",
            "for (( i = 0; i < {{ x }}; i++ )); do :; done",
            "echo ${a[{{ x }}]}",
            "echo ${v:{{ x }}}",
            "echo ${v:1:{{ x }}}",
            "a[{{ x }}]=1",
            "[[ {{ x }} -eq 1 ]]",
            "[[ -n a && 1 -lt {{ x }} ]]",
            "[[ -v {{ x }} ]]",
            "test -v {{ x }}",
            "if eval {{ x }}; then :; fi",
            "A=b command eval echo {{ x }}",
            "let i={{ x }}",
            "declare -i i={{ x }}",
            "export {{ x }}",
            "printf -v {{ x }} a",
            "sudo -n true; bash -c {{ x }}",
            "/bin/sh -ec {{ x }}",
            "a=$(eval {{ x }})",
        ] {
            assert!(read_as(script).is_some(), "{script}");
        }
        for script in [
            "echo {{ x }}",
            "echo a; echo eval {{ x }}",
            "echo $(( 1 + 2 )) {{ x }}",
            "(( i++ )); echo {{ x }}",
            "[[ 1 -eq 1 ]] && echo {{ x }}",
            "[[ {{ x }} == a ]]",
            "[[ -f {{ x }} ]]",
            "[ {{ x }} -gt 1 ]",
            "grep -v {{ x }} file",
            "export A={{ x }}",
            "local a={{ x }}",
            "declare -r A={{ x }}",
            "echo ${v:-{{ x }}}",
            "echo ${v:=a} {{ x }}",
            "echo \"${a[1]}\" {{ x }}",
            "a=({{ x }})",
            "bash -c 'echo \"$1\"' x {{ x }}",
            "bash {{ x }}",
            "printf -v v '%s' {{ x }}",
            "cat {{ x }} | while read -r line; do :; done",
            "while read -r line; do echo {{ x }}; done",
            "echo [{{ x }}]",
            "psql -v a={{ x }}",
            "a=$(cat {{ x }})",
            "# eval\necho {{ x }}",
            "echo 'eval' {{ x }}",
        ] {
            assert_eq!(read_as(script), None, "{script}");
        }
    }
}

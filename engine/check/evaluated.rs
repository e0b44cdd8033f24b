//! Words of a shell script that the shell does not take as they are but computes with, or reads as a script: there a
//! value would be code, however well it is quoted. `$(( a[$(date)] ))` runs `date`.

/// Commands that read their words as a script, as names or as arithmetic.
const READERS: [&str; 9] =
    ["eval", "let", "trap", "alias", "unset", "read", "mapfile", "readarray", "getopts"];
/// An option that the name of a variable follows.
const NAMERS: [(&str, &str); 5] =
    [("test", "-v"), ("[", "-v"), ("[[", "-v"), ("printf", "-v"), ("wait", "-p")];
/// Commands that take `name=value`, which is harmless, and options that make them compute.
const DECLARERS: [&str; 5] = ["declare", "typeset", "local", "export", "readonly"];
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ksh", "zsh", "ash"];
/// What may stand before a command.
const BEFORE: [&str; 18] = [
    "!", "{", "then", "do", "else", "elif", "if", "while", "until", "time", "command", "builtin", "exec",
    "env", "sudo", "nohup", "nice", "-",
];
const COMPARISONS: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// A value as part of a word.
const VALUE: char = '\u{fffc}';

/// The words of one command, as far as it was read.
#[derive(Debug, Default)]
pub struct Words {
    done: Vec<String>,
    word: String,
    last: char,
    /// Within `(( ))`.
    arithmetic: bool,
    /// Within `$[ ]`, as old shells compute.
    bracket: bool,
}

impl Words {
    /// Of a command of its own: `$( )`, or `$(( ))`.
    pub fn within(arithmetic: bool) -> Self {
        Self { arithmetic, ..Self::default() }
    }

    /// A character outside quotes.
    pub fn plain(&mut self, one: char) {
        match one {
            '(' if self.last == '(' => self.arithmetic = true,
            ')' if self.last == ')' => self.arithmetic = false,
            '[' if self.last == '$' => self.bracket = true,
            ']' => self.bracket = false,
            _ => {}
        }
        self.last = one;
        match one {
            '\n' | ';' | '&' | '|' | '(' | ')' => {
                self.end_word();
                // `[[ a && b ]]` is one command.
                if !self.is_test() && !self.arithmetic {
                    self.done.clear();
                }
            }
            ' ' | '\t' | '\r' | '<' | '>' => self.end_word(),
            other => self.word.push(other),
        }
    }

    /// A character within quotes or braces, or after a backslash.
    pub fn quoted(&mut self, one: char) {
        self.last = if one == '$' { one } else { '\0' };
        self.word.push(one);
    }

    pub fn value(&mut self) {
        self.quoted(VALUE);
    }

    /// Nothing was read yet.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.word.is_empty() && self.last == '\0'
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn is_test(&self) -> bool {
        let test = self.done.iter().rposition(|word| word == "[[");
        test.is_some_and(|at| !self.done[at..].iter().any(|word| word == "]]"))
    }

    /// What a value would be read as that stands here; none: it is a word or a part of one. `rest`: what follows.
    pub fn reads_as(&self, rest: &str) -> Option<&'static str> {
        if self.arithmetic || self.bracket {
            return Some("arithmetic");
        }
        if self.is_subscript() {
            return Some("the subscript of an array");
        }
        if self.is_test() {
            let within = rest.split("]]").next().unwrap_or_default();
            let compares = |word: &str| COMPARISONS.contains(&word);
            if self.done.iter().any(|word| compares(word)) || within.split_whitespace().any(compares) {
                return Some("arithmetic");
            }
        }
        let mut words = self.done.iter().skip_while(|word| stands_before(word));
        let command = words.next()?.rsplit('/').next().unwrap_or_default();
        let options: Vec<&str> = words.map(String::as_str).take_while(|word| word.starts_with('-')).collect();
        let has = |letter: char| options.iter().any(|option| option.contains(letter));
        let follows =
            |option: &str| self.word.is_empty() && self.done.last().is_some_and(|word| word == option);
        if NAMERS.iter().any(|(namer, option)| *namer == command && follows(option)) {
            return Some("the name of a variable");
        }
        if READERS.contains(&command) {
            return Some("a part of a script or the name of a variable");
        }
        if DECLARERS.contains(&command) {
            let harmless = options.iter().all(|option| option[1..].chars().all(|c| "rxg".contains(c)));
            let is_named = self.word.contains('=') && !self.word.split('=').next()?.contains(VALUE);
            return (!harmless || !is_named).then_some("the name of a variable or arithmetic");
        }
        // The word after `-c` is the script; those behind it are its arguments.
        let script = SHELLS.contains(&command)
            && has('c')
            && self.done.last().is_some_and(|word| word.starts_with('-'));
        script.then_some("a script")
    }

    /// `a[` and then the value.
    fn is_subscript(&self) -> bool {
        let Some((name, subscript)) = self.word.split_once('[') else { return false };
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name && !name.starts_with(|c: char| c.is_ascii_digit()) && !subscript.contains(']')
    }
}

fn stands_before(word: &str) -> bool {
    let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+'))
    });
    is_assignment || BEFORE.contains(&word)
}

/// Whether a value behind this beginning of `${...` would be computed with: a subscript, or where a part begins.
pub fn computes_in_braces(beginning: &str) -> bool {
    let beginning = beginning.trim_start_matches(['#', '!']);
    let name = beginning.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(beginning.len());
    let mut rest = &beginning[name..];
    if let Some(subscript) = rest.strip_prefix('[') {
        match subscript.split_once(']') {
            Some((_, after)) => rest = after,
            None => return true,
        }
    }
    rest.strip_prefix(':').is_some_and(|rest| !rest.starts_with(['-', '=', '+', '?']))
}

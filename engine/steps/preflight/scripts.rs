//! The programs that a `run:` script certainly starts, as far as its text tells. Only what is certain: it stops at the first
//! thing whose meaning depends on what happens (a loop, a function, `source`), and says nothing of what stands behind a
//! condition it cannot answer. Reads; starts nothing.

mod lexer;

pub use lexer::Symbol;

use lexer::{Lexer, Operator, Token, Word};

/// A program that a script starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub program: String,
    /// Nothing of the script that stands before it could make it, and it is reached whatever happens.
    pub first: bool,
}

/// What the shell does itself.
const BUILTINS: &[&str] = &[
    ":",
    "[",
    "[[",
    "bg",
    "bind",
    "builtin",
    "caller",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "export",
    "false",
    "fc",
    "fg",
    "float",
    "functions",
    "getopts",
    "hash",
    "help",
    "history",
    "integer",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "noglob",
    "popd",
    "print",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "set",
    "setopt",
    "shift",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unset",
    "wait",
    "whence",
];
/// What may change the meaning of any later word, ends the script, or begins what is not read here.
const ENDS: &[&str] = &[
    ".", "source", "eval", "alias", "unalias", "shopt", "emulate", "autoload", "zmodload", "exit", "return",
    "break", "continue", "coproc", "if", "then", "elif", "else", "fi", "for", "while", "until", "do", "done",
    "case", "esac", "select", "function", "repeat", "foreach", "in", "{", "}",
];
/// Programs that bring others by their names.
const BRINGERS: &[&str] = &[
    "apt", "apt-get", "apk", "yum", "dnf", "zypper", "pacman", "brew", "pip", "pip3", "pipx", "npm", "pnpm",
    "yarn", "bun", "cargo", "go", "make", "curl", "wget", "install", "ln", "cp", "mv",
];
/// Programs that make no other program, or name it.
const HARMLESS: &[&str] = &[
    "psql",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_isready",
    "createdb",
    "dropdb",
    "vacuumdb",
    "grep",
    "egrep",
    "fgrep",
    "sed",
    "awk",
    "cat",
    "head",
    "tail",
    "sort",
    "uniq",
    "wc",
    "cut",
    "tr",
    "date",
    "sleep",
    "jq",
    "tee",
    "ls",
    "stat",
    "diff",
    "cmp",
    "sha256sum",
    "mkdir",
    "rm",
    "touch",
    "hostname",
    "id",
    "uname",
    "du",
    "df",
    "ps",
    "pgrep",
    "pidof",
    "systemctl",
    "service",
    "logger",
    "gzip",
    "gunzip",
    "zstd",
    "lz4",
    "railway",
    "kubectl",
];
/// Programs that ask something: what stands behind their `&&` runs only if it is so.
const ASKERS: &[&str] = &[
    "grep",
    "egrep",
    "fgrep",
    "which",
    "diff",
    "cmp",
    "pgrep",
    "pidof",
    "stat",
    "ls",
    "find",
    "systemctl",
    "pg_isready",
];

/// Whether a script of this interpreter can be read here.
pub fn is_shell(shell: &[String]) -> bool {
    let name = shell.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    ["sh", "bash", "dash", "ash", "ksh", "zsh"].contains(&name)
}

/// The programs, in the order of the script.
pub fn programs(symbols: Vec<Symbol>) -> Vec<Started> {
    let mut reader = Reader { lexer: Lexer::new(symbols), ..Reader::default() };
    while reader.list().is_some() {}
    reader.found
}

#[derive(Default)]
struct Reader {
    lexer: Lexer,
    found: Vec<Started>,
    /// Every word so far: what is named before may be what makes it.
    seen: Vec<String>,
    /// Something else than the shell itself has run.
    foreign: bool,
    /// Names are looked up elsewhere, or may have been brought.
    brought: bool,
    /// Files may have been made that nothing names.
    made: bool,
    /// The working directory is another one.
    moved: bool,
}

/// Whether a command is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Yes,
    /// If what stands before it succeeds.
    Likely,
    Unknown,
    No,
}

/// One simple command: how it surely ends, and whether it only asks.
struct Ran {
    succeeds: Option<bool>,
    asks: bool,
}

impl Reader {
    /// Reads `a && b || c` up to its end; None: the rest is not read.
    fn list(&mut self) -> Option<()> {
        let mut reached = Reached::Yes;
        let mut ran = Ran { succeeds: None, asks: true };
        loop {
            let (now, end) = self.pipeline(reached)?;
            // What does not run leaves the result as it was.
            if reached == Reached::Unknown {
                ran = Ran { succeeds: None, asks: true };
            } else if reached != Reached::No {
                ran = now;
            }
            reached = match (end, ran.succeeds) {
                (Operator::And, Some(true)) | (Operator::Or, Some(false)) => Reached::Yes,
                (Operator::And, Some(false)) | (Operator::Or, Some(true)) => Reached::No,
                (Operator::And, None) if !ran.asks && reached != Reached::Unknown => Reached::Likely,
                (Operator::And | Operator::Or, None) => Reached::Unknown,
                (Operator::Next | Operator::Pipe, _) => return Some(()),
            };
        }
    }

    /// Commands that run side by side.
    fn pipeline(&mut self, reached: Reached) -> Option<(Ran, Operator)> {
        let (mut ran, mut end) = self.command(reached)?;
        while end == Operator::Pipe {
            let (last, next) = self.command(reached)?;
            // `a | grep -q b` asks.
            ran = Ran { succeeds: None, asks: last.asks };
            end = next;
        }
        Some((ran, end))
    }

    fn command(&mut self, reached: Reached) -> Option<(Ran, Operator)> {
        let (words, end) = self.words()?;
        let ran = self.judge(&words, reached)?;
        Some((ran, end))
    }

    /// The words of one command, up to what ends it.
    fn words(&mut self) -> Option<(Vec<Word>, Operator)> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            match self.lexer.next()? {
                Token::Word(word) => {
                    let test = words.is_empty() && word.is("[[");
                    words.push(word);
                    // What stands in it is not read as commands.
                    while test && !words.last()?.is("]]") {
                        match self.lexer.next()? {
                            Token::Word(word) => words.push(word),
                            Token::Operator(_) => {}
                        }
                    }
                }
                Token::Operator(operator) if words.is_empty() && operator == Operator::Next => {}
                Token::Operator(operator) => return Some((words, operator)),
            }
        }
    }

    fn judge(&mut self, words: &[Word], reached: Reached) -> Option<Ran> {
        let mut ran = Ran { succeeds: None, asks: true };
        let mut words = words.iter().peekable();
        let mut inverted = false;
        while let Some(word) = words.peek() {
            if word.assigns().is_some_and(|name| name == "PATH") {
                self.brought = true;
            }
            inverted |= word.is("!");
            if word.assigns().is_none() && !word.is("!") && !word.is("time") {
                break;
            }
            words.next();
        }
        let Some(program) = words.next() else {
            ran.succeeds = Some(true);
            return Some(ran);
        };
        let rest: Vec<&Word> = words.collect();
        if ENDS.iter().any(|end| program.is(end)) {
            return None;
        }
        let exec = program.is("exec");
        let (program, rest) = match (exec, rest.split_first()) {
            (true, Some((program, rest))) => (*program, rest.to_vec()),
            // Only redirections.
            (true, None) => return Some(ran),
            (false, _) => (program, rest),
        };
        let is_path = |word: &&Word| match word.assigns() {
            Some(name) => name == "PATH",
            None => word.text.is_none(),
        };
        self.brought |= program.is_declarer() && rest.iter().any(is_path);
        match program.text.as_deref() {
            Some(name) if BUILTINS.contains(&name) && !exec => {
                self.moved |= ["cd", "pushd", "popd"].contains(&name);
                self.brought |= name == "enable" || name == "hash" || name == "trap";
                ran.succeeds = succeeds(name, &rest);
                ran.asks = ran.succeeds.is_none() && !["cd", "printf", "pushd"].contains(&name);
            }
            Some(name) => {
                ran.asks = ASKERS.contains(&name);
                self.start(name, reached);
                self.foreign |= reached != Reached::No;
                self.made |= reached != Reached::No && !HARMLESS.contains(&name);
                self.brought |= reached != Reached::No && BRINGERS.contains(&name);
            }
            None => (self.foreign, self.made) = (true, true),
        }
        self.seen.extend(rest.iter().filter_map(|word| word.text.clone()));
        if inverted {
            ran = Ran { succeeds: ran.succeeds.map(|it| !it), asks: true };
        }
        // Nothing comes after it.
        (!exec).then_some(ran)
    }

    fn start(&mut self, name: &str, reached: Reached) {
        let is_path = name.contains('/');
        let leaf = name.rsplit('/').next().unwrap_or(name);
        let named_before = self.seen.iter().chain(self.lexer.targets()).any(|word| word.contains(leaf));
        let unclear = match is_path {
            true => self.made || (self.moved && !name.starts_with('/')),
            false => self.brought,
        };
        let known = self.found.iter().any(|one| one.program == name);
        let is_reached = matches!(reached, Reached::Yes | Reached::Likely);
        if is_reached && !unclear && !named_before && !known && !leaf.is_empty() {
            let first = reached == Reached::Yes && !self.foreign;
            self.found.push(Started { program: name.to_owned(), first });
        }
    }
}

/// How a builtin ends, where its words tell.
fn succeeds(name: &str, rest: &[&Word]) -> Option<bool> {
    let texts: Option<Vec<&str>> = rest.iter().map(|word| word.text.as_deref()).collect();
    match (name, texts.as_deref()) {
        ("true" | ":" | "echo" | "export" | "set" | "umask" | "printf", _) => Some(true),
        ("false", _) => Some(false),
        ("[", Some([words @ .., "]"])) | ("test", Some(words)) => match words {
            [] => Some(false),
            [word] => Some(!word.is_empty()),
            ["-n", word] => Some(!word.is_empty()),
            ["-z", word] => Some(word.is_empty()),
            [one, "=" | "==", other] => Some(one == other),
            [one, "!=", other] => Some(one != other),
            _ => None,
        },
        _ => None,
    }
}

impl Word {
    fn is(&self, text: &str) -> bool {
        !self.quoted && self.text.as_deref() == Some(text)
    }

    fn is_declarer(&self) -> bool {
        ["export", "declare", "typeset", "local", "readonly"].iter().any(|name| self.is(name))
    }

    /// The variable that the word gives a value, where it is an assignment.
    fn assigns(&self) -> Option<&str> {
        let (name, _) = self.beginning.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        let is_name = name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
        (is_name && !name.is_empty() && !name.starts_with(|one: char| one.is_ascii_digit())).then_some(name)
    }
}

#[cfg(test)]
mod tests;

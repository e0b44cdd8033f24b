//! A shell script cut into words and what stands between commands. Gives up (no more tokens) at everything that it does not
//! read: what follows a here-document, subshells, functions, quotes without an end.

use std::collections::VecDeque;

/// A character of the script, or a value that stands in it as one word; None: not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbol {
    Char(char),
    Value(Option<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(Word),
    Operator(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `;`, a line's end, `&`.
    Next,
    And,
    Or,
    Pipe,
}

/// A word of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// What it is; None: the shell computes a part of it.
    pub text: Option<String>,
    /// A part of it is quoted, or a value.
    pub quoted: bool,
    /// Its beginning up to the first quote or `$`, at most to its `=`.
    pub beginning: String,
}

#[derive(Debug, Default)]
pub struct Lexer {
    symbols: VecDeque<Symbol>,
    /// Told once at the end.
    ended: bool,
    /// What redirections name.
    targets: Vec<String>,
}

/// The word that is being read.
#[derive(Default)]
struct Draft {
    text: String,
    computed: bool,
    quoted: bool,
    beginning: String,
    any: bool,
}

impl Draft {
    fn plain(&mut self, one: char) {
        self.any = true;
        self.text.push(one);
        if !self.quoted && !self.computed {
            self.beginning.push(one);
        }
    }

    fn quote(&mut self, text: &str) {
        (self.any, self.quoted) = (true, true);
        self.text.push_str(text);
    }

    fn compute(&mut self) {
        (self.any, self.computed) = (true, true);
    }

    fn word(self) -> Word {
        // `*` and the like stand for names of files; `{a,b}` for two words.
        let patterned = !self.quoted && !["[", "[[", "]]", "{", "}", "!"].contains(&self.text.as_str());
        let computed = self.computed || (patterned && self.text.contains(['*', '?', '[', '{', '~']));
        Word { text: (!computed).then_some(self.text), quoted: self.quoted, beginning: self.beginning }
    }
}

impl Lexer {
    pub fn new(symbols: Vec<Symbol>) -> Self {
        Self { symbols: symbols.into(), ..Self::default() }
    }

    /// The files that redirections have named so far.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    fn peek(&self) -> Option<char> {
        match self.symbols.front() {
            Some(Symbol::Char(one)) => Some(*one),
            _ => None,
        }
    }

    /// Takes the next character if it is that one.
    fn take(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.symbols.pop_front();
        }
        is
    }

    /// The next token; None: the end, or nothing more that is read here.
    pub fn next(&mut self) -> Option<Token> {
        loop {
            match self.symbols.front() {
                None if self.ended => return None,
                None => {
                    self.ended = true;
                    return Some(Token::Operator(Operator::Next));
                }
                Some(Symbol::Value(_)) => return self.word(),
                Some(Symbol::Char(' ' | '\t' | '\r')) => drop(self.symbols.pop_front()),
                Some(Symbol::Char('#')) => {
                    while self.symbols.front().is_some_and(|one| *one != Symbol::Char('\n')) {
                        self.symbols.pop_front();
                    }
                }
                Some(Symbol::Char('\\')) if self.symbols.get(1) == Some(&Symbol::Char('\n')) => {
                    self.symbols.drain(..2);
                }
                Some(Symbol::Char('\n' | ';' | '&' | '|')) => return self.operator(),
                Some(Symbol::Char('(' | ')')) => return self.give_up(),
                Some(Symbol::Char('<' | '>')) => self.redirection()?,
                Some(Symbol::Char(_)) => {
                    let word = self.word()?;
                    // `2>file`: the number belongs to the redirection.
                    let number = matches!(&word, Token::Word(word) if !word.quoted
                        && word.text.as_deref().is_some_and(|text| text.chars().all(|one| one.is_ascii_digit())));
                    if number && matches!(self.peek(), Some('<' | '>')) {
                        continue;
                    }
                    return Some(word);
                }
            }
        }
    }

    fn give_up<T>(&mut self) -> Option<T> {
        self.symbols.clear();
        self.ended = true;
        None
    }

    /// The command that is being read counts, nothing behind it.
    fn stop(&mut self) -> Option<()> {
        self.symbols.clear();
        Some(())
    }

    fn operator(&mut self) -> Option<Token> {
        let operator = match self.symbols.pop_front()? {
            Symbol::Char('&') if self.take('&') => Operator::And,
            // `&>file` and `&>>file`.
            Symbol::Char('&') if self.peek() == Some('>') => {
                self.redirection()?;
                return self.next();
            }
            Symbol::Char('|') if self.take('|') => Operator::Or,
            Symbol::Char('|') => {
                self.take('&');
                Operator::Pipe
            }
            // Of a `case`.
            Symbol::Char(';') if matches!(self.peek(), Some(';' | '&')) => return self.give_up(),
            _ => Operator::Next,
        };
        // A line may end behind it.
        while operator != Operator::Next && matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.symbols.pop_front();
        }
        Some(Token::Operator(operator))
    }

    /// `>file`, `2>&1`, `<<<word`: what it names is no word of the command.
    fn redirection(&mut self) -> Option<()> {
        let first = self.symbols.pop_front();
        let here = first == Some(Symbol::Char('<')) && self.take('<');
        if here && !self.take('<') {
            return self.stop();
        }
        while matches!(self.peek(), Some('>' | '&' | '|')) {
            self.symbols.pop_front();
        }
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.symbols.pop_front();
        }
        match self.peek() {
            // `<( )`.
            Some('(') => self.stop(),
            _ => {
                if let Token::Word(word) = self.word()? {
                    self.targets.extend(word.text);
                }
                Some(())
            }
        }
    }

    /// A word, to its end.
    fn word(&mut self) -> Option<Token> {
        let mut draft = Draft::default();
        loop {
            match self.symbols.front() {
                None | Some(Symbol::Char(' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>')) => break,
                // A function, an array, a subshell.
                Some(Symbol::Char('(' | ')')) => return self.give_up(),
                _ => {}
            }
            match self.symbols.pop_front()? {
                Symbol::Value(Some(value)) => draft.quote(&value),
                Symbol::Value(None) => draft.compute(),
                Symbol::Char('\\') => match self.symbols.pop_front() {
                    Some(Symbol::Char('\n')) => {}
                    Some(Symbol::Char(one)) => draft.quote(one.encode_utf8(&mut [0; 4])),
                    _ => return self.give_up(),
                },
                Symbol::Char('\'') => self.single(&mut draft)?,
                Symbol::Char('"') => self.double(&mut draft)?,
                Symbol::Char('`') => {
                    draft.compute();
                    self.until('`')?;
                }
                Symbol::Char('$') => self.computed(&mut draft)?,
                Symbol::Char(one) => draft.plain(one),
            }
        }
        match draft.any {
            true => Some(Token::Word(draft.word())),
            false => self.give_up(),
        }
    }

    fn single(&mut self, draft: &mut Draft) -> Option<()> {
        draft.quote("");
        loop {
            match self.symbols.pop_front() {
                Some(Symbol::Char('\'')) => return Some(()),
                Some(Symbol::Char(one)) => draft.quote(one.encode_utf8(&mut [0; 4])),
                _ => return self.give_up(),
            }
        }
    }

    fn double(&mut self, draft: &mut Draft) -> Option<()> {
        draft.quote("");
        loop {
            match self.symbols.pop_front() {
                Some(Symbol::Char('"')) => return Some(()),
                Some(Symbol::Char('$')) => self.computed(draft)?,
                Some(Symbol::Char('`')) => {
                    draft.compute();
                    self.until('`')?;
                }
                Some(Symbol::Char('\\')) => match self.symbols.pop_front() {
                    Some(Symbol::Char('\n')) => {}
                    Some(Symbol::Char(one @ ('"' | '$' | '`' | '\\'))) => {
                        draft.quote(one.encode_utf8(&mut [0; 4]));
                    }
                    Some(Symbol::Char(one)) => draft.quote(&format!("\\{one}")),
                    _ => return self.give_up(),
                },
                Some(Symbol::Char(one)) => draft.quote(one.encode_utf8(&mut [0; 4])),
                _ => return self.give_up(),
            }
        }
    }

    /// Behind a `$`.
    fn computed(&mut self, draft: &mut Draft) -> Option<()> {
        draft.compute();
        match self.peek() {
            Some('(') => self.balanced('(', ')'),
            Some('{') => self.balanced('{', '}'),
            Some('\'') => {
                self.symbols.pop_front();
                self.until('\'')
            }
            _ => Some(()),
        }
    }

    /// To the end of `$( )` or `${ }`. Quotes within are followed; what could hide an end among them is not read at all.
    fn balanced(&mut self, open: char, close: char) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.symbols.pop_front() {
                Some(Symbol::Char(one)) if one == open => depth += 1,
                Some(Symbol::Char(one)) if one == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                Some(Symbol::Char('\\')) => drop(self.symbols.pop_front()),
                Some(Symbol::Char('\'')) => self.single(&mut Draft::default())?,
                Some(Symbol::Char('"')) => self.double(&mut Draft::default())?,
                Some(Symbol::Char('`')) => self.until('`')?,
                // A `#` may begin a comment, `<<` a document, `case` a pattern with a `)`.
                Some(Symbol::Char('#')) if open == '(' => return self.give_up(),
                Some(Symbol::Char('<')) if open == '(' && self.peek() == Some('<') => return self.give_up(),
                Some(_) => {}
                None => return self.give_up(),
            }
        }
    }

    fn until(&mut self, end: char) -> Option<()> {
        loop {
            match self.symbols.pop_front() {
                Some(Symbol::Char(one)) if one == end => return Some(()),
                Some(Symbol::Char('\\')) => drop(self.symbols.pop_front()),
                Some(_) => {}
                None => return self.give_up(),
            }
        }
    }
}

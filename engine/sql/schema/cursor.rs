//! The words of one statement, read from its beginning. Reads names and puts texts back together; what they mean is not its
//! business.

use crate::sql::lex::{Kind, Token, tokens};
use crate::sql::name::unquote;

/// A place among a statement's words.
#[derive(Debug, Clone)]
pub struct Cursor<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Cursor<'t> {
    /// Comments, white space and the closing semicolon are left out.
    pub fn new(text: &'t str) -> Self {
        let mut tokens: Vec<Token> = tokens(text).into_iter().filter(|token| !token.is_trivia()).collect();
        if tokens.last().is_some_and(|token| token.is_punct(text, ';')) {
            tokens.pop();
        }
        Self { text, tokens, at: 0 }
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    /// Whether these words come next, in any case.
    pub fn is(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| {
            self.token(ahead).is_some_and(|token| {
                token.is_word(self.text, word) || token.kind == Kind::Punct && token.text(self.text) == *word
            })
        })
    }

    /// Goes past these words if they come next.
    pub fn take(&mut self, words: &[&str]) -> bool {
        let found = self.is(words);
        if found {
            self.at += words.len();
        }
        found
    }

    /// Goes on to a word outside parentheses; false when there is none.
    pub fn seek(&mut self, word: &str) -> bool {
        let mut depth = 0usize;
        while let Some(token) = self.token(0) {
            match token.text(self.text) {
                "(" if token.kind == Kind::Punct => depth += 1,
                ")" if token.kind == Kind::Punct => depth = depth.saturating_sub(1),
                _ if depth == 0 && token.is_word(self.text, word) => return true,
                _ => {}
            }
            self.at += 1;
        }
        false
    }

    /// A dotted name, unquoted: `public.users`.
    pub fn name(&mut self) -> Option<String> {
        let mut parts = Vec::new();
        loop {
            let token = self.token(0)?;
            if !matches!(token.kind, Kind::Ident | Kind::QuotedIdent) {
                return None;
            }
            parts.push(unquote(token.text(self.text)));
            self.at += 1;
            if !self.take(&["."]) {
                return Some(parts.join("."));
            }
        }
    }

    /// One word or name part as it is written.
    pub fn word(&mut self) -> Option<&'t str> {
        let word = self.token(0)?.text(self.text);
        self.at += 1;
        Some(word)
    }

    /// The words from here to the end as a text.
    pub fn rest(&self) -> String {
        self.collapsed(self.tokens.get(self.at..).unwrap_or_default())
    }

    /// What the parentheses that begin here hold, a text for each item, and goes past them.
    pub fn items(&mut self) -> Option<Vec<String>> {
        if !self.take(&["("]) {
            return None;
        }
        let (mut items, mut depth, mut start) = (Vec::new(), 0usize, self.at);
        while let Some(token) = self.token(0) {
            let punct = if token.kind == Kind::Punct { token.text(self.text) } else { "" };
            let ends = depth == 0 && matches!(punct, ")" | ",");
            if ends {
                items.push(self.collapsed(self.tokens.get(start..self.at).unwrap_or_default()));
                start = self.at + 1;
            }
            match punct {
                "(" | "[" => depth += 1,
                ")" if depth == 0 => {
                    self.at += 1;
                    items.retain(|item| !item.is_empty());
                    return Some(items);
                }
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
        None
    }

    /// White space between words becomes one space, none after `(` and before `)`; inside quotes it stays.
    fn collapsed(&self, tokens: &[Token]) -> String {
        let mut text = String::new();
        let mut before: Option<&Token> = None;
        for token in tokens {
            let apart = before.is_some_and(|before| {
                before.range.end < token.range.start
                    && !before.is_punct(self.text, '(')
                    && !token.is_punct(self.text, ')')
            });
            if apart {
                text.push(' ');
            }
            text.push_str(token.text(self.text));
            before = Some(token);
        }
        text
    }
}

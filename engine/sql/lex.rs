//! The words of SQL: PostgreSQL's own lexical rules (scan.l with standard_conforming_strings on), byte for
//! byte, and the question the template layer asks: is this place inside quotes?
//! Every byte of the text belongs to exactly one token. It must never guess: what PostgreSQL would refuse is
//! `Kind::Error`, what has no end is not `closed`.

use std::ops::Range;

/// One token with its place in the text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub range: Range<usize>,
    /// False for a string, quoted identifier or block comment that the text ends in.
    pub closed: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Whitespace,
    LineComment,
    BlockComment,
    /// A word: an identifier or a keyword.
    Ident,
    /// `"..."` and `U&"..."`.
    QuotedIdent,
    /// `'...'`, `N'...'` and `U&'...'`: a backslash is only a backslash.
    String,
    /// `E'...'`, with what continues it on the next lines.
    EscapeString,
    /// `B'...'` and `X'...'`.
    BitString,
    /// `$tag$ ... $tag$`.
    DollarString,
    Number,
    /// `$1`.
    Param,
    /// A run of operator characters, also `::`, `:=` and `..`.
    Operator,
    /// One of `( ) [ ] , ; : .`.
    Punct,
    /// A backslash outside quotes and the rest of its line: a psql meta-command.
    Meta,
    /// Something PostgreSQL refuses, such as `{` or `1abc`.
    Error,
}

/// Where an offset lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Plain,
    InString,
    InEscapeString,
    InDollar,
    InQuotedIdent,
    InComment,
    /// On the line of a psql meta-command.
    InMeta,
}

impl Token {
    /// Whitespace or a comment.
    pub fn is_trivia(&self) -> bool {
        matches!(self.kind, Kind::Whitespace | Kind::LineComment | Kind::BlockComment)
    }

    /// The token's text.
    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default()
    }

    /// True for the unquoted word `word`, in any case.
    pub fn is_word(&self, text: &str, word: &str) -> bool {
        self.kind == Kind::Ident && self.text(text).eq_ignore_ascii_case(word)
    }

    /// True for the punctuation character `punct`.
    pub fn is_punct(&self, text: &str, punct: char) -> bool {
        self.kind == Kind::Punct && self.text(text).starts_with(punct)
    }

    fn place(&self) -> Place {
        match self.kind {
            Kind::LineComment | Kind::BlockComment => Place::InComment,
            Kind::QuotedIdent => Place::InQuotedIdent,
            Kind::String | Kind::BitString => Place::InString,
            Kind::EscapeString => Place::InEscapeString,
            Kind::DollarString => Place::InDollar,
            Kind::Meta => Place::InMeta,
            _ => Place::Plain,
        }
    }

    /// True when text put at `offset` would become part of this token.
    fn holds(&self, offset: usize) -> bool {
        let open_ended = !self.closed || matches!(self.kind, Kind::LineComment | Kind::Meta);
        self.range.start < offset && (offset < self.range.end || offset == self.range.end && open_ended)
    }
}

/// All tokens of `text`, in order, without a gap.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { bytes: text.as_bytes(), at: 0 };
    let mut tokens = Vec::with_capacity(text.len() / 4);
    while lexer.at < lexer.bytes.len() {
        let start = lexer.at;
        let (kind, closed) = lexer.token();
        tokens.push(Token { kind, range: start..lexer.at, closed });
    }
    tokens
}

/// Where text put at the byte `offset` of `text` would land.
pub fn place_at(text: &str, offset: usize) -> Place {
    place_among(&tokens(text), offset)
}

/// As [`place_at`], for many questions about one text.
pub fn place_among(tokens: &[Token], offset: usize) -> Place {
    let next = tokens.partition_point(|token| token.range.end < offset);
    match tokens.get(next) {
        Some(token) if token.holds(offset) => token.place(),
        _ => Place::Plain,
    }
}

struct Lexer<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn eat_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|byte| accept(*byte)) {
            self.at += 1;
        }
    }

    /// Reads one token and says whether it was closed; always moves on.
    fn token(&mut self) -> (Kind, bool) {
        let (first, second) = (self.peek(0), self.peek(1));
        match first {
            _ if is_space(first) => self.run(Kind::Whitespace, is_space),
            b'-' if second == b'-' => self.run(Kind::LineComment, |byte| byte != b'\n' && byte != b'\r'),
            b'/' if second == b'*' => self.block_comment(),
            b'\'' => self.quoted(Kind::String, 1),
            b'"' => self.quoted(Kind::QuotedIdent, 1),
            b'e' | b'E' if second == b'\'' => self.escape_string(),
            b'b' | b'B' | b'x' | b'X' if second == b'\'' => self.quoted(Kind::BitString, 2),
            b'n' | b'N' if second == b'\'' => self.quoted(Kind::String, 2),
            b'u' | b'U' if second == b'&' && self.peek(2) == b'\'' => self.quoted(Kind::String, 3),
            b'u' | b'U' if second == b'&' && self.peek(2) == b'"' => self.quoted(Kind::QuotedIdent, 3),
            _ if is_ident_start(first) => self.run(Kind::Ident, is_ident_part),
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() => self.number(),
            b'$' => self.dollar(),
            b'\\' => self.run(Kind::Meta, |byte| byte != b'\n' && byte != b'\r'),
            b':' if matches!(second, b':' | b'=') => self.take(Kind::Operator, 2),
            b'.' if second == b'.' => self.take(Kind::Operator, 2),
            b'(' | b')' | b'[' | b']' | b',' | b';' | b':' | b'.' => self.take(Kind::Punct, 1),
            _ if is_operator(first) => self.operator(),
            _ => self.take(Kind::Error, 1),
        }
    }

    fn take(&mut self, kind: Kind, bytes: usize) -> (Kind, bool) {
        self.at += bytes;
        (kind, true)
    }

    fn run(&mut self, kind: Kind, accept: impl Fn(u8) -> bool) -> (Kind, bool) {
        self.at += 1;
        self.eat_while(accept);
        (kind, true)
    }

    fn block_comment(&mut self) -> (Kind, bool) {
        self.at += 2;
        let mut depth = 1usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return (Kind::BlockComment, true);
                    }
                }
                _ => self.at += 1,
            }
        }
        (Kind::BlockComment, false)
    }

    /// A token whose last prefix byte is its quote; the quote doubled stands for itself.
    fn quoted(&mut self, kind: Kind, prefix: usize) -> (Kind, bool) {
        let quote = self.peek(prefix - 1);
        self.at += prefix;
        while self.at < self.bytes.len() {
            self.eat_while(|byte| byte != quote);
            if self.peek(0) == quote && self.peek(1) == quote {
                self.at += 2;
            } else if self.peek(0) == quote {
                self.at += 1;
                return (kind, true);
            }
        }
        (kind, false)
    }

    /// `E'...'`. A string literal that follows after a line break continues it, still with backslash escapes.
    fn escape_string(&mut self) -> (Kind, bool) {
        self.at += 2;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'\\', _) => self.at = (self.at + 2).min(self.bytes.len()),
                (b'\'', b'\'') => self.at += 2,
                (b'\'', _) => match self.continuation(self.at + 1) {
                    Some(next) => self.at = next,
                    None => return self.take(Kind::EscapeString, 1),
                },
                _ => self.at += 1,
            }
        }
        (Kind::EscapeString, false)
    }

    /// The offset after the opening quote of a string that continues one which ended before `from`.
    fn continuation(&self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let (mut at, mut line_break) = (0, false);
        loop {
            match (rest.get(at).copied()?, rest.get(at + 1).copied()) {
                (b'\n' | b'\r', _) => {
                    line_break = true;
                    at += 1;
                }
                (byte, _) if is_space(byte) => at += 1,
                (b'-', Some(b'-')) => {
                    at += rest.get(at..)?.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
                }
                (b'\'', _) if line_break => return Some(from + at + 1),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> (Kind, bool) {
        let digits = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        let based = self.peek(0) == b'0' && matches!(self.peek(1) | 0x20, b'x' | b'o' | b'b');
        if based && (self.peek(2) == b'_' || self.peek(2).is_ascii_hexdigit()) {
            self.at += 2;
            self.eat_while(|byte| byte.is_ascii_hexdigit() || byte == b'_');
        } else {
            self.eat_while(digits);
            if self.peek(0) == b'.' && self.peek(1) != b'.' {
                self.at += 1;
                self.eat_while(digits);
            }
            let signed = matches!(self.peek(1), b'+' | b'-') && self.peek(2).is_ascii_digit();
            if matches!(self.peek(0), b'e' | b'E') && (signed || self.peek(1).is_ascii_digit()) {
                self.at += 2;
                self.eat_while(digits);
            }
        }
        if is_ident_start(self.peek(0)) {
            return self.run(Kind::Error, is_ident_part);
        }
        (Kind::Number, true)
    }

    fn dollar(&mut self) -> (Kind, bool) {
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            self.eat_while(|byte| byte.is_ascii_digit());
            return match is_ident_start(self.peek(0)) {
                true => self.run(Kind::Error, is_ident_part),
                false => (Kind::Param, true),
            };
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(tag) = dollar_tag(rest) else { return self.take(Kind::Error, 1) };
        let body = rest.get(tag..).unwrap_or_default();
        match find(body, rest.get(..tag).unwrap_or_default()) {
            Some(end) => self.take(Kind::DollarString, tag + end + tag),
            None => {
                self.at = self.bytes.len();
                (Kind::DollarString, false)
            }
        }
    }

    /// The longest run of operator characters before a comment; a trailing `+` or `-` belongs to what follows
    /// unless the operator holds one of the unusual characters.
    fn operator(&mut self) -> (Kind, bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut end = rest.iter().take_while(|byte| is_operator(**byte)).count();
        if let Some(comment) = rest.windows(2).take(end).position(|pair| matches!(pair, b"--" | b"/*")) {
            end = comment;
        }
        let unusual = rest.iter().take(end).any(|byte| b"~!@#%^&|`?".contains(byte));
        while end > 1 && !unusual && matches!(rest.get(end - 1), Some(b'+' | b'-')) {
            end -= 1;
        }
        self.take(Kind::Operator, end.max(1))
    }
}

/// The length of the `$tag$` that `bytes` starts with.
pub(super) fn dollar_tag(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().skip(1).position(|byte| *byte == b'$' || !is_ident_part(*byte))? + 1;
    let starts_well = end == 1 || is_ident_start(*bytes.get(1)?);
    (bytes.get(end) == Some(&b'$') && starts_well).then_some(end + 1)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// PostgreSQL's white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

pub(super) fn is_ident_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

pub(super) fn is_ident_part(byte: u8) -> bool {
    is_ident_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

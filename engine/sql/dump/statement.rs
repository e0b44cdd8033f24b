//! The statement that the scanner is in: its first words, its end, and the rows of an INSERT.

use super::head::{self, Verdict, Whole, Why};
use super::made;
use super::outside;
use super::refusal::Refusal;
use super::roles::{self, Changed};
use super::scanner::{Blobs, Chunk, Scanner};
use crate::sql::cutter::Cutter;

/// One statement, as far as it has been read.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) cutter: Cutter,
    verdict: Verdict,
    /// The first tokens: unquoted words and `(` in upper case, `None` for others.
    words: Vec<Option<String>>,
    insert: Option<Insert>,
    /// The last token was this name, of which a call may follow; of an INSERT only, whose rows are not held back.
    last: Option<String>,
}

/// An INSERT whose rows are counted.
#[derive(Debug)]
struct Insert {
    table: String,
    rows: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeValues,
    Values,
    /// After ON CONFLICT or RETURNING, or where the rows come from a query.
    After,
}

impl Default for Statement {
    fn default() -> Statement {
        Statement {
            cutter: Cutter::default(),
            verdict: Verdict::More,
            words: Vec::new(),
            insert: None,
            last: None,
        }
    }
}

impl Insert {
    fn word(&mut self, word: &[u8]) {
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        self.place = match self.place {
            Place::BeforeValues if is("values") => Place::Values,
            Place::BeforeValues if is("default") => {
                self.rows = 1;
                Place::After
            }
            Place::BeforeValues if is("select") || is("table") || is("with") => Place::After,
            Place::Values if is("on") || is("returning") => Place::After,
            place => place,
        };
    }
}

impl Scanner {
    /// A quoted identifier is over; its name is in `word`.
    pub(super) fn quoted_name(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        self.token(chunk, None)?;
        let name = String::from_utf8_lossy(&self.word).into_owned();
        if let Some(statement) = self.statement.as_mut().filter(|statement| statement.insert.is_some()) {
            statement.last = Some(name);
        }
        Ok(())
    }

    /// True, and the statement is no longer looked at, when it is a CREATE.
    pub(super) fn give_up_definition(&mut self) -> bool {
        match &mut self.statement {
            Some(statement) if statement.verdict == Verdict::Definition => {
                statement.verdict = Verdict::Pass;
                true
            }
            _ => false,
        }
    }

    /// A token other than punctuation is over; `word` when it is an unquoted word.
    pub(super) fn token(&mut self, chunk: &mut Chunk, word: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(statement) = &mut self.statement else { return Ok(()) };
        match word {
            Some(word) => statement.cutter.word(word),
            None => statement.cutter.other(),
        }
        self.head(chunk, word)?;
        if let Some(statement) = self.statement.as_mut().filter(|statement| statement.insert.is_some()) {
            statement.last = word.map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
        }
        let insert = self.statement.as_mut().filter(|statement| statement.cutter.depth() == 0);
        if let (Some(insert), Some(word)) = (insert.and_then(|statement| statement.insert.as_mut()), word) {
            insert.word(word);
        }
        Ok(())
    }

    /// A punctuation or operator character was read.
    pub(super) fn punct(&mut self, chunk: &mut Chunk, byte: u8) -> Result<(), Refusal> {
        let Some(statement) = &mut self.statement else { return Ok(()) };
        let outside = statement.cutter.depth() == 0;
        let called = statement.last.take().filter(|_| byte == b'(');
        if let Some(what) = called.filter(|name| outside::is_outside(name, &self.armed)) {
            let at = self.here(chunk, format!("{what}("));
            return Err(Refusal::Outside { at, what });
        }
        let Some(statement) = &mut self.statement else { return Ok(()) };
        if !b"(),;.:[]".contains(&byte) {
            statement.cutter.other();
        } else if statement.cutter.punct(byte) {
            return self.end(chunk);
        }
        self.head(chunk, (byte == b'(').then_some(b"("))?;
        let insert = self.statement.as_mut().and_then(|statement| statement.insert.as_mut());
        if let Some(insert) = insert.filter(|insert| insert.place == Place::Values && outside && byte == b'(')
        {
            insert.rows += 1;
        }
        Ok(())
    }

    /// Judges the statement by one word more.
    fn head(&mut self, chunk: &mut Chunk, word: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(statement) = &mut self.statement else { return Ok(()) };
        if statement.verdict != Verdict::More {
            return Ok(());
        }
        self.check_held(chunk.pending())?;
        let Some(statement) = &mut self.statement else { return Ok(()) };
        statement.words.push(word.map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()));
        statement.verdict = head::judge(&statement.words);
        match statement.verdict {
            Verdict::More | Verdict::Whole | Verdict::Definition => Ok(()),
            Verdict::Refuse(ref why) => {
                let why = why.clone();
                Err(self.refuse(chunk, why))
            }
            Verdict::Pass => self.pass_on(chunk),
            Verdict::Rows => {
                let table = head::table(&self.held_text(chunk), 2);
                if let Some(statement) = &mut self.statement {
                    statement.insert =
                        table.map(|table| Insert { table, rows: 0, place: Place::BeforeValues });
                }
                self.pass_on(chunk)
            }
        }
    }

    /// The semicolon was read.
    fn end(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        let Some(statement) = self.statement.take() else { return Ok(()) };
        if let Some(insert) = statement.insert {
            *self.summary.rows.entry(insert.table).or_default() += insert.rows;
        }
        match statement.verdict {
            Verdict::Whole => self.whole(chunk),
            Verdict::More => self.pass_on(chunk),
            Verdict::Definition => self.definition(chunk),
            Verdict::Pass | Verdict::Rows | Verdict::Refuse(_) => Ok(()),
        }
    }

    /// A CREATE is whole: what it makes is noted.
    fn definition(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        let text = self.held_text(chunk);
        let text = text.strip_suffix(';').unwrap_or(&text);
        self.summary.made.read(text);
        if let Some(what) = outside::acts(text, &self.armed) {
            if head::runs_at_once(text) {
                return Err(self.refuse(chunk, Why::Outside(what)));
            }
            let (label, name) = made::label(text);
            self.summary.made.outside.insert(format!("{label} ({what})"));
            if label.starts_with("function ") || label.starts_with("procedure ") {
                self.armed.insert(name);
            }
        }
        self.pass_on(chunk)
    }

    fn whole(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        self.check_held(chunk.pending())?;
        let text = self.held_text(chunk);
        let text = text.strip_suffix(';').unwrap_or(&text);
        self.summary.roles.extend(roles::roles(text));
        self.summary.owners.extend(roles::owners(text));
        self.summary.bound.extend(roles::bound(text));
        self.summary.tablespaces.extend(roles::tablespace(text));
        self.summary.extensions.extend(roles::extension(text));
        if text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("create")) {
            self.summary.made.read(text);
        }
        match (head::judge_whole(text, &self.armed), self.blobs.clone()) {
            (Whole::Refuse(why), _) => Err(self.refuse(chunk, why)),
            (Whole::Begin, Blobs::No) => {
                self.blobs = Blobs::Begun(self.held_position(chunk));
                self.discard(chunk);
                Ok(())
            }
            (Whole::Commit, Blobs::Inside(_)) => {
                self.blobs = Blobs::No;
                self.discard(chunk);
                Ok(())
            }
            (Whole::Begin | Whole::Commit, _) => Err(self.refuse(chunk, Why::TransactionControl)),
            (Whole::NewLargeObject, _) => {
                self.summary.made.large_objects += 1;
                if let Blobs::Begun(at) = self.blobs.clone() {
                    self.blobs = Blobs::Inside(at);
                }
                self.release(chunk);
                Ok(())
            }
            (Whole::LargeObject, Blobs::Begun(at)) => {
                self.blobs = Blobs::Inside(at);
                self.release(chunk);
                Ok(())
            }
            (Whole::LargeObject, _) => {
                self.release(chunk);
                Ok(())
            }
            (Whole::Rows(table), _) => {
                self.expect_rows(table);
                self.pass_on(chunk)
            }
            (Whole::Pass, Blobs::No) => {
                match self.changes.of(text) {
                    Changed::Same => self.release(chunk),
                    Changed::LeftOut => self.discard(chunk),
                    Changed::Instead(other) => {
                        self.discard(chunk);
                        (chunk.pass)(other.as_bytes());
                        (chunk.pass)(b";");
                    }
                }
                Ok(())
            }
            (Whole::Pass, _) => self.pass_on(chunk),
        }
    }

    /// Passes a statement on, unless it stands in a transaction that is not pg_dump's own.
    fn pass_on(&mut self, chunk: &mut Chunk) -> Result<(), Refusal> {
        match &self.blobs {
            Blobs::Begun(at) | Blobs::Inside(at) => Err(Refusal::TransactionControl { at: at.clone() }),
            Blobs::No => {
                self.release(chunk);
                Ok(())
            }
        }
    }

    fn refuse(&self, chunk: &Chunk, why: Why) -> Refusal {
        let at = self.held_position(chunk);
        match why {
            Why::TransactionControl => Refusal::TransactionControl { at },
            Why::Database => Refusal::Database { at },
            Why::Server => Refusal::Server { at },
            Why::Program => Refusal::Program { at },
            Why::Outside(what) => Refusal::Outside { at, what },
            Why::CopyFormat => Refusal::CopyFormat { at },
            Why::Quoting => Refusal::Quoting { at },
            Why::Encoding => Refusal::Encoding { at },
        }
    }
}

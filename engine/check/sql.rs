//! What SQL may be in a plan: syntax, transactions, psql commands, queries that only ask, traps.

use super::context::Context;
use super::statements::{self, Read};
use super::uses::{Owner, Place, Use};
use crate::plan::{Finding, Span};
use crate::sql::{Effect, Kind, Opaque, Remark, RemarkKind, Statement, Transactional, lex};
use std::ops::Range;

/// More faults of syntax in one text tell nothing new, and each place has to be looked up.
const MOST_ERRORS: usize = 20;

pub fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    conditions(context, findings);
    for (one, read) in context.statements.uses(context) {
        let mut rules = Rules { context, one, findings };
        for error in read.script.errors.iter().take(MOST_ERRORS) {
            rules
                .error(
                    "runplan::check::sql_syntax",
                    &error.range,
                    format!("this is not SQL: {}", error.message),
                )
                .help(if read.is_late(&error.range) {
                    "a template becomes one value: what must be a name needs `| ident`"
                } else {
                    "PostgreSQL would refuse it; correct the statement"
                });
        }
        if read.script.statements.is_empty() && read.script.errors.is_empty() {
            let range = 0..one.text.raw.len();
            rules
                .error("runplan::check::no_statement", &range, "there is no statement in it".to_owned())
                .help("write the SQL");
        }
        for statement in &read.script.statements {
            for remark in &statement.findings {
                rules.remark(remark);
            }
        }
        match one.place {
            Place::Query => rules.query(read),
            _ => rules.statements(read),
        }
    }
}

/// The `where` of a copy: one condition, that changes nothing.
fn conditions(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for one in context.uses.iter().filter(|one| one.place == Place::Predicate) {
        let Some(condition) = statements::condition(context, one.text) else { continue };
        let mut rules = Rules { context, one, findings };
        let back = |range: &Range<usize>| {
            range.start.saturating_sub(condition.shift)..range.end.saturating_sub(condition.shift)
        };
        let script = &condition.read.script;
        if !is_one(&one.text.raw) {
            let message = "a `where` is one condition".to_owned();
            rules
                .error("runplan::check::sql_syntax", &(0..one.text.raw.len()), message)
                .help("write what stands after WHERE, without a semicolon, its parentheses closed in it");
            continue;
        }
        if let Some(error) = script.errors.first() {
            let message = format!("this is not a condition: {}", error.message);
            rules
                .error("runplan::check::sql_syntax", &back(&error.range), message)
                .help("write what stands after WHERE, one condition: `id IN (17, 23)`");
        }
        for statement in &script.statements {
            statement.findings.iter().for_each(|remark| {
                rules.remark(&Remark { range: back(&remark.range), kind: remark.kind.clone() });
            });
            if let Some((range, what)) = writes(statement) {
                rules
                    .error(
                        "runplan::check::check_writes",
                        &back(&range),
                        format!("a condition only asks, and this is {what}"),
                    )
                    .help("change things in an `sql` step");
            }
            let opaque = |effect: &&Effect| matches!(effect, Effect::Opaque { .. });
            if statement.effects.iter().any(|effect| opaque(&effect)) {
                let message = "what a function in the condition does cannot be read".to_owned();
                rules
                    .warning("runplan::check::opaque_call", &(0..one.text.raw.len()), message)
                    .help("compare columns with values");
            }
        }
    }
}

/// Something, no semicolon, and no parenthesis that closes what it did not open: it would end the condition.
fn is_one(text: &str) -> bool {
    let tokens = lex::tokens(text);
    let mut open = 0_usize;
    let closed = tokens.iter().all(|token| {
        open += usize::from(token.is_punct(text, '('));
        let closes = token.is_punct(text, ')');
        let fits = (!closes || open > 0) && !token.is_punct(text, ';');
        open = open.saturating_sub(usize::from(closes));
        fits
    });
    closed && tokens.iter().any(|token| !token.is_trivia())
}

struct Rules<'r, 'l> {
    context: &'r Context<'l>,
    one: &'r Use<'l>,
    findings: &'r mut Vec<Finding>,
}

/// The finding just pushed, to be given its help.
struct Pushed<'f>(Option<&'f mut Finding>);

impl Pushed<'_> {
    fn help(self, help: &str) {
        if let Some(finding) = self.0 {
            finding.help = Some(help.to_owned());
        }
    }
}

impl Rules<'_, '_> {
    fn span(&self, range: &Range<usize>) -> Span {
        let end = range.end.max(range.start + 1).min(self.one.text.raw.len()).max(range.start);
        self.context.place(self.one.text, range.start..end)
    }

    fn error(&mut self, code: &'static str, range: &Range<usize>, message: String) -> Pushed<'_> {
        let finding = Finding::error(code, self.span(range), message);
        self.findings.push(finding);
        Pushed(self.findings.last_mut())
    }

    fn warning(&mut self, code: &'static str, range: &Range<usize>, message: String) -> Pushed<'_> {
        let finding = Finding::warning(code, self.span(range), message);
        self.findings.push(finding);
        Pushed(self.findings.last_mut())
    }

    fn remark(&mut self, remark: &Remark) {
        let range = &remark.range;
        match &remark.kind {
            RemarkKind::Control(words) => {
                let message =
                    format!("`{}` steers the transaction, which is runplan's own", words.to_uppercase());
                let help = match words.as_str() {
                    "set transaction" => {
                        "remove it; for another isolation level begin with `SET LOCAL transaction_isolation = \
                         'serializable'` (or 'repeatable read'), for one that only reads give `read_only: true`"
                    }
                    _ => {
                        "remove it: all statements of a step are one transaction, committed when all have succeeded"
                    }
                };
                self.error("runplan::check::transaction_control", range, message).help(help);
            }
            RemarkKind::MetaCommand(command) => {
                let message = format!("`{command}` is a command of psql, not SQL");
                self.error("runplan::check::meta_command", range, message)
                    .help("write SQL, or run psql in a `shell` step");
            }
            RemarkKind::CopyProgram => {
                let message = "COPY with PROGRAM runs a program on the server".to_owned();
                self.error("runplan::check::copy_program", range, message)
                    .help("run programs in a `shell` step, where they are supervised and recorded");
            }
            RemarkKind::CopyStream => {
                let message = "COPY from stdin or to stdout needs a client that reads or writes".to_owned();
                self.error("runplan::check::copy_stream", range, message)
                    .help("write INSERT, or run psql in a `shell` step");
            }
            RemarkKind::NotIn => {
                let message =
                    "`NOT IN (SELECT ...)` finds nothing as soon as the subquery yields a NULL".to_owned();
                self.warning("runplan::check::not_in", range, message)
                    .help("write `NOT EXISTS (SELECT 1 FROM ... WHERE ...)`");
            }
            RemarkKind::SearchPath => {
                let message = "from here on a name without its schema may mean another object".to_owned();
                self.warning("runplan::check::search_path", range, message)
                    .help("write `schema.table` and leave the search path alone");
            }
            RemarkKind::Quoting => {
                let message = "this changes where strings end, which values in templates rely on".to_owned();
                self.error("runplan::check::quoting", range, message)
                    .help("leave standard_conforming_strings alone");
            }
            RemarkKind::NewEnumValue => {
                let message = "the new value cannot be used before this step has ended".to_owned();
                self.warning("runplan::check::new_enum_value", range, message).help("use it in a later step");
            }
        }
    }

    /// The query of a check: one, and it changes nothing.
    fn query(&mut self, read: &Read) {
        if let [_, second, ..] = read.script.statements.as_slice() {
            self.error("runplan::check::one_query", &second.range, "a check asks one query".to_owned())
                .help("make a check of each");
        }
        for statement in &read.script.statements {
            if let Some((range, what)) = writes(statement) {
                let message = format!("a check only asks, and this is {what}");
                self.error("runplan::check::check_writes", &range, message)
                    .help("change things in an `sql` step");
            }
        }
    }

    fn statements(&mut self, read: &Read) {
        let Some(sql) = self.one.sql else { return };
        let mut needs_probe = false;
        for statement in &read.script.statements {
            if let Transactional::No(rule) = statement.transactional {
                needs_probe = true;
                if sql.transaction {
                    self.error(
                        "runplan::check::not_in_transaction",
                        &first_words(statement),
                        rule.to_owned(),
                    )
                    .help("write `transaction: false` and a `probe:` that tells whether it took effect");
                }
            }
            if sql.read_only
                && let Some((range, what)) = writes(statement)
            {
                let message = format!("the step is read-only, and this is {what}");
                self.error("runplan::check::writes_in_read_only", &range, message)
                    .help("remove `read_only: true`, or the statement");
            }
            if !sql.read_only {
                self.opaque(statement);
            }
        }
        let is_step = matches!(self.one.owner, Owner::Step(_));
        if !sql.transaction && sql.probe.is_none() && is_step && (needs_probe || !read.is_read_only()) {
            let range = read.script.statements.first().map_or(0..1, first_words);
            let message =
                "outside a transaction nobody can tell after a crash whether it took effect".to_owned();
            self.error("runplan::check::probe_needed", &range, message)
                .help("add `probe: { sql: ..., expect: ... }`, which is true when it did");
        }
        if !sql.transaction && read.script.statements.len() > 1 {
            let range = read.script.statements.get(1).map_or(0..1, first_words);
            let message = "outside a transaction a step has one statement".to_owned();
            self.error("runplan::check::one_statement", &range, message)
                .help("make a step of each, so that each is done or not");
        }
    }

    fn opaque(&mut self, statement: &Statement) {
        for effect in &statement.effects {
            let Effect::Opaque { why, range } = effect else { continue };
            let what = match why {
                Opaque::DoBody => "the body of DO cannot be read: nobody knows what it changes".to_owned(),
                Opaque::Call => "what the procedure does cannot be read".to_owned(),
                Opaque::Execute => "what the prepared statement does cannot be read".to_owned(),
                Opaque::Function(name) => format!("what the function `{name}` changes cannot be read"),
                Opaque::UnknownFunction(name) => format!("what the function `{name}` does cannot be read"),
                Opaque::Load => "what the library does cannot be read".to_owned(),
                Opaque::Program | Opaque::Unreadable => continue,
            };
            let code = if *why == Opaque::DoBody {
                "runplan::check::opaque_do"
            } else {
                "runplan::check::opaque_call"
            };
            self.warning(code, range, what)
                .help("write the statements out; then backup and approval are checked for them");
        }
    }
}

/// What a statement changes, and where it says so.
fn writes(statement: &Statement) -> Option<(Range<usize>, String)> {
    statement.effects.iter().find_map(|effect| match effect {
        Effect::Writes { .. } | Effect::Changes { .. } => Some((first_words(statement), name(statement))),
        Effect::Destroys { what, range, .. } => Some((range.clone(), what.to_string())),
        _ => None,
    })
}

fn name(statement: &Statement) -> String {
    match &statement.kind {
        Kind::Ddl(words) | Kind::Utility(words) => words.to_uppercase(),
        Kind::Select => "a SELECT that writes".to_owned(),
        other => format!("{other:?}").to_uppercase(),
    }
}

/// The first word of a statement.
fn first_words(statement: &Statement) -> Range<usize> {
    let word = statement.text.split_whitespace().next().map_or(1, str::len);
    statement.range.start..statement.range.start + word
}

//! Refuses text that nests so deep that a recursive parser would run out of stack: the parser behind this module
//! has no limit of its own. Works on tokens, without recursion; the limits hold on a 2 MiB stack.

use std::ops::Range;

use super::lex::{Kind, Token};

/// Open parentheses, brackets and CASEs.
const MAX_NESTING: usize = 100;
/// Words between two commas, those of the open levels around them included: a chain such as `a AND b AND ...`
/// is a tree as deep as it is long.
const MAX_CHAIN: usize = 3_000;
/// NOT, EXPLAIN, PREPARE and operators in front of an operand, in one chain.
const MAX_PREFIXES: usize = 200;
/// UNION, INTERSECT and EXCEPT at one level.
const MAX_SETS: usize = 1_000;

/// LATERAL in one statement: where a query stands behind it without parentheses, the next one nests inside, commas or not.
const MAX_LATERALS: usize = 50;

/// The first token that is too deep, and what there is too much of.
pub(super) fn excess(text: &str, tokens: &[Token]) -> Option<(Range<usize>, String)> {
    let mut stack = Stack { levels: vec![Level::default()], outer: 0, laterals: 0 };
    let mut after_operand = false;
    for token in tokens.iter().filter(|token| !token.is_trivia()) {
        let word = Word::of(token, text);
        stack.step(word, after_operand);
        after_operand = matches!(word, Word::Operand | Word::Close | Word::End);
        if let Some(message) = stack.excess() {
            return Some((token.range.clone(), message));
        }
    }
    None
}

struct Stack {
    levels: Vec<Level>,
    /// Words in the chains of all levels but the innermost.
    outer: usize,
    laterals: usize,
}

#[derive(Default)]
struct Level {
    case: bool,
    chain: usize,
    /// The depth of the deepest finished level inside the chain.
    below: usize,
    /// The depth of the deepest finished chain.
    peak: usize,
    prefixes: usize,
    sets: usize,
}

impl Stack {
    fn step(&mut self, word: Word, after_operand: bool) {
        match word {
            Word::Open | Word::Case => {
                self.outer += self.levels.last().map_or(0, |level| level.chain);
                self.levels.push(Level { case: word == Word::Case, ..Level::default() });
            }
            Word::Close => self.close(false),
            Word::End => self.close(true),
            _ => {}
        }
        let Some(level) = self.levels.last_mut() else { return };
        level.chain += 1;
        match word {
            Word::Separator => {
                level.peak = level.peak.max(level.chain + level.below);
                (level.chain, level.below, level.prefixes) = (0, 0, 0);
            }
            Word::Set => level.sets += 1,
            Word::Lateral => self.laterals += 1,
            Word::Prefix => level.prefixes += 1,
            Word::Operator if !after_operand => level.prefixes += 1,
            _ => {}
        }
    }

    /// Closes the innermost level; what does not fit it closes nothing.
    fn close(&mut self, case: bool) {
        let fits = self.levels.len() > 1 && self.levels.last().is_some_and(|level| level.case == case);
        let Some(closed) = fits.then(|| self.levels.pop()).flatten() else { return };
        if let Some(level) = self.levels.last_mut() {
            level.below = level.below.max(closed.peak).max(closed.chain + closed.below);
            self.outer -= level.chain;
        }
    }

    fn excess(&self) -> Option<String> {
        let level = self.levels.last()?;
        if self.levels.len() > MAX_NESTING + 1 {
            Some(format!("nested deeper than {MAX_NESTING} levels"))
        } else if self.outer + level.chain + level.below > MAX_CHAIN {
            Some(format!("an expression of more than {MAX_CHAIN} words"))
        } else if level.prefixes > MAX_PREFIXES {
            Some(format!("more than {MAX_PREFIXES} prefixes in one expression"))
        } else if level.sets > MAX_SETS {
            Some(format!("more than {MAX_SETS} set operations in one query"))
        } else if self.laterals > MAX_LATERALS {
            Some(format!("more than {MAX_LATERALS} times LATERAL in one statement"))
        } else {
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Open,
    Close,
    Case,
    End,
    Separator,
    Set,
    Lateral,
    Prefix,
    Operator,
    Operand,
}

impl Word {
    fn of(token: &Token, text: &str) -> Word {
        let written = token.text(text);
        let is = |words: &[&str]| words.iter().any(|word| written.eq_ignore_ascii_case(word));
        match token.kind {
            Kind::Punct if is(&["(", "["]) => Word::Open,
            Kind::Punct if is(&[")", "]"]) => Word::Close,
            Kind::Punct if is(&[",", ";"]) => Word::Separator,
            Kind::Operator => Word::Operator,
            Kind::Ident if is(&["case"]) => Word::Case,
            Kind::Ident if is(&["end"]) => Word::End,
            Kind::Ident if is(&["union", "intersect", "except"]) => Word::Set,
            Kind::Ident if is(&["lateral"]) => Word::Lateral,
            Kind::Ident if is(&["not", "explain", "prepare"]) => Word::Prefix,
            _ => Word::Operand,
        }
    }
}

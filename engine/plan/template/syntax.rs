//! The syntax tree of a template -> everything it names, each with its exact place. The only file that knows minijinja's
//! tree, which may change with its version; it must never evaluate anything.

use super::{Error, size};
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, parse, parse_expr};
use std::ops::Range;

/// A name that a template reads, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `steps.restored.database`; ends before the first part that is computed.
    pub path: String,
    /// The same, part by part: `steps['a.b'].c` has three.
    pub parts: Vec<String>,
    pub range: Range<usize>,
    /// It may have no value: stands under `default`, `is defined`, or a condition that asks for it.
    pub guarded: bool,
}

/// A filter, test, function or tag, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub name: String,
    pub range: Range<usize>,
}

/// Everything that a template names, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub references: Vec<Reference>,
    pub filters: Vec<Used>,
    pub tests: Vec<Used>,
    pub functions: Vec<Used>,
    /// Tags that cannot work here: there are no other templates to include.
    pub foreign: Vec<Used>,
    /// The names that the expression, being true, proves to have a value.
    pub proves: Vec<String>,
}

impl Names {
    pub(super) fn extend(&mut self, more: Self) {
        self.references.extend(more.references);
        self.filters.extend(more.filters);
        self.tests.extend(more.tests);
        self.functions.extend(more.functions);
        self.foreign.extend(more.foreign);
        self.proves.extend(more.proves);
    }
}

/// # Errors
/// Syntax.
pub(super) fn expression(text: &str, range: Range<usize>) -> Result<Names, Error> {
    size::expression(text, &range)?;
    let tree = parse_expr(text).map_err(|error| Error::from_minijinja(&error, range.clone()))?;
    let mut walk = Walk { text, offset: range.start, ..Walk::default() };
    walk.expr(&tree);
    walk.names.proves = proved(&tree);
    Ok(walk.names)
}

/// # Errors
/// Syntax.
pub(super) fn template(text: &str) -> Result<Names, Error> {
    size::template(text)?;
    let tree = parse(text, "<template>", Default::default())
        .map_err(|error| Error::from_minijinja(&error, 0..text.len()))?;
    let mut walk = Walk { text, ..Walk::default() };
    walk.statement(&tree);
    Ok(walk.names)
}

#[derive(Default)]
struct Walk<'t> {
    text: &'t str,
    offset: usize,
    names: Names,
    /// Names that the template itself gives a value, innermost last.
    own: Vec<String>,
    /// Names that are known to have a value, or need none.
    proved: Vec<String>,
    lenient: usize,
}

impl<'t> Walk<'t> {
    fn place(&self, start: usize, end: usize) -> Range<usize> {
        self.offset + start..self.offset + end.max(start)
    }

    /// Where the word stands that a filter or test adds: the last of them in the span, before its arguments.
    fn word(&self, name: &str, from: usize, span: Span) -> Used {
        let end = (span.end_offset as usize).min(self.text.len());
        let within = self.text.get(from..end).unwrap_or_default();
        let start = within.find(name).map_or(from, |at| from + at);
        Used { name: name.to_owned(), range: self.place(start, start + name.len()) }
    }

    fn block(&mut self, statements: &[Stmt<'t>]) {
        let (own, proved) = (self.own.len(), self.proved.len());
        for statement in statements {
            self.statement(statement);
        }
        self.own.truncate(own);
        self.proved.truncate(proved);
    }

    fn under(&mut self, proved: Vec<String>, statements: &[Stmt<'t>]) {
        let before = self.proved.len();
        self.proved.extend(proved);
        self.block(statements);
        self.proved.truncate(before);
    }

    fn foreign(&mut self, name: &str, span: Span) {
        let range = self.place(span.start_offset as usize, span.end_offset as usize);
        self.names.foreign.push(Used { name: name.to_owned(), range });
    }

    fn statement(&mut self, statement: &Stmt<'t>) {
        match statement {
            Stmt::Template(node) => self.block(&node.children),
            Stmt::EmitExpr(node) => self.expr(&node.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(node) => {
                self.expr(&node.iter);
                let own = self.own.len();
                self.assign(&node.target);
                self.own.push("loop".to_owned());
                node.filter_expr.iter().for_each(|expr| self.expr(expr));
                self.block(&node.body);
                self.own.truncate(own);
                self.block(&node.else_body);
            }
            Stmt::IfCond(node) => {
                self.expr(&node.expr);
                self.under(proved(&node.expr), &node.true_body);
                self.under(refuted(&node.expr), &node.false_body);
            }
            Stmt::WithBlock(node) => {
                let own = self.own.len();
                for (target, value) in &node.assignments {
                    self.expr(value);
                    self.assign(target);
                }
                self.block(&node.body);
                self.own.truncate(own);
            }
            Stmt::Set(node) => {
                self.expr(&node.expr);
                self.assign(&node.target);
            }
            Stmt::SetBlock(node) => {
                node.filter.iter().for_each(|expr| self.expr(expr));
                self.block(&node.body);
                self.assign(&node.target);
            }
            Stmt::AutoEscape(node) => self.foreign("autoescape", node.span()),
            Stmt::FilterBlock(node) => {
                self.expr(&node.filter);
                self.block(&node.body);
            }
            Stmt::Block(node) => {
                self.foreign("block", node.span());
                self.block(&node.body);
            }
            Stmt::Import(node) => self.foreign("import", node.span()),
            Stmt::FromImport(node) => self.foreign("import", node.span()),
            Stmt::Extends(node) => self.foreign("extends", node.span()),
            Stmt::Include(node) => self.foreign("include", node.span()),
            Stmt::Macro(node) => {
                self.own.push(node.name.to_owned());
                let own = self.own.len();
                node.defaults.iter().for_each(|expr| self.expr(expr));
                node.args.iter().for_each(|target| self.assign(target));
                self.own.push("caller".to_owned());
                self.block(&node.body);
                self.own.truncate(own);
            }
            Stmt::CallBlock(node) => self.foreign("call", node.span()),
            Stmt::Do(node) => {
                self.expr(&node.call.expr);
                self.arguments(&node.call.args);
            }
        }
    }

    fn assign(&mut self, target: &Expr<'t>) {
        match target {
            Expr::Var(var) => self.own.push(var.id.to_owned()),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            other => self.expr(other),
        }
    }

    fn expr(&mut self, expr: &Expr<'t>) {
        match expr {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.path(expr),
            Expr::Const(_) => {}
            Expr::Slice(node) => {
                self.expr(&node.expr);
                [&node.start, &node.stop, &node.step].into_iter().flatten().for_each(|expr| self.expr(expr));
            }
            Expr::UnaryOp(node) => self.expr(&node.expr),
            Expr::BinOp(node) => {
                self.expr(&node.left);
                let before = self.proved.len();
                match node.op {
                    BinOpKind::ScAnd => self.proved.extend(proved(&node.left)),
                    BinOpKind::ScOr => self.proved.extend(refuted(&node.left)),
                    _ => {}
                }
                self.expr(&node.right);
                self.proved.truncate(before);
            }
            Expr::Compare(node) => {
                self.expr(&node.expr);
                node.ops.iter().for_each(|op| self.expr(&op.expr));
            }
            Expr::IfExpr(node) => {
                self.expr(&node.test_expr);
                let before = self.proved.len();
                self.proved.extend(proved(&node.test_expr));
                self.expr(&node.true_expr);
                self.proved.truncate(before);
                self.proved.extend(refuted(&node.test_expr));
                node.false_expr.iter().for_each(|expr| self.expr(expr));
                self.proved.truncate(before);
            }
            Expr::Filter(node) => {
                let lenient = usize::from(matches!(node.name, "default" | "d"));
                self.lenient += lenient;
                node.expr.iter().for_each(|expr| self.expr(expr));
                self.lenient -= lenient;
                let from = node.expr.as_ref().map_or(node.span().start_offset, |expr| expr.span().end_offset);
                self.names.filters.push(self.word(node.name, from as usize, node.span()));
                self.arguments(&node.args);
            }
            Expr::Test(node) => {
                let lenient = usize::from(matches!(node.name, "defined" | "undefined"));
                self.lenient += lenient;
                self.expr(&node.expr);
                self.lenient -= lenient;
                let from = node.expr.span().end_offset as usize;
                self.names.tests.push(self.word(node.name, from, node.span()));
                self.arguments(&node.args);
            }
            Expr::Call(node) => {
                match &node.expr {
                    Expr::Var(var) if !self.own.iter().any(|own| own == var.id) => {
                        let span = var.span();
                        let range = self.place(span.start_offset as usize, span.end_offset as usize);
                        self.names.functions.push(Used { name: var.id.to_owned(), range });
                    }
                    // A method: what it is called on is read.
                    Expr::GetAttr(method) => self.expr(&method.expr),
                    other => self.expr(other),
                }
                self.arguments(&node.args);
            }
            Expr::List(node) => node.items.iter().for_each(|item| self.expr(item)),
            Expr::Tuple(node) => node.items.iter().for_each(|item| self.expr(item)),
            Expr::Map(node) => {
                node.keys.iter().chain(&node.values).for_each(|item| self.expr(item));
            }
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'t>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(expr)
                | CallArg::Kwarg(_, expr)
                | CallArg::PosSplat(expr)
                | CallArg::KwargSplat(expr) => self.expr(expr),
            }
        }
    }

    fn path(&mut self, expr: &Expr<'t>) {
        self.computed(expr);
        let Some((parts, range)) = parts(expr) else { return };
        if self.own.iter().any(|own| *own == parts[0]) {
            return;
        }
        let path = parts.join(".");
        let known = |proved: &String| {
            path == *proved || path.strip_prefix(proved.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let guarded = self.lenient > 0 || self.proved.iter().any(known);
        let range = self.place(range.start, range.end);
        self.names.references.push(Reference { path, parts, range, guarded });
    }

    /// What stands in the computed subscripts of a path, and under a path that does not begin with a name.
    fn computed(&mut self, expr: &Expr<'t>) {
        match expr {
            Expr::GetAttr(node) => self.computed(&node.expr),
            Expr::GetItem(node) => {
                self.computed(&node.expr);
                self.expr(&node.subscript_expr);
            }
            Expr::Var(_) => {}
            other => self.expr(other),
        }
    }
}

/// The parts of a dotted name, as far as they are written out.
fn parts(expr: &Expr<'_>) -> Option<(Vec<String>, Range<usize>)> {
    let (parts, range, _) = prefix(expr)?;
    Some((parts, range))
}

/// The parts, their range, and whether the whole expression is in them.
fn prefix(expr: &Expr<'_>) -> Option<(Vec<String>, Range<usize>, bool)> {
    match expr {
        Expr::Var(var) => {
            let span = var.span();
            Some((vec![var.id.to_owned()], span.start_offset as usize..span.end_offset as usize, true))
        }
        Expr::GetAttr(node) => {
            let (mut parts, range, whole) = prefix(&node.expr)?;
            if !whole {
                return Some((parts, range, false));
            }
            parts.push(node.name.to_owned());
            Some((parts, range.start..node.span().end_offset as usize, true))
        }
        Expr::GetItem(node) => {
            let (mut parts, range, whole) = prefix(&node.expr)?;
            let Expr::Const(constant) = &node.subscript_expr else { return Some((parts, range, false)) };
            if !whole {
                return Some((parts, range, false));
            }
            parts.push(constant.value.to_string());
            Some((parts, range.start..node.span().end_offset as usize, true))
        }
        _ => None,
    }
}

/// The names that certainly have a value where the condition is true.
fn proved(condition: &Expr<'_>) -> Vec<String> {
    match condition {
        Expr::Test(test) if test.name == "defined" => prefix(&test.expr)
            .filter(|(.., whole)| *whole)
            .map(|(parts, ..)| parts.join("."))
            .into_iter()
            .collect(),
        Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Not) => refuted(&node.expr),
        Expr::BinOp(node) if matches!(node.op, BinOpKind::ScAnd) => {
            let mut both = proved(&node.left);
            both.extend(proved(&node.right));
            both
        }
        _ => Vec::new(),
    }
}

/// The names that certainly have a value where the condition is false.
fn refuted(condition: &Expr<'_>) -> Vec<String> {
    match condition {
        Expr::Test(test) if test.name == "undefined" => prefix(&test.expr)
            .filter(|(.., whole)| *whole)
            .map(|(parts, ..)| parts.join("."))
            .into_iter()
            .collect(),
        Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Not) => proved(&node.expr),
        Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
            let mut both = refuted(&node.left);
            both.extend(refuted(&node.right));
            both
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(names: &[Used], text: &str) -> String {
        names.iter().map(|used| text[used.range.clone()].to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_name_knows_its_place() {
        let text = "a {{ steps['x.y'].rows[0].id | upper }} {% if steps.b is defined and params.c %}{{ steps.b.d }}\
                    {{ steps.e | default(params.f) }}{% endif %}{% for r in steps.g.rows %}{{ r.x }}{{ now() }}{% endfor %}";
        let names = template(text).unwrap();
        let found: Vec<(String, &str, bool)> = names
            .references
            .iter()
            .map(|reference| (reference.path.clone(), &text[reference.range.clone()], reference.guarded))
            .collect();
        assert_eq!(
            found,
            [
                ("steps.x.y.rows.0.id".to_owned(), "steps['x.y'].rows[0].id", false),
                ("steps.b".to_owned(), "steps.b", true),
                ("params.c".to_owned(), "params.c", false),
                ("steps.b.d".to_owned(), "steps.b.d", true),
                ("steps.e".to_owned(), "steps.e", true),
                ("params.f".to_owned(), "params.f", false),
                ("steps.g.rows".to_owned(), "steps.g.rows", false),
            ]
        );
        assert_eq!(show(&names.filters, text), "upper default");
        assert_eq!(show(&names.tests, text), "defined");
        assert_eq!(show(&names.functions, text), "now");
    }

    #[test]
    fn computed_subscripts_are_read_too() {
        let names = expression("steps.dump[params.k].path ~ params.list[steps.i.n]", 10..60).unwrap();
        let paths: Vec<&str> = names.references.iter().map(|reference| reference.path.as_str()).collect();
        assert_eq!(paths, ["params.k", "steps.dump", "steps.i.n", "params.list"]);
        assert_eq!(names.references[1].range, 10..20);
    }
}

//! How many rows a statement returns or changes, by the planner's guess.

use super::{Asking, short};
use crate::sql::{Kind, Statement};
use crate::steps::preflight::concern::{Concern, Found};

impl Asking<'_> {
    pub(super) fn estimate(&self, statement: &Statement, lines: &[String], found: &mut Found) {
        let Some(rows) = estimated_rows(lines) else { return };
        let what = match &statement.kind {
            Kind::Select if self.sql.copied => "copies",
            Kind::Select => "returns",
            _ => "changes",
        };
        let count = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        found.fact(
            &self.used.step,
            format!("{}: `{}` {what} about {count}", self.sql.part, short(&statement.text)),
        );
        if let Some(most) = self.sql.max_rows
            && what != "returns"
            && rows > most
        {
            let verb = if what == "copies" { "copy" } else { "change" };
            let message = format!(
                "`{}` would {verb} about {rows} rows by the server's estimate, and max_rows is {most}",
                short(&statement.text)
            );
            found.add(Concern::warning("many_rows", message).step(&self.used.step).help(
                "the step is rolled back when it is more rows; look at the condition, and ANALYZE the table",
            ));
        }
    }
}

/// The planner's guess: of the first node, or of what feeds a node that changes rows and returns none.
fn estimated_rows(lines: &[String]) -> Option<u64> {
    let rows = |line: &String| line.split_once(" rows=")?.1.split_whitespace().next()?.parse().ok();
    let first = lines.first()?;
    let changes = ["Insert on ", "Update on ", "Delete on ", "Merge on "];
    match changes.iter().any(|start| first.trim_start().starts_with(start)) {
        true => lines.iter().skip(1).find(|line| line.trim_start().starts_with("->")).and_then(rows),
        false => rows(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_that_of_the_rows_changed() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let update = "Update on users  (cost=0.00..35.50 rows=0 width=0)\n  ->  Seq Scan on users  (cost=0.00..35.50 rows=2550 width=10)";
        assert_eq!(estimated_rows(&lines(update)), Some(2550));
        assert_eq!(estimated_rows(&lines("Seq Scan on users  (cost=0.00..35.50 rows=7 width=10)")), Some(7));
        let cte = "CTE Scan on d  (cost=1.00..2.00 rows=3 width=4)\n  CTE d\n    ->  Delete on t  (cost=0 rows=0 width=0)";
        assert_eq!(estimated_rows(&lines(cte)), Some(3));
        assert_eq!(estimated_rows(&[]), None);
    }
}

//! Statements that administrators write, and what is told of each.

use runplan::sql;

use super::statements::told;

pub const CORPUS: &str = include_str!("corpus.sql");

#[test]
fn the_statements_of_administrators_are_read() {
    let pieces = sql::split(CORPUS);
    assert_eq!(pieces.len(), CORPUS.lines().count());
    let mut shown = String::new();
    for piece in pieces {
        let text = CORPUS[piece].trim();
        let script = sql::read(text);
        shown += &format!("{text}\n    {:?}\n", script.statements[0].kind);
        shown.extend(told(text).iter().map(|line| format!("    {line}\n")));
    }
    insta::assert_snapshot!(shown);
}

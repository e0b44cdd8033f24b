//! Commands in running text stay in one line, wherever it is broken: what is broken cannot be copied. Pure.

use unicode_width::UnicodeWidthStr;

/// Stands for a space that is no place to break at. From the private use area: no text has it.
const GLUE: char = '\u{e000}';
/// Longer quotations are no commands.
const LONGEST: usize = 300;

/// With everything between backticks in one piece.
pub fn glued(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(from) = rest.find('`') {
        let (before, quoted) = rest.split_at(from + 1);
        out.push_str(before);
        let end = quoted.find('`').filter(|end| *end <= LONGEST && !quoted[..*end].contains('\n'));
        let Some(end) = end else {
            rest = quoted;
            continue;
        };
        out.extend(quoted[..=end].chars().map(|c| if c == ' ' { GLUE } else { c }));
        rest = &quoted[end + 1..];
    }
    out.push_str(rest);
    out
}

/// As it was before.
pub fn unglued(text: &str) -> String {
    text.replace(GLUE, " ")
}

/// Broken between words; words that are longer, paths and commands, stay whole. Later lines are moved in by `indent`, behind
/// what the line begins with.
pub fn folded(text: &str, columns: usize, indent: usize) -> Vec<String> {
    text.lines().flat_map(|line| fold(line, columns, indent)).collect()
}

fn fold(line: &str, columns: usize, indent: usize) -> Vec<String> {
    let lead = line.len() - line.trim_start().len();
    let pad = " ".repeat(lead + indent);
    let mut lines: Vec<String> = Vec::new();
    let mut now = line[..lead].to_owned();
    let mut is_fresh = true;
    for word in glued(line).split_whitespace() {
        if !is_fresh && now.width() + 1 + word.width() > columns {
            lines.push(std::mem::replace(&mut now, pad.clone()));
            is_fresh = true;
        }
        if !is_fresh {
            now.push(' ');
        }
        now.push_str(word);
        is_fresh = false;
    }
    lines.push(now);
    lines.iter().map(|line| unglued(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_never_broken() {
        let command = "`runplan resolve k7f3 switched --skip --reason 'it stays as it is'`";
        let text = format!("it cannot be undone: {command} goes on with what came before, and leaves it");
        for columns in 10..120 {
            let lines = folded(&text, columns, 2);
            assert!(lines.iter().any(|line| line.contains(command)), "{columns}: {lines:?}");
            let longest = command.width() + 2;
            assert!(lines.iter().all(|line| line.width() <= columns.max(longest)), "{columns}: {lines:?}");
        }
        assert_eq!(folded("  - one two three", 9, 2), ["  - one", "    two", "    three"]);
        for odd in ["a ` b", "``", "` x `y", "", "a `b\nc` d"] {
            assert_eq!(unglued(&glued(odd)), odd);
        }
    }
}

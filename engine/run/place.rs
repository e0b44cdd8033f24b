//! Commands that are shown, made to work where they are typed: with the state directory, when it is not the one that a command
//! takes by itself. The one place that knows how. Pure; must never change anything but a command.

use std::borrow::Cow;

const NAME: &str = "runplan ";
/// Commands that look for runs.
const LOOKING: &[&str] = &[
    "approve", "backups", "export", "import", "logs", "prune", "rehearse", "reject", "report", "resolve",
    "resume", "run", "runs", "status", "stop", "undo", "watch",
];

/// The text with `--state PLACE` in its commands. `place`: as it is typed in a shell; None: nobody has to say it.
pub fn placed<'t>(text: &'t str, place: Option<&str>) -> Cow<'t, str> {
    let (Some(place), true) = (place, text.contains(NAME)) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(NAME) {
        let (before, after) = rest.split_at(at + NAME.len());
        out.push_str(before);
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
        let begins = !rest[..at].ends_with(is_word);
        let end = after.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(after.len());
        // Another machine's command names its own place.
        let whole = after.split(['`', '\n', ';']).next().unwrap_or(after);
        if begins && LOOKING.contains(&&after[..end]) && !whole.contains(" --state ") {
            out.push_str("--state ");
            out.push_str(place);
            out.push(' ');
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A path as a shell takes it.
pub fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    match !path.is_empty() && path.chars().all(is_plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_their_place_and_nothing_else_changes() {
        let all = "`runplan resume k7f3`, or runplan undo k7f3; runplan runs\nnext: runplan report";
        assert_eq!(placed(all, None), all);
        assert_eq!(
            placed(all, Some("/s")),
            "`runplan --state /s resume k7f3`, or runplan --state /s undo k7f3; runplan --state /s runs\n\
             next: runplan --state /s report"
        );
        let once = placed(all, Some("/s")).into_owned();
        assert_eq!(placed(&once, Some("/s")), once, "once");
        for other in [
            "runplan check x.yaml",
            "a newer runplan wrote it",
            "my-runplan resume",
            "runplan resumed",
            "`runplan resume k7f3 --state /elsewhere` on db1",
        ] {
            assert_eq!(placed(other, Some("/s")), other);
        }
        let two = "`runplan resume a --state /b` or `runplan runs`";
        assert_eq!(placed(two, Some("/s")), "`runplan resume a --state /b` or `runplan --state /s runs`");
    }

    #[test]
    fn a_path_is_typed_as_a_shell_takes_it() {
        assert_eq!(quoted("/var/lib/runplan"), "/var/lib/runplan");
        assert_eq!(quoted("/my state/it's"), r"'/my state/it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}

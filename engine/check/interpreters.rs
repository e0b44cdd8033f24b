//! Programs that read text as a program: what runs a script, and the argument behind `-c`. It must never let a value into
//! such a text, where nothing quotes it.

use super::context::Context;
use crate::plan::action::Shell;
use crate::plan::template::{Piece, pieces};
use crate::plan::{Finding, Text};

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ksh", "zsh", "ash", "busybox"];

/// Programs, the options behind which a program text stands, and what it is read as.
const READERS: [(&[&str], &[&str], &str); 6] = [
    (&["psql"], &["-c", "--command"], "SQL"),
    (&["su", "runuser"], &["-c", "--command"], "a script"),
    (&["python", "python2", "python3"], &["-c"], "a program"),
    (&["perl", "ruby"], &["-e", "-E"], "a program"),
    (&["node", "nodejs", "bun"], &["-e", "--eval", "-p", "--print"], "a program"),
    (&["php"], &["-r"], "a program"),
];

pub fn check(context: &Context<'_>, shell: &Shell, findings: &mut Vec<Finding>) {
    script(context, shell, findings);
    let argv = shell.argv.as_deref().unwrap_or_default();
    for (text, read_as) in programs(argv) {
        let Ok(parts) = pieces(&text.raw) else { continue };
        for part in parts {
            let Piece::Expression(expression, range) = part else { continue };
            let span = context.place(text, range.start - 2..range.end + 2);
            let message =
                format!("`{{{{{expression}}}}}` would be read as {read_as}, which can run commands");
            findings.push(
                Finding::error("runplan::check::template_evaluated", span, message)
                    .label("nothing quotes it here")
                    .help(match read_as {
                        "SQL" => "write a step or a check of kind `sql`, which quotes its values",
                        "a script" => {
                            "write `run:` instead of `argv:`, which quotes its values; or give it behind the script: \
                             [bash, -c, 'echo \"$1\"', bash, \"{{ value }}\"]"
                        }
                        _ => "pass the value by `env:` and read it from the environment",
                    }),
            );
        }
    }
}

/// `{{ }}` in a script becomes a shell variable, which other interpreters do not read.
fn script(context: &Context<'_>, shell: &Shell, findings: &mut Vec<Finding>) {
    let Some(run) = shell.run.as_ref().filter(|run| run.has_template()) else { return };
    let program = shell.shell.first().map_or("", String::as_str);
    if SHELLS.contains(&name(program)) {
        return;
    }
    let at = run.raw.find("{{").unwrap_or_default();
    let end = run.raw[at..].find("}}").map_or(run.raw.len(), |length| at + length + 2);
    let span = context.place(run, at..end);
    findings.push(
        Finding::error(
            "runplan::check::template_for_interpreter",
            span,
            format!("a template in a script needs a POSIX shell, not `{program}`"),
        )
        .help("pass the value by `env:` and read it from the environment"),
    );
}

/// The arguments that some program of the command reads as a program. The interpreter need not come first:
/// `sudo -u postgres bash -c ...`.
fn programs(argv: &[Text]) -> Vec<(&Text, &'static str)> {
    let mut found = Vec::new();
    for (at, word) in argv.iter().enumerate() {
        let name = name(word.raw.trim());
        let rest = &argv[at + 1..];
        if SHELLS.contains(&name) {
            found.extend(of_shell(rest).map(|text| (text, "a script")));
        } else if let Some((_, options, read_as)) = READERS.iter().find(|(names, ..)| names.contains(&name)) {
            found.extend(behind(rest, options).map(|text| (text, *read_as)));
        }
    }
    found
}

/// `-c`, `-ec`: the first word behind the options is the script; what follows are its arguments.
fn of_shell(rest: &[Text]) -> Option<&Text> {
    let is_option = |text: &&Text| text.raw.starts_with(['-', '+']);
    let reads =
        rest.iter().take_while(is_option).any(|text| !text.raw.starts_with("--") && text.raw.contains('c'));
    // `-o pipefail` takes a word.
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        if !is_option(&word) {
            return reads.then_some(word);
        }
        if !word.raw.starts_with("--") && word.raw.ends_with(['o', 'O']) {
            words.next();
            return of_shell(words.as_slice())
                .or_else(|| words.find(|text| !is_option(text)).filter(|_| reads));
        }
    }
    None
}

/// Every `-c TEXT`, `-cTEXT` and `--command=TEXT`.
fn behind<'t>(rest: &'t [Text], options: &'t [&str]) -> impl Iterator<Item = &'t Text> {
    rest.iter().enumerate().filter_map(move |(at, word)| {
        let raw = word.raw.as_str();
        if options.contains(&raw) {
            return rest.get(at + 1);
        }
        let joined = options.iter().any(|option| match option.strip_prefix("--") {
            Some(_) => raw.strip_prefix(option).is_some_and(|text| text.starts_with('=')),
            None => raw.starts_with(option) && !raw.starts_with("--"),
        });
        joined.then_some(word)
    })
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Span;

    fn read(argv: &[&str]) -> Vec<String> {
        let file = crate::plan::Sources::default().add("t".to_owned(), "");
        let argv: Vec<Text> = argv.iter().map(|text| Text::written(*text, Span::new(file, 0..0))).collect();
        programs(&argv).into_iter().map(|(text, read_as)| format!("{read_as}: {}", text.raw)).collect()
    }

    #[test]
    fn what_is_read_as_a_program() {
        assert_eq!(read(&["bash", "-c", "X", "bash", "Y"]), ["a script: X"]);
        assert_eq!(read(&["/bin/sh", "-e", "-c", "X"]), ["a script: X"]);
        assert_eq!(read(&["bash", "-euo", "pipefail", "-c", "X", "Y"]), ["a script: X"]);
        assert_eq!(read(&["bash", "-ceuo", "pipefail", "X"]), ["a script: X"]);
        assert_eq!(read(&["sudo", "-u", "postgres", "bash", "-lc", "X"]), ["a script: X"]);
        assert_eq!(read(&["su", "postgres", "-c", "X"]), ["a script: X"]);
        assert_eq!(
            read(&["psql", "-c", "X", "--command=Y", "-cZ"]),
            ["SQL: X", "SQL: --command=Y", "SQL: -cZ"]
        );
        assert_eq!(read(&["python3", "-c", "X", "Y"]), ["a program: X"]);
        for argv in [
            &["bash", "X", "-c"][..],
            &["bash", "--norc", "X"],
            &["bash", "-o", "pipefail", "X"],
            &["psql", "-f", "X"],
            &["git", "-c", "X"],
            &["echo"],
            &[],
        ] {
            assert!(read(argv).is_empty(), "{argv:?}");
        }
    }
}

//! The actions that leave the database: programs and requests.

use super::super::interpreters;
use super::Rules;
use crate::plan::action::http::Method;
use crate::plan::action::{Graphql, Http, Kind, Shell};
use crate::plan::{Changes, Sp, Span, vocabulary};

impl Rules<'_, '_> {
    pub(super) fn shell(&mut self, shell: &Shell, span: Span) {
        interpreters::check(self.context, shell, self.findings);
        self.either(span, [shell.argv.is_some(), shell.run.is_some()], ["argv", "run"]);
        if shell
            .argv
            .as_ref()
            .is_some_and(|argv| argv.first().is_none_or(|first| first.raw.trim().is_empty()))
        {
            self.error(
                "runplan::check::no_program",
                span,
                "`argv` names no program",
                "write `argv: [program, argument]`",
            );
        }
        if shell.run.is_some() && shell.shell.first().is_none_or(String::is_empty) {
            self.error(
                "runplan::check::no_program",
                span,
                "`shell` names no program",
                "write `shell: [bash, -euo, pipefail]`",
            );
        }
        if shell.success_codes.is_empty() || shell.success_codes.iter().any(|code| !(0..=255).contains(code))
        {
            let message = "`success_codes` holds numbers from 0 to 255, at least one";
            self.error("runplan::check::bad_codes", span, message, "write `success_codes: [0]`");
        }
        if let Some(name) = shell.env.keys().find(|name| is_reserved(&name.value)) {
            let message = format!("`{}` is a name that values in scripts are handed over by", name.value);
            self.error("runplan::check::reserved_name", name.span, message, "choose another name");
        }
        for (name, take) in &shell.outputs {
            self.either(name.span, [take.json.is_some(), take.regex.is_some()], ["json", "regex"]);
            let taken = vocabulary::outputs(Kind::Shell).iter().chain(vocabulary::ALWAYS);
            if taken.into_iter().any(|taken| *taken == name.value) {
                let message = format!("`{}` is an output of every shell step already", name.value);
                self.error("runplan::check::output_taken", name.span, message, "choose another name");
            }
            if let Some(pattern) = &take.regex {
                self.pattern(pattern);
            }
        }
        self.world(shell.destructive, shell.changes.as_ref(), span);
        self.probe(shell.probe.as_deref(), false, span);
    }

    pub fn pattern(&mut self, pattern: &Sp<String>) {
        if let Err(error) = regex::Regex::new(&pattern.value) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("`{}` is not a regular expression: {why}", pattern.value);
            self.error(
                "runplan::check::bad_pattern",
                pattern.span,
                message,
                "escape what shall be taken as it is with `\\`",
            );
        }
    }

    pub(super) fn http(&mut self, http: &Http, span: Span) {
        let bodies = [
            ("json", http.json.is_some()),
            ("body", http.body.is_some()),
            ("graphql", http.graphql.is_some()),
        ];
        let bodies: Vec<&str> =
            bodies.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
        if let [one, other, ..] = bodies.as_slice() {
            self.either(span, [true, true], [*one, *other]);
        }
        if let Some(graphql) = &http.graphql {
            self.graphql(graphql, http.method, span);
        }
        if http.until.is_some() && self.timeout.is_none() {
            let message = "`until` asks again and again; without a `timeout` it may never end";
            self.error("runplan::check::until_without_timeout", span, message, "give the step a `timeout:`");
        }
        let asks = matches!(http.method, Method::Get | Method::Head);
        if http.until.is_some() && !asks && !http.repeatable {
            let message = format!("`until` sends the {} request again and again", http.method);
            self.error(
                "runplan::check::until_repeats",
                span,
                message,
                "write `repeatable: true` if sending it often does no harm; else send it once, and wait in a step with GET",
            );
        }
        self.zero(http.until.is_some() && http.every.ms == 0, span, "every", "it would ask without a pause");
        if matches!(http.method, Method::Get | Method::Head) && http.destructive {
            let message = format!("a {} request destroys nothing", http.method);
            self.error(
                "runplan::check::contradiction",
                span,
                message,
                "remove `destructive`, or give the right `method`",
            );
        }
        let raw = http.url.raw.trim();
        if !raw.starts_with("{{") && !raw.starts_with("http://") && !raw.starts_with("https://") {
            let message = "an address begins with `http://` or `https://`";
            self.error("runplan::check::bad_url", http.url.span, message, "write the whole address");
        }
        self.world(http.destructive, http.changes.as_ref(), span);
        self.probe(http.probe.as_deref(), false, span);
    }

    pub(super) fn graphql(&mut self, graphql: &Graphql, method: Method, span: Span) {
        if method != Method::Post {
            self.error(
                "runplan::check::graphql_method",
                span,
                format!("a GraphQL request is sent by POST, not {method}"),
                "write `method: POST`",
            );
        }
        if graphql.query.has_template() {
            self.error(
                "runplan::check::template_in_graphql",
                graphql.query.span,
                "a GraphQL query holds no template: a value in it could become a part of the query",
                "name a variable in the query, `$id`, and give its value under `variables:`",
            );
        }
        if graphql.query.raw.trim().is_empty() {
            self.error(
                "runplan::check::no_statement",
                graphql.query.span,
                "there is no query in it",
                "write the query or mutation",
            );
        }
    }

    pub(super) fn world(&mut self, destructive: bool, changes: Option<&Changes>, span: Span) {
        if destructive && changes == Some(&Changes::Nothing) {
            let message = "it is `destructive` and changes nothing";
            self.error(
                "runplan::check::contradiction",
                span,
                message,
                "say in `changes` which database it changes, or remove `destructive`",
            );
        }
    }
}

/// `RUNPLAN_1`: what a `{{ }}` of a script becomes.
fn is_reserved(name: &str) -> bool {
    name.strip_prefix("RUNPLAN_").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

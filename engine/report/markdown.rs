//! The report in Markdown: for a ticket, a wiki, a post-mortem. Must never let a value break out of its table or fence.

use super::amount::{between, bytes, count, span, time};
use super::direction::straight;
use super::document::Report;
use super::seal::Seal;
use std::fmt::Write;

/// Longer timelines are shortened in the middle; the journal has all of it.
const MOST_MOMENTS: usize = 400;

/// What only people can answer.
pub const QUESTIONS: [&str; 4] =
    ["What went wrong", "Why it went wrong", "How it was fixed", "How it is prevented from now on"];

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut page = Page::default();
    page.head(report);
    page.facts(report);
    page.steps(report);
    page.downtime(report);
    page.losses(report);
    page.checks(report);
    page.approvals(report);
    page.backups(report);
    page.statements(report);
    page.kept(report);
    page.checklist(report);
    page.timeline(report);
    page.people(report);
    page.seal(report);
    straight(page.0)
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}");
    }

    fn heading(&mut self, text: &str) {
        let _ = write!(self.0, "\n## {text}\n\n");
    }

    fn table(&mut self, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(columns.len())));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| in_cell(cell)).collect();
            self.line(&format!("| {} |", cells.join(" | ")));
        }
    }

    fn head(&mut self, report: &Report) {
        for broken in &report.break_glass {
            self.line(&format!("> **BREAK-GLASS:** {}", in_line(broken)));
            self.line("");
        }
        let title = report.title.as_deref().unwrap_or(&report.plan);
        self.line(&format!("# {}", in_line(title)));
        self.line("");
        self.line(&format!("**{}** · run `{}`", verdict(report), report.run));
        if report.rehearsal {
            self.line("");
            self.line("*A rehearsal on a throw-away server: nothing real was touched.*");
        }
        if let Some(description) = &report.description {
            self.line("");
            self.line(&in_line(description));
        }
    }

    fn facts(&mut self, report: &Report) {
        self.heading("Summary");
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                rows.push(vec![name.to_owned(), value]);
            }
        };
        row("Reason", Some(report.reason.clone().unwrap_or_else(|| "none was given".to_owned())));
        row("Severity", report.severity.as_ref().map(severity));
        row("Although fix forward", report.overridden.clone());
        row("Incident began", report.incident_started_at.map(time));
        row("Started by", Some(report.requester.clone()));
        row("Started", report.started_at.map(time));
        row("Finished", report.finished_at.map(time));
        row(if is_open(report) { "Until then" } else { "Took" }, elapsed(report));
        row("Steps", Some(steps(report)));
        if let Some(parked) = &report.parked {
            row("Stands still", Some(parked.why.clone()));
            for asked in &report.asked {
                row("Asked", Some(asked.clone()));
            }
            let whose = parked.whose.as_ref().map(|whose| format!("{whose}: ")).unwrap_or_default();
            row("To go on", Some(format!("{whose}`{}`", parked.command)));
        }
        row("How it stands now", open(report));
        let params: Vec<String> =
            report.params.iter().map(|(name, value)| format!("{name} = {}", plain(value))).collect();
        row("Parameters", Some(params.join("; ")));
        self.table(&["", ""], rows);
    }

    fn steps(&mut self, report: &Report) {
        self.heading("Steps");
        let rows = report.steps.iter().map(|step| {
            let title = step.title.as_deref().unwrap_or_default();
            let took = step.elapsed_ms.map(span).unwrap_or_default();
            let again =
                if step.attempts > 1 { format!(" ({} attempts)", step.attempts) } else { String::new() };
            vec![
                format!("`{}`", step.id),
                step.kind.to_owned(),
                title.to_owned(),
                step.stands.clone(),
                format!("{took}{again}"),
                step.note.clone(),
            ]
        });
        self.table(&["Step", "Kind", "", "State", "Took", "Result"], rows.collect::<Vec<_>>());
        let failed: Vec<_> =
            report.steps.iter().filter_map(|step| Some((step, step.failure.as_ref()?))).collect();
        for (step, failure) in failed {
            self.line("");
            self.line(&format!("`{}` failed with `{}`:", step.id, failure.code));
            self.fence("text", &failure.message);
            if let Some(help) = &failure.help {
                self.line(&format!("What to do: {}", in_line(help)));
            }
        }
    }

    fn downtime(&mut self, report: &Report) {
        if report.downtime.is_empty() && report.swaps.is_empty() {
            return;
        }
        self.heading("Downtime");
        for window in &report.downtime {
            let line = match window.closed_at {
                _ if window.in_doubt => format!(
                    "- window `{}`: closed to traffic from {}{}; **it is not known whether it is open now: the application may be closed to traffic**",
                    window.window,
                    time(window.opened_at),
                    window.closed_at.map(|closed| format!(" to {}", time(closed))).unwrap_or_default()
                ),
                Some(closed) => format!(
                    "- window `{}`: closed to traffic from {} to {}, {}",
                    window.window,
                    time(window.opened_at),
                    time(closed),
                    span(between(window.opened_at, closed))
                ),
                None => format!(
                    "- window `{}`: closed to traffic since {}, **and still closed**",
                    window.window,
                    time(window.opened_at)
                ),
            };
            self.line(&line);
        }
        for (step, ms) in &report.swaps {
            self.line(&format!("- without a database for {} (`{step}`)", span(*ms)));
        }
    }

    fn losses(&mut self, report: &Report) {
        if report.losses.is_empty() {
            return;
        }
        let happened = report.losses.iter().any(|loss| loss.happened);
        let averted = report.losses.iter().all(|loss| loss.averted);
        self.heading(match (happened, averted) {
            (true, _) => "What was lost",
            (false, true) => "Nothing was lost: what would have been",
            (false, false) if report.result.is_some() => "What going on would have lost",
            (false, false) => "What would be lost",
        });
        for loss in &report.losses {
            let not = if happened && !loss.happened { ", not lost" } else { "" };
            self.line(&format!("- {} (`{}`{not})", in_line(&loss.summary), loss.step));
        }
    }

    fn checks(&mut self, report: &Report) {
        if report.checks.is_empty() {
            return;
        }
        self.heading("Checks");
        let rows = report.checks.iter().map(|check| {
            let word = match (check.passed, check.report_only) {
                (true, _) if check.left_out => "left out",
                (true, _) => "passed",
                (false, true) => "did not pass (only reported)",
                (false, false) => "**failed**",
            };
            vec![
                format!("`{}`", check.step),
                check.name.clone(),
                word.to_owned(),
                check.found.clone(),
                check.wanted.clone(),
            ]
        });
        self.table(&["Step", "Check", "", "Found", "Wanted"], rows.collect::<Vec<_>>());
        for check in report.checks.iter().filter(|check| !check.passed && !check.table.is_empty()) {
            self.line("");
            self.line(&format!("`{}`, {}:", check.step, in_line(&check.name)));
            self.fence("text", &check.table.join("\n"));
        }
    }

    fn approvals(&mut self, report: &Report) {
        if report.approvals.is_empty() {
            return;
        }
        self.heading("Approvals");
        let rows = report.approvals.iter().map(|approval| {
            vec![
                format!("`{}`", approval.step),
                approval.question.clone(),
                if approval.approved { "yes" } else { "no" }.to_owned(),
                format!(
                    "{} ({}, {})",
                    approval.by,
                    approval.account,
                    approval.signature.as_deref().unwrap_or("unsigned")
                ),
                approval.comment.clone(),
                time(approval.at),
            ]
        });
        self.table(&["Step", "Question", "", "By", "Comment", "At"], rows.collect::<Vec<_>>());
    }

    fn backups(&mut self, report: &Report) {
        if report.backups.is_empty() {
            return;
        }
        self.heading("Backups");
        let rows = report.backups.iter().map(|backup| {
            vec![
                format!("`{}`", backup.step),
                backup.path.clone(),
                backup.bytes.map(bytes).unwrap_or_default(),
                backup.tables.map(|tables| tables.to_string()).unwrap_or_default(),
                backup.taken_at.clone().unwrap_or_default(),
                backup.sha256.as_ref().map(|hash| format!("`{hash}`")).unwrap_or_default(),
            ]
        });
        self.table(&["Step", "Path", "Size", "Tables", "Taken", "SHA-256"], rows.collect::<Vec<_>>());
    }

    fn statements(&mut self, report: &Report) {
        if report.statements.is_empty() {
            return;
        }
        self.heading("SQL");
        for statement in &report.statements {
            let rows = statement
                .rows
                .map(|rows| format!(", {}", count(usize::try_from(rows).unwrap_or(usize::MAX), "row")));
            let kind = if statement.read_only { " (read only)" } else { "" };
            let undo = if statement.undo { ", taken back by" } else { "" };
            let notes = statement.notes();
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
            self.line(&format!("`{}`{kind}{}{undo}{notes}:", statement.step, rows.unwrap_or_default()));
            self.fence("sql", &statement.sql);
        }
    }

    fn kept(&mut self, report: &Report) {
        if report.kept.is_empty() {
            return;
        }
        self.heading("What is kept");
        let rows = report.kept.iter().map(|kept| {
            vec![
                kept.kind.word().to_owned(),
                kept.name.clone(),
                kept.until.map(time).unwrap_or_default(),
                format!("`{}`", kept.remove),
            ]
        });
        self.table(&["", "Name", "At least until", "To remove it"], rows.collect::<Vec<_>>());
    }

    fn checklist(&mut self, report: &Report) {
        self.heading("Checklist of the procedure");
        self.line("Ticked by what the journal proves; an empty box is a question to people.");
        for (part, title) in [("before", "Before the rollback"), ("after", "After the rollback")] {
            self.line("");
            self.line(&format!("**{title}**"));
            self.line("");
            for item in report.checklist.iter().filter(|item| item.part == part) {
                let line = match &item.evidence {
                    Some(evidence) => format!("- [x] {}: {}", item.text, in_line(evidence)),
                    None => format!("- [ ] {}", item.text),
                };
                self.line(&line);
            }
        }
    }

    fn timeline(&mut self, report: &Report) {
        self.heading("Timeline");
        self.line("Times are UTC.");
        self.line("");
        let all = &report.timeline;
        let half = MOST_MOMENTS / 2;
        let rows = all.iter().enumerate().filter_map(|(at, moment)| {
            if all.len() > MOST_MOMENTS && at >= half && at < all.len() - half {
                let left_out = all.len() - MOST_MOMENTS;
                return (at == half)
                    .then(|| vec!["…".to_owned(), String::new(), format!("{left_out} lines are left out")]);
            }
            let text = if moment.bad { format!("**{}**", moment.text) } else { moment.text.clone() };
            let at = moment.at.strftime("%H:%M:%S").to_string();
            Some(vec![at, format!("`{}`", moment.subject), text])
        });
        self.table(&["At", "Step", "What happened"], rows.collect::<Vec<_>>());
    }

    /// What only people know.
    fn people(&mut self, report: &Report) {
        if !report.contacts.is_empty() {
            self.heading("Contacts");
            for (name, call) in &report.contacts {
                self.line(&format!("- {}: {}", in_line(name), in_line(call)));
            }
        }
        if !report.warnings.is_empty() {
            self.heading("Warnings");
            for warning in &report.warnings {
                self.line(&format!("- {}", in_line(warning)));
            }
        }
        self.heading("Post-mortem");
        for question in QUESTIONS {
            self.line(&format!("**{question}**"));
            self.line("");
            self.line("> ");
            self.line("");
        }
        self.line("**Post-mortem held on**: ____-__-__   **with**: ");
    }

    fn seal(&mut self, report: &Report) {
        self.heading("Proof");
        self.line(&format!("- journal: {} lines, the last one's hash is `{}`", report.lines, report.head));
        self.line(&format!("- digest of plan and parameters: `{}`", report.digest));
        self.line(&format!("- digest of the plan: `{}`", report.plan_digest));
        self.line(&format!("- run with runplan {}", report.version));
        self.line("");
        self.line(&Seal::of(report).comment());
    }

    /// A fence longer than any in the text.
    fn fence(&mut self, language: &str, text: &str) {
        let mut ticks = 3;
        while text.contains(&"`".repeat(ticks)) {
            ticks += 1;
        }
        let fence = "`".repeat(ticks);
        self.line(&format!("\n{fence}{language}\n{}\n{fence}\n", text.trim_end()));
    }
}

pub fn verdict(report: &Report) -> String {
    match (&report.parked, report.result) {
        (Some(_), _) => "Parked".to_owned(),
        (None, Some("done")) => "Done".to_owned(),
        (None, Some("undone")) => {
            format!("Undone: {}", report.reversed.as_deref().unwrap_or("what it did was reversed"))
        }
        (None, Some(other)) => other.to_owned(),
        (None, None) => match report.last_at {
            Some(at) => format!("Not over when its last line was written, {}", time(at)),
            None => "Not over".to_owned(),
        },
    }
}

/// Neither over nor parked: what became of it since, the report cannot know.
pub fn is_open(report: &Report) -> bool {
    report.parked.is_none() && report.result.is_none()
}

/// Where that can be seen.
fn open(report: &Report) -> Option<String> {
    let run = &report.run;
    is_open(report).then(|| {
        format!("`runplan status {run}`; if its process has died, `runplan resume {run}` takes it up")
    })
}

pub fn severity(severity: &super::document::Severity) -> String {
    let mut parts = vec![severity.level.clone()];
    parts.extend(severity.impact.clone());
    parts.extend(severity.action.map(|action| action.replace('_', " ")));
    parts.extend(severity.deadline.as_ref().map(|deadline| format!("within {deadline}")));
    parts.extend(severity.role.as_ref().map(|role| format!("decided by {role}")));
    parts.join(", ")
}

pub fn steps(report: &Report) -> String {
    let done = report.steps.iter().filter(|step| step.state == "done").count();
    format!("{done} of {} done", report.steps.len())
}

pub fn elapsed(report: &Report) -> Option<String> {
    let end = report.finished_at.or(report.last_at)?;
    Some(span(between(report.started_at?, end)))
}

pub fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text that stays in its line and is taken as text: it is no tag, no link and no picture from elsewhere.
fn in_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('<', "&lt;").replace("](", r"]\(")
}

/// Text that stays in its cell.
fn in_cell(text: &str) -> String {
    in_line(text).replace('|', "\\|")
}

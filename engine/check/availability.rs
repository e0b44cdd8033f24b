//! What the language has and the program cannot do yet: refused here, so that no run finds it out half way. Who makes one
//! of them work deletes its line in `NOT_YET`.

use crate::plan::{Finding, Span};

/// A part of the language that has to be made to work by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    Copy,
    RestoreElsewhere,
    OwnersMap,
    Graphql,
    Email,
    Pagerduty,
    CommandChannel,
    SignedWebhooks,
    Occasions,
    Pace,
    SignedApprovals,
    Escalation,
}

const NOT_YET: &[Feature] = &[];

impl Feature {
    /// What it is, and what does the same work.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Copy => (
                "copying rows from one database into another",
                "bring the rows over with `pg_dump --data-only` in a `shell` step, or swap the whole database in",
            ),
            Self::RestoreElsewhere => (
                "restoring into another database of the plan",
                "restore to the side, or run `pg_restore` in a `shell` step",
            ),
            Self::OwnersMap => (
                "restoring under the names of other roles",
                "write `owners: skip`, and change the owners in an `sql` step",
            ),
            Self::Graphql => (
                "a GraphQL request",
                "write the request as `json: { query: ..., variables: ... }`, with `expect: { json: ... }`",
            ),
            Self::Email => ("notifying by mail", "use a webhook or Slack"),
            Self::Pagerduty => ("notifying by PagerDuty", "use a webhook or Slack"),
            Self::CommandChannel => {
                ("notifying by a program", "use a webhook or Slack, or a `shell` handler in the plan")
            }
            Self::SignedWebhooks => {
                ("signing what a webhook gets", "give the webhook a token in its `headers`")
            }
            Self::Occasions => ("telling a channel of every run's events", "write `handlers:` in the plan"),
            Self::Pace => ("holding notifications back", "remove `at_most_every`"),
            Self::SignedApprovals => ("a signed approval", "list people without `keys`"),
            Self::Escalation => ("telling another role when a deadline passes", "remove `escalate_to`"),
        }
    }

    /// The finding, when the program cannot do it.
    pub fn missing(self, span: Span) -> Option<Finding> {
        let (what, help) = self.describe();
        NOT_YET.contains(&self).then(|| {
            let message = format!("{what} is not available in this version");
            Finding::error("runplan::check::not_available", span, message).help(help)
        })
    }
}

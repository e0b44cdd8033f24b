//! The actions that speak to people: approvals and notifications.

use super::Rules;
use crate::plan::Span;
use crate::plan::action::{Approve, Notify};
use std::collections::HashSet;

impl Rules<'_, '_> {
    pub(super) fn approve(&mut self, approve: &Approve, span: Span) {
        self.either(span, [approve.message.is_some(), approve.confirm.is_some()], ["message", "confirm"]);
        self.zero(approve.count == 0, span, "count", "it would approve itself");
        self.zero(
            approve.expires.is_some_and(|time| time.ms == 0),
            span,
            "expires",
            "it would be rejected at once",
        );
        let known: Vec<_> =
            approve.roles.iter().filter_map(|role| self.context.roles.get(role.as_str())).collect();
        let people: HashSet<&str> =
            known.iter().flat_map(|role| &role.people).map(|person| person.name.as_str()).collect();
        if !approve.roles.is_empty()
            && known.len() == approve.roles.len()
            && people.len() < usize::from(approve.count)
        {
            let message = format!(
                "{} must agree, and its roles have {}",
                count(usize::from(approve.count)),
                count(people.len())
            );
            self.error(
                "runplan::check::too_few_people",
                span,
                message,
                "lower `count`, or add people to the roles in the site file",
            );
        }
    }

    pub(super) fn notify(&mut self, notify: &Notify, span: Span) {
        if notify.channels.is_empty() {
            self.error(
                "runplan::check::no_channels",
                span,
                "nobody is told: there is no channel",
                "write `channels: [console]`",
            );
        }
    }
}

fn count(people: usize) -> String {
    if people == 1 { "one person".to_owned() } else { format!("{people} people") }
}

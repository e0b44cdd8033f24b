//! `approve`: what the author writes.

use crate::plan::decode::record;
use crate::plan::{Duration, Name, Sp, Text};

record! {
    /// Waits for people to agree, or to do something by hand.
    pub struct Approve as "approve" {
        /// The question, with what they need to decide it.
        /// Example: Swap app for the restored copy?
        message: Option<Text>,
        /// A task for a human instead of a question: what to do. The evidence is entered as the comment.
        /// Example: Call support and give them this text
        confirm: Option<Text>,
        /// Who may decide: roles of the site file. Without it: the decision matrix row of the plan's severity.
        /// Example: ["team_lead"]
        roles: Vec<Sp<Name>> = Vec::new(),
        /// How many people must agree.
        /// Example: 1
        count: u16 = 1,
        /// After this time without a decision it counts as rejected.
        /// Example: 1h
        expires: Option<Duration>,
        /// Whether the person who started the run counts.
        /// Example: false
        allow_requester: Option<bool>,
    }
}

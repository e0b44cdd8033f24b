//! Where notifications go, and which happenings of a run are told there without a plan asking for it.

use crate::plan::decode::{choice, record};
use crate::plan::headers::Headers;
use crate::plan::{Duration, Level, Sp, Table, Text};

choice! {
    /// The protocol of a channel.
    pub enum ChannelType {
        /// The terminal of the run.
        Console = "console",
        /// A POST of JSON, signed when it has a `secret`.
        Webhook = "webhook",
        /// An incoming webhook of Slack.
        Slack = "slack",
        /// SMTP.
        Email = "email",
        /// Events API v2 of PagerDuty.
        Pagerduty = "pagerduty",
        /// A program, which reads the message on stdin.
        Command = "command",
    }
}

choice! {
    /// Something that happens to a run and that a channel can be told of.
    pub enum Occasion {
        /// The run has begun.
        Start = "start",
        /// An approval is needed.
        Waiting = "waiting",
        /// The run has stopped and can go on.
        Parked = "parked",
        /// A step has failed, or the run has ended without success.
        Failed = "failed",
        /// The run is done.
        Done = "done",
        /// The deadline of the decision matrix has passed.
        Deadline = "deadline",
    }
}

choice! {
    /// How a connection to a mail server is protected.
    pub enum Tls {
        /// From the first byte, as on port 465.
        Tls = "tls",
        /// After STARTTLS, as on port 587; never without.
        Starttls = "starttls",
        /// Not at all: for a server on this machine.
        None = "none",
    }
}

record! {
    /// Where notifications go.
    pub struct Channel as "a channel" {
        /// Its protocol.
        /// Example: slack
        type_: ChannelType,
        /// Its address: of a webhook, of Slack, or in place of PagerDuty's own.
        /// Example: {{ secrets.SLACK_WEBHOOK }}
        url: Option<Text>,
        /// Headers of a webhook.
        /// Example: {"Authorization": "Bearer {{ secrets.TOKEN }}"}
        headers: Headers = Headers::new(),
        /// With this a webhook's body is signed: HMAC-SHA256, in the header `X-Runplan-Signature`.
        /// Example: {{ secrets.WEBHOOK_SECRET }}
        secret: Option<Text>,
        /// The mail server.
        /// Example: smtp.example.com
        server: Option<Text>,
        /// Its port. Without it: 465 with `tls`, 587 with `starttls`, 25 with `none`.
        /// Example: 587
        port: Option<Sp<u16>>,
        /// How the connection to the mail server is protected.
        /// Example: starttls
        tls: Tls = Tls::Starttls,
        /// The account on the mail server.
        /// Example: runplan
        user: Option<Text>,
        /// Its password.
        /// Example: {{ secrets.SMTP_PASSWORD }}
        password: Option<Text>,
        /// Who the mail is from.
        /// Example: runplan <runplan@example.com>
        from: Option<Text>,
        /// Whom the mail goes to.
        /// Example: ["oncall@example.com"]
        to: Vec<Text> = Vec::new(),
        /// The integration key of a PagerDuty service.
        /// Example: {{ secrets.PAGERDUTY_KEY }}
        routing_key: Option<Text>,
        /// The program and its arguments. It reads the message on stdin and the details as RUNPLAN_NOTIFY_* variables.
        /// Example: ["/usr/local/bin/page", "dba"]
        argv: Option<Vec<Text>>,
        /// Added to the program's environment; the place for secrets.
        /// Example: {"TOKEN": "{{ secrets.TOKEN }}"}
        env: Table<Text> = Table::new(),
        /// What is told here for every run, so that plans need not say it.
        /// Example: ["start", "waiting", "failed", "done", "deadline"]
        events: Vec<Occasion> = Vec::new(),
        /// Only for runs of these severities. Without it: for all.
        /// Example: ["critical", "high"]
        severities: Option<Vec<Level>>,
        /// What is said for `events`. Without it: what happened, and the command that goes on.
        /// Example: {{ run.id }} waits: {{ run.waiting_for }}; call {{ site.contacts.dba.call }}
        message: Option<Text>,
        /// Not more than one message in this time; what comes sooner is put together.
        /// Example: 30s
        at_most_every: Option<Duration>,
    }
}

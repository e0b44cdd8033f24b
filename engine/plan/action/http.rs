//! `http`: what the author writes.

use crate::plan::action::Graphql;
use crate::plan::decode::{choice, record};
use crate::plan::{Changes, Duration, Expect, Headers, Json, Probe, Text};

choice! {
    /// The request's method.
    pub enum Method {
        Get = "GET", Head = "HEAD", Post = "POST", Put = "PUT", Patch = "PATCH", Delete = "DELETE",
    }
}

record! {
    /// Sends one request.
    pub struct Http as "http" {
        /// The method.
        /// Example: GET
        method: Method = Method::Get,
        /// The address; values in its path and query are percent-encoded.
        /// Example: https://app.example.com/health
        url: Text,
        /// Headers.
        /// Example: {"Authorization": "Bearer {{ secrets.TOKEN }}"}
        headers: Headers = Headers::new(),
        /// A JSON body, built as data.
        /// Example: {"maintenance": true}
        json: Option<Json>,
        /// A body as text.
        /// Example: on
        body: Option<Text>,
        /// A GraphQL request, in place of a body; needs `method: POST`.
        /// Example: {"query": "mutation($id: String!) { deploymentRollback(id: $id) }", "variables": {"id": "{{ params.deployment }}"}}
        graphql: Option<Graphql>,
        /// What the answer must be. Without it: a status from 200 to 299.
        /// Example: {"status": 200}
        expect: Option<Expect>,
        /// Ask again until the answer is this; needs a `timeout` on the step.
        /// Example: {"status": 200}
        until: Option<Expect>,
        /// How long to wait between two questions of `until`.
        /// Example: 5s
        every: Duration = Duration::from_secs(5),
        /// Answers whether it took effect when nobody knows: after a crash or a lost answer, after a status that does not
        /// say so (408, 499, 5xx except 501, 505 and 503 with Retry-After; 300, 302, 303), and after an answer from 200 to
        /// 299 that is not the expected one. A probe that is answered with an error, or not in JSON where JSON is
        /// expected, has not said no.
        /// Example: {"http": {"url": "https://app.example.com/state"}, "expect": {"status": 200}}
        probe: Option<Box<Probe>>,
        /// True: sending it twice does no harm. GET and HEAD always are.
        /// Example: true
        repeatable: bool = false,
        /// What it changes: the name of a database, or `none`. Without it: unknown.
        /// Example: none
        changes: Option<Changes>,
        /// True: it destroys data, and needs a backup and an approval before it.
        /// Example: false
        destructive: bool = false,
        /// The database whose whole server it replaces.
        /// Example: app
        replaces: Option<Text>,
    }
}

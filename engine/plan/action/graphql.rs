//! `graphql` of an http step: what the author writes.

use crate::plan::decode::record;
use crate::plan::{Json, Name, Sp, Text};

record! {
    /// A GraphQL request. Its answer is a failure when it holds `errors`, whatever its status.
    pub struct Graphql as "graphql" {
        /// The query or mutation. Values go by `variables`, never into it.
        /// Example: mutation($id: String!) { deploymentRollback(id: $id) }
        query: Text,
        /// The values of its variables.
        /// Example: {"id": "{{ params.deployment }}"}
        variables: Option<Json>,
        /// Which of several operations in the query.
        /// Example: Rollback
        operation: Option<Sp<Name>>,
    }
}

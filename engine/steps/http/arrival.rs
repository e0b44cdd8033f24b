//! What an answer that is not the wanted one says of its request: refused, taken on, or nobody knows. Must never call
//! refused what a server, or a gateway before it, may have done.

use super::exchange::Reply;
use super::{graphql, pace};

/// What became of a request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It certainly did nothing.
    Refused,
    /// It may have been done, or not.
    Doubtful,
    /// It was taken on.
    Accepted,
}

/// Reads an answer. `asks_graphql`: its errors say more than its status.
pub fn of(reply: &Reply, asks_graphql: bool) -> Arrival {
    match by_status(reply) {
        // Errors beside `data`: some of it may have been done. Without it the request was refused as a whole.
        Arrival::Accepted if asks_graphql && graphql::wrong(reply).is_some() => {
            if graphql::is_refused(reply) { Arrival::Refused } else { Arrival::Doubtful }
        }
        arrival => arrival,
    }
}

fn by_status(reply: &Reply) -> Arrival {
    match reply.status {
        // What asks for patience says that it took nothing on.
        503 if pace::asked(reply).is_some() => Arrival::Refused,
        // Neither the method nor the version is known there.
        501 | 505 => Arrival::Refused,
        // A gateway's word is not the server's, and one that broke down may have done it before.
        500.. | 408 | 499 => Arrival::Doubtful,
        400..500 => Arrival::Refused,
        // It is to be sent elsewhere, the same; the others are what many answer to what is done.
        301 | 307 | 308 => Arrival::Refused,
        300..400 => Arrival::Doubtful,
        _ => Arrival::Accepted,
    }
}

/// Why a status is no answer to a question; None: it is one. What a server that cannot, may not, or will not now say is
/// neither yes nor no.
pub fn silence(reply: &Reply) -> Option<String> {
    let is_answer = matches!(reply.status, 200..300 | 404 | 409 | 410 | 412);
    (!is_answer).then(|| format!("status {}", reply.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply(status: u16, after: Option<&str>) -> Reply {
        let headers = after.map(|after| ("retry-after".to_owned(), after.into())).into_iter().collect();
        Reply { status, headers, ..Reply::default() }
    }

    #[test]
    fn only_what_certainly_did_nothing_is_refused() {
        for status in [301, 307, 308, 400, 401, 403, 404, 409, 422, 425, 429, 431, 501, 505] {
            assert_eq!(of(&reply(status, None), false), Arrival::Refused, "{status}");
        }
        for status in
            [302, 303, 408, 499, 500, 502, 503, 504, 507, 508, 511, 520, 521, 522, 523, 524, 525, 599]
        {
            assert_eq!(of(&reply(status, None), false), Arrival::Doubtful, "{status}");
        }
        for status in [200, 201, 202, 204] {
            assert_eq!(of(&reply(status, None), false), Arrival::Accepted, "{status}");
        }
        assert_eq!(of(&reply(503, Some("5")), false), Arrival::Refused);
        assert_eq!(of(&reply(503, Some("soon")), false), Arrival::Doubtful);
        assert_eq!(of(&reply(502, Some("5")), false), Arrival::Doubtful);
    }

    #[test]
    fn graphql_says_more_than_its_status() {
        let of = |status, json| of(&Reply { status, json: Some(json), ..Reply::default() }, true);
        assert_eq!(of(200, json!({ "errors": [{ "message": "no" }] })), Arrival::Refused);
        assert_eq!(of(200, json!({ "data": null, "errors": [{ "message": "no" }] })), Arrival::Doubtful);
        assert_eq!(of(200, json!("a page")), Arrival::Doubtful);
        assert_eq!(of(200, json!({ "data": {} })), Arrival::Accepted);
        assert_eq!(of(500, json!({ "errors": [{ "message": "no" }] })), Arrival::Doubtful);
    }

    #[test]
    fn a_server_that_cannot_say_has_not_said_no() {
        for status in [200, 204, 404, 409, 410, 412] {
            assert_eq!(silence(&reply(status, None)), None, "{status}");
        }
        for status in [302, 400, 401, 403, 405, 407, 408, 421, 429, 499, 500, 501, 502, 503, 504, 524] {
            assert!(silence(&reply(status, None)).is_some(), "{status}");
        }
    }
}

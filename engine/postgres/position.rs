//! Where a server's history stood at a moment, so that one which was set back to before it is noticed later: the end of its WAL,
//! its timeline, and what became of a few transactions. The last tells also when the server has written more since
//! than was lost. Must never accuse a server that only crashed, or was promoted with everything on it.

use super::connection::Connection;
use super::error::Error;
use super::identity::{self, Identity, lsn_position};
use serde::{Deserialize, Serialize};

/// Transactions of a mark that are rolled back. Whoever is given their ids after a set-back commits: that so many in a row
/// do not is as good as never.
const ROLLED_BACK: usize = 4;
/// A server that has never heard of a transaction.
const IN_THE_FUTURE: &str = "22023";

/// A moment in the history of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub system_identifier: String,
    /// Eight hexadecimal digits.
    pub timeline: String,
    /// What was certainly on disk, as `0/16B3748`.
    pub lsn: String,
    /// An id that was committed, on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<String>,
    /// The ids just before it, rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
}

/// Marks the moment: a few transactions that do nothing, the last of them on disk when this returns. The session must have
/// none open, and be on a primary.
///
/// # Errors
/// It cannot be written to.
pub async fn take(connection: &Connection) -> Result<Position, Error> {
    let id = "SELECT pg_catalog.pg_current_xact_id() AS id";
    let rolled_back = format!("BEGIN READ WRITE; {id}; ROLLBACK; ").repeat(ROLLED_BACK);
    let results = connection
        .text(&format!(
            "{rolled_back}BEGIN READ WRITE; SET LOCAL synchronous_commit = local; {id}; \
             SELECT pg_catalog.pg_logical_emit_message(true, 'runplan', ''); COMMIT"
        ))
        .await?;
    let is_id = |set: &&super::ResultSet| set.columns.iter().any(|column| column == "id");
    let mut ids: Vec<String> =
        results.iter().filter(is_id).filter_map(|set| set.rows.first()?.first()?.clone()).collect();
    let committed = ids.pop();
    let Identity { system_identifier, timeline, lsn, .. } = identity::read(connection).await?;
    Ok(Position { system_identifier, timeline, lsn, committed, rolled_back: ids })
}

/// Why the server that answers now cannot have everything that it had at that moment; nothing when it has. The session must
/// have no transaction open.
///
/// # Errors
/// It cannot be asked.
pub async fn set_back(connection: &Connection, then: &Position) -> Result<Option<String>, Error> {
    let now = identity::read(connection).await?;
    if let Some(why) = behind(&now, then) {
        return Ok(Some(why));
    }
    if now.standby {
        return Ok(None);
    }
    if now.timeline != then.timeline {
        let history = history(connection, &now.timeline).await?;
        if let Some(why) = history.and_then(|history| branched_off(&history, &now, then)) {
            return Ok(Some(why));
        }
    }
    other_fates(connection, then).await
}

/// What the identity alone tells.
fn behind(now: &Identity, then: &Position) -> Option<String> {
    if now.system_identifier != then.system_identifier {
        return Some(format!(
            "{} is another server: system identifier {}, it was {}",
            now.endpoint, now.system_identifier, then.system_identifier
        ));
    }
    if number(&now.timeline) < number(&then.timeline) && !now.standby {
        return Some(format!(
            "{} is on timeline {}, and was on {}",
            now.endpoint, now.timeline, then.timeline
        ));
    }
    match (now.position(), lsn_position(&then.lsn)) {
        (Some(is), Some(was)) if is >= was => None,
        _ => Some(format!("the WAL of {} ends at {}, and was at {}", now.endpoint, now.lsn, then.lsn)),
    }
}

/// A line of a timeline's history: a timeline before it, and where that one was left.
type Branch = (u32, u64);

/// The history of a timeline, where the role may read it.
async fn history(connection: &Connection, timeline: &str) -> Result<Option<Vec<Branch>>, Error> {
    if number(timeline).is_none() {
        return Ok(None);
    }
    let read = format!("SELECT pg_catalog.pg_read_file('pg_wal/{timeline}.history', 0, 1048576, true)");
    match connection.value(&read).await {
        Ok(text) => Ok(text.map(|text| branches(&text))),
        // Of those who may not, the fates of the transactions are asked alone.
        Err(error) if error.sqlstate().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

fn branches(text: &str) -> Vec<Branch> {
    let branch = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, lsn_position(words.next()?)?))
    };
    text.lines().filter_map(branch).collect()
}

fn branched_off(history: &[Branch], now: &Identity, then: &Position) -> Option<String> {
    let of = number(&then.timeline)?;
    let Some((_, left)) = history.iter().find(|(timeline, _)| *timeline == of) else {
        return Some(format!(
            "timeline {} of {} does not come from {}, on which it was",
            now.timeline, now.endpoint, then.timeline
        ));
    };
    (*left < lsn_position(&then.lsn)?).then(|| {
        format!(
            "{} was recovered to a point in time: its timeline {} left {} at {:X}/{:X}, before {}",
            now.endpoint,
            now.timeline,
            then.timeline,
            left >> 32,
            left & 0xFFFF_FFFF,
            then.lsn
        )
    })
}

/// What the server says of the transactions of the mark. One that is too old to be remembered accuses nobody.
async fn other_fates(connection: &Connection, then: &Position) -> Result<Option<String>, Error> {
    let is_id = |id: &&String| id.parse::<u64>().is_ok();
    let wanted = |fate: &'static str, ids: &[String]| {
        ids.iter().filter(is_id).map(|id| (id.clone(), fate)).collect::<Vec<_>>()
    };
    let mut marks = wanted("aborted", &then.rolled_back);
    marks.extend(wanted("committed", then.committed.as_slice()));
    for (id, fate) in marks {
        let asked =
            connection.value(&format!("SELECT pg_catalog.pg_xact_status('{id}'::pg_catalog.xid8)")).await;
        let endpoint = connection.endpoint();
        match asked {
            Ok(None) => {}
            Ok(Some(found)) if found == fate => {}
            Ok(Some(found)) => {
                return Ok(Some(format!("{endpoint} calls transaction {id} {found}, and it was {fate}")));
            }
            Err(error) if error.sqlstate() == Some(IN_THE_FUTURE) => {
                return Ok(Some(format!("{endpoint} has never had transaction {id}, which was {fate}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn number(timeline: &str) -> Option<u32> {
    (timeline.len() == 8).then(|| u32::from_str_radix(timeline, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            system_identifier: "7".into(),
            timeline: "00000002".into(),
            lsn: "0/2000".into(),
            database: "app".into(),
            database_oid: 5,
            endpoint: "db:5432".into(),
            server_version: 150_018,
            standby: false,
        }
    }

    fn then() -> Position {
        Position {
            system_identifier: "7".into(),
            timeline: "00000002".into(),
            lsn: "0/2000".into(),
            committed: None,
            rolled_back: Vec::new(),
        }
    }

    #[test]
    fn only_what_has_less_is_behind() {
        assert_eq!(behind(&identity(), &then()), None);
        assert_eq!(behind(&Identity { lsn: "1/0".into(), ..identity() }, &then()), None);
        assert_eq!(behind(&Identity { timeline: "00000003".into(), ..identity() }, &then()), None);
        let told = |now: Identity, word: &str| {
            let why = behind(&now, &then()).expect("set back");
            assert!(why.contains(word), "{why}");
        };
        told(Identity { lsn: "0/1FFF".into(), ..identity() }, "ends at 0/1FFF, and was at 0/2000");
        told(Identity { timeline: "00000001".into(), ..identity() }, "is on timeline 00000001");
        told(Identity { system_identifier: "8".into(), ..identity() }, "another server");
    }

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        let history = branches("1\t0/1000\tno recovery target specified\n\n2\t0/2000\tat a name\n");
        assert_eq!(history, [(1, 0x1000), (2, 0x2000)]);
        let now = Identity { timeline: "00000003".into(), ..identity() };
        assert_eq!(branched_off(&history, &now, &then()), None);
        let before = Position { lsn: "0/2001".into(), ..then() };
        assert!(branched_off(&history, &now, &before).unwrap().contains("left 00000002 at 0/2000"));
        let other = Position { timeline: "00000004".into(), ..then() };
        assert!(branched_off(&history, &now, &other).unwrap().contains("does not come from"));
    }

    #[test]
    fn an_older_position_is_read() {
        let text = r#"{"system_identifier":"7","timeline":"00000002","lsn":"0/2000"}"#;
        assert_eq!(serde_json::from_str::<Position>(text).unwrap(), then());
    }
}

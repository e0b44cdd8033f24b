//! Large objects, which stand in no table: each is compared with its twin by its id, its size and a hash of what it holds.
//! Where there are too many, or one is too large to be read, that is said, and the answer is an estimate. Both sides are
//! walked in the order of the ids, in constant memory. Must never open one for writing.

use super::Both;
use super::compare::{Line, Lines, Merge, Pair};
use super::sheet::Sheet;
use super::table::{Difference, TableLoss};
use crate::postgres::{Connection, Error};
use crate::steps::stop::Stop;

/// What they are called among the tables.
pub const NAME: &str = "large objects";

/// Of an object larger than this only the size is compared.
const LARGEST: u64 = 64 << 20;
/// Where all of them together are larger than this, only ids and sizes are compared.
const MOST_BYTES: u64 = 20 << 30;
/// So much of an object is in the server's memory at a time.
const CHUNK: u64 = 256 << 10;

/// Which objects a database has, and how much they hold together.
struct Shelf {
    count: u64,
    bytes: u64,
    /// Those that this role may not read.
    hidden: u64,
}

/// Whom a large object may be read by, as the server decides it.
const READABLE: &str = "(pg_has_role(m.lomowner, 'USAGE') OR EXISTS (SELECT FROM aclexplode(m.lomacl) a \
    WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))))";

impl Shelf {
    async fn look(connection: &Connection) -> Result<Self, Error> {
        let row = connection
            .row(&format!(
                "SELECT count(*) AS count, pg_table_size('pg_largeobject'::regclass) AS bytes, \
                 count(*) FILTER (WHERE NOT {READABLE}) AS hidden FROM pg_largeobject_metadata m"
            ))
            .await?;
        Ok(Self { count: row.number("count")?, bytes: row.number("bytes")?, hidden: row.number("hidden")? })
    }
}

/// Compares the large objects of both; None where neither has any.
pub(super) async fn of(both: &Both, most: u64, sheet: &mut Sheet) -> Result<Option<TableLoss>, Stop> {
    let (live, side) = tokio::try_join!(Shelf::look(&both.live), Shelf::look(&both.side))?;
    if live.count + side.count == 0 {
        return Ok(None);
    }
    let mut loss = TableLoss::new(NAME);
    let depth = Depth::of(&live, &side, most, &mut loss);
    let (from_live, from_side) =
        tokio::try_join!(depth.open(&both.live, &live), depth.open(&both.side, &side))?;
    let mut merge = Merge::new(from_live, from_side);
    let (mut found, mut by_size) = (Vec::new(), 0u64);
    while let Some(pair) = merge.next().await? {
        let (difference, line) = match pair {
            Pair::Live(line) => (Difference::OnlyLive, line),
            Pair::Side(line) => (Difference::OnlySide, line),
            Pair::Both(live, side) if is_known(&live) && is_known(&side) && live.hash != side.hash => {
                (Difference::Changed, live)
            }
            Pair::Both(live, side) => {
                by_size += u64::from(is_sized(&live) || is_sized(&side));
                continue;
            }
        };
        match difference {
            Difference::OnlyLive => loss.only_live += 1,
            Difference::OnlySide => loss.only_side += 1,
            Difference::Changed => loss.changed += 1,
        }
        if sheet.has_room(found.len()) {
            found.push((difference, line.shown));
        }
    }
    drop(merge);
    if depth == Depth::Content && by_size > 0 {
        loss.estimate = true;
        loss.notes.push(format!(
            "{by_size} of them are larger than {} MiB: only their sizes were compared",
            LARGEST >> 20
        ));
    }
    sheet.list(NAME, &found)?;
    Ok(Some(loss))
}

/// How closely they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Content,
    Sizes,
    Ids,
}

impl Depth {
    fn of(live: &Shelf, side: &Shelf, most: u64, loss: &mut TableLoss) -> Self {
        let hidden = live.hidden + side.hidden;
        if hidden > 0 {
            loss.estimate = true;
            loss.notes
                .push(format!("{hidden} of them may not be read by this role: only their ids were compared"));
        }
        let (many, bytes) = (live.count.max(side.count), live.bytes.max(side.bytes));
        if many > most {
            loss.estimate = true;
            loss.notes.push(format!(
                "only their ids were compared: {} live, {} in the side database",
                live.count, side.count
            ));
            return Self::Ids;
        }
        if bytes > MOST_BYTES {
            loss.estimate = true;
            loss.notes.push(format!("they hold {} GiB: only their ids and sizes were compared", bytes >> 30));
            return Self::Sizes;
        }
        Self::Content
    }

    async fn open(self, connection: &Connection, shelf: &Shelf) -> Result<Lines, Error> {
        Lines::open(connection, &self.query(shelf.hidden > 0), 1, true).await
    }

    /// Id, what is known of it, 1. What is not known is empty; a size without a hash ends with `?`.
    fn query(self, hidden: bool) -> String {
        let readable = if hidden { READABLE } else { "true" };
        let known = match self {
            Self::Ids => {
                return "SELECT m.oid::int8, '', 1 FROM pg_largeobject_metadata m ORDER BY m.oid".to_owned();
            }
            Self::Sizes => "o.size::text || ' ?'".to_owned(),
            // What was never written between two parts of it reads as zeros, as pg_dump reads it.
            Self::Content => format!(
                "CASE WHEN o.size > {LARGEST} THEN o.size::text || ' ?' ELSE o.size::text || ' ' || \
                 (SELECT coalesce(md5(string_agg(md5(lo_get(o.oid, at, {CHUNK})), '' ORDER BY at)), '') \
                 FROM generate_series(0::int8, o.size - 1, {CHUNK}) at) END"
            ),
        };
        // 262144 is INV_READ. The volatile functions keep each of these subqueries for itself, and in this order.
        format!(
            "SELECT o.oid::int8, coalesce({known}, ''), 1 FROM \
             (SELECT s.oid, lo_lseek64(s.fd, 0, 2) AS size, lo_close(s.fd) AS closed FROM \
             (SELECT m.oid, CASE WHEN {readable} THEN lo_open(m.oid, 262144) END AS fd \
             FROM pg_largeobject_metadata m ORDER BY m.oid OFFSET 0) s OFFSET 0) o ORDER BY o.oid"
        )
    }
}

fn is_known(line: &Line) -> bool {
    !line.hash.is_empty()
}

fn is_sized(line: &Line) -> bool {
    line.hash.ends_with('?')
}

//! A dump that streams by, gathered into a schema: its rows are left out, so that memory holds definitions only. What must
//! not reach a server is refused here as everywhere.

use super::Schema;
use super::statement;
use crate::sql::dump::{Refusal, Scanner, Summary};
use crate::sql::split;

/// Definitions that are longer than this together with a chunk are given up.
const LONGEST: usize = 64 << 20;

/// Gathers a schema.
#[derive(Debug)]
pub struct Collector {
    scanner: Scanner,
    schema: Schema,
    /// What was read since the last whole statement.
    pending: Vec<u8>,
    /// So much of it was one unended statement when it was last looked at.
    unended: usize,
    /// How much was looked at, again and again.
    #[cfg(test)]
    looked_at: usize,
    /// Why it cannot be told what the schema is.
    pub unreadable: Option<&'static str>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            scanner: Scanner::without_rows(),
            schema: Schema::default(),
            pending: Vec::new(),
            unended: 0,
            #[cfg(test)]
            looked_at: 0,
            unreadable: None,
        }
    }
}

impl Collector {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// Something that is not a dump's.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let pending = &mut self.pending;
        self.scanner.feed(bytes, |passed| pending.extend_from_slice(passed))?;
        // A long statement is looked at again when it is twice as long, not with each of its chunks.
        if self.unreadable.is_none() && self.pending.len() >= self.unended.saturating_mul(2).min(LONGEST) {
            // The last piece may go on.
            self.cut(1);
            self.unended = self.pending.len();
            if self.unended > LONGEST {
                self.unreadable = Some("a statement in it is too long");
            }
        }
        if self.unreadable.is_some() {
            self.pending.clear();
        }
        Ok(())
    }

    /// The schema, and what the stream was.
    pub fn finish(mut self) -> (Schema, Summary) {
        self.cut(0);
        (self.schema, self.scanner.finish())
    }

    fn cut(&mut self, leave: usize) {
        #[cfg(test)]
        {
            self.looked_at += self.pending.len();
        }
        let whole = match std::str::from_utf8(&self.pending) {
            Ok(_) => self.pending.len(),
            // A character that the next bytes complete.
            Err(error) if error.error_len().is_none() && leave > 0 => error.valid_up_to(),
            Err(_) => self.pending.len(),
        };
        let Ok(text) = std::str::from_utf8(self.pending.get(..whole).unwrap_or_default()).map(str::to_owned)
        else {
            // Two names could look alike.
            self.unreadable = Some("it is not UTF-8");
            return;
        };
        let pieces = split(&text);
        let ended = pieces.len().saturating_sub(leave);
        for piece in pieces.iter().take(ended) {
            statement::read(&mut self.schema, text.get(piece.clone()).unwrap_or_default());
        }
        let rest = pieces.get(ended).map_or(text.len(), |piece| piece.start);
        self.pending.drain(..rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "--\n-- PostgreSQL database dump\n--\nSET x = 1;\nCREATE TABLE public.t (\n    a integer,\n    \
        \"ü\" text DEFAULT ';'::text\n);\nCOPY public.t (a, \"ü\") FROM stdin;\n1\tCREATE TABLE public.u (a int);\n\\.\n\n\
        CREATE VIEW public.v AS\n SELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n\n";

    fn of_chunks(size: usize) -> (Schema, Summary) {
        let mut collector = Collector::default();
        for chunk in DUMP.as_bytes().chunks(size) {
            collector.feed(chunk).unwrap();
        }
        assert_eq!(collector.unreadable, None);
        collector.finish()
    }

    #[test]
    fn chunks_of_any_size_give_the_same_schema() {
        let (whole, summary) = of_chunks(DUMP.len());
        assert!(summary.is_complete_dump() && summary.rows["public.t"] == 1, "{summary:?}");
        let keys: Vec<String> = whole.objects.keys().map(|(kind, name)| format!("{kind} {name}")).collect();
        let wanted = [
            "column public.t.a",
            "column public.t.ü",
            "column order public.t",
            "table public.t",
            "view public.v",
        ];
        assert_eq!(keys, wanted);
        assert_eq!(whole.objects[&("column", "public.t.ü".to_owned())].definition, "text DEFAULT ';'::text");
        for size in 1..40 {
            assert_eq!(of_chunks(size).0, whole, "chunks of {size}");
        }
    }

    #[test]
    fn a_long_statement_is_not_read_anew_with_each_chunk() {
        let body = "x".repeat(1 << 20);
        let text = format!("CREATE VIEW public.v AS SELECT '{body}';\nCREATE VIEW public.w AS SELECT 1;\n");
        let mut collector = Collector::default();
        for chunk in text.as_bytes().chunks(1 << 12) {
            collector.feed(chunk).unwrap();
        }
        assert!(collector.looked_at < 4 * text.len(), "{} of {}", collector.looked_at, text.len());
        let keys: Vec<_> = collector.finish().0.objects.into_keys().map(|(_, name)| name).collect();
        assert_eq!(keys, ["public.v", "public.w"]);
    }

    #[test]
    fn what_is_not_utf_8_is_not_compared() {
        let mut collector = Collector::default();
        collector.feed(b"CREATE TABLE public.\"\xe4\" (a int);\nSELECT 1;\n").unwrap();
        assert_eq!(collector.unreadable, Some("it is not UTF-8"));
    }
}

//! `backup`: what the author writes.

use crate::plan::decode::{choice, record};
use crate::plan::{Duration, Name, Sp, Text};

choice! {
    /// The archive's format.
    pub enum Format {
        /// pg_dump -Fd: a directory, several jobs.
        Directory = "directory",
        /// pg_dump -Fc: one file.
        Custom = "custom",
        /// Plain SQL in one file.
        Plain = "plain",
    }
}

choice! {
    /// How the archive is compressed. zstd and lz4 need pg_dump 16 for directory and custom.
    pub enum Compress { Zstd = "zstd", Lz4 = "lz4", Gzip = "gzip", None = "none" }
}

record! {
    /// Dumps a database, reads the whole archive back and writes a manifest beside it.
    pub struct Backup as "backup" {
        /// The database to dump: a name from `databases`, or a step's database output.
        /// Example: app
        database: Text,
        /// The directory in which the backup appears, under a name of its own; made when missing.
        /// Example: ./backups
        to: Text,
        /// The archive's format.
        /// Example: directory
        format: Format = Format::Directory,
        /// Compression. Without it: what the client version does best.
        /// Example: gzip
        compress: Option<Compress>,
        /// Parallel jobs of a directory dump. Without it: half the processors, at most 4.
        /// Example: 2
        jobs: Option<Sp<u16>>,
        /// Only these tables.
        /// Example: ["users","escrows"]
        tables: Option<Vec<Text>>,
        /// All but these tables.
        /// Example: ["audit_log"]
        exclude_tables: Option<Vec<Text>>,
        /// Only these schemas.
        /// Example: ["public"]
        schemas: Option<Vec<Text>>,
        /// How long the backup is kept at least.
        /// Example: 7d
        keep: Option<Duration>,
        /// Named checks whose values are recorded in the manifest.
        /// Example: ["integrity"]
        record: Vec<Sp<Name>> = Vec::new(),
    }
}

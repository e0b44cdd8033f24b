//! One test binary: it links once, and the real PostgreSQL is started once for all of it.

mod postgres;
mod support {
    pub mod cluster;
}

//! The shipped plans, run by the program against the real PostgreSQL.

mod scenario_2;

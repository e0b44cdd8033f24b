//! The shipped plans, run by the program against the real PostgreSQL.

mod guarded_migration;
mod method_1;
mod method_2;
mod method_3;
mod railway;
mod salvage;
mod scenario_1;
mod scenario_2;
mod scenario_3;

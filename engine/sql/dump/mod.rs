//! Reading a plain SQL dump as it streams into a restore: what must not reach the server is refused before any
//! of it is passed on, rows are counted, and a dump that was cut short is recognised. Constant memory.
//! It must never alter what it passes on, except for the lines that only psql understands and what `Changes` asks for.

mod head;
mod held;
mod made;
mod outside;
mod refusal;
mod roles;
mod rows;
mod scanner;
mod statement;
mod summary;
mod token;

pub use made::{KINDS, Made};
pub use refusal::{Position, Refusal};
pub use roles::{Changes, Owners};
pub use scanner::Scanner;
pub use summary::{End, Summary};

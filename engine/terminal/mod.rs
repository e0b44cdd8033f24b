//! How it looks: the only stdout and stderr. Text, tables, diagnostics, the live view and the prompts. Must never decide
//! anything: what it shows was decided, and made durable, before.

mod asked;
mod asking;
mod board;
mod cells;
mod diagnostics;
mod drawing;
mod excerpt;
mod gauge;
mod keyboard;
mod line;
mod live;
mod paint;
mod paper;
mod plain;
mod posed;
mod preflighted;
mod prompt;
mod question;
mod reviewed;
mod safety;
mod scene;
mod screen;
mod summary;
mod surface;
mod table;
mod tame;
mod typing;
mod view;
mod whole;

pub use asked::{asked, doubts};
pub use asking::{ask_value, confirm};
pub use diagnostics::{error, findings, findings_json, findings_list};
pub use drawing::{Canvas, draw};
pub use gauge::Gauge;
pub use line::Lines;
pub use paint::{Paint, Tone};
pub use preflighted::{concerns, preflight};
pub use prompt::Prompts;
pub use reviewed::{difference, review};
pub use scene::{Scene, Scenes};
pub use screen::{Color, Format, Look, Screen, print_error};
pub use summary::{Places, Times, summary, summary_json};
pub use surface::Surface;
pub use table::{day, table};
pub use view::View;

//! Secrets: text that may be used but never shown, and the redactor that keeps it out of what is captured.
//! Must never implement `Serialize`, `Display`, or a `Debug` that tells anything.

mod redact;

pub use redact::Redactor;

use zeroize::Zeroizing;

/// A value that never reaches argv, a log, the journal or a report. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that hands it to a server or a program.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("‹secret›")
    }
}

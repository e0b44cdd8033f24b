//! How large a template may be. A parsed expression nests as deep as it is long (`a.b.c`, `a + b + c`), and who walks or
//! evaluates it needs a stack as deep: what is longer is refused before it is parsed.

use super::Error;
use minijinja::machinery::{Token, tokenize};
use std::io::Write;
use std::ops::Range;

/// Names, numbers and signs between one `{{` and its `}}`.
pub const MOST_WORDS: usize = 300;
/// `{% %}` in one message.
pub const MOST_TAGS: usize = 200;

/// What one text may become, in bytes: small templates can make large texts.
pub const MOST_BYTES: usize = crate::plan::node::LARGEST_FILE;

pub(super) fn too_large() -> String {
    format!("the text becomes longer than {MOST_BYTES} bytes")
}

/// Takes no more than a text may have.
#[derive(Default)]
pub(super) struct Limited {
    pub bytes: Vec<u8>,
    pub is_full: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > MOST_BYTES {
            self.is_full = true;
            return Err(std::io::Error::other(too_large()));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// # Errors
/// It is longer than an expression may be.
pub(super) fn expression(text: &str, range: &Range<usize>) -> Result<(), Error> {
    count(text, true).map_err(|message| Error::new(message, range.clone()))
}

/// # Errors
/// One of its expressions is longer than an expression may be, or it has too many tags.
pub(super) fn template(text: &str) -> Result<(), Error> {
    count(text, false).map_err(|message| Error::new(message, 0..text.len()))
}

fn count(text: &str, within: bool) -> Result<(), String> {
    let (mut words, mut tags) = (0, 0);
    // What is no token at all is reported by the parser, with its place.
    for (token, _) in tokenize(text, within, Default::default()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::VariableEnd | Token::BlockEnd => words = 0,
            Token::BlockStart => {
                words = 0;
                tags += 1;
            }
            _ => words += 1,
        }
        if words > MOST_WORDS {
            return Err(format!(
                "an expression has more than {MOST_WORDS} names and signs; make several of it"
            ));
        }
        if tags > MOST_TAGS {
            return Err(format!("a message has more than {MOST_TAGS} tags; make several of it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::plan::template::{Scope, condition, message, plain, read, read_condition, value_of};

    #[test]
    fn a_small_template_cannot_make_a_text_without_end() {
        let scope = Scope::new([]);
        let large = "{{ 'a' * 1000000 }}".repeat(9);
        let told =
            [plain(&large, &scope).map(|text| text.len()), message(&large, &scope).map(|text| text.len())];
        assert!(
            told.iter().all(|told| told.as_ref().is_err_and(|error| error.message == super::too_large())),
            "{told:?}"
        );
        assert_eq!(message("{{ 'a' * 1000000 }}", &scope).map(|text| text.len()), Ok(1_000_000));
    }

    #[test]
    fn the_longest_that_may_be_fits_the_stack_and_longer_is_refused() {
        let names = [("a".to_owned(), value_of(&serde_json::json!({ "a": [0] })))];
        let pieces = [
            ".a",
            "[0]",
            " | string",
            " + 1",
            " ~ a",
            " and a",
            " or a",
            " is defined",
            " if a else b",
            " == 1",
            ", a",
            " ** 2",
            " not in a",
            "(1)",
        ];
        for (before, piece, after) in pieces.map(|piece| ("a", piece, "")).into_iter().chain([
            ("", "-", "a"),
            ("", "not ", "a"),
            ("", "[", ""),
            ("", "(", ""),
            ("", "{1:", ""),
        ]) {
            for many in [2, 50, 74, 99, 149, 298, 5_000, 50_000] {
                let text = format!("{before}{}{after}", piece.repeat(many));
                let template = format!("{{{{ {text} }}}}");
                for scope in [Scope::new(names.clone()), Scope::review(names.clone())] {
                    let _ = (condition(&text, &scope), plain(&template, &scope), message(&template, &scope));
                }
                let told = read(&template, true);
                let _ = read(&template, false);
                let _ = read_condition(&text);
                assert!(many < 5_000 || told.is_err(), "{piece}");
            }
        }
        for many in [199, 2_000] {
            let text = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(many));
            let _ = (read(&text, true), message(&text, &Scope::new(names.clone())));
            let text = "{% if a %}".repeat(many);
            assert!(read(&text, true).is_err());
        }
    }
}

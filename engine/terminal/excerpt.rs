//! The lines of a file that a diagnostic shows, long ones cut around what is labelled. Must never change where a place is
//! said to be: lines and columns are the file's own.

use crate::plan::{Source, Sources, Span};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::ops::Range;
use std::sync::Arc;

/// Lines before and after the label that are shown too.
const AROUND: usize = 1;
/// How much of a cut line stands before the label.
const LEAD: usize = 24;

/// A file's text, shortened where it is shown.
#[derive(Debug)]
pub struct Excerpt {
    name: String,
    text: Arc<str>,
    /// The label in the shortened text.
    pub label: Range<usize>,
    /// Its column in the file, from 0.
    column: usize,
}

impl Excerpt {
    /// None: there is no such file.
    pub fn new(sources: &Sources, span: Span, width: usize) -> Option<Self> {
        let source: &Source = sources.get(span.file)?;
        let text = source.text.as_ref();
        let (start, end) =
            (span.start.min(text.len()), span.end.clamp(span.start.min(text.len()), text.len()));
        let (_, column) = sources.position(span.file, start);
        let shown = shown_lines(text, start..end);
        let (name, column) = (source.name.clone(), column.saturating_sub(1));
        if text[shown.clone()].lines().all(|line| window(line, 0, false, width) == (0..line.len())) {
            return Some(Self { name, text: source.text.clone(), label: start..end, column });
        }
        let mut out = String::with_capacity(shown.start + width * 4 + (text.len() - shown.end));
        out.push_str(&text[..shown.start]);
        let (mut new_start, mut new_end) = (start, end);
        for line in text[shown.clone()].split_inclusive('\n') {
            let at = line.as_ptr() as usize - text.as_ptr() as usize;
            let here = at..at + line.len();
            let kept = window(line, start.saturating_sub(at).min(line.len()), here.contains(&start), width);
            let place = |offset: usize, out: usize| {
                let inside = (offset - at).clamp(kept.start, kept.end) - kept.start;
                out + inside + if kept.start > 0 { "…".len() } else { 0 }
            };
            if here.contains(&start) || start == here.end {
                new_start = place(start.min(here.end), out.len());
            }
            if here.contains(&end) || end == here.end {
                new_end = place(end.min(here.end), out.len()).max(new_start);
            }
            let is_cut = kept.end < line.trim_end_matches(['\n', '\r']).len();
            out.push_str(if kept.start > 0 { "…" } else { "" });
            out.push_str(&line[kept.clone()]);
            if is_cut {
                out.push('…');
                out.push_str(if line.ends_with('\n') { "\n" } else { "" });
            }
        }
        out.push_str(&text[shown.end..]);
        let label = new_start..new_end.max(new_start);
        Some(Self { name, text: out.into(), label, column })
    }
}

/// From the beginning of the first line shown to the end of the last.
fn shown_lines(text: &str, label: Range<usize>) -> Range<usize> {
    let mut start = text[..label.start].rfind('\n').map_or(0, |at| at + 1);
    for _ in 0..AROUND {
        start = text[..start.saturating_sub(1)].rfind('\n').map_or(0, |at| at + 1);
    }
    let mut end = label.end;
    for _ in 0..=AROUND {
        end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    }
    start..end
}

/// The part of a line that is kept: all of it, or `width` characters around the label.
fn window(line: &str, label: usize, has_label: bool, width: usize) -> Range<usize> {
    // Bytes are at least as many as characters: most lines need no counting.
    if line.len() <= width || line.chars().count() <= width {
        return 0..line.len();
    }
    let before = if has_label { line[..label].chars().count() } else { 0 };
    let skipped = before.saturating_sub(LEAD);
    // A line that is cut little at its beginning is better left whole there.
    let skipped = if before + LEAD < width { 0 } else { skipped };
    let offset = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let end = line.trim_end_matches(['\n', '\r']).len();
    offset(skipped)..match offset(skipped + width) {
        cut if cut >= end => line.len(),
        cut => cut,
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        let is_label = span.offset() == self.label.start && before == 0 && after == 0;
        let column = if is_label { self.column } else { inner.column() };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            column,
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FileId;

    fn cut(text: &str, label: &str, width: usize) -> (String, String) {
        let mut sources = Sources::default();
        let file: FileId = sources.add("t.yaml", text);
        let start = text.find(label).unwrap();
        let excerpt = Excerpt::new(&sources, Span::new(file, start..start + label.len()), width).unwrap();
        (excerpt.text[excerpt.label.clone()].to_owned(), excerpt.text.to_string())
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        let text = "a: 1\nb: {{ x }}\nc: é\n";
        assert_eq!(cut(text, "{{ x }}", 40), ("{{ x }}".to_owned(), text.to_owned()));
    }

    #[test]
    fn long_lines_are_cut_around_the_label() {
        let long = "é".repeat(5000);
        for text in [
            format!("a: 1\nb: {long} {{{{ x }}}} {long}\nc: {long}\nd: 1\n"),
            format!("{long}\n{long}{{{{ x }}}}\n{long}"),
            format!("{{{{ x }}}}{long}\r\nb: 1\r\n"),
            format!("b: {{{{ x }}}} {long}"),
        ] {
            let (label, shown) = cut(&text, "{{ x }}", 60);
            assert_eq!(label, "{{ x }}");
            assert_eq!(shown.lines().count(), text.lines().count());
            let near = shown.lines().take(3);
            assert!(near.into_iter().all(|line| line.chars().count() <= 62), "{shown}");
        }
    }

    #[test]
    fn a_label_longer_than_the_line_is_cut_with_it() {
        let text = format!("a: {}\nb: 1\n", "x".repeat(500));
        let (label, shown) = cut(&text, &"x".repeat(500), 60);
        assert!(label.chars().all(|c| c == 'x') && !label.is_empty(), "{shown}");
    }
}

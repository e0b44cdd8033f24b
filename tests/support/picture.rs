//! A terminal's screen as a picture: SVG with real text, in the colours that the program asked for.

use std::fmt::Write;

/// Of one cell, in pixels.
const WIDE: f64 = 8.4;
const HIGH: u16 = 19;
const MARGIN: u16 = 14;
/// Above the first row, for the command.
const HEAD: u16 = 34;

/// Colours that can be read on the dark ground, by the number that the program gives.
const COLOURS: [&str; 8] =
    ["#8b949e", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3"];
const PLAIN: &str = "#c9d1d9";

#[derive(Clone, PartialEq)]
struct Style {
    colour: &'static str,
    bold: bool,
    dim: bool,
}

/// The rows down to the last that holds anything. `title`: what the picture shows, for those who do not see it. `home`: the
/// directory that is written as `~`.
pub fn svg(screen: &vt100::Screen, command: &str, title: &str, home: &str) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let texts: Vec<String> = screen.rows(0, columns).collect();
    let used = texts.iter().rposition(|row| !row.trim().is_empty()).map_or(1, |last| last + 1);
    let used = u16::try_from(used).unwrap().min(rows);
    let width = f64::from(columns) * WIDE + f64::from(2 * MARGIN);
    let height = HEAD + used * HIGH + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height}\" width=\"{width:.0}\" height=\"{height}\" \
         role=\"img\" font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <text x=\"{MARGIN}\" y=\"22\" fill=\"#8b949e\" xml:space=\"preserve\">$ {}</text>\n",
        escaped(title),
        escaped(command)
    );
    for row in 0..used {
        for (from, cells, style, text) in pieces(screen, row, columns) {
            let homes = u16::try_from(text.matches(home).count()).unwrap();
            let cells = cells - homes * (u16::try_from(home.chars().count()).unwrap() - 1);
            let text = text.replace(home, "~");
            let (x, y) = (f64::from(MARGIN) + f64::from(from) * WIDE, HEAD + row * HIGH + 14);
            let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
            let faint = if style.dim { " opacity=\"0.65\"" } else { "" };
            let length = f64::from(cells) * WIDE;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" fill=\"{}\"{weight}{faint} textLength=\"{length:.1}\" xml:space=\"preserve\">{}</text>",
                style.colour,
                escaped(&text)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Runs of one style: where each begins, how many cells it takes, how it looks, what it says.
fn pieces(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<(u16, u16, Style, String)> {
    let mut pieces: Vec<(u16, u16, Style, String)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        if let Some((_, cells, ..)) = pieces.last_mut().filter(|_| cell.is_wide_continuation()) {
            *cells += 1;
            continue;
        }
        let colour = match cell.fgcolor() {
            vt100::Color::Idx(number) => COLOURS.get(usize::from(number)).copied().unwrap_or(PLAIN),
            _ => PLAIN,
        };
        let style = Style { colour, bold: cell.bold(), dim: cell.dim() };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match pieces.last_mut() {
            Some((_, cells, last, all)) if *last == style => {
                *cells += 1;
                all.push_str(text);
            }
            _ => pieces.push((column, 1, style, text.to_owned())),
        }
    }
    for (_, cells, _, text) in &mut pieces {
        let spaces = text.len() - text.trim_end_matches(' ').len();
        *cells -= u16::try_from(spaces).unwrap();
        text.truncate(text.len() - spaces);
    }
    pieces.retain(|(_, cells, ..)| *cells > 0);
    pieces
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

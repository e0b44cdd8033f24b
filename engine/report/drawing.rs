//! The graph of a reviewed plan as text: waves for the terminal, Mermaid for a wiki or a pull request.

use crate::review::{Review, Reviewed};
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// The window each step stands in; the steps that open and close it stand in it too.
pub fn windows(review: &Review) -> Vec<Option<&str>> {
    let known: HashSet<&str> = review.steps.iter().filter_map(|step| step.window.as_deref()).collect();
    let made = |id: &'_ str| {
        let name = id.strip_suffix(".open").or_else(|| id.strip_suffix(".close"))?;
        known.get(name).copied()
    };
    review.steps.iter().map(|step| step.window.as_deref().or_else(|| made(&step.id))).collect()
}

/// The steps by waves, each with what it does to the world and what it waits for.
pub fn waves(review: &Review) -> String {
    let by_id: HashMap<&str, usize> =
        review.steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at)).collect();
    let windows = windows(review);
    let width = review.steps.iter().map(|step| step.id.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, wave) in review.waves.iter().enumerate() {
        for (place, at) in wave.iter().filter_map(|id| by_id.get(id.as_str())).enumerate() {
            let step = &review.steps[*at];
            let head = if place == 0 { (number + 1).to_string() } else { String::new() };
            let bar = if windows[*at].is_some() { "|" } else { " " };
            let mut line = format!("{head:>4} {bar} {} {:width$}  {:8}", mark(step), step.id, step.kind);
            if !step.needs.is_empty() {
                let _ = write!(line, " after {}", step.needs.join(", "));
            }
            for remark in remarks(review, step) {
                let _ = write!(line, "  [{remark}]");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    let mut key = vec!["· reads", "~ reversible", "! irreversible", "? somebody decides"];
    if windows.iter().any(Option::is_some) {
        key.push("| in a window");
    }
    let _ = writeln!(text, "\n{}", key.join("   "));
    text
}

fn mark(step: &Reviewed) -> &'static str {
    match (step.kind.as_str(), step.effect.as_str()) {
        ("approve", _) => "?",
        (_, "reads") => "·",
        (_, "reversible") => "~",
        _ => "!",
    }
}

fn remarks(review: &Review, step: &Reviewed) -> Vec<&'static str> {
    let mut remarks = Vec::new();
    if review.no_return.as_ref().is_some_and(|point| point.step == step.id) {
        remarks.push("point of no return");
    }
    if step.unguarded.is_some() {
        remarks.push("unguarded");
    }
    match step.decision.word() {
        "skip" => remarks.push("skipped"),
        "unknown" => remarks.push("may be skipped"),
        _ => {}
    }
    remarks
}

/// A Mermaid flowchart: windows are boxes around their steps, each effect has a shape and a colour.
pub fn mermaid(review: &Review) -> String {
    let mut text = String::from("flowchart TD\n");
    let mut boxes: Vec<(&str, Vec<String>)> = Vec::new();
    for ((at, step), window) in review.steps.iter().enumerate().zip(windows(review)) {
        let node = node(review, at, step);
        match window {
            None => {
                let _ = writeln!(text, "  {node}");
            }
            Some(window) => match boxes.iter_mut().find(|(name, _)| *name == window) {
                Some((_, nodes)) => nodes.push(node),
                None => boxes.push((window, vec![node])),
            },
        }
    }
    for (number, (window, nodes)) in boxes.iter().enumerate() {
        let _ = writeln!(text, "  subgraph w{number}[\"window {}\"]", escape(window));
        for node in nodes {
            let _ = writeln!(text, "    {node}");
        }
        text.push_str("  end\n");
    }
    let index: HashMap<&str, usize> =
        review.steps.iter().enumerate().map(|(at, step)| (step.id.as_str(), at)).collect();
    for (at, step) in review.steps.iter().enumerate() {
        for need in step.needs.iter().filter_map(|need| index.get(need.as_str())) {
            let _ = writeln!(text, "  s{need} --> s{at}");
        }
    }
    text.push_str(
        "  classDef reads fill:#ffffff,stroke:#5b6472,color:#1c2330\n  \
         classDef reversible fill:#e3f0f9,stroke:#0072b2,stroke-width:2px,color:#1c2330\n  \
         classDef irreversible fill:#fcebe0,stroke:#b8400b,stroke-width:4px,color:#1c2330\n  \
         classDef approval fill:#fff9dc,stroke:#1c2330,stroke-width:2px,color:#1c2330\n",
    );
    text
}

fn node(review: &Review, at: usize, step: &Reviewed) -> String {
    let (open, close, class) = match mark(step) {
        "?" => ("{{", "}}", "approval"),
        "·" => ("(", ")", "reads"),
        "~" => ("[", "]", "reversible"),
        _ => ("[[", "]]", "irreversible"),
    };
    let mut label = vec![format!("<b>{}</b>", escape(&step.id))];
    label.extend(step.title.as_deref().map(escape));
    label.push(format!("{}, {}", step.kind, step.effect));
    label.extend(remarks(review, step).into_iter().map(str::to_uppercase));
    format!("s{at}{open}\"{}\"{close}:::{class}", label.join("<br/>"))
}

/// Mermaid reads HTML and its own entities; a title must be neither.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '<' | '>' | '&' | '#' | '`' | '\\' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

//! The graph of a plan as text: waves for the terminal, Mermaid for a wiki or a pull request.

use crate::graph::Graph;
use crate::plan::{Flow, Made, Step};
use std::fmt::Write;

/// The steps by waves, each with what it waits for.
pub fn waves(flow: &Flow, graph: &Graph) -> String {
    let width = flow.steps().iter().map(|step| step.id.value.as_str().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, wave) in graph.waves().iter().enumerate() {
        for (place, step) in wave.iter().filter_map(|at| flow.steps().get(*at)).enumerate() {
            let needs: Vec<&str> = Flow::needs(step).map(|need| need.as_str()).collect();
            let head = if place == 0 { (number + 1).to_string() } else { String::new() };
            let (id, kind) = (step.id.value.as_str(), step.action.kind().word());
            let line = match needs.is_empty() {
                true => format!("{head:>4}  {id:width$}  {kind}"),
                false => format!("{head:>4}  {id:width$}  {kind:8} after {}", needs.join(", ")),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// A Mermaid flowchart; windows are boxes around their steps.
pub fn mermaid(flow: &Flow) -> String {
    let mut text = String::from("flowchart TD\n");
    let node =
        |at: usize, step: &Step| format!("s{at}[\"{}<br/>{}\"]", escape(step.id.value.as_str()), kind(step));
    let mut windows: Vec<(&str, Vec<String>)> = Vec::new();
    for (at, step) in flow.steps().iter().enumerate() {
        let window = match (flow.made(&step.id.value), &step.window) {
            (Some(Made::Open(name) | Made::Close(name)), _) => Some(name.as_str()),
            (None, window) => window.as_ref().map(|name| name.value.as_str()),
        };
        match window {
            None => {
                let _ = writeln!(text, "  {}", node(at, step));
            }
            Some(window) => match windows.iter_mut().find(|(name, _)| *name == window) {
                Some((_, nodes)) => nodes.push(node(at, step)),
                None => windows.push((window, vec![node(at, step)])),
            },
        }
    }
    for (number, (window, nodes)) in windows.iter().enumerate() {
        let _ = writeln!(text, "  subgraph w{number}[\"window {}\"]", escape(window));
        for node in nodes {
            let _ = writeln!(text, "    {node}");
        }
        text.push_str("  end\n");
    }
    for (at, step) in flow.steps().iter().enumerate() {
        for need in Flow::needs(step).filter_map(|need| flow.index(need.as_str())) {
            let _ = writeln!(text, "  s{need} --> s{at}");
        }
    }
    text
}

fn kind(step: &Step) -> &'static str {
    step.action.kind().word()
}

fn escape(text: &str) -> String {
    text.replace('"', "&quot;")
}

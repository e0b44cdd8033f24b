//! The order of the steps. The only file that names petgraph; everything is by index into the flow.

use crate::plan::{Flow, Step, StepId};
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::HashMap;

/// The graph of a flow without cycles.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    waves: Vec<Vec<usize>>,
}

/// The steps of a cycle, each needing the next, the first again at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<StepId>);

/// How many ancestors are looked at for one question before it is asked together with others.
const NEAR: usize = 48;

impl Graph {
    /// Unknown needs are left out; `check` reports them.
    ///
    /// # Errors
    /// A cycle, as a path.
    pub fn new(flow: &Flow) -> Result<Self, Cycle> {
        let needs: Vec<Vec<usize>> = flow.steps().iter().map(|step| known_needs(flow, step)).collect();
        let mut dependents = vec![Vec::new(); flow.len()];
        let mut graph: DiGraph<usize, ()> = DiGraph::with_capacity(flow.len(), flow.len());
        let nodes: Vec<NodeIndex> = (0..flow.len()).map(|at| graph.add_node(at)).collect();
        for (at, before) in
            needs.iter().enumerate().flat_map(|(at, needs)| needs.iter().map(move |n| (at, *n)))
        {
            dependents[before].push(at);
            // Each is given once; to ask the graph for it would walk all that hangs on a hub.
            graph.add_edge(nodes[before], nodes[at], ());
        }
        let Ok(order) = petgraph::algo::toposort(&graph, None) else {
            return Err(Cycle(cycle(&graph, flow)));
        };
        let waves = waves(order.into_iter().map(|node| graph[node]), &needs);
        Ok(Self { needs, dependents, waves })
    }

    pub fn needs(&self, step: usize) -> &[usize] {
        self.needs.get(step).map_or(&[], Vec::as_slice)
    }

    pub fn dependents(&self, step: usize) -> &[usize] {
        self.dependents.get(step).map_or(&[], Vec::as_slice)
    }

    /// The steps by the longest way to them: all of one wave could run at once.
    pub fn waves(&self) -> &[Vec<usize>] {
        &self.waves
    }

    /// Every step that is certainly finished before this one starts.
    pub fn ancestors(&self, step: usize) -> Vec<usize> {
        let mut seen = vec![false; self.needs.len()];
        let mut stack = self.needs(step).to_vec();
        let mut found = Vec::new();
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                found.push(at);
                stack.extend(self.needs(at));
            }
        }
        found.sort_unstable();
        found
    }

    /// For each pair whether the first is certainly finished before the second starts. Answers 64 different first steps
    /// in one pass over the graph, so that many questions about a large plan stay cheap.
    pub fn all_before(&self, pairs: &[(usize, usize)]) -> Vec<bool> {
        let near: Vec<Option<bool>> =
            pairs.iter().map(|(earlier, later)| self.is_near_before(*earlier, *later)).collect();
        let mut answers: Vec<bool> = near.iter().map(|known| known.unwrap_or(false)).collect();
        let mut open: Vec<usize> = (0..pairs.len()).filter(|at| near[*at].is_none()).collect();
        open.sort_by_key(|at| pairs[*at].0);
        let mut rest = open.as_slice();
        while let Some(first) = rest.first() {
            let mut earliers = vec![pairs[*first].0];
            let mut end = 0;
            while let Some(at) = rest.get(end) {
                if earliers.last() != Some(&pairs[*at].0) {
                    if earliers.len() == 64 {
                        break;
                    }
                    earliers.push(pairs[*at].0);
                }
                end += 1;
            }
            let mut seeds = vec![0; self.needs.len()];
            for (bit, step) in earliers.iter().enumerate() {
                seeds[*step] = 1 << bit;
            }
            let reached = self.flow_down(|step, above| above | seeds[step]);
            for at in &rest[..end] {
                let (earlier, later) = pairs[*at];
                answers[*at] = self.needs(later).iter().any(|need| reached[*need] & seeds[earlier] != 0);
            }
            rest = &rest[end..];
        }
        answers
    }

    /// Looks at the nearest few ancestors, among which most answers are; None: it is not decided by them.
    fn is_near_before(&self, earlier: usize, later: usize) -> Option<bool> {
        let mut seen: Vec<usize> = Vec::with_capacity(NEAR);
        let mut next = 0;
        let mut at = later;
        loop {
            for need in self.needs(at) {
                if *need == earlier {
                    return Some(true);
                }
                if !seen.contains(need) {
                    if seen.len() == NEAR {
                        return None;
                    }
                    seen.push(*need);
                }
            }
            // All ancestors were looked at.
            let Some(ancestor) = seen.get(next) else { return Some(false) };
            at = *ancestor;
            next += 1;
        }
    }

    /// One pass in order: each step's value is made of the joined values of what it needs.
    pub fn flow_down(&self, mut at: impl FnMut(usize, u64) -> u64) -> Vec<u64> {
        let mut values = vec![0; self.needs.len()];
        for step in self.waves.iter().flatten() {
            let above = self.needs(*step).iter().fold(0, |joined, need| joined | values[*need]);
            values[*step] = at(*step, above);
        }
        values
    }

    /// Whether `earlier` is certainly finished before `later` starts.
    pub fn is_before(&self, earlier: usize, later: usize) -> bool {
        let mut seen = vec![false; self.needs.len()];
        let mut stack = self.needs(later).to_vec();
        while let Some(at) = stack.pop() {
            if at == earlier {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                stack.extend(self.needs(at));
            }
        }
        false
    }
}

/// By index, sorted, each once.
fn known_needs(flow: &Flow, step: &Step) -> Vec<usize> {
    let mut needs: Vec<usize> = Flow::needs(step).filter_map(|need| flow.index(need.as_str())).collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

fn waves(order: impl Iterator<Item = usize>, needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut depth = vec![0usize; needs.len()];
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for step in order {
        let own = needs[step].iter().map(|need| depth[*need] + 1).max().unwrap_or(0);
        depth[step] = own;
        if waves.len() <= own {
            waves.resize_with(own + 1, Vec::new);
        }
        waves[own].push(step);
    }
    for wave in &mut waves {
        wave.sort_unstable();
    }
    waves
}

fn cycle(graph: &DiGraph<usize, ()>, flow: &Flow) -> Vec<StepId> {
    let components = petgraph::algo::tarjan_scc(graph);
    let within = components
        .into_iter()
        .find(|nodes| nodes.len() > 1 || nodes.iter().any(|node| graph.contains_edge(*node, *node)))
        .unwrap_or_default();
    let Some(start) = within.iter().copied().min_by_key(|node| graph[*node]) else { return Vec::new() };
    let within: std::collections::HashSet<NodeIndex> = within.into_iter().collect();
    // Breadth first from the start back to itself: the shortest cycle through it.
    let mut from = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    'search: while let Some(node) = queue.pop_front() {
        for before in graph.neighbors_directed(node, petgraph::Incoming) {
            if before == start {
                from.insert(start, node);
                break 'search;
            }
            if within.contains(&before) && !from.contains_key(&before) {
                from.insert(before, node);
                queue.push_back(before);
            }
        }
    }
    let id = |node: NodeIndex| flow.steps()[graph[node]].id.value.clone();
    let mut path = vec![id(start)];
    let mut at = from.get(&start).copied();
    while let Some(node) = at {
        path.push(id(node));
        if node == start || path.len() > within.len() + 1 {
            break;
        }
        at = from.get(&node).copied();
    }
    path.reverse();
    if path.first() != path.last() {
        path.insert(0, id(start));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;

    fn graph(steps: &str) -> Result<Graph, Cycle> {
        let text = format!("runplan: 1\nname: t\nsteps:\n{steps}");
        let loaded = load(("t.yaml", &text), None, &|_| Err(String::new()));
        assert_eq!(loaded.findings, []);
        Graph::new(&loaded.flow)
    }

    fn step(id: &str, needs: &str) -> String {
        format!("  - {{ id: {id}, needs: [{needs}], notify: {{ channels: [console], message: m }} }}\n")
    }

    #[test]
    fn waves_are_the_longest_way() {
        let graph =
            graph(&[step("a", ""), step("b", "a"), step("c", "a"), step("d", "b, c, a")].concat()).unwrap();
        assert_eq!(graph.waves(), [vec![0], vec![1, 2], vec![3]]);
        assert_eq!(graph.ancestors(3), [0, 1, 2]);
        assert!(graph.is_before(0, 3) && !graph.is_before(1, 2));
    }

    #[test]
    fn many_questions_at_once_are_answered_as_one_by_one() {
        // A ladder with side rails: more than 64 different first steps.
        let steps: String = (0..200)
            .map(|at: usize| {
                let needs: Vec<String> = [at.checked_sub(3), at.checked_sub(7)]
                    .iter()
                    .flatten()
                    .map(|n| format!("s{n}"))
                    .collect();
                step(&format!("s{at}"), &needs.join(", "))
            })
            .collect();
        let graph = graph(&steps).unwrap();
        let pairs: Vec<(usize, usize)> =
            (0..200).flat_map(|a| (0..200).step_by(11).map(move |b| (a, b))).collect();
        let one_by_one: Vec<bool> = pairs.iter().map(|(a, b)| graph.is_before(*a, *b)).collect();
        assert_eq!(graph.all_before(&pairs), one_by_one);
        assert!(one_by_one.iter().any(|yes| *yes) && !one_by_one.iter().all(|yes| *yes));
    }

    #[test]
    fn a_cycle_is_drawn_as_its_path() {
        let Cycle(path) =
            graph(&[step("a", "c"), step("b", "a"), step("c", "b"), step("d", "c")].concat()).unwrap_err();
        let path: Vec<&str> = path.iter().map(StepId::as_str).collect();
        assert_eq!(path, ["a", "c", "b", "a"]);
        let Cycle(path) = graph(&step("a", "a")).unwrap_err();
        assert_eq!(path.len(), 2);
    }
}

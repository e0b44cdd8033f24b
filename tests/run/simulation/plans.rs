//! Random plans, and random changes to them: needs point backwards, so that there is no cycle.

use crate::support::chance::Chance;
use crate::support::shape::shape;
use runplan::run::Shape;
use std::fmt::Write;

/// A plan that was read.
pub struct Made {
    pub written: Written,
    pub shape: Shape,
}

impl Made {
    pub fn new(number: u64) -> Self {
        let written = plan(&mut Chance::new(number.wrapping_mul(0xd6e8_feb8_6659_fd93)));
        Self { shape: shape(&written.text()), written }
    }
}

/// A plan as text, step by step.
#[derive(Debug, Clone)]
pub struct Written {
    head: String,
    steps: Vec<Line>,
    /// How many steps it ever had.
    count: usize,
}

#[derive(Debug, Clone)]
struct Line {
    id: String,
    needs: Vec<String>,
    /// For people: not part of what is done.
    title: u64,
    rest: String,
}

impl Written {
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        for step in &self.steps {
            let Line { id, needs, title, rest } = step;
            let _ =
                write!(text, "  - id: {id}\n    title: t{title}\n    needs: [{}]\n{rest}", needs.join(", "));
        }
        text
    }

    /// All that a step does and waits for; nothing when there is none.
    pub fn of(&self, id: &str) -> Option<(&[String], &str)> {
        let step = self.steps.iter().find(|step| step.id == id)?;
        Some((&step.needs, &step.rest))
    }

    /// As somebody might change it while its run stands still.
    pub fn changed(&self, chance: &mut Chance) -> Self {
        let mut new = self.clone();
        for _ in 0..=chance.below(2) {
            let at = chance.below(new.steps.len());
            match chance.below(6) {
                0 => new.steps[at].title = chance.next(),
                1 | 2 => new.steps[at].rest = rest(chance, &[]),
                // Conditions may name the first one.
                3 if at > 0 => {
                    let gone = new.steps.remove(at).id;
                    new.steps.iter_mut().for_each(|step| step.needs.retain(|need| *need != gone));
                }
                _ => {
                    // Sometimes under the name of one that was there.
                    let free = (0..=new.count).map(|at| format!("s{at}")).filter(|id| new.of(id).is_none());
                    let free: Vec<String> = free.collect();
                    let id = free[chance.below(free.len())].clone();
                    let needs = new.steps.iter().filter(|_| chance.one_in(3)).map(|step| step.id.clone());
                    let needs: Vec<String> = needs.collect();
                    new.count += 1;
                    new.steps.push(Line { id, rest: rest(chance, &needs), needs, title: 0 });
                }
            }
        }
        new
    }
}

fn plan(chance: &mut Chance) -> Written {
    let most = [3, 8, 24][chance.below(3)];
    let count = 1 + chance.below(most);
    let parallel = 1 + chance.below(4);
    let undo = if chance.one_in(6) { "undo" } else { "park" };
    let deadline = if chance.one_in(5) { ", deadline: 30m" } else { "" };
    let head = format!(
        "runplan: 1\nname: test\non_failure: {undo}\nlimits: {{ parallel: {parallel}{deadline} }}\nsteps:\n"
    );
    let sparse = 1 + chance.below(6);
    let steps = (0..count)
        .map(|step| {
            let needs: Vec<String> =
                (0..step).filter(|_| chance.one_in(sparse)).map(|need| format!("s{need}")).collect();
            Line { id: format!("s{step}"), rest: rest(chance, &needs), needs, title: 0 }
        })
        .collect();
    Written { head, steps, count }
}

/// What a step is, but for its name and its needs.
fn rest(chance: &mut Chance, needs: &[String]) -> String {
    let mut text = String::new();
    if chance.one_in(4) {
        let _ = writeln!(text, "    retry: {{ attempts: {}, every: 1s }}", 1 + chance.below(3));
    }
    if chance.one_in(8) {
        text.push_str("    continue_on_failure: true\n");
    }
    match chance.below(10) {
        0 => text.push_str("    when: \"false\"\n"),
        1 => text.push_str("    when: \"true\"\n"),
        2 if needs.first().is_some_and(|need| need == "s0") => {
            text.push_str("    when: \"steps.s0 is defined\"\n");
        }
        _ => {}
    }
    text.push_str(action(chance));
    text
}

fn action(chance: &mut Chance) -> &'static str {
    match chance.below(12) {
        0 | 1 => "    approve: { message: go? }\n",
        2 => "    approve: { message: done?, confirm: do it }\n",
        3 => "    shell: { argv: [\"true\"], changes: none }\n",
        4 => "    shell: { argv: [\"true\"] }\n    irreversible: it is\n",
        5 => {
            "    shell: { argv: [\"true\"], destructive: true }\n    undo: { shell: { argv: [\"true\"] } }\n"
        }
        6 => "    notify: { channels: [console], message: m }\n",
        7 => "    verify: { checks: [ { name: a, shell: { argv: [\"true\"] }, expect: { equals: 0 } } ] }\n",
        _ => "    shell: { argv: [\"true\"] }\n    undo: { shell: { argv: [\"true\"] } }\n",
    }
}

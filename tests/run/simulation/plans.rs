//! Random plans: needs point backwards, so that there is no cycle.

use crate::support::chance::Chance;
use crate::support::shape::shape;
use runplan::run::Shape;
use std::fmt::Write;

/// A plan that was read.
pub struct Made {
    pub text: String,
    pub shape: Shape,
}

impl Made {
    pub fn new(number: u64) -> Self {
        let text = plan(&mut Chance::new(number.wrapping_mul(0xd6e8_feb8_6659_fd93)));
        Self { shape: shape(&text), text }
    }
}

fn plan(chance: &mut Chance) -> String {
    let most = [3, 8, 24][chance.below(3)];
    let steps = 1 + chance.below(most);
    let parallel = 1 + chance.below(4);
    let undo = if chance.one_in(6) { "undo" } else { "park" };
    let deadline = if chance.one_in(5) { ", deadline: 30m" } else { "" };
    let mut text = format!(
        "runplan: 1\nname: test\non_failure: {undo}\nlimits: {{ parallel: {parallel}{deadline} }}\nsteps:\n"
    );
    let sparse = 1 + chance.below(6);
    for step in 0..steps {
        let needs: Vec<String> =
            (0..step).filter(|_| chance.one_in(sparse)).map(|need| format!("s{need}")).collect();
        let _ = writeln!(text, "  - id: s{step}\n    needs: [{}]", needs.join(", "));
        if chance.one_in(4) {
            let _ = writeln!(text, "    retry: {{ attempts: {}, every: 1s }}", 1 + chance.below(3));
        }
        if chance.one_in(8) {
            text.push_str("    continue_on_failure: true\n");
        }
        match chance.below(10) {
            0 => text.push_str("    when: \"false\"\n"),
            1 => text.push_str("    when: \"true\"\n"),
            2 if step > 0 && needs.first().is_some_and(|need| need == "s0") => {
                text.push_str("    when: \"steps.s0 is defined\"\n");
            }
            _ => {}
        }
        text.push_str(action(chance));
    }
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

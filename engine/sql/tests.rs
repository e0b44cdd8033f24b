use super::*;

/// One line for each effect and remark of a text, without ranges.
fn told(text: &str) -> Vec<String> {
    let script = read(text);
    assert!(script.errors.is_empty(), "{text}: {:?}", script.errors);
    let list = |objects: &[Object]| {
        let mark = |object: &Object| format!("{object}{}", if object.resolved { "" } else { "?" });
        objects.iter().map(mark).collect::<Vec<_>>().join(" ")
    };
    let line = |effect: &Effect| match effect {
        Effect::Reads { tables } => format!("reads {}", list(tables)),
        Effect::Writes { how, tables } => format!("writes {how:?} {}", list(tables)),
        Effect::Locks { tables } => format!("locks {}", list(tables)),
        Effect::Changes { what, objects } => format!("changes {what}: {}", list(objects)),
        Effect::Destroys { what, objects, scope, cascade, .. } => {
            let loss = what.loss(*cascade);
            format!(
                "destroys {what}: {} ({scope:?}, {loss:?}{})",
                list(objects),
                if *cascade { ", cascade" } else { "" }
            )
        }
        Effect::Session => "session".to_owned(),
        Effect::Opaque { why, range } => format!("opaque {why:?} {}", &text[range.clone()]),
    };
    let mut lines = Vec::new();
    for statement in &script.statements {
        lines.extend(statement.effects.iter().map(|effect| line(effect).trim_end().to_owned()));
        lines.extend(
            statement
                .findings
                .iter()
                .map(|remark| format!("! {:?} {}", remark.kind, &text[remark.range.clone()])),
        );
        if let Transactional::No(_) = statement.transactional {
            lines.push("! not in a transaction".to_owned());
        }
    }
    lines
}

#[track_caller]
fn tells(text: &str, lines: &[&str]) {
    assert_eq!(told(text), lines, "{text}");
}

#[test]
fn a_cte_is_no_table_and_its_own_body_sees_the_table_it_hides() {
    tells(
        "with users as (delete from users u using b where u.id = b.id returning *)
         select count(*) from users, s.t a join lateral (select 1 from users) q on true",
        &["reads b s.t", "writes Delete users"],
    );
    tells("with recursive a as (select * from a), b as (select * from a) table b", &["reads"]);
    tells("with a as (select * from b), b as (select 1) select * from b, public.a", &["reads b public.a"]);
}

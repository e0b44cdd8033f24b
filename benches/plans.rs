//! Plans of any size for measuring. They pass `check` without an error at every size.

use std::fmt::Write;

/// How the steps of a plan hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each waits for the one before; nothing else in them.
    Chain,
    /// None waits for any other.
    Wide,
    /// What a long rollback looks like: SQL, scripts and checks with templates that read parameters and the results
    /// of earlier steps, in stretches that run beside each other.
    Mix,
}

impl Shape {
    pub const ALL: [Self; 3] = [Self::Chain, Self::Wide, Self::Mix];

    pub fn word(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Wide => "wide",
            Self::Mix => "mix",
        }
    }

    /// The plan's text.
    pub fn plan(self, steps: usize) -> String {
        let mut text = "runplan: 1\nname: bench\n".to_owned();
        match self {
            Self::Chain | Self::Wide => plain(&mut text, steps, self == Self::Wide),
            Self::Mix => mix(&mut text, steps),
        }
        text
    }
}

fn plain(text: &mut String, steps: usize, wide: bool) {
    text.push_str("limits: { parallel: 64 }\nsteps:\n");
    let needs = if wide { ", needs: []" } else { "" };
    for at in 0..steps {
        let _ = writeln!(text, "  - {{ id: s{at}{needs}, shell: {{ argv: [\"true\"], changes: none }} }}");
    }
}

fn mix(text: &mut String, steps: usize) {
    text.push_str(HEAD);
    for at in 0..steps.saturating_sub(2) {
        // Ten steps are a stretch; each stretch begins after the approval and ends on its own.
        let first = at / 10 * 10;
        if at == first {
            let _ = write!(text, "  - id: s{at}\n    needs: [go]\n");
        } else {
            let _ = writeln!(text, "  - id: s{at}");
        }
        step(text, at % 10, first);
    }
}

/// One of the ten steps of a stretch whose first step is `first`.
fn step(text: &mut String, nth: usize, first: usize) {
    let _ = match nth {
        0 => writeln!(
            text,
            "    title: Which rows are wrong in part {first}
    sql:
      database: app
      read_only: true
      statement: |
        SELECT id, amount
        FROM escrows
        WHERE part = {{{{ params.part }}}} AND amount < {first}
        ORDER BY id"
        ),
        1 | 4 => writeln!(
            text,
            "    sql:
      database: app
      lock_timeout: 3s
      statement: >-
        UPDATE escrows SET amount = 0
        WHERE part = {{{{ params.part }}}} AND amount < {{{{ steps.s{first}.row_count }}}}
      expect: {{ max_rows: 500 }}
    irreversible: the amounts were wrong"
        ),
        2 | 7 => writeln!(
            text,
            "    shell:
      argv: [./notify, --part, \"{{{{ params.part }}}}\", --rows, \"{{{{ steps.s{first}.row_count }}}}\"]
      env: {{ DATABASE_URL: \"{{{{ secrets.DATABASE_URL }}}}\" }}
      changes: none"
        ),
        3 | 8 => writeln!(
            text,
            "    timeout: 2m
    retry: {{ attempts: 3, every: 1s }}
    shell:
      run: |
        echo \"part $PART of $TOTAL\"
        for file in ./parts/*; do
          ./rebuild \"$file\" --rows {{{{ steps.s{first}.row_count }}}} --into {{{{ params.directory }}}}
        done
      changes: none"
        ),
        5 | 9 => writeln!(
            text,
            "    verify:
      database: app
      use: [integrity]
      checks:
        - name: part {first} is whole
          sql: SELECT count(*) FROM escrows WHERE part = {{{{ params.part }}}} AND amount < 0
          expect: 0"
        ),
        _ => writeln!(
            text,
            "    when: params.talk
    notify: {{ channels: [console], message: \"part {first}: {{{{ steps.s{first}.row_count }}}} rows\" }}"
        ),
    };
}

const HEAD: &str = r#"title: Many parts are put right
params:
  part: { type: integer, default: 7 }
  talk: { type: boolean, default: true }
  directory: { type: path, default: ./out }
secrets:
  DATABASE_URL: { env: DATABASE_URL }
databases:
  app: { url: "{{ secrets.DATABASE_URL }}" }
checks:
  integrity:
    - { name: every user has a wallet, sql: SELECT id FROM users WHERE wallet IS NULL, expect: empty }
    - { name: no negative escrow, sql: SELECT id FROM escrows WHERE amount < 0, expect: empty }
limits: { parallel: 16 }
steps:
  - id: saved
    backup: { database: app, to: "{{ params.directory }}", keep: 7d }
  - id: go
    approve: { message: "Put right what is in part {{ params.part }}, with {{ steps.saved.path }} to go back to?" }
"#;

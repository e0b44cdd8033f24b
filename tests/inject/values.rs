//! Values that somebody makes up who wants out of the place a value is put in.

use crate::support::chance::Chance;
use serde_json::{Value, json};

/// What texts are made of: what ends, escapes, expands or hides something somewhere.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "\\",
    "\\'",
    "\\\\",
    "\\\"",
    "$$",
    "$a$",
    "$1",
    "$RUNPLAN_1",
    "${RUNPLAN_1}",
    "$(touch pwned)",
    "`touch pwned`",
    "$((1+1))",
    "a[$(touch pwned)]",
    "x[`touch pwned`]=1",
    "<(touch pwned)",
    "; touch pwned;",
    "\ntouch pwned\n",
    "|touch pwned",
    "&& touch pwned #",
    "'; DROP TABLE got; --",
    "\\'; DROP TABLE got; --",
    "$$; DROP TABLE got; $$",
    "E'\\''",
    "U&'\\0027'",
    "\\0027",
    "!0027",
    "/*",
    "*/",
    "--",
    "#",
    "//",
    "\\.",
    "\\q",
    "\\copy",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\u{b}",
    "\u{c}",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{200d}",
    "\u{2019}",
    "\u{ff07}",
    "\u{02bc}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "e\u{301}",
    "\u{301}",
    "é",
    "ß",
    "漢",
    "🦀",
    "👩\u{200d}👩\u{200d}👧",
    "\u{1b}[31m",
    "%",
    "_",
    "%s",
    "%n",
    "\\n",
    "\\x41",
    "\\u0041",
    "{{",
    "}}",
    "{{ params.p0 }}",
    "{%",
    "{#",
    "!!",
    "!",
    "*",
    "?",
    "[a-z]",
    "~",
    "~root",
    "{a,b}",
    "<",
    ">",
    "|",
    "&",
    ";",
    "(",
    ")",
    "=",
    ",",
    ":",
    "@",
    "^",
    "-",
    "--help",
    "-n",
    "-e",
    "+",
    ".",
    "..",
    "/",
    " ",
    "  ",
    "a",
    "B",
    "null",
    "NULL",
    "true",
    "0",
    "1e5",
    "EOF",
    "\nEOF\n",
];

/// A text of up to a dozen pieces; now and then a long one.
pub fn text(chance: &mut Chance) -> String {
    let mut text = String::new();
    let many = match chance.below(40) {
        0 => 0,
        1 => 60,
        2..=12 => 1,
        many => 1 + many % 9,
    };
    for _ in 0..many {
        match chance.below(8) {
            0 => text.push(any_char(chance)),
            _ => text.push_str(PIECES[chance.below(PIECES.len())]),
        }
    }
    text
}

/// Any character but NUL; a character is never half of a surrogate pair.
fn any_char(chance: &mut Chance) -> char {
    let most = [0x80, 0x800, 0x1_0000, 0x11_0000][chance.below(4)];
    char::from_u32(chance.below(most) as u32).filter(|found| *found != '\0').unwrap_or('\'')
}

/// A value for a parameter of this type: one that it takes, or one that it has to refuse.
pub fn of(kind: &str, chance: &mut Chance) -> Value {
    let wild = chance.one_in(12);
    let mut hostile = text(chance);
    if chance.one_in(25) {
        let at = (0..=hostile.len()).rev().find(|at| hostile.is_char_boundary(*at)).unwrap_or(0);
        hostile.insert(at, '\0');
    }
    match kind {
        _ if wild => json!(hostile),
        "integer" => json!(integer(chance)),
        "number" => number(chance),
        "boolean" => json!(chance.one_in(2)),
        "choice" => json!(CHOICES[chance.below(CHOICES.len())]),
        "url" => json!(format!("https://h.test/{}", hostile.replace(char::is_whitespace, "'"))),
        "timestamp" => json!(TIMES[chance.below(TIMES.len())]),
        "duration" => json!(["0s", "1s", "90m", "1h30m", "7d", "500ms"][chance.below(6)]),
        "words" => (0..chance.below(4)).map(|_| json!(text(chance))).collect(),
        "integers" => (0..chance.below(4)).map(|_| json!(integer(chance))).collect(),
        "numbers" => (0..chance.below(4)).map(|_| number(chance)).collect(),
        "booleans" => (0..chance.below(4)).map(|_| json!(chance.one_in(2))).collect(),
        _ => json!(hostile),
    }
}

fn integer(chance: &mut Chance) -> i64 {
    let any = chance.next() as i64;
    [0, 1, -1, 10, -10, i64::MAX, i64::MIN, any, any % 1_000, -any.saturating_abs()][chance.below(10)]
}

fn number(chance: &mut Chance) -> Value {
    let some =
        [0.5, -0.5, 1.0, -0.0, 1e300, -1e300, 1e-300, 1e15, 1e16, 1e21, 0.1, f64::MAX, f64::MIN_POSITIVE];
    match chance.below(3) {
        0 => json!(integer(chance)),
        1 => json!(some[chance.below(some.len())]),
        _ => {
            let any = f64::from_bits(chance.next());
            json!(if any.is_finite() { any } else { 0.25 })
        }
    }
}

pub const CHOICES: [&str; 8] =
    ["'", "\\", "$(touch pwned)", "a b", "-n", "\"; --", "{{ params.p0 }}", "null"];

const TIMES: [&str; 5] = [
    "2026-11-22T03:11:07Z",
    "2026-11-22T03:11:07.123456789+14:00",
    "0001-01-01T00:00:00Z",
    "1999-12-31 23:59:60-00:30",
    "-009999-01-02T01:59:59Z",
];

/// The declarations of `many` parameters `p0 ...` of every type, most of them texts; and the kind of each.
pub fn params(many: usize) -> (String, Vec<&'static str>) {
    const KINDS: [&str; 16] = [
        "string",
        "path",
        "string",
        "integer",
        "words",
        "string",
        "url",
        "choice",
        "string",
        "number",
        "string",
        "boolean",
        "integers",
        "timestamp",
        "duration",
        "string",
    ];
    let rare = ["numbers", "booleans"];
    let mut declared = "params:\n".to_owned();
    let mut kinds = Vec::new();
    for at in 0..many {
        let kind = if at % 32 == 31 { rare[at / 32 % 2] } else { KINDS[at % KINDS.len()] };
        let fields = match kind {
            "choice" => format!("type: choice, choices: {}", json!(CHOICES)),
            "words" => "type: list, items: string".to_owned(),
            "integers" => "type: list, items: integer".to_owned(),
            "numbers" => "type: list, items: number".to_owned(),
            "booleans" => "type: list, items: boolean".to_owned(),
            other => format!("type: {other}"),
        };
        declared.push_str(&format!("  p{at}: {{ {fields}, required: true }}\n"));
        kinds.push(kind);
    }
    (declared, kinds)
}

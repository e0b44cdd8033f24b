use super::*;

/// `!` marks what must be there; `{{ x }}` is the value `./given`, `{{ ? }}` one that is not known yet.
fn read(script: &str) -> Vec<String> {
    let mut symbols = Vec::new();
    let mut rest = script;
    while let Some((before, after)) = rest.split_once("{{ ") {
        let (name, after) = after.split_once(" }}").unwrap();
        symbols.extend(before.chars().map(Symbol::Char));
        symbols.push(Symbol::Value((name == "x").then(|| "./given".to_owned())));
        rest = after;
    }
    symbols.extend(rest.chars().map(Symbol::Char));
    let shown = |one: Started| format!("{}{}", if one.first { "!" } else { "" }, one.program);
    programs(symbols).into_iter().map(shown).collect()
}

#[test]
fn the_programs_that_a_script_starts() {
    for (script, wanted) in [
        ("./maintenance on", &["!./maintenance"][..]),
        ("{{ x }} on", &["!./given"]),
        ("[ script = railway ] || {{ x }} on", &["!./given"]),
        ("[ 'a b' != \"a b\" ] || {{ x }}", &["!./given"]),
        ("test -z '' && ./one", &["!./one"]),
        ("one; two\nthree & four", &["!one", "two", "three", "four"]),
        ("one | two 2>&1 >out | three", &["!one", "two", "three"]),
        ("one &&\n  two", &["!one", "two"]),
        ("A=b C='d e' one two", &["!one"]),
        ("echo a; set -x; export A=b; one", &["!one"]),
        ("'./a b' c", &["!./a b"]),
        ("\"./a b\" c", &["!./a b"]),
        ("o\\\nne two", &["!one"]),
        ("one \\\n  two", &["!one"]),
        ("# comment\n\none # two", &["!one"]),
        ("one \"$(two | three \")\")\" ; four", &["!one", "four"]),
        ("one `two`; three", &["!one", "three"]),
        ("one ${A:-b} $((1 + 2)); two", &["!one", "two"]),
        ("one <in >out <<< 'here'; two", &["!one", "two"]),
        ("one &>out; two", &["!one", "two"]),
        ("! one; time two", &["!one", "two"]),
        ("exec one; two", &["!one"]),
        ("exec 2>log; one", &["!one"]),
        ("cd sub; sleep 1; /bin/two", &["!sleep", "/bin/two"]),
        ("[[ a && b ]] ; one", &["!one"]),
        ("[ a = b ] && ./never; one", &["!one"]),
        ("one a*; two", &["!one", "two"]),
        ("one; one", &["!one"]),
        ("psql <<EOF\none\nEOF\ntwo", &["!psql"]),
        ("pg_dump \"$URL\" >dump; ./upload dump", &["!pg_dump", "./upload"]),
    ] {
        assert_eq!(read(script), wanted, "{script}");
    }
}

/// What could turn out otherwise is not named.
#[test]
fn what_is_not_certain_is_not_named() {
    for script in [
        "",
        "# one",
        "{{ ? }} on",
        "$TOOL on",
        "\"$TOOL\" on",
        "${TOOL:-one}",
        "$(which one) on",
        "`which one`",
        "a*/one",
        "~/one",
        "{one,two}",
        "if command -v one; then one; fi",
        "command -v one && one",
        "command -v one >/dev/null || ./one",
        "type one && one",
        "[ -x ./one ] && ./one",
        "[[ -x ./one ]] && ./one",
        "[ -f a ] || ./one",
        "test -e a || ./one",
        "[ {{ ? }} = railway ] || ./one",
        "[ \"$A\" = b ] || ./one",
        "[ a = a ] || ./one",
        "one() { two; }; one",
        "function one { two; }; one",
        "for i in 1 2; do one; done",
        "while read -r a; do one; done",
        "case a in a) one ;; esac",
        "{ one; }",
        "(one)",
        ". ./functions; one",
        "source functions; one",
        "eval one; two",
        "alias one=two; one",
        "export PATH=./bin:$PATH; one",
        "PATH=./bin one",
        "cd sub; ./one",
        "cd sub && ./one",
        "exit 0; one",
        "return; one",
        "[ -z $A ] && exit; one",
        "a=(one two)",
        "diff <(one) <(two)",
        "'unclosed one",
        "A=b",
        "trap 'one' EXIT",
        "true || one",
        "false && one",
        "! true && one",
    ] {
        let found: Vec<String> =
            read(script).into_iter().filter(|one| one.contains("one") || one.contains("two")).collect();
        assert!(found.is_empty(), "{script}: {found:?}");
    }
    // What the script makes or brings before is not missing.
    for script in [
        "git clone x; chmod +x ./one; ./one",
        "cp /usr/bin/true one; ./one",
        "curl -O http://a/; ./one",
        "apt-get install -y one; one",
        "npm ci; two",
        "npm ci; ./node_modules/.bin/one",
        "git pull; ./one",
        "sed s/a/b/ in >./one; ./one",
        "cat <<EOF\none\nEOF\ntwo",
        "grep -q a b && ./one",
    ] {
        let found: Vec<String> =
            read(script).into_iter().filter(|one| one.contains("one") || one.contains("two")).collect();
        assert!(found.is_empty(), "{script}: {found:?}");
    }
}

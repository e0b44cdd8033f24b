"""Steps that do nothing: `true`, in a chain and beside each other. runplan's are durable: two events a step."""

from bench import Candidate

TITLE = "Steps that do nothing"

CHAIN = 200
WIDE = 1_000


def measure(bench):
    parts = [chain(bench)]
    parts += [wide(bench, at_once, peers=at_once == 4) for at_once in (4, 32)]
    if bench.peers.missing:
        parts.append("Left out: " + "; ".join(bench.peers.missing) + ".\n")
    return "\n".join(parts)


def chain(bench):
    plan = runplan(bench, CHAIN, 4, chained=True)
    candidates = [
        Candidate(
            "the floor", lambda place: [bench.floor, "chain", CHAIN, place], note="spawn, and two synced appends a step"
        ),
        Candidate("runplan", lambda place: [bench.runplan, "run", plan]),
        *others(bench, CHAIN, 2, chained=True),
    ]
    bench.compare(candidates)
    return f"{CHAIN} steps, each after the one before; the aim is 1.5 times the floor.\n\n" + bench.table(
        candidates, steps=CHAIN
    )


def wide(bench, at_once, peers):
    plan = runplan(bench, WIDE, at_once, chained=False)
    candidates = [
        Candidate("the floor", lambda place: [bench.floor, "wide", WIDE, 1], note="spawn and wait, one at a time"),
        Candidate("runplan", lambda place: [bench.runplan, "run", plan]),
        Candidate(f"{at_once} at a time", lambda place: [bench.floor, "wide", WIDE, at_once], note="spawn and wait"),
        Candidate("synced appends", lambda place: [bench.floor, "sync", WIDE, place], note=f"{WIDE} of them"),
        *(others(bench, WIDE, at_once, chained=False) if peers else []),
    ]
    bench.compare(candidates)
    return (
        f"{WIDE} steps beside each other, {at_once} at once; the aim is 1.6 times the floor, each step durable.\n\n"
        + bench.table(candidates, steps=WIDE)
    )


def others(bench, count, at_once, chained):
    """The same work for the programs that can be had. None of them keeps a journal but dagu."""
    peers, found = bench.peers, []
    if peers.make:
        makefile = bench.file("Makefile", make(count, chained))
        found.append(Candidate(f"make -j{at_once}", lambda place: [peers.make, "-s", f"-j{at_once}", "-f", makefile]))
    if peers.just:
        justfile = bench.file("justfile", just(count, chained))
        note = "" if chained else "no limit on how many at once"
        found.append(Candidate("just", lambda place: [peers.just, "-q", "-f", justfile, "all"], note=note))
    if peers.dagu:
        dag = bench.file("bench.yaml", dagu(count, at_once, chained))
        found.append(
            Candidate("dagu", lambda place: [peers.dagu, "start", f"--dagu-home={place / 'dagu'}", "--quiet", dag])
        )
    return found


def runplan(bench, count, at_once, chained):
    needs = "" if chained else ", needs: []"
    steps = [f'  - {{ id: s{at}{needs}, shell: {{ argv: ["true"], changes: none }} }}' for at in range(count)]
    text = f"runplan: 1\nname: bench\nlimits: {{ parallel: {at_once} }}\nsteps:\n" + "\n".join(steps) + "\n"
    return bench.file("bench.yaml", text)


def make(count, chained):
    rules = [f"s{at}:{f' s{at - 1}' if chained and at else ''}\n\t@true\n" for at in range(count)]
    names = " ".join(f"s{at}" for at in range(count))
    return f".PHONY: all {names}\nall: {names}\n" + "".join(rules)


def just(count, chained):
    rules = [f"s{at}:{f' s{at - 1}' if chained and at else ''}\n    @true\n" for at in range(count)]
    names = " ".join(f"s{at}" for at in range(count))
    head = "" if chained else "[parallel]\n"
    return f"{head}all: {names}\n" + "".join(rules)


def dagu(count, at_once, chained):
    steps = []
    for at in range(count):
        depends = f"\n    depends: [s{at - 1}]" if chained and at else ""
        steps.append(f'  - name: s{at}\n    command: "true"{depends}\n')
    return f"name: bench\ntype: graph\nmaxActiveSteps: {at_once}\nsteps:\n" + "".join(steps)

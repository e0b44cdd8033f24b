"""What a person waits for before anything happens: the dry run and the check of the shipped plan."""

from bench import Candidate

TITLE = "The dry run of a plan"


def measure(bench):
    plan = bench.root / "plans/scenario-2.yaml"
    candidates = [
        Candidate("the program alone", lambda place: [bench.runplan, "--version"]),
        Candidate("dry run", lambda place: [bench.runplan, plan, "--dry-run"]),
        Candidate("dry run as JSON", lambda place: [bench.runplan, plan, "--dry-run", "--format", "json"]),
        Candidate("check", lambda place: [bench.runplan, "check", plan]),
    ]
    bench.compare(candidates)
    return "plans/scenario-2.yaml; the aim is 15 ms.\n\n" + bench.table(candidates)

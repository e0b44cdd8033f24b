"""From `resume` to the first action, for a run with a long journal."""

import json
import os
import statistics
import subprocess
import time

from bench import duration

TITLE = "Resume: from the command to the first action"
# Each is started and done: two events a step.
STEPS = [50, 500, 5000]


def plan(steps):
    lines = ["runplan: 1", "name: long", "limits: { parallel: 8 }", "steps:"]
    for at in range(steps):
        lines.append(f"  - {{ id: s{at}, needs: [], notify: {{ channels: [console], message: m }} }}")
    lines.append(f"  - {{ id: asked, needs: [s{steps - 1}], approve: {{ message: 'Go on?' }} }}")
    lines.append("  - { id: first, needs: [asked], shell: { run: 'date +%s.%N > first', changes: none } }")
    return "\n".join(lines) + "\n"


def run(bench, place, line, *codes):
    env = {**os.environ, "RUNPLAN_STATE": str(place / "state"), "HOME": str(place)}
    done = subprocess.run(
        [bench.runplan, *line], cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in codes:
        raise SystemExit(f"runplan {' '.join(line)} ended with {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def once(bench, steps):
    """Seconds to the first action, and the events that were read."""
    place = bench.place()
    (place / "plan.yaml").write_text(plan(steps))
    run(bench, place, ["run", "plan.yaml", "--plain"], 4)
    name = json.loads(run(bench, place, ["runs", "--format", "json"], 0))["runs"][0]["run"]
    run(bench, place, ["approve", name, "asked"], 0)
    began = time.time()
    told = run(bench, place, ["resume", name, "--format", "json"], 0)
    # The first line of the resumed process has the number of the line that follows what was read.
    events = min(json.loads(line)["seq"] for line in told.splitlines() if '"seq"' in line) - 1
    return float((place / "first").read_text()) - began, events


def measure(bench):
    lines = ["| events | median | least | rounds |", "| ---: | ---: | ---: | ---: |"]
    for steps in STEPS:
        tried = [once(bench, steps) for _ in range(max(3, bench.rounds // 2))]
        times = [seconds for seconds, _ in tried]
        lines.append(
            f"| {tried[0][1]} | {duration(statistics.median(times))} | {duration(min(times))} | {len(times)} |"
        )
    return "\n".join(lines) + "\n\nThe first action is a program that writes down the time; 0.2 s is the aim at 10,000 events.\n"

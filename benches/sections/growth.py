"""How the pure parts grow with the plan: the table of `cargo bench --bench core`."""

import subprocess

TITLE = "Growth with the number of steps"


def measure(bench):
    command = ["cargo", "bench", "--quiet", "--bench", "core"]
    done = subprocess.run(command, cwd=bench.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    _, bar, table = done.stdout.partition("| phase ")
    if done.returncode != 0 or not bar:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}\n{done.stdout[-3000:]}")
    return bar + table

"""Runs candidates in turns, measures them, and writes the table. Knows nothing of what they do."""

import itertools
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

# A candidate that takes longer than this is run three times only.
SLOW = 5.0


class Candidate:
    """One way to do the work: its name, and a function from an empty directory to the command."""

    def __init__(self, name, command, env=None, note=""):
        self.name, self.command, self.env, self.note = name, command, env or {}, note
        self.times = []


class Bench:
    def __init__(self, root, directory, rounds, install):
        self.root, self.directory, self.rounds, self.install = root, directory, rounds, install
        self.runplan = Path(os.environ.get("BENCH_PROGRAM") or root / "target/release/runplan")
        self.numbers = itertools.count()
        self._floor = None
        self._peers = None
        if not self.runplan.exists():
            raise SystemExit(f"{self.runplan} is missing: `cargo build --release` first, or `make bench`")

    @property
    def floor(self):
        """The program of `benches/floor.rs`."""
        if self._floor is None:
            self._floor = self._built("floor")
        return self._floor

    @property
    def peers(self):
        """Other programs that run steps, as far as they can be had."""
        if self._peers is None:
            from peers import Peers

            self._peers = Peers(self.root / "target/bench-peers", self.install)
        return self._peers

    def _built(self, name):
        command = ["cargo", "bench", "--quiet", "--no-run", "--bench", name, "--message-format=json"]
        lines = subprocess.run(command, cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout
        messages = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
        built = [one for one in messages if one.get("executable") and one["target"]["name"] == name]
        return built[0]["executable"]

    def place(self):
        """A new empty directory. None is removed before the end: ext4 is slow to make files where others have just
        been removed, and that would be measured too."""
        path = self.directory / f"{next(self.numbers)}"
        path.mkdir()
        return path

    def file(self, name, text):
        path = self.place() / name
        path.write_text(text)
        return path

    def compare(self, candidates):
        """Runs the candidates in turns, `rounds` times, after one round that is not counted."""
        for turn in range(self.rounds + 1):
            for candidate in candidates:
                slow = candidate.times and candidate.times[0] > SLOW
                if not slow or turn < 3:
                    took = self._run(candidate)
                    # A slow one has no use for a warm cache, and its first time counts.
                    if turn > 0 or took > SLOW:
                        candidate.times.append(took)
        return candidates

    def _run(self, candidate):
        place = self.place()
        command = [str(word) for word in candidate.command(place)]
        env = {**os.environ, **candidate.env, "RUNPLAN_STATE": str(place / "state"), "HOME": str(place)}
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        took = time.perf_counter() - began
        if done.returncode != 0:
            text = done.stdout.decode(errors="replace")[-2000:]
            raise SystemExit(f"{candidate.name} failed with {done.returncode}: {' '.join(command)}\n{text}")
        return took

    def table(self, candidates, steps=None):
        """Markdown; ratios are to the first candidate."""
        first = candidates[0]
        each = "| a step " if steps else ""
        lines = [
            f"| | median | least {each}| times {first.name} | rounds |",
            f"| --- | ---: | ---: {'| ---: ' if steps else ''}| ---: | ---: |",
        ]
        for candidate in candidates:
            median = statistics.median(candidate.times)
            ratio = statistics.median(
                mine / its for mine, its in zip(candidate.times, itertools.cycle(first.times))
            )
            step = f"| {duration(median / steps)} " if steps else ""
            name = f"{candidate.name} ({candidate.note})" if candidate.note else candidate.name
            lines.append(
                f"| {name} | {duration(median)} | {duration(min(candidate.times))} {step}"
                f"| {ratio:.2f} | {len(candidate.times)} |"
            )
        return "\n".join(lines) + "\n"


def duration(seconds):
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} µs"

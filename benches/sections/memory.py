"""How much memory a large database takes: the peak of every process of a run that backs it up, restores it beside, compares it
row by row and by its schema. Nothing of it may grow with the database. `MEMORY_MB` is its size (2000); several formats in
turn, `MEMORY_FORMATS` names others than the usual."""

import importlib.util
import json
import os
import subprocess
import threading
import time
from pathlib import Path

TITLE = "Memory"

FORMATS = "directory/gzip plain/zstd"


def archives():
    spec = importlib.util.spec_from_file_location("archives", Path(__file__).parent / "archives.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(bench):
    tools = archives()
    size = int(os.environ.get("MEMORY_MB", "2000"))
    lines = ["| run | took | process | peak |", "| --- | ---: | --- | ---: |"]
    with tools.Server() as server:
        tools.fill(server, size)
        server.ask("SELECT lo_from_bytea(0, decode(repeat('0badcafe', 1000000), 'hex')) FROM generate_series(1, 20)")
        real = int(server.ask("SELECT pg_database_size('app')")) / 1e6
        for each in os.environ.get("MEMORY_FORMATS", FORMATS).split():
            took, peaks = run(bench, server, each)
            for name, peak in sorted(peaks.items(), key=lambda one: -one[1]):
                lines.append(f"| {each} | {took:.0f} s | {name} | {peak:.0f} MB |")
            for side in server.ask("SELECT datname FROM pg_database WHERE datname LIKE 'app_rp_%'").split():
                server.ask(f'DROP DATABASE "{side}"', database="postgres")
    intro = f"A database of {real:.0f} MB: backup, restore beside, counts, schema and a comparison row by row.\n"
    return "\n".join([intro, *lines]) + "\n"


def run(bench, server, each):
    form, compress = each.split("/")
    place = bench.place()
    plan = place / "memory.yaml"
    plan.write_text(
        f"runplan: 1\nname: memory\ndatabases: {{ app: {{ url: {json.dumps(server.url('app'))} }} }}\nsteps:\n"
        f"  - {{ id: saved, backup: {{ database: app, to: {place}/backups, format: {form}, compress: {compress} }} }}\n"
        "  - { id: restored, restore: { from: '{{ steps.saved.path }}', database: app } }\n"
        "  - id: proven\n    verify:\n      database: '{{ steps.restored.database }}'\n      checks:\n"
        "        - { name: counts, counts: { matches: '{{ steps.saved.path }}' } }\n"
        "        - { name: schema, schema: { matches: '{{ steps.saved.path }}' } }\n"
        "  - id: lost\n    verify:\n      database: app\n"
        "      checks: [ { name: nothing, lost: { side: '{{ steps.restored.database }}' } } ]\n"
    )
    env = {**os.environ, "RUNPLAN_STATE": str(place / "state"), "HOME": str(place)}
    command = [str(bench.runplan), "run", str(plan), "--plain", "--accept", "disk_unknown", "--reason", "measured"]
    with open(place / "output", "wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        watch = Watch(process.pid, str(place))
        code = process.wait()
        took = time.perf_counter() - began
        peaks = watch.stop()
    if code != 0:
        raise SystemExit(f"{' '.join(command)} failed\n{(place / 'output').read_text(errors='replace')[-3000:]}")
    return took, peaks


class Watch(threading.Thread):
    """The largest resident set of every process of a run, by what it is. A process is of the run when it, or one that it comes
    from, has the run's directory in its arguments."""

    def __init__(self, pid, mark):
        super().__init__(daemon=True)
        self.pid, self.mark, self.peaks, self.over = pid, mark, {}, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            self.look()

    def stop(self):
        self.over.set()
        self.join()
        return self.peaks

    def look(self):
        found = {}
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    status = (path / "status").read_text()
                except OSError:
                    continue
                fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                found[int(path.name)] = (words, int(fields["PPid"]), fields.get("VmHWM"))
        for pid, (words, _, peak) in found.items():
            if peak and self.is_ours(pid, found):
                name = self.name_of(pid, words)
                self.peaks[name] = max(self.peaks.get(name, 0), int(peak.split()[0]) / 1024)

    def is_ours(self, pid, found):
        for _ in range(20):
            if pid == self.pid:
                return True
            words, parent, _ = found.get(pid, ([], 0, None))
            if any(self.mark in word for word in words):
                return True
            if parent <= 1:
                return False
            pid = parent
        return False

    def name_of(self, pid, words):
        program = Path(words[0]).name
        if pid == self.pid:
            return "runplan, the run"
        hidden = next((word for word in words[1:] if word.startswith("__")), "")
        return f"runplan {hidden}" if program == "runplan" else program

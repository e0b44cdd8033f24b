"""Backup and restore beside PostgreSQL's own programs with the same format, compression and jobs, and beside the pipes of
the written procedure. runplan's figures are whole runs: with the read-back and the checksums of a backup, with the proof of
the backup and the ANALYZE of a restore, with the journal. `ARCHIVES_MB` is the size of the database (400)."""

import json
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

TITLE = "Backup and restore"

JOBS = 2
# Of a row, with its index and its head, on the disk of the server.
ROW_BYTES = 440


def measure(bench):
    size = int(os.environ.get("ARCHIVES_MB", "400"))
    rounds = min(3, bench.rounds)
    with Server() as server:
        fill(server, size)
        real = int(server.ask("SELECT pg_database_size('app')")) / 1e6
        places = Places(bench)
        backups = compare(rounds, server, backup_ways(bench, server, places))
        restores = compare(rounds, server, restore_ways(bench, server, places))
    intro = (
        f"A database of {real:.0f} MB, {JOBS} jobs. The aims: a backup 1.6 times pg_dump with its read-back included, a "
        "restore 1.05 times pg_restore. The peak is that of runplan's own process and of those it waited for, not of pg_dump.\n"
    )
    return "\n".join([intro, table(backups), table(restores)])


def fill(server, size):
    rows = size * 1_000_000 // ROW_BYTES
    server.ask("CREATE DATABASE app", database="postgres")
    for statement in (
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
        "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100000) n",
        "CREATE TABLE messages (id int PRIMARY KEY, user_id int REFERENCES users, body text)",
        "CREATE TABLE events (id int PRIMARY KEY, at timestamptz, body text)",
        f"INSERT INTO messages SELECT n, 1 + n % 100000, md5(n::text) || repeat(md5((n / 3)::text), 10) FROM generate_series(1, {rows // 2}) n",
        f"INSERT INTO events SELECT n, now(), md5(n::text) || repeat(md5((n / 3)::text), 10) FROM generate_series(1, {rows // 2}) n",
        "CREATE INDEX ON messages (user_id)",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    ):
        server.ask(statement)


class Places:
    """Where the backups of the first table are, for the second one."""

    def __init__(self, bench):
        self.root = bench.place()
        self.directory = self.root / "bare"
        self.gzip = self.root / "document.sql.gz"
        self.ours = {}


def backup_ways(bench, server, places):
    def bare():
        shutil.rmtree(places.directory, ignore_errors=True)
        return server.run(f"pg_dump -Fd -j{JOBS} -f {places.directory} {server.url('app')}")

    def document():
        return server.run(f"bash -o pipefail -c 'pg_dump {server.url('app')} | gzip > {places.gzip}'")

    def ours(name, options):
        def work():
            shutil.rmtree(places.root / name, ignore_errors=True)
            steps = f"  - {{ id: saved, backup: {{ database: app, to: {places.root / name}, {options} }} }}\n"
            took = runplan(bench, server, name, steps)
            found = [path for path in (places.root / name).iterdir() if not path.name.endswith(".json")]
            places.ours[name] = found[0]
            return took

        return work

    return [
        (f"pg_dump -Fd -j{JOBS}", bare, None),
        ("runplan, directory, read back", ours("directory", f"jobs: {JOBS}, compress: gzip"), 0),
        ("pg_dump, pipe to gzip", document, None),
        ("runplan, plain SQL with gzip, read back", ours("plain", "format: plain, compress: gzip"), 2),
        ("runplan, plain SQL with zstd, read back", ours("zstd", "format: plain, compress: zstd"), 2),
    ]


def restore_ways(bench, server, places):
    create = f"createdb -T template0 --maintenance-db={server.url('postgres')} beside"
    restore = f"pg_restore -e -j{JOBS} -d {server.url('beside')} {places.directory}"

    def bare():
        return server.run(f"{create} && {restore}")

    def analysed():
        return server.run(f"{create} && {restore} && vacuumdb -q -Z -j{JOBS} -d {server.url('beside')}")

    def document():
        load = f"gunzip -c {places.gzip} | psql -q -o /dev/null {server.url('beside')}"
        return server.run(f"{create} && bash -o pipefail -c '{load}'")

    def ours(name):
        def work():
            restore = f"from: {places.ours[name]}, database: app, jobs: {JOBS}"
            return runplan(bench, server, f"restore_{name}", f"  - {{ id: restored, restore: {{ {restore} }} }}\n")

        return work

    return [
        (f"pg_restore -j{JOBS}", bare, None),
        ("runplan, directory, beside", ours("directory"), 0),
        (f"pg_restore -j{JOBS}, vacuumdb --analyze-only -j{JOBS}", analysed, 0),
        ("gunzip, pipe to psql", document, None),
        ("runplan, plain SQL with gzip, beside", ours("plain"), 3),
        ("runplan, plain SQL with zstd, beside", ours("zstd"), 3),
    ]


def runplan(bench, server, name, steps):
    place = bench.place()
    plan = place / f"{name}.yaml"
    plan.write_text(f"runplan: 1\nname: {name}\ndatabases: {{ app: {{ url: {json.dumps(server.url('app'))} }} }}\nsteps:\n{steps}")
    env = {**os.environ, "RUNPLAN_STATE": str(place / "state"), "HOME": str(place)}
    command = [str(bench.runplan), "run", str(plan), "--plain", "--accept", "disk_unknown", "--reason", "measured"]
    return *timed(command, env), inner(place / "state")


def inner(state):
    """Seconds in the program of PostgreSQL itself, as the run's supervisor measured them; those of the read-back are not
    among them."""
    records = [json.loads(line) for path in state.glob("runs/*/process/*.jsonl") for line in path.read_text().splitlines()]
    return sum(record["elapsed_us"] for record in records if "elapsed_us" in record) / 1e6


def timed(command, env):
    """Seconds, and the largest resident set of the process and of those that it waited for, in MB."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed\n{output.read().decode(errors='replace')[-3000:]}")
    return took, usage.ru_maxrss / 1024


def compare(rounds, server, ways):
    """In turns, so that whatever else the machine does hits all of them alike; each begins with nothing of the one before it
    still on its way to the disk."""
    found = [(name, against, []) for name, _, against in ways]
    for _ in range(rounds):
        for (_, work, _), (_, _, times) in zip(ways, found):
            server.settle()
            times.append(work())
    return found


def table(found):
    lines = [
        "| | median | times the bare one | PostgreSQL's program alone | times | peak memory | rounds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, against, times in found:
        took = statistics.median(one[0] for one in times)
        ratio = ""
        if against is not None:
            ratio = f"{statistics.median(mine[0] / its[0] for mine, its in zip(times, found[against][2])):.2f}"
        alone = peak = share = ""
        if "runplan" in name:
            peak = f"{max(one[1] for one in times):.0f} MB"
            alone = f"{statistics.median(one[2] for one in times):.2f} s"
            share = f"{statistics.median(mine[2] / its[0] for mine, its in zip(times, found[against][2])):.2f}"
        lines.append(f"| {name} | {took:.2f} s | {ratio} | {alone} | {share} | {peak} | {len(times)} |")
    return "\n".join(lines) + "\n"


class Server:
    """A server of this machine's installed version, gone at the end."""

    def __enter__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        where = shutil.which("pg_ctl")
        self.bin = found[-1] if found else Path(where).parent
        self.root = Path(tempfile.mkdtemp(prefix="runplan-bench-pg-", dir=os.environ.get("TMPDIR", "/tmp")))
        self.account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        shutil.chown(self.root, self.account) if os.geteuid() == 0 else None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._as_server(f"{self.bin}/initdb -D {self.root}/data -U postgres -A trust --no-sync")
        options = f"-p {self.port} -k {self.root} -c listen_addresses=127.0.0.1 -c max_wal_size=4GB -c shared_buffers=512MB"
        self._as_server(f"{self.bin}/pg_ctl -D {self.root}/data -w -l {self.root}/log -o '{options}' start")
        return self

    def __exit__(self, *_):
        self._as_server(f"{self.bin}/pg_ctl -D {self.root}/data -m immediate stop")
        shutil.rmtree(self.root, ignore_errors=True)

    def _as_server(self, line):
        words = ["bash", "-c", line]
        if os.geteuid() == 0:
            words = ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--init-groups", *words]
        subprocess.run(words, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def env(self):
        return {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "LC_ALL": "C"}

    def run(self, line):
        return timed(["bash", "-c", line], self.env())

    def settle(self):
        """Drops what was restored, and writes everything out."""
        for made in self.ask("SELECT datname FROM pg_database WHERE datname = 'beside' OR datname LIKE 'app_rp_%'").split():
            self.ask(f'DROP DATABASE "{made}"', database="postgres")
        self.ask("CHECKPOINT")
        os.sync()

    def ask(self, sql, database="app"):
        command = [f"{self.bin}/psql", "-XqAtc", sql, self.url(database)]
        env = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout

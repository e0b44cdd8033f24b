"""How long an application waits for a rollback, as three of its clients see it: a swap, a swap behind PgBouncer, and the
procedure it replaces (drop the schema, load the dump), for databases of several sizes on one real server."""

import contextlib
import json
import os
import pwd
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TITLE = "Downtime of a rollback"

SIZES = {"10 MB": 23_000, "100 MB": 230_000, "1 GB": 2_300_000}
CLIENTS = 3
BODY = "repeat(md5(n::text), 12)"


def measure(bench):
    sizes = os.environ.get("DOWNTIME_SIZES", ",".join(SIZES)).split(",")
    lines = ["| database | way | longest wait of a client | errors a client | runplan says | the whole | rounds |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with Server() as server:
        for size in sizes:
            rounds = 1 if SIZES[size] > 1_000_000 else min(3, bench.rounds)
            lines += one_size(bench, server, size, rounds)
    aim = "Reading clients, each one query after the other, connecting anew after an error; the aim is under 0.2 s at any size."
    return f"{aim}\n\n" + "\n".join(lines) + "\n"


def one_size(bench, server, size, rounds):
    rows = SIZES[size]
    server.sql("postgres", "DROP DATABASE IF EXISTS app WITH (FORCE)", "CREATE DATABASE app")
    server.sql(
        "app",
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
        "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) n",
        "CREATE TABLE messages (id int PRIMARY KEY, user_id int REFERENCES users, body text)",
        f"INSERT INTO messages SELECT n, 1 + n % 1000, {BODY} FROM generate_series(1, {rows}) n",
        "CREATE INDEX ON messages (user_id)",
        "VACUUM ANALYZE",
    )
    place = bench.place()
    run(bench, place, server, "backup", "steps: [ { id: saved, backup: { database: app, to: ./backups } } ]")
    backup = next(path for path in (place / "backups").iterdir() if not path.name.endswith(".json"))
    dump = place / "dump.sql.gz"
    server.shell(f"{server.bin}/pg_dump {server.url('app')} | gzip > {dump}")
    query = f"SELECT (SELECT 1 FROM users WHERE id = 1000) + (SELECT 1 FROM messages WHERE id = {rows})"
    swap = (
        "steps:\n  - { id: restored, restore: { from: " + json.dumps(str(backup)) + ", database: app, jobs: 2 } }\n"
        "  - { id: switched, unguarded: measured, swap: { database: app, with: '{{ steps.restored.database }}' } }\n"
    )
    ways = {
        "swap": lambda: swapped(bench, server, swap, query, None),
        "swap behind PgBouncer": lambda: swapped(bench, server, swap, query, server.bouncer()),
        "drop the schema, load the dump": lambda: loaded(server, dump, query),
    }
    lines = []
    for way, work in ways.items():
        found = [work() for _ in range(rounds)]
        middle = [statistics.median(values) for values in zip(*[[v or 0 for v in one] for one in found])]
        says = f"{middle[2]:.0f} ms" if found[0][2] is not None else ""
        lines.append(
            f"| {size} | {way} | {seconds(middle[0])} | {middle[1]:.0f} | {says} | {seconds(middle[3])} | {rounds} |"
        )
        print("   ", lines[-1], flush=True)
    return lines


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"


def run(bench, place, server, name, steps, pooler=""):
    """Runs a plan to its end; the status of its run."""
    plan = place / f"{name}.yaml"
    database = f"{{ url: {json.dumps(server.url('app'))}{pooler} }}"
    plan.write_text(f"runplan: 1\nname: {name}\ndatabases: {{ app: {database} }}\n{steps}")
    env = {**os.environ, "RUNPLAN_STATE": str(place / "state"), "HOME": str(place)}

    def call(*words):
        done = subprocess.run([bench.runplan, *words], cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{words} failed with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    call("run", plan, "--plain")
    runs = json.loads(call("runs", "--format", "json"))["runs"]
    newest = next(one["run"] for one in runs if one["plan"] == name)
    return json.loads(call("status", newest, "--format", "json"))


def swapped(bench, server, steps, query, bouncer):
    place = bench.place()
    pooler = f", pooler: {{ admin_url: {json.dumps(server.bouncer_url('pgbouncer'))} }}" if bouncer else ""
    with Clients(bouncer or server.port, query) as clients:
        began = time.perf_counter()
        status = run(bench, place, server, "swap", steps, pooler)
        whole = time.perf_counter() - began
        time.sleep(0.5)
    outputs = next(step["outputs"] for step in status["steps"] if step["id"] == "switched")
    server.sql("postgres", f"DROP DATABASE \"{outputs['old_database']}\"")
    shutil.rmtree(place / "state")
    return clients.longest(), clients.errors(), outputs["downtime_ms"], whole


def loaded(server, dump, query):
    """As the procedure has it, with the application running."""
    with Clients(server.port, query) as clients:
        began = time.perf_counter()
        psql = f"{server.bin}/psql -X -q {server.url('app')}"
        # A deadlock with the clients can end it: whoever runs it types it again.
        server.shell(f"until {psql} -v ON_ERROR_STOP=1 -c 'DROP SCHEMA public CASCADE'; do :; done")
        server.shell(f"{psql} -c 'CREATE SCHEMA public'")
        server.shell(f"gunzip -c {dump} | {psql} > /dev/null")
        whole = time.perf_counter() - began
        time.sleep(0.5)
    return clients.longest(), clients.errors(), None, whole


class Clients:
    """Three sessions that ask the same thing all the time."""

    def __init__(self, port, query):
        self.port, self.query, self.stop = port, query, threading.Event()
        self.seen = [[] for _ in range(CLIENTS)]
        self.failed = [0] * CLIENTS

    def __enter__(self):
        self.threads = [threading.Thread(target=self.loop, args=(at,)) for at in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        while not all(self.seen):
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def loop(self, at):
        session = None
        while not self.stop.is_set():
            try:
                session = session or Session(self.port, "app")
                if session.ask(self.query) != b"2":
                    raise OSError("rows are missing")
                self.seen[at].append(time.perf_counter())
            except OSError:
                self.failed[at] += 1
                if session and session.broken:
                    session = None
                time.sleep(0.001)

    def longest(self):
        return max(max(b - a for a, b in zip(seen, seen[1:])) for seen in self.seen)

    def errors(self):
        return statistics.mean(self.failed)


class Session:
    """Enough of PostgreSQL's protocol to ask for one value."""

    def __init__(self, port, database):
        self.broken = True
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.file = self.socket.makefile("rb")
        words = b"user\0postgres\0database\0" + database.encode() + b"\0\0"
        self.socket.sendall(struct.pack("!ii", 8 + len(words), 196608) + words)
        self.answer()
        self.broken = False

    def answer(self):
        value, error = None, None
        while True:
            head = self.file.read(5)
            if len(head) < 5:
                self.broken = True
                raise OSError(error or "the session was ended")
            kind, length = struct.unpack("!ci", head)
            body = self.file.read(length - 4)
            if kind == b"D":
                size = struct.unpack("!i", body[2:6])[0]
                value = body[6 : 6 + size] if size >= 0 else None
            elif kind == b"E":
                error = body.replace(b"\0", b" ").decode(errors="replace")
            elif kind == b"Z":
                if error:
                    raise OSError(error)
                return value

    def ask(self, query):
        text = query.encode() + b"\0"
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", 4 + len(text)) + text)
        except OSError:
            self.broken = True
            raise
        return self.answer()


class Server:
    """A PostgreSQL as it comes, fsync on, as an ordinary user."""

    def __enter__(self):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        self.bin = found[-1].parent if found else Path(shutil.which("postgres")).parent
        self.directory = Path(tempfile.mkdtemp(prefix="runplan-downtime-"))
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.who = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self.port, data = free_port(), self.directory / "data"
        self.as_user(self.bin / "initdb", "-D", data, "-A", "trust", "-U", "postgres")
        settings = f"-p {self.port} -k {self.directory} -c shared_buffers=256MB -c max_wal_size=4GB"
        self.as_user(self.bin / "pg_ctl", "-D", data, "-o", settings, "-l", self.directory / "log", "-w", "start")
        self.stack.callback(self.as_user, self.bin / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        self.pooler = None
        return self

    def __exit__(self, *_):
        self.stack.close()

    def as_user(self, *words):
        words = [str(word) for word in words]
        done = subprocess.run(words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **self.who)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stderr}")

    def url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def sql(self, database, *statements):
        words = [word for statement in statements for word in ("-c", statement)]
        self.as_user(self.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url(database), *words)

    def shell(self, text):
        subprocess.run(["bash", "-c", text], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def bouncer_url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.bouncer()}/{database}?sslmode=disable"

    def bouncer(self):
        """The port of a PgBouncer before it."""
        if self.pooler is None:
            self.pooler = free_port()
            config = self.directory / "pgbouncer.ini"
            config.write_text(
                f"[databases]\napp = host=127.0.0.1 port={self.port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                f"listen_port = {self.pooler}\nunix_socket_dir =\nauth_type = any\nadmin_users = postgres\n"
                "pool_mode = transaction\nignore_startup_parameters = options,extra_float_digits\n"
            )
            program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            child = subprocess.Popen([program, config], cwd="/", stdin=subprocess.DEVNULL, **quiet, **self.who)
            self.stack.callback(child.wait)
            self.stack.callback(child.kill)
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.pooler)).close()
                    break
                time.sleep(0.02)
        return self.pooler


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

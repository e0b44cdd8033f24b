#!/usr/bin/env python3
"""What runplan costs as a whole process, beside the floor under it and beside other programs that do the same work.

    python3 benches/run.py                 every section
    python3 benches/run.py steps dry_run   some of them
    python3 benches/run.py --rounds 3      quicker, less certain

Each file in `sections/` is a section: a `TITLE`, and `measure(bench)`, which gives Markdown. The candidates of a table
take turns within each round, so that whatever else the machine does hits all of them alike; a ratio is the median of
the rounds' ratios. Standard library only.
"""

import argparse
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bench import Bench  # noqa: E402

ORDER = ["steps", "dry_run", "growth", "downtime"]


def sections():
    """The sections by name, the known ones first."""
    found = {path.stem: path for path in sorted((HERE / "sections").glob("*.py"))}
    known = [name for name in ORDER if name in found]
    return {name: found[name] for name in known + [name for name in found if name not in ORDER]}


def load(name, path):
    spec = importlib.util.spec_from_file_location(f"sections.{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    found = sections()
    parser = argparse.ArgumentParser(description="measures runplan; see the top of this file")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(found))
    parser.add_argument("--rounds", type=int, default=7, help="how often each candidate runs (7)")
    parser.add_argument("--no-install", action="store_true", help="compare with what is installed, install nothing")
    parser.add_argument("--directory", type=Path, help="where the state directories go: on the disk to be measured")
    args = parser.parse_args()
    unknown = [name for name in args.sections if name not in found]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(found)}")

    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Linux {platform.release()}\n")
    with tempfile.TemporaryDirectory(prefix="runplan-bench-", dir=args.directory) as directory:
        bench = Bench(HERE.parent, Path(directory), args.rounds, install=not args.no_install)
        for name in args.sections or found:
            module = load(name, found[name])
            print(f"## {module.TITLE}\n", flush=True)
            print(module.measure(bench), flush=True)


if __name__ == "__main__":
    main()

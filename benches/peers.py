"""Other programs that run steps in order: what is installed, and what a package registry gives."""

import os
import platform
import shutil
import subprocess
import sys

DAGU = "@dagu-org/dagu-linux-x64@1.30.2"
JUST = "rust-just"
PATIENCE = 120


class Peers:
    def __init__(self, directory, install):
        self.directory, self.install, self.missing = directory, install, []
        self.make = shutil.which("make")
        self.just = shutil.which("just") or self._get("just", self._get_just)
        self.dagu = shutil.which("dagu") or self._get("dagu", self._get_dagu)
        if not self.make:
            self.missing.append("make: not installed")

    def _get(self, name, get):
        """The path of a program that is installed for the measurement alone."""
        if not self.install:
            self.missing.append(f"{name}: not installed")
            return None
        try:
            return get()
        except (OSError, subprocess.SubprocessError) as error:
            self.missing.append(f"{name}: not installed, and no package registry gives it ({error})")
            return None

    def _get_just(self):
        target = self.directory / "just"
        program = target / "bin/just"
        if not program.exists():
            quietly([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, JUST])
        return program

    def _get_dagu(self):
        if platform.machine() != "x86_64":
            raise OSError(f"no package for {platform.machine()}")
        target = self.directory / "dagu"
        program = next(target.glob("node_modules/@dagu-org/*/bin/dagu"), None)
        if program is None:
            target.mkdir(parents=True, exist_ok=True)
            quietly(["npm", "install", "--prefix", target, "--no-audit", "--no-fund", "--ignore-scripts", DAGU])
            program = next(target.glob("node_modules/@dagu-org/*/bin/dagu"), None)
        if program is None:
            raise OSError(f"{DAGU} holds no program")
        os.chmod(program, 0o755)
        return program


def quietly(command):
    command = [str(word) for word in command]
    done = subprocess.run(command, timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["no reason given"])[-1]
        raise OSError(last)

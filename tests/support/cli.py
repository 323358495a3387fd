"""The installed `kubemu` command with a state folder of its own, and what a cluster may leave behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
SECONDS = 60.0
POLL_SECONDS = 0.02
HELPER = "sandbox_helper.py"


def program(name: str) -> str:
    """The path of a program that the tests need. Raises AssertionError when it is absent."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    assert found, f"{name} is absent; `make programs` installs what the tests need"
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"exit {self.status}\n{self.stdout}{self.stderr}"


@dataclass
class Kubemu:
    """`kubemu` as a user of `home` would call it; nothing of the real user's state is seen."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        beside = Path(sys.executable).with_name("kubemu")
        assert beside.exists(), "kubemu is not installed beside this Python; run `make setup`"
        return str(beside)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
        return {**kept, "HOME": str(self.home), "KUBEMU_HOME": str(self.home / "state"), **self.environment}

    def __call__(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> Done:
        done = subprocess.run(
            [self.path, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.env,
            cwd=cwd or self.home,
            timeout=SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of a call that must succeed."""
        done = self(*arguments, stdin=stdin)
        assert done.status == 0, done.text
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A call that goes on; the caller ends it."""
        pipe = subprocess.PIPE
        command = [self.path, *arguments]
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.env, cwd=self.home)

    def up(self, *arguments: str) -> dict[str, Any]:
        """A detached cluster with a free DNS port; where everything is."""
        found: dict[str, Any] = json.loads(self.ok("up", "-d", "--dns-port", "0", "-o", "json", *arguments))
        return found

    def run(self, *command: str) -> Done:
        """A command inside the cluster."""
        return self("run", "--", *command)


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(check: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait until `check` says yes. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"{check} did not come true in {seconds:g} s"
        time.sleep(POLL_SECONDS)

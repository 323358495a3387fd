"""What a running cluster leaves for the other verbs: one folder a cluster, private to its user.

`$KUBEMU_HOME`, else `$XDG_STATE_HOME/kubemu`, else `~/.local/state/kubemu`; in it NAME/ with state.json,
kubeconfig, ca.crt, log and lock. The lock is held by the cluster's process for as long as it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.api.errors import ConfigError, EmulatorError, StartError

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")


class NotRunning(EmulatorError):
    """No cluster of that name runs."""


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    """The folder of one cluster; it need not exist."""

    name: str
    path: Path

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        return self.path / "ca.crt"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def baseline(self) -> Path:
        return self.path / "baseline.json"

    def create(self) -> None:
        """Make the folder, mode 0700. Raises StartError when that is not permitted."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        except OSError as error:
            raise StartError(
                f"cannot write {self.path}: {error.strerror}; set KUBEMU_HOME to a folder of yours"
            ) from error

    def write(self, file: Path, text: str) -> None:
        """Write a private file (0600) whole or not at all."""
        draft = file.with_suffix(".tmp")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        draft.replace(file)

    def lock(self) -> int:
        """Take the cluster's lock; the handle holds it until closed. Raises StartError when another process has it."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise StartError(
                f"cluster {self.name!r} is running already; stop it with `kubemu{self.option} down`, "
                "or start another with --name"
            ) from error
        return handle

    @property
    def option(self) -> str:
        """` --name NAME` for texts that name a command; empty for the default cluster."""
        return "" if self.name == "kubemu" else f" --name {self.name}"

    def is_running(self) -> bool:
        """Whether a process holds the lock."""
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False

    def state(self) -> dict[str, Any]:
        """What the running cluster wrote. Raises NotRunning."""
        if self.is_running():
            try:
                found: dict[str, Any] = json.loads(self.state_file.read_text())
                return found
            except (OSError, ValueError):
                pass
        raise NotRunning(f"cluster {self.name!r} is not running; start it with `kubemu{self.option} up -d`")

    def remove(self) -> None:
        """Take away everything but the log."""
        for file in (self.state_file, self.kubeconfig, self.ca_file, self.baseline):
            file.unlink(missing_ok=True)


def home(environment: Mapping[str, str]) -> Path:
    if environment.get("KUBEMU_HOME"):
        return Path(environment["KUBEMU_HOME"]).absolute()
    base = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".local/state")
    return Path(base) / "kubemu"


def cluster_folder(name: str, environment: Mapping[str, str]) -> ClusterFolder:
    """The folder of cluster `name`. Raises ConfigError for a name that is none."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"--name: {name!r} must be lower-case letters, digits and '-', at most 42")
    return ClusterFolder(name, home(environment) / name)


def all_folders(environment: Mapping[str, str]) -> list[ClusterFolder]:
    base = home(environment)
    if not base.is_dir():
        return []
    return [ClusterFolder(path.name, path) for path in sorted(base.iterdir()) if path.is_dir()]


def forget(folder: ClusterFolder) -> None:
    """Remove the folder of a cluster that is down, log included."""
    shutil.rmtree(folder.path, ignore_errors=True)

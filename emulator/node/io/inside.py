"""Commands in a process-backed container: in its namespaces in the sandbox, in its surroundings on loopback."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from emulator.io.podstreams import Ended, Streams
from emulator.node.io.command import run_command
from emulator.node.io.process import ProcessBackend

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def exec_spec(backend: ProcessBackend, command: Sequence[str], *, tty: bool) -> dict[str, Any] | Ended:
    """What `launch` is told for a command in the container; how it ended if there is no such program."""
    env = {**backend.env, **({"TERM": "xterm"} if tty else {})}
    root = f"/proc/{backend.pid}/root" if backend.sandboxed else ""
    program, problem = _program(command[0], env.get("PATH", os.defpath), root, backend.folder)
    if program is None:
        why = f'exec: "{command[0]}": {problem}'
        code = NOT_EXECUTABLE if problem == "permission denied" else NOT_FOUND
        return Ended(code, f"OCI runtime exec failed: exec failed: unable to start container process: {why}: unknown")
    return {
        "command": [program, *command[1:]],
        "env": env,
        "tty": tty,
        "sandbox": None,
        "inside": backend.pid if backend.sandboxed else None,
        "cwd": backend.folder,
    }


async def run_inside(backend: ProcessBackend, command: Sequence[str], streams: Streams) -> Ended:
    """Run a command in the container until it ends."""
    spec = exec_spec(backend, command, tty=streams.tty)
    return spec if isinstance(spec, Ended) else await run_command(spec, streams)


async def output_of(backend: ProcessBackend, command: Sequence[str], limit_bytes: int) -> tuple[Ended, str]:
    """How a command in the container ended, and what it printed, as far as that is kept."""
    kept = bytearray()

    async def write(chunk: bytes) -> None:
        kept.extend(chunk[: limit_bytes - len(kept)])

    ended = await run_inside(backend, command, Streams(stdout=write, stderr=write))
    return ended, kept.decode(errors="replace")


def _program(name: str, path: str, root: str, folder: str) -> tuple[str | None, str]:
    """Where a program is for the container, else why it cannot be run, as a container runtime says it."""
    if "/" in name:
        if _is_program(root + os.path.join(folder, name)):
            return name, ""
        if os.path.lexists(root + os.path.join(folder, name)):
            return None, "permission denied"
        return None, f"stat {name}: no such file or directory"
    for each in path.split(":"):
        if each and _is_program(f"{root}{each}/{name}"):
            return f"{each}/{name}", ""
    return None, "executable file not found in $PATH"


def _is_program(path: str) -> bool:
    """A link that leads to a path of the container's own is trusted."""
    if os.path.islink(path):
        return True
    return os.access(path, os.X_OK) and not os.path.isdir(path)

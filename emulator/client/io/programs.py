"""Programs of the host, run with a cluster's variables, and where it has one in its network world."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from subprocess import CompletedProcess
from typing import Any

TIMEOUT_SECONDS = 60.0


async def run_program(
    command: Sequence[str],
    variables: Mapping[str, str],
    *,
    world: Mapping[str, Any] | None = None,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> CompletedProcess[bytes]:
    """Run to its end; what it printed comes back.

    world: the sandbox to enter, with its resolvConf and hosts, as emulator.io.launch reads it. Raises
    FileNotFoundError, TimeoutError (the program is killed).
    """
    environment = {**os.environ, **variables, **(env or {})}
    named = "/" not in command[0]
    if (
        named and shutil.which(command[0], path=environment.get("PATH")) is None
    ):  # a closed folder of PATH would say EACCES
        raise FileNotFoundError(errno.ENOENT, "no such program", command[0])
    with tempfile.TemporaryFile() as asked:
        if world is not None:
            asked.write(json.dumps({**world, "command": command, "env": environment, "tty": False}).encode())
            asked.seek(0)
            command = [sys.executable, "-m", "emulator.io.launch", str(asked.fileno())]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            cwd=cwd,
            pass_fds=(asked.fileno(),) if world is not None else (),
        )
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return CompletedProcess(list(command), process.returncode or 0, stdout, stderr)

"""The program behind `kubectl exec`: `python -m emulator.io.launch FD`, started by the node agent.

FD is a pipe with one JSON object: command, env, tty, and, for a cluster in the sandbox, sandbox (Sandbox.reference()),
resolvConf, hosts, files and podAddress; or, for a container that is a process, cwd and inside (its process 1, None on loopback).
It becomes the command, or runs it inside and ends as it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import termios

from emulator.api.errors import EmulatorError

CANNOT_ENTER = 125


def main(arguments: list[str]) -> int:
    with os.fdopen(int(arguments[1])) as pipe:
        asked = json.load(pipe)
    if asked["tty"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # this process leads a session of its own
    if asked.get("inside"):
        from emulator.io.enter import enter_process

        try:
            return enter_process(asked["inside"], asked["command"], env=asked["env"], folder=asked["cwd"])
        except EmulatorError as error:
            sys.stderr.write(f"{error}\n")
            return CANNOT_ENTER
    if asked["sandbox"] is None:
        if asked.get("cwd"):
            os.chdir(asked["cwd"])
        os.execvpe(asked["command"][0], asked["command"], asked["env"])  # noqa: S606 - running it is the purpose
    from emulator.io.enter import enter

    try:
        return enter(
            asked["sandbox"],
            asked["command"],
            env=asked["env"],
            resolv_conf=asked["resolvConf"],
            hosts=asked["hosts"],
            files=asked["files"],
            pod_address=asked["podAddress"],
        )
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_ENTER


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))

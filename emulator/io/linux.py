"""The few calls of Linux that Python 3.11 lacks, for the sandbox's helper and for launchers.

It imports next to nothing, so that a process that needs no more is ready in milliseconds.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
CLONE_NEWUTS, CLONE_NEWPID = 0x04000000, 0x20000000

_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION = 0x20080522
_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW = 10, 12, 13

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """A libc function that returns -1 and errno. Raises OSError."""
    result = int(getattr(_libc, name)(*arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def keep_network_capabilities(*, admin: bool = True) -> None:
    """Let programs that this process starts keep the network capabilities: exec drops them for all but root.

    Without `admin` those that containers have: low ports and raw sockets.
    """
    numbers = (_CAP_NET_BIND_SERVICE, _CAP_NET_RAW, *((_CAP_NET_ADMIN,) if admin else ()))
    wanted = sum(1 << number for number in numbers)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()
    call("capget", header, words)  # effective, permitted, inheritable; then their upper halves
    words[2] |= wanted
    call("capset", header, words)
    for number in numbers:
        call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)

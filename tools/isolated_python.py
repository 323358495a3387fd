"""Python in a network namespace of its own, where only `lo` is up: one for each process the tests run in.

Tests use fixed addresses (10053, 127.152.183.0/24), so without this two at a time would take each other's. Where the
system gives no namespaces, the program runs in the present one; run the tests one at a time there (`pytest -n 0`).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emulator.io.netlink import Netlink

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


def enter_own_network() -> None:
    """Raises OSError when the system does not allow it."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWUSER if user else 0)):
        raise OSError(ctypes.get_errno(), "unshare")
    if user:  # stay who we are: tests of permissions must see an ordinary user
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    netlink = Netlink()
    netlink.link_up()
    netlink.close()


if __name__ == "__main__":
    try:
        enter_own_network()
    except OSError as error:
        print(f"the tests share this machine's network: {error}", file=sys.stderr)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])

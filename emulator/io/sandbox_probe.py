"""Whether a sandbox works on this machine, found by trying in a child, and if not why and what mends it."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from pathlib import Path

SYSCTLS = (  # file, value that forbids, mend
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def probe_sandbox() -> str | None:
    """None when a sandbox works here, else one line: why not, and what mends it."""
    if sys.platform != "linux":
        return f"user namespaces are Linux's, and this is {sys.platform}; use --network loopback"
    code = _try_in_child()
    return None if code == 0 else _why(code)


def process_start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; with its pid it names it for good. Raises OSError."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])


def _try_in_child() -> int:
    """0, or the errno of the first step that failed; done in a fork, so nothing of this process changes."""
    from emulator.io.netlink import Netlink
    from emulator.io.sandbox_helper import own_namespaces

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: the child runs no Python of theirs
        pid = os.fork()
    if pid == 0:
        status = errno.EIO
        try:
            own_namespaces()
            netlink = Netlink()
            netlink.link_up()
            netlink.add_local_route("10.152.183.0/24")
            status = 0
        except OSError as error:
            status = error.errno or errno.EIO
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _why(code: int) -> str:
    for file, forbids, mend in SYSCTLS:
        if _read(file) == forbids and not (os.geteuid() == 0 and "unprivileged" in file):
            name = file.removeprefix("/proc/sys/").replace("/", ".")
            return f"user namespaces are off ({name}={forbids}); as root: {mend}"
    text = os.strerror(code) if code > 0 else f"signal {-code}"
    if _in_container():
        return (
            f"this container forbids user namespaces ({text}); start it with --privileged or "
            "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        )
    if code == errno.ENOSPC:
        return "the limit of user namespaces is reached; as root: sysctl -w user.max_user_namespaces=15000"
    if code in (errno.EINVAL, errno.ENOSYS):
        return f"this kernel has no user namespaces ({text}); it needs CONFIG_USER_NS and CONFIG_NET_NS"
    return f"user namespaces are refused ({text}); a security module or seccomp filter forbids them"


def _in_container() -> bool:
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return True
    return any(word in _read("/proc/1/cgroup") for word in ("docker", "kubepods", "containerd", "lxc"))


def _read(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""

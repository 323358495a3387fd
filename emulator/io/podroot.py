"""The file system of one container: the host's, with what the pod mounts at its paths.

A new root is put together on a tmpfs: everything of `/` is bound at its place, then each volume and file at its own;
paths the host does not have are made on the tmpfs, or in a cover over the nearest folder that exists. Then it
becomes the root. All of it is in a mount namespace of the caller's own; nothing on the host is written.

Only for processes that are about to become somebody's command, as process 1 of a new process namespace.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from emulator.io.linux import call
else:
    from linux import call
if TYPE_CHECKING:
    from typing import Any

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1  # one number on all machines
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
MADE_HERE = ("proc", "dev")
NSCD = ("/run/nscd", "/var/run/nscd")  # its cache would answer with the host's names
NSSWITCH = "/etc/nsswitch.conf"


def build_root(plan: dict[str, Any]) -> None:
    """Make the new root and enter it. Raises OSError.

    plan: `folder` and `scratch`, two empty folders; `mounts`, a list of {source, target, readOnly}; `readOnly` for
    the host's files; `privateTmp`.
    """
    Root(plan).build()


class Root:
    """One root being put together. Paths named `inner` are those the container will see."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._folder: str = plan["folder"]
        self._scratch: str = plan["scratch"]
        self._volumes: list[str] = []
        self._covers: list[str] = []

    def build(self) -> None:
        mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        mount("tmpfs", self._folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
        mount("tmpfs", self._scratch, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
        read_only = self._plan["readOnly"]
        self._bind_host(read_only=read_only)
        self._make_devices()
        self._make_proc()
        self._hide_name_cache()
        for each in sorted(self._plan["mounts"], key=lambda each: each["target"].count("/")):
            self._place(each["source"], each["target"], read_only=each["readOnly"])
        call("umount2", self._scratch.encode(), _MNT_DETACH)
        if read_only:
            for path in (*self._covers, self._folder):
                set_read_only(path, recursive=False)
        os.chdir(self._folder)
        call("pivot_root", b".", b".")
        call("umount2", b".", _MNT_DETACH)
        os.chdir("/")

    def _bind_host(self, *, read_only: bool) -> None:
        with os.scandir("/") as entries:
            for entry in entries:
                at = f"{self._folder}/{entry.name}"
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), at)
                elif entry.name in MADE_HERE:
                    os.mkdir(at)
                elif entry.name == "tmp" and self._plan["privateTmp"]:
                    os.mkdir(at)
                    mount("tmpfs", at, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
                else:
                    make_like(entry.path, at)
                    try:
                        mount(entry.path, at, None, _MS_BIND | _MS_REC)
                        if read_only:
                            set_read_only(at, recursive=True)
                    except PermissionError:  # a folder that is nobody's business
                        continue

    def _make_devices(self) -> None:
        folder = f"{self._folder}/dev"
        mount("tmpfs", folder, "tmpfs", _MS_NOSUID, "mode=0755")
        for name in DEVICES:
            if os.path.exists(f"/dev/{name}"):
                make_like(f"/dev/{name}", f"{folder}/{name}")
                mount(f"/dev/{name}", f"{folder}/{name}", None, _MS_BIND)
        for name, to in LINKS.items():
            os.symlink(to, f"{folder}/{name}")
        os.mkdir(f"{folder}/shm")
        mount("tmpfs", f"{folder}/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
        for name in ("pts", "mqueue"):
            if os.path.isdir(f"/dev/{name}"):
                os.mkdir(f"{folder}/{name}")
                mount(f"/dev/{name}", f"{folder}/{name}", None, _MS_BIND | _MS_REC)

    def _make_proc(self) -> None:
        at = f"{self._folder}/proc"
        try:
            mount("proc", at, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        except OSError:  # where parts of the host's own are hidden a new one may not be mounted
            mount("/proc", at, None, _MS_BIND | _MS_REC)

    def _hide_name_cache(self) -> None:
        for path in {os.path.realpath(path) for path in NSCD if os.path.isdir(path)}:
            empty = f"{self._scratch}/nscd"
            os.makedirs(empty, exist_ok=True)
            mount(empty, self._folder + path, None, _MS_BIND)

    def _place(self, source: str, inner: str, *, read_only: bool) -> None:
        """Bind a file or folder at a path of the container."""
        inner = os.path.normpath(os.path.realpath(inner))
        target = self._folder + inner
        if not os.path.exists(target):
            self._make_room(source, inner)
        mount(source, target, None, _MS_BIND | _MS_REC)
        if read_only:
            set_read_only(target, recursive=True)
        self._volumes.append(inner)

    def _make_room(self, source: str, inner: str) -> None:
        """Make what is missing of a path, never on the host's own files."""
        above = os.path.dirname(inner)
        while not os.path.isdir(self._folder + above):
            above = os.path.dirname(above)
        if not self._is_ours(above):
            self._cover(above)
        target = self._folder + inner
        os.makedirs(os.path.dirname(target), exist_ok=True)
        make_like(source, target)

    def _is_ours(self, inner: str) -> bool:
        made_on = {os.stat(path).st_dev for path in (self._folder, self._scratch)}
        in_volume = any(f"{inner}/".startswith(f"{volume}/") for volume in self._volumes)
        return in_volume or os.stat(self._folder + inner).st_dev in made_on

    def _cover(self, inner: str) -> None:
        """Put a new folder over one of the host's, in which everything of the old is bound at its place."""
        folder = self._folder + inner
        made = f"{self._scratch}/cover-{len(self._covers)}"
        os.mkdir(made)
        with os.scandir(folder) as entries:
            for entry in entries:
                at = f"{made}/{entry.name}"
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), at)
                else:
                    make_like(entry.path, at)
                    mount(entry.path, at, None, _MS_BIND | _MS_REC)
        os.chmod(made, os.stat(folder).st_mode & 0o7777)
        mount(made, folder, None, _MS_BIND | _MS_REC)
        self._covers.append(folder)


def make_like(source: str, at: str) -> None:
    """An empty folder or file, as `source` is one."""
    if os.path.isdir(source):
        os.mkdir(at, 0o755)
    else:
        os.close(os.open(at, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def set_read_only(path: str, *, recursive: bool) -> None:
    """What is mounted at a path takes no more writes. Raises OSError."""
    attributes = (ctypes.c_uint64 * 4)(_ATTR_RDONLY, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, attributes, ctypes.sizeof(attributes))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). Raises OSError that names the target."""

    def text(value: str | None) -> bytes | None:
        return None if value is None else value.encode()

    try:
        call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    except OSError as error:
        raise OSError(error.errno, f"{target}: {os.strerror(error.errno or 0)}") from error

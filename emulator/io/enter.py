"""Running a command inside the sandbox: its network, and resolv.conf and hosts of its own.

The command is a child that joins the helper's user and network namespaces and gets a mount namespace of its own, in
which its files are bound over the host's; with its last process all of that is gone. Nothing on the host is written.

Who the command is: the user that ran kubemu, by the same id. The sandbox of an ordinary user maps that one id (files
of others belong to `nobody`), and exec drops the capabilities that joining gave, so the command is an ordinary
program. The sandbox of root maps every id, and the command is root inside, without power over the host's network.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.api.errors import EmulatorError
from emulator.io.linux import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    call,
    keep_network_capabilities,
)
from emulator.io.sandbox_helper import POD_FOLDERS
from emulator.io.sandbox_probe import process_start_time
from emulator.io.shadow import cover, missing_parents

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # as the shell has it
SETUP_FAILED = 125  # never seen outside: the pipe says why

_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
SCRATCH = ("/mnt", "/tmp", "/var/tmp", "/media", "/opt", "/srv")  # noqa: S108 - where a tmpfs stands for a moment
NSCD = ("/run/nscd", "/var/run/nscd")
NAMESPACES = {"user": CLONE_NEWUSER, "net": CLONE_NEWNET, "uts": CLONE_NEWUTS, "mnt": CLONE_NEWNS, "pid": CLONE_NEWPID}
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
LEFT_TO_CHILD = (signal.SIGINT, signal.SIGQUIT)  # a terminal sends these to both; the command decides


def enter(
    reference: Mapping[str, Any],
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    resolv_conf: str,
    hosts: str,
    files: Mapping[str, str] | None = None,
    pod_address: str = "",
) -> int:
    """Run `command` in the sandbox of `Sandbox.reference()` and wait for it; its exit status, 128+n for a signal.

    files: more texts by path; these need not exist on the host. pod_address: of a pod whose own network to take, if
    it has one.
    127 and a line on stderr when there is no such program, 126 when it cannot be run. Raises EmulatorError when the
    sandbox is gone or cannot be entered.
    """
    user, network = _open_namespaces(reference)
    if pod_address and (own := pod_network(int(reference["pid"]), pod_address)) is not None:
        os.close(network)
        network = own
    reading, writing = os.pipe()
    texts = {"/etc/resolv.conf": resolv_conf, "/etc/hosts": hosts, **(files or {})}
    sys.stdout.flush()
    sys.stderr.flush()
    with _signals_for(child := _Child()):
        parent = os.getpid()
        child.pid = _fork()
        if child.pid == 0:
            os.close(reading)
            _become(parent, user, network, texts, command, env, writing)
        for handle in (user, network, writing):
            os.close(handle)
        with os.fdopen(reading) as pipe:
            problem = pipe.read()
        status = _wait(child.pid)
        child.pid = 0
    if problem:
        raise EmulatorError(f"the sandbox cannot be entered: {problem}")
    return status if status >= 0 else 128 - status


def enter_process(pid: int, command: Sequence[str], *, env: Mapping[str, str], folder: str) -> int:
    """Run `command` in every namespace of a process and wait for it; as `enter`. Raises EmulatorError."""
    handles: dict[str, int] = {}
    try:
        for name in NAMESPACES:
            handles[name] = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        for name, flag in NAMESPACES.items():  # the user namespace first: it allows the others
            call("setns", handles[name], flag)
    except OSError as error:
        raise EmulatorError(f"the container cannot be entered: {error.strerror}") from error
    finally:
        for handle in handles.values():
            os.close(handle)
    with _signals_for(child := _Child()):
        reading, writing = os.pipe()
        child.pid = _fork()
        if child.pid == 0:
            os.close(writing)
            _become_inside(reading, command, env, folder)
        os.close(reading)
        os.write(writing, b"1")
        status = _wait(child.pid)
        child.pid = 0
        os.close(writing)
    return status if status >= 0 else 128 - status


def _open_namespaces(reference: Mapping[str, Any]) -> tuple[int, int]:
    """The namespaces of the very process that is meant. Raises EmulatorError."""
    pid = int(reference["pid"])
    handles: list[int] = []
    try:
        handles.append(os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
        handles.append(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        if process_start_time(pid) == reference["startTime"] and os.fstat(handles[1]).st_ino == reference["netns"]:
            return handles[0], handles[1]
        problem = "the sandbox is gone: its process has ended; start the cluster again with `kubemu up`"
    except (FileNotFoundError, ProcessLookupError):
        problem = "the sandbox is gone: its process has ended; start the cluster again with `kubemu up`"
    except PermissionError:
        problem = "the sandbox belongs to another user; run this as the user that ran `kubemu up`"
    for handle in handles:
        os.close(handle)
    raise EmulatorError(problem)


def pod_network(helper: int, address: str) -> int | None:
    """The network namespace of the pod at an address, opened; None when it has none of its own."""
    for folder in POD_FOLDERS:
        path = f"/proc/{helper}/root{folder}/{address}"
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(handle).st_dev == os.stat("/proc/self/ns/net").st_dev:
                return handle
            os.close(handle)
    return None


class _Child:
    pid = 0


@contextlib.contextmanager
def _signals_for(child: _Child) -> Iterator[None]:
    """While the child runs, signals to this process are for the child."""

    def forward(number: int, _: Any) -> None:
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)

    try:
        before = {number: signal.signal(number, forward) for number in FORWARDED}
        before.update({number: signal.signal(number, signal.SIG_IGN) for number in LEFT_TO_CHILD})
    except ValueError:  # not the main thread: signals are somebody else's
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # beside threads: the child only makes system calls
        return os.fork()


def _wait(pid: int) -> int:
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except InterruptedError:
            continue


# -- in the child ------------------------------------------------------------------------------------------------


def _become(
    parent: int,
    user: int,
    network: int,
    files: Mapping[str, str],
    command: Sequence[str],
    env: Mapping[str, str],
    writing: int,
) -> None:
    """Become the command; never returns."""
    status = SETUP_FAILED
    try:
        for number in (*FORWARDED, *LEFT_TO_CHILD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores the last two; a command must not inherit that
        try:
            call("setns", user, CLONE_NEWUSER)
            call("setns", network, CLONE_NEWNET)
            _mount_files(files)
            call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                return
        except OSError as error:
            os.write(writing, str(error).encode())
            return
        os.close(writing)
        status = _execute(command, env)
    finally:
        os._exit(status)


def _become_inside(parent: int, command: Sequence[str], env: Mapping[str, str], folder: str) -> None:
    """Become the command in the process namespace just joined; never returns. parent: a pipe that it writes to."""
    status = SETUP_FAILED
    try:
        for number in (*FORWARDED, *LEFT_TO_CHILD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not os.read(parent, 1):  # it died before it could be told
            return
        os.close(parent)
        with contextlib.suppress(OSError):
            os.chdir(folder)
        with contextlib.suppress(OSError):
            keep_network_capabilities(admin=False)
        status = _execute(command, env)
    except OSError:
        return
    finally:
        os._exit(status)


def _execute(command: Sequence[str], env: Mapping[str, str]) -> int:
    program = command[0] if "/" in command[0] else shutil.which(command[0], path=env.get("PATH", os.defpath))
    try:
        if program is None:
            raise FileNotFoundError
        os.execve(program, list(command), dict(env))  # noqa: S606 - running the given command is the purpose
    except FileNotFoundError:
        os.write(2, f"kubemu: {command[0]}: command not found\n".encode())
        return NOT_FOUND
    except (OSError, ValueError) as error:
        os.write(2, f"kubemu: {command[0]}: {getattr(error, 'strerror', None) or error}\n".encode())
        return NOT_EXECUTABLE


def _mount_files(files: Mapping[str, str]) -> None:
    """Bind the texts over the files, in a mount namespace of our own. Raises OSError."""
    call("unshare", CLONE_NEWNS)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    nsswitch = _nsswitch()
    texts = {**files, **({"/etc/nsswitch.conf": nsswitch} if nsswitch else {})}
    targets = {os.path.realpath(path): text for path, text in texts.items()}
    parents = missing_parents(targets)
    hidden = {os.path.realpath(path) for path in NSCD if os.path.isdir(path)}
    scratch = next(
        path
        for path in SCRATCH
        if os.path.isdir(path) and not any(f"{t}/".startswith(f"{path}/") for t in (*targets, *parents))
    )
    _mount("tmpfs", scratch, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=4m,mode=0755")
    for number, (folder, wanted) in enumerate(parents.items()):
        os.mkdir(f"{scratch}/folder-{number}")
        cover(folder, wanted, f"{scratch}/folder-{number}", _bind_all)
    for number, (target, text) in enumerate(targets.items()):
        source = f"{scratch}/{number}"
        Path(source).write_text(text)
        os.chmod(source, 0o644)
        _mount(source, target, None, _MS_BIND)
    for target in hidden:  # the name service cache would answer with the host's names
        os.mkdir(f"{scratch}/empty-{os.path.basename(target)}")
        _mount(f"{scratch}/empty-{os.path.basename(target)}", target, None, _MS_BIND)
    call("umount2", scratch.encode(), _MNT_DETACH)


def _bind_all(source: str, target: str) -> None:
    _mount(source, target, None, _MS_BIND | _MS_REC)


def _nsswitch() -> str | None:
    """nsswitch.conf with only files and DNS for hosts, when the host's own has more, such as systemd-resolved."""
    try:
        lines = Path("/etc/nsswitch.conf").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1:] for line in lines if line.startswith("hosts:")]
    if not found or found == [["files", "dns"]]:
        return None
    return "".join("hosts: files dns\n" if line.startswith("hosts:") else f"{line}\n" for line in lines)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else value.encode()

    try:
        call("mount", text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    except OSError as error:
        raise OSError(error.errno, f"{target}: {error.strerror}") from error

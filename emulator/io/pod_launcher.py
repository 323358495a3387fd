"""The process behind a container: `python -S -E -c START FOLDER SPEC REPORT`, started by the node agent.

FOLDER is where this module is, SPEC a readable file with one marshalled dict, REPORT the writing end of a pipe. In the sandbox it enters the pod's
network, makes a process, host name and mount namespace, and in these a small init that starts the command, reaps
what loses its parent, and ends as the command ends: with it the kernel ends everything in there. Elsewhere the
command leads a session, and what is left of its processes when it ends is killed one by one.

SIGTERM and its like are passed to the command alone; SIGINT, which also comes when the node agent dies, kills all.
It reports `pid PID` of the init and, if the command could not be started, `error WHY`, a line each; the pipe ends when the
command runs. Every import is paid at every start of a container: it takes the plainest modules only, and never touches the host's own namespaces.
"""

from __future__ import annotations

import errno
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from emulator.io.linux import (
        CLONE_NEWNET,
        CLONE_NEWNS,
        CLONE_NEWPID,
        CLONE_NEWUSER,
        CLONE_NEWUTS,
        call,
        keep_network_capabilities,
    )
    from emulator.io.podroot import build_root
else:
    from linux import (
        CLONE_NEWNET,
        CLONE_NEWNS,
        CLONE_NEWPID,
        CLONE_NEWUSER,
        CLONE_NEWUTS,
        call,
        keep_network_capabilities,
    )
    from podroot import build_root
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums, which take longer to make than everything else here

# Given to Python as its program: so this module is compiled once, not at every start.
START = "import sys; sys.path.insert(0, sys.argv[1]); import pod_launcher; pod_launcher.start()"
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
KILL_ALL = signal.SIGINT
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
CANNOT_START = 128  # the exit code of a container whose command could not be started


class Report:
    """Tells the node agent, until it is closed."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        os.set_inheritable(handle, False)

    def pid(self, pid: int) -> None:
        self._send(f"pid {pid}")

    def failure(self, said: str) -> None:
        self._send(f"error {said}")

    def _send(self, line: str) -> None:
        try:
            os.write(self.handle, line.replace("\n", " ").encode() + b"\n")
        except OSError:
            return  # the node agent is gone

    def close(self) -> None:
        os.close(self.handle)


def main(arguments: list[str]) -> int:
    with os.fdopen(int(arguments[2]), "rb") as file:
        spec = marshal.load(file)  # noqa: S302 - from our own parent, over a file without a name
    report = Report(int(arguments[3]))
    signal.pthread_sigmask(signal.SIG_BLOCK, {*PASSED_ON, KILL_ALL})
    try:
        if spec["sandbox"] is None:
            return in_session(spec, report)
        return in_namespaces(spec, report)
    except OSError as error:
        report.failure(error.strerror or str(error))
        return CANNOT_START


# -- with namespaces ---------------------------------------------------------------------------------------------


def in_namespaces(spec: dict[str, Any], report: Report) -> int:
    """Start the init and wait for it. Raises OSError."""
    user = os.open(spec["sandbox"]["user"], os.O_RDONLY | os.O_CLOEXEC)
    network = os.open(spec["sandbox"]["network"], os.O_RDONLY | os.O_CLOEXEC)
    call("setns", user, CLONE_NEWUSER)
    call("setns", network, CLONE_NEWNET)
    die_with_parent(spec["parent"], KILL_ALL)  # after setns: a change of credentials clears it
    call("unshare", CLONE_NEWPID)
    waiting, telling = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(telling)
        run_init(spec, report, waiting)
    os.close(waiting)
    report.pid(init)
    report.close()
    os.write(telling, b"1")
    handle_signals({number: lambda number, _: kill(init, number) for number in PASSED_ON})
    handle_signals({KILL_ALL: lambda *_: kill(init, signal.SIGKILL)})
    release_terminal()
    return wait_for(init)


def run_init(spec: dict[str, Any], report: Report, waiting: int) -> None:
    """Process 1 of the pod; never returns."""
    status = CANNOT_START
    try:
        call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not os.read(waiting, 1):
            return  # the launcher died before it could be told that it has a child
        os.close(waiting)
        call("unshare", CLONE_NEWNS | CLONE_NEWUTS)
        name = spec["hostname"].encode()
        call("sethostname", name, len(name))
        build_root(spec["root"])
        command = start_command(spec, report)
        report.close()
        handle_signals({number: lambda number, _: kill(command, number) for number in PASSED_ON})
        release_terminal()
        status = reap_until(command)
    except OSError as error:
        report.failure(error.strerror or str(error))
    finally:
        os._exit(status)


# -- without -----------------------------------------------------------------------------------------------------


def in_session(spec: dict[str, Any], report: Report) -> int:
    """Start the command and wait for it; nothing it started outlives it. Raises OSError."""
    linux = sys.platform == "linux"
    if linux:
        call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        die_with_parent(spec["parent"], KILL_ALL)
    command = start_command(spec, report)
    report.pid(command)
    report.close()
    handle_signals({number: lambda number, _: kill(command, number) for number in PASSED_ON})
    handle_signals({KILL_ALL: lambda *_: kill_session(command)})
    release_terminal()
    status = reap_until(command)
    kill_session(command)
    while linux and (left := children()):
        for pid in left:
            kill(pid, signal.SIGKILL)
        os.waitpid(-1, 0)
    return status


def children() -> list[int]:
    """What this process has to reap: its own children, and those that lost their parent."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def kill_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


# -- both --------------------------------------------------------------------------------------------------------


def start_command(spec: dict[str, Any], report: Report) -> int:
    """Fork the command; its process ID here."""
    pid = os.fork()
    if pid == 0:
        become_command(spec, report)
    return pid


def become_command(spec: dict[str, Any], report: Report) -> None:
    """Be the command; never returns."""
    try:
        os.setsid()
        if spec["tty"]:
            import fcntl
            import termios

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        enter_folder(spec["cwd"])
        if spec["sandbox"] is not None:
            keep_capabilities()
        os.umask(0o022)
        for number in (*PASSED_ON, KILL_ALL, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores the last two
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*PASSED_ON, KILL_ALL})
        execute(spec["command"], spec["env"])
    except OSError as error:
        report.failure(error.strerror or str(error))
    finally:
        os._exit(CANNOT_START)


def keep_capabilities() -> None:
    """Low ports are free for all unless /proc/sys may not be written: then this is how."""
    try:
        keep_network_capabilities(admin=False)
    except OSError:
        return


def enter_folder(path: str) -> None:
    """Go there; a folder that is missing is made, as container runtimes do. Raises OSError."""
    try:
        os.chdir(path)
    except FileNotFoundError:
        try:
            os.makedirs(path, exist_ok=True)
            os.chdir(path)
        except OSError as error:
            said = f'chdir to cwd ("{path}") set in config.json failed: {(error.strerror or "").lower()}'
            raise OSError(error.errno, said) from error


def execute(command: list[str], env: dict[str, str]) -> None:
    """Become a program of PATH, or of a path. Raises OSError with the words of a container runtime."""
    name = command[0]
    if not name:
        raise OSError(errno.ENOENT, 'exec: "": executable file not found in $PATH')
    folders = [""] if "/" in name else env.get("PATH", os.defpath).split(":")
    denied = False
    for folder in folders:
        path = os.path.join(folder or ".", name) if "/" not in name else name
        try:
            os.execve(path, command, env)  # noqa: S606 - running the given command is the purpose
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:  # of the program; a folder of PATH that may not be searched has none
            denied = denied or os.path.exists(path)
    if denied:
        raise OSError(errno.EACCES, f'exec: "{name}": permission denied')
    missing = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    raise OSError(errno.ENOENT, f'exec: "{name}": {missing}')


def die_with_parent(parent: int, number: int) -> None:
    """This process gets a signal when the node agent dies; at once when it is dead already."""
    call("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(CANNOT_START)


def handle_signals(handlers: dict[Any, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)


def release_terminal() -> None:
    """Let go of the command's ends, so that they close when the command does."""
    null = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    os.close(null)


def kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def reap_until(wanted: int) -> int:
    """Take every child that ends until the wanted one does; its exit code, 128 + n for a signal."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == wanted:
            return exit_code(status)


def wait_for(pid: int) -> int:
    return exit_code(os.waitpid(pid, 0)[1])


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def start() -> None:
    """Be the launcher; never returns."""
    os._exit(main(sys.argv))

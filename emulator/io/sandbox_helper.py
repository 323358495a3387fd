"""The sandbox's helper process: holds the namespaces and makes sockets inside them for the main process.

Started as `python -S -E sandbox_helper.py FD`; FD is one end of a SEQPACKET pair. The first message is the setup
(ranges, address, source); then every message asks for sockets, which go back as file descriptors, for a program
to run inside, or for the network of one pod to be made or taken away. It ends when the other end closes, and dies with its parent. It imports only the plainest modules so
that it is ready at once, and never handles traffic itself.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from emulator.io.linux import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, call, keep_network_capabilities
    from emulator.io.netlink import Netlink
else:
    from linux import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, call, keep_network_capabilities
    from netlink import Netlink

BUFFER_BYTES = 4 << 20  # datagram buffers; the kernel cuts it to what it allows
MAX_MESSAGE = 65536
MAX_SOCKETS = 200  # the kernel passes at most 253 descriptors in one message
ALL_IDS = "0 0 4294967295\n"
POD_FOLDERS = ("/mnt", "/media", "/srv", "/opt", "/var/tmp", "/tmp")  # noqa: S108 - one is covered, in here alone
POD_INTERFACE = "eth0"

_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x1000, 0x4000, 0x40000, 2

_PR_SET_PDEATHSIG = 1
_IP_TRANSPARENT, _IP_RECVORIGDSTADDR = 19, 20


def write_file(path: str, text: str) -> None:
    """Write a file of /proc in one call. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def own_namespaces(flags: int = CLONE_NEWNET | CLONE_NEWNS) -> None:
    """Enter a new user namespace and those of `flags`, keeping the own user id.

    An ordinary user is mapped to itself and nothing else. Root maps all ids if it may, so that files keep their
    owners. Raises OSError.
    """
    uid, gid = os.geteuid(), os.getegid()
    mapper = _Mapper() if uid == 0 else None
    try:
        call("unshare", CLONE_NEWUSER | flags)
        if mapper is None or not mapper.map_all():
            write_file("/proc/self/setgroups", "deny")
            write_file("/proc/self/uid_map", f"{uid} {uid} 1\n")
            write_file("/proc/self/gid_map", f"{gid} {gid} 1\n")
    finally:
        if mapper is not None:
            mapper.close()


class _Mapper:
    """A child that stays in the old user namespace, whose capabilities writing a map of all ids needs."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        target = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._ours.close()
                if theirs.recv(1):
                    write_file(f"/proc/{target}/uid_map", ALL_IDS)
                    write_file(f"/proc/{target}/gid_map", ALL_IDS)
                    theirs.send(b"1")
            finally:
                os._exit(0)
        theirs.close()

    def map_all(self) -> bool:
        """Whether both maps are written now."""
        self._ours.send(b"1")
        return self._ours.recv(1) == b"1"

    def close(self) -> None:
        self._ours.close()
        os.waitpid(self._pid, 0)


class PodNetworks:
    """The network namespaces of pods: each is held by a bind mount in this process's own mount namespace, so that
    others find it by path (/proc/PID/root/...), and all are gone with this process."""

    def __init__(self) -> None:
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._folder = ""

    def add(self, address: str, gateway: str) -> str:
        """Make the network of the pod at `address`; the path that holds it. Raises OSError."""
        path = os.path.join(self._made_folder(), address)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            handle = self._namespace(path)
            try:
                self._link(address, gateway, handle)
            finally:
                os.close(handle)
        except BaseException:
            self._forget(path)
            raise
        return f"/proc/{os.getpid()}/root{path}"

    def remove(self, address: str) -> None:
        """Cut the pod off at once; the namespace goes when its last process and socket do."""
        netlink = Netlink()
        try:
            with suppress(OSError):
                netlink.delete_link(veth_name(address))
        finally:
            netlink.close()
        if self._folder:
            self._forget(os.path.join(self._folder, address))

    def make_sockets(self, request: dict) -> list[socket.socket]:  # type: ignore[type-arg]
        """Sockets in the network of the pod at request["pod"]. Raises OSError."""
        handle = os.open(os.path.join(self._folder or "/nowhere", request["pod"]), os.O_RDONLY | os.O_CLOEXEC)
        try:
            call("setns", handle, CLONE_NEWNET)
            try:
                return make_sockets(request)
            finally:
                self._back()
        finally:
            os.close(handle)

    def _namespace(self, path: str) -> int:
        call("unshare", CLONE_NEWNET)
        try:
            call("mount", b"/proc/self/ns/net", path.encode(), None, ctypes.c_ulong(_MS_BIND), None)
            allow_all_ports()
            return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            self._back()

    def _link(self, address: str, gateway: str, handle: int) -> None:
        name = veth_name(address)
        netlink = Netlink()
        try:
            netlink.add_veth(name, POD_INTERFACE, handle)
            netlink.link_up(name)
            netlink.forward_from(name)
            netlink.add_host_route(address, name, gateway)
        finally:
            netlink.close()
        call("setns", handle, CLONE_NEWNET)
        try:
            inside = Netlink()
            try:
                inside.link_up()
                inside.add_address(address, POD_INTERFACE)
                inside.link_up(POD_INTERFACE)
                inside.add_default_route(gateway, POD_INTERFACE)
            finally:
                inside.close()
        finally:
            self._back()

    def _back(self) -> None:
        """To the sandbox's own network. Where that fails nothing here can be trusted: the process ends."""
        try:
            call("setns", self._own, CLONE_NEWNET)
        except OSError:
            os._exit(1)

    def _made_folder(self) -> str:
        if not self._folder:
            folder = next(path for path in POD_FOLDERS if os.path.isdir(path))
            call("mount", None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
            call("mount", b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(0), b"size=1m,mode=0700")
            self._folder = folder
        return self._folder

    @staticmethod
    def _forget(path: str) -> None:
        with suppress(OSError):
            call("umount2", path.encode(), _MNT_DETACH)
        with suppress(OSError):
            os.unlink(path)


def veth_name(address: str) -> str:
    """The sandbox's end of a pod's link."""
    return "veth" + socket.inet_aton(address).hex()


def set_up_network(setup: dict) -> None:  # type: ignore[type-arg]  # JSON; typing is not imported here
    """lo with an address and local routes; every port is free for all. Raises OSError."""
    netlink = Netlink()
    try:
        netlink.link_up()
        source = setup.get("source")
        if source:
            netlink.add_address(source)
        for network in setup["ranges"]:
            with suppress(FileExistsError):  # the same range under two names
                netlink.add_local_route(network, source)
    finally:
        netlink.close()
    allow_all_ports()


def allow_all_ports() -> None:
    """In the present network namespace an ordinary user may listen on low ports, and ping."""
    gid = os.getegid()
    for name, text in (("ip_unprivileged_port_start", "0"), ("ping_group_range", f"{gid} {gid}")):
        with suppress(OSError):  # /proc/sys is read-only in some containers; sockets made here may bind anyway
            write_file(f"/proc/sys/net/ipv4/{name}", text)


def add_route(network: str, source: str) -> None:
    """A local route. Raises OSError."""
    netlink = Netlink()
    try:
        netlink.add_local_route(network, source)
    finally:
        netlink.close()


def make_sockets(request: dict) -> list[socket.socket]:  # type: ignore[type-arg]
    """The sockets a request asks for. Raises OSError."""
    host, port = request.get("host"), request.get("port", 0)
    family = socket.AF_INET6 if host and ":" in host else socket.AF_INET
    stream = request["op"] == "tcp"
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    made: list[socket.socket] = []
    try:
        for _ in range(min(request.get("count", 1), MAX_SOCKETS)):
            sock = socket.socket(family, kind)
            made.append(sock)
            if not stream:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            if request.get("transparent"):
                sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
                if not stream:
                    sock.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
            if request.get("reuse", stream):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if request.get("bind"):
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
                if stream:
                    sock.listen(request.get("backlog", 1024))
    except BaseException:
        close_all(made)
        raise
    return made


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def run_program(argv: list[str], text: str) -> str:
    """Run a program inside with `text` as its input; what it complained of, "" when it succeeded. Raises OSError."""
    reading, writing = os.pipe()  # a few hundred bytes: they fit the pipe's buffer
    errors_reading, errors_writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    actions = [
        (os.POSIX_SPAWN_DUP2, reading, 0),
        (os.POSIX_SPAWN_DUP2, errors_writing, 1),
        (os.POSIX_SPAWN_DUP2, errors_writing, 2),
    ]
    try:
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    except OSError:
        os.close(errors_reading)
        raise
    finally:
        os.close(reading)
        os.close(errors_writing)
    said = os.read(errors_reading, 4096).decode(errors="replace")
    os.close(errors_reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "" if status == 0 else said.strip() or f"exit status {status}"


def serve(control: socket.socket) -> None:
    """Answer requests until the other end closes."""
    pods = PodNetworks()
    while True:
        message = control.recv(MAX_MESSAGE)
        if not message:
            return
        request = json.loads(message)
        answer = {"id": request["id"], "errno": 0}
        sockets: list[socket.socket] = []
        try:
            if request["op"] == "run":
                answer["said"] = run_program(request["argv"], request["text"])
            elif request["op"] == "route":
                add_route(request["network"], request["source"])
            elif request["op"] == "add-pod":
                answer["path"] = pods.add(request["address"], request["gateway"])
            elif request["op"] == "remove-pod":
                pods.remove(request["address"])
            elif "pod" in request:
                sockets = pods.make_sockets(request)
            else:
                sockets = make_sockets(request)
        except OSError as error:
            answer["errno"] = error.errno or errno.EIO
        try:
            socket.send_fds(control, [json.dumps(answer).encode()], [sock.fileno() for sock in sockets])
        finally:
            close_all(sockets)


def main(argv: list[str]) -> int:
    """Set up, say so, serve."""
    control = socket.socket(fileno=int(argv[1]))
    os.set_inheritable(control.fileno(), False)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is for the main process, which then closes us
    setup = json.loads(control.recv(MAX_MESSAGE))
    try:
        own_namespaces()
        call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after unshare: a change of credentials clears it
        if os.getppid() != setup["parent"]:
            return 1
        set_up_network(setup)
        keep_network_capabilities()
    except OSError as error:
        control.send(json.dumps({"id": 0, "errno": error.errno or errno.EIO, "said": str(error)}).encode())
        return 1
    try:
        control.send(json.dumps({"id": 0, "errno": 0}).encode())
        serve(control)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the main process is gone
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    raise SystemExit(main(sys.argv))

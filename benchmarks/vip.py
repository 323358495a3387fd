"""TCP through a virtual IP: kubemu's proxy beside HAProxy (mode tcp, one thread), same backends, same load, same run.

    python -m benchmarks.vip [--rounds 5] [--seconds 2]

Each round measures the one and then the other, in turn: requests on fresh connections, requests on kept connections,
and bytes through 1 and through 8 connections. Client, proxy and backend are processes of their own on loopback; the
CPU each proxy used (utime + stime) is taken from /proc, because two cores are shared by three processes. Medians.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BACKENDS = ("127.1.200.1", "127.1.200.2")  # of the pod range, so that Endpoints may name them
BACKEND_PORT = 18080
VIP_PORT = 8080
CONNECTIONS = 16
REQUEST = b"GET /hostname HTTP/1.1\r\nHost: webapp\r\n\r\n"
BULK = b"GET /bulk HTTP/1.1\r\nHost: webapp\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nwebapp-1"
CHUNK = 256 * 1024
TICKS = os.sysconf("SC_CLK_TCK")

MANIFEST = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "bench"},
            "spec": {"ports": [{"port": VIP_PORT, "targetPort": BACKEND_PORT}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "bench"},
            "subsets": [{"addresses": [{"ip": ip} for ip in BACKENDS], "ports": [{"port": BACKEND_PORT}]}],
        },
    ],
}


# -- the backend's process ----------------------------------------------------------------------------------------


def serve() -> None:
    """Answer every request with REPLY; to /bulk with bytes until the client goes."""
    ready = selectors.EpollSelector()
    listeners = [socket.create_server((ip, BACKEND_PORT), backlog=4096) for ip in BACKENDS]
    for listener in listeners:
        listener.setblocking(False)
        ready.register(listener, selectors.EVENT_READ)
    block = bytes(CHUNK)
    while True:
        for key, events in ready.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock in listeners:
                with suppress(BlockingIOError):
                    while True:
                        client, _ = sock.accept()
                        client.setblocking(False)
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        ready.register(client, selectors.EVENT_READ)
                continue
            try:
                if events & selectors.EVENT_WRITE:
                    sock.send(block)
                    continue
                asked = sock.recv(4096)
                if asked.startswith(b"GET /bulk"):
                    ready.modify(sock, selectors.EVENT_WRITE)
                elif asked:
                    sock.send(REPLY)
                else:
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                ready.unregister(sock)
                sock.close()


# -- load -----------------------------------------------------------------------------------------------------------


def requests(target: tuple[str, int], seconds: float, *, keep: bool) -> int:
    """How many requests CONNECTIONS clients complete, each on a fresh connection unless `keep`."""
    ready = selectors.EpollSelector()
    done = 0

    def connect() -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            sock.connect(target)
        ready.register(sock, selectors.EVENT_WRITE)

    for _ in range(CONNECTIONS):
        connect()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for key, events in ready.select(0.1):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if events & selectors.EVENT_WRITE:
                sock.send(REQUEST)
                ready.modify(sock, selectors.EVENT_READ)
                continue
            if sock.recv(4096) != REPLY:
                raise RuntimeError("a reply was lost")
            done += 1
            if keep:
                sock.send(REQUEST)
            else:
                ready.unregister(sock)
                sock.close()
                connect()
    for held in list(ready.get_map().values()):
        assert isinstance(held.fileobj, socket.socket)
        held.fileobj.close()
    ready.close()
    return done


def carried(target: tuple[str, int], seconds: float, connections: int) -> int:
    """How many bytes come through so many connections."""
    socks = [socket.create_connection(target) for _ in range(connections)]
    ready = selectors.EpollSelector()
    buffer = memoryview(bytearray(CHUNK))
    for opened in socks:
        opened.send(BULK)
        opened.setblocking(False)
        ready.register(opened, selectors.EVENT_READ)
    count = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for key, _ in ready.select(0.1):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            count += sock.recv_into(buffer)
    for opened in socks:
        opened.close()
    ready.close()
    return count


# -- the proxies ----------------------------------------------------------------------------------------------------


def wait_for(target: tuple[str, int]) -> None:
    """Until a connection is taken."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(target, 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def backend() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.vip", "--serve"])
    try:
        wait_for((BACKENDS[0], BACKEND_PORT))
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def kubemu(folder: Path) -> Iterator[tuple[int, tuple[str, int]]]:
    """The cluster's pid and the Service's address."""
    command = str(Path(sys.executable).with_name("kubemu"))
    manifest = folder / "bench.json"
    manifest.write_text(json.dumps(MANIFEST))
    env = {**os.environ, "KUBEMU_HOME": str(folder / "state")}
    call = [command, "up", "-d", "-o", "json", "--network", "loopback", "--dns-port", "0", "--nodes", "0"]
    where = json.loads(subprocess.run([*call, "-f", str(manifest)], env=env, capture_output=True, check=True).stdout)
    try:
        got = subprocess.run(
            [command, "get", "service", "bench", "-o", "json"], env=env, capture_output=True, check=True
        )
        yield where["pid"], (json.loads(got.stdout)["spec"]["clusterIP"], VIP_PORT)
    finally:
        subprocess.run([command, "down"], env=env, capture_output=True, check=True)


@contextmanager
def haproxy(folder: Path) -> Iterator[tuple[int, tuple[str, int]]]:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    assert program, "haproxy is needed: apt-get install haproxy"
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port = spare.getsockname()[1]
    servers = "".join(f"  server s{n} {ip}:{BACKEND_PORT}\n" for n, ip in enumerate(BACKENDS))
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\n  maxconn 2000\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"listen bench\n  bind 127.0.0.1:{port}\n  balance random\n{servers}"
    )
    process = subprocess.Popen([program, "-f", str(config), "-db", "-q"])
    try:
        time.sleep(0.5)
        yield process.pid, ("127.0.0.1", port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


WORK: dict[str, tuple[str, float, Callable[[tuple[str, int], float], int]]] = {
    "fresh connections": ("requests/s", 1.0, lambda target, s: requests(target, s, keep=False)),
    "kept connections": ("requests/s", 1.0, lambda target, s: requests(target, s, keep=True)),
    "bulk, 1 connection": ("MB/s", 1e6, lambda target, s: carried(target, s, 1)),
    "bulk, 8 connections": ("MB/s", 1e6, lambda target, s: carried(target, s, 8)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    with tempfile.TemporaryDirectory(prefix="kubemu-bench-") as name:
        folder = Path(name)
        with backend(), kubemu(folder) as ours, haproxy(folder) as theirs:
            print(f"{'':22}{'kubemu':>12}{'HAProxy':>12}{'ratio':>8}{'CPU ratio':>11}")
            for _, target in (ours, theirs):
                wait_for(target)
            for title, (unit, divisor, work) in WORK.items():
                rates: tuple[list[float], list[float]] = ([], [])
                costs: tuple[list[float], list[float]] = ([], [])
                for _ in range(options.rounds):
                    for at, (pid, target) in enumerate((ours, theirs)):
                        before, began = cpu_seconds(pid), time.monotonic()
                        done = work(target, options.seconds)
                        rates[at].append(done / divisor / (time.monotonic() - began))
                        costs[at].append((cpu_seconds(pid) - before) / max(done, 1))
                one, other = (statistics.median(values) for values in rates)
                spent = statistics.median(costs[0]) / max(statistics.median(costs[1]), 1e-12)
                print(f"{title:22}{one:12,.0f}{other:12,.0f}{one / other:8.2f}{spent:11.2f}  {unit}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

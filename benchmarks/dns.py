"""DNS over UDP on loopback: queries per second and CPU per query, kubemu beside dnsmasq, same load, same run.

    python -m benchmarks.dns [--rounds 5] [--seconds 3] [--services 500] [--blaster dnsperf|python] [--profile]

Needs dnsmasq (Debian package dnsmasq-base); the load comes from dnsperf if it is installed, else from a small generator
in a process of its own (`--blaster python`). Rounds alternate between the servers; medians and their ratio are printed.
The questions are A of existing Services (80 %), AAAA (NODATA, 10 %) and absent names (NXDOMAIN, 10 %).

What was tried (2 cores, kernel 6, Python 3.11; dnsperf and the Python generator agree within their spread of a tenth):
- asyncio's datagram protocol: about 0.2 of dnsmasq's rate; a reader callback that drains the socket: 0.9 and more.
- Whole replies kept by the octets of the query, so the usual packet costs one look-up: the server's own Python is about
  1 us of 7 to 9 us per query, the rest is recvfrom and above all sendto (which runs the receiver's side on loopback).
- The look-up done in the reading loop itself instead of through Engine.handle: saves a call and an object, about 0.4 us.
- Receive buffers of 512, 1500 and 4096 octets: no difference beyond the spread. So 4096, which cuts no real query.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import os
import pstats
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.client.io.informer import Informers
from emulator.config.settings import ClusterConfig
from emulator.dns import wire
from emulator.dns.io.server import DnsServer, Listen
from emulator.io.tasks import running
from tests.conformance.dns_live import LocalNetwork, StaticClient

START_SECONDS = 10.0
WINDOW = 64  # queries under way per socket of the Python generator
SOCKETS = 4


@dataclass(frozen=True)
class Measure:
    queries_per_second: float
    cpu_microseconds: float


def service(number: int) -> dict[str, Any]:
    address = f"10.96.{number // 250}.{number % 250 + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"svc-{number}", "namespace": "default"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    }


def questions(services: int) -> list[tuple[str, str]]:
    """(name, type) in the shares the docstring names."""
    asked = []
    for number in range(services):
        name = f"svc-{number}.default.svc.cluster.local"
        asked += [(name, "A")] * 8 + [(name, "AAAA"), (f"absent-{number}.default.svc.cluster.local", "A")]
    return asked


async def serve(services: int, port: int, profiler: cProfile.Profile | None) -> None:
    """A server with so many Services, until the process is ended; prints one line when it serves."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    client = StaticClient([namespace, *(service(number) for number in range(services))])
    informers = Informers(client)  # type: ignore[arg-type]  # only list and watch are asked of it
    listen = [Listen(LocalNetwork(), "127.0.0.1", port)]
    server = DnsServer(informers, ClusterConfig(), listen=listen, upstreams=())
    async with running(informers, server):
        await server.synced.wait()
        print("ready", flush=True)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        if profiler is not None:
            profiler.enable()
        await stopped.wait()
        if profiler is not None:
            profiler.disable()
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(15)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def kubemu(services: int, options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(port, pid) of a kubemu DNS server."""
    port = free_port()
    flags = [flag for flag, on in (("--profile", options.profile), ("--uvloop", options.uvloop)) if on]
    command = [sys.executable, "-m", "benchmarks.dns", "--serve", str(port), "--services", str(services), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield port, process.pid
        finally:
            process.terminate()


@contextlib.contextmanager
def dnsmasq(services: int, folder: Path) -> Iterator[tuple[int, int]]:
    """(port, pid) of a dnsmasq with the same names."""
    port = free_port()
    hosts = folder / "hosts"
    lines = (
        service(number)["spec"]["clusterIP"] + f" svc-{number}.default.svc.cluster.local" for number in range(services)
    )
    hosts.write_text("\n".join(lines) + "\n")
    command = [
        shutil.which("dnsmasq") or "/usr/sbin/dnsmasq", "--keep-in-foreground", f"--port={port}", "--no-resolv", "--no-hosts",
        f"--addn-hosts={hosts}", "--listen-address=127.0.0.1", "--bind-interfaces", "--conf-file=/dev/null",
        "--local=/cluster.local/", "--local-ttl=5", "--cache-size=10000", f"--user={os.environ.get('USER', 'root')}",
        "--pid-file=",
    ]  # fmt: skip
    with subprocess.Popen(command) as process:
        try:
            wait_for_answer(port)
            yield port, process.pid
        finally:
            process.terminate()


def wait_for_answer(port: int) -> None:
    packet = wire.query("svc-0.default.svc.cluster.local.", wire.A, id_=1)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.settimeout(0.1)
            sock.connect(("127.0.0.1", port))
            sock.send(packet)
            sock.recv(512)
            return
    raise SystemExit(f"nothing answers on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(port: int, pid: int, seconds: float, blaster: str, data: Path) -> Measure:
    before = cpu_seconds(pid)
    if blaster == "dnsperf":
        command = [
            "dnsperf",
            "-s",
            "127.0.0.1",
            "-p",
            str(port),
            "-d",
            str(data),
            "-l",
            str(seconds),
            "-c",
            "4",
            "-q",
            "200",
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        completed = int(re.findall(r"Queries completed:\s+(\d+)", output)[0])
        rate = float(re.findall(r"Queries per second:\s+([\d.]+)", output)[0])
    else:
        command = [sys.executable, "-m", "benchmarks.dns", "--blast", str(port), "--seconds", str(seconds), str(data)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        completed, rate = int(output.split()[0]), float(output.split()[1])
    return Measure(rate, (cpu_seconds(pid) - before) / max(completed, 1) * 1e6)


def blast(port: int, seconds: float, data: Path) -> None:
    """Keep WINDOW queries under way on each socket; prints how many were answered and the rate."""
    lines = [line.split() for line in data.read_text().splitlines()]
    packets = [wire.query(name, wire.type_number(type_), id_=at & 0xFFFF) for at, (name, type_) in enumerate(lines)]
    poll = select.epoll()
    sockets = {}
    for _ in range(SOCKETS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        poll.register(sock, select.EPOLLIN)
        sockets[sock.fileno()] = sock
    sent = answered = 0
    started = time.monotonic()
    for sock in sockets.values():
        for _ in range(WINDOW):
            sock.send(packets[sent % len(packets)])
            sent += 1
    while time.monotonic() < started + seconds:
        ready = poll.poll(0.05)
        if not ready:  # all lost: fill the windows again
            ready = [(fd, 0) for fd in sockets]
            for sock in sockets.values():
                sock.send(packets[sent % len(packets)])
        for fd, _ in ready:
            sock = sockets[fd]
            with contextlib.suppress(BlockingIOError):
                for _ in range(WINDOW):
                    sock.recv(512)
                    answered += 1
                    sock.send(packets[sent % len(packets)])
                    sent += 1
    for sock in sockets.values():
        sock.close()
    print(answered, answered / (time.monotonic() - started))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--services", type=int, default=500)
    parser.add_argument(
        "--blaster", choices=("dnsperf", "python"), default="dnsperf" if shutil.which("dnsperf") else "python"
    )
    parser.add_argument(
        "--profile", action="store_true", help="profile kubemu's server and print the dearest functions"
    )
    parser.add_argument("--uvloop", action="store_true", help="serve on uvloop")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--blast", type=int, help=argparse.SUPPRESS)
    parser.add_argument("data", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        run_server(options)
    elif options.blast:
        blast(options.blast, options.seconds, options.data)
    else:
        compare(options)


def run_server(options: argparse.Namespace) -> None:
    factory = None
    if options.uvloop:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        profiler = cProfile.Profile() if options.profile else None
        runner.run(serve(options.services, options.serve, profiler))


def compare(options: argparse.Namespace) -> None:
    results: dict[str, list[Measure]] = {"kubemu": [], "dnsmasq": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "questions"
        data.write_text("".join(f"{name} {type_}\n" for name, type_ in questions(options.services)))
        with (
            kubemu(options.services, options) as ours,
            dnsmasq(options.services, folder) as theirs,
        ):
            for number in range(options.rounds):
                for server, (port, pid) in (("kubemu", ours), ("dnsmasq", theirs)):
                    result = measure(port, pid, options.seconds, options.blaster, data)
                    results[server].append(result)
                    print(
                        f"round {number + 1} {server:8} {result.queries_per_second:9.0f}/s {result.cpu_microseconds:6.2f} us/query"
                    )
    medians = {
        server: (
            statistics.median(result.queries_per_second for result in measured),
            statistics.median(result.cpu_microseconds for result in measured),
        )
        for server, measured in results.items()
    }
    for server, (rate, cpu) in medians.items():
        print(f"median  {server:8} {rate:9.0f}/s {cpu:6.2f} us/query")
    print(
        f"kubemu / dnsmasq: rate {medians['kubemu'][0] / medians['dnsmasq'][0]:.2f}, "
        f"CPU {medians['kubemu'][1] / medians['dnsmasq'][1]:.2f} ({options.blaster})"
    )


if __name__ == "__main__":
    main()

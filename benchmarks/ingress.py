"""HTTP through the ingress: kubemu beside nginx as a reverse proxy, one worker, same backend, same load, same run.

    python -m benchmarks.ingress [--rounds 3] [--seconds 2] [--rules 1 1000 10000]

The backend is another nginx. 16 connections are kept open and ask one after the other, for a small body and for one of
100 KB; kubemu and nginx are measured in turn. Requests per second of CPU time (utime + stime of the proxy, from /proc) are
what one core could do; requests per second and p99 are what this machine gave. With `--rules` there are so many hosts,
and the one that is asked for is among them. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 16
LARGE_BYTES = 100_000
TICKS = os.sysconf("SC_CLK_TCK")
HOST = "asked.test"
READY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    per_second: float
    per_core: float
    p99_ms: float


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


# -- the two proxies and the backend --------------------------------------------------------------------------------


@contextmanager
def nginx(folder: Path, name: str, servers: str) -> Iterator[int]:
    """The pid of the one worker."""
    config = folder / f"{name}.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{name}-{kind};\n" for kind in ("client_body", "proxy", "fastcgi"))
    temporary += "".join(f"{kind}_temp_path {folder}/{name}-{kind};\n" for kind in ("uwsgi", "scgi"))
    config.write_text(
        f"{'user root;' if os.getuid() == 0 else ''}\nworker_processes 1;\npid {folder}/{name}.pid;\nerror_log {folder}/{name}.log;\ndaemon off;\n"
        "events { worker_connections 1024; }\n"
        f"http {{\naccess_log off;\nserver_names_hash_max_size 65536;\n{temporary}{servers}\n}}\n"
    )
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if program is None:
        raise SystemExit("nginx is absent: `make bench` installs it, or apt-get install nginx-light")
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text().split():
            time.sleep(0.01)
        yield int(children.read_text().split()[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def backend_servers(port: int, folder: Path) -> str:
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    return (
        f"server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000;\n"
        f'location = /small {{ return 200 "hello"; }}\nlocation = /large {{ root {folder}; }} }}'
    )


def proxy_servers(port: int, backend: int, rules: int) -> str:
    location = (
        "location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_buffering off;"
        ' proxy_set_header Connection ""; proxy_set_header Host $http_host;'
        " proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-ID $request_id; }"
    )
    hosts = [HOST, *(f"other-{number}.test" for number in range(rules - 1))]
    listen = f"listen 127.0.0.1:{port}; keepalive_requests 1000000;"
    servers = "\n".join(f"server {{ {listen} server_name {host}; {location} }}" for host in hosts)
    return f"upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000; }}\n{servers}"


async def serve_kubemu(backend: int, rules: int) -> None:
    """A cluster whose Service `app` is the backend; its port and pid are printed, it ends with its input."""
    from emulator import Cluster

    async with Cluster() as cluster:
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "app-1", "labels": {"kubernetes.io/service-name": "app"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": backend, "protocol": "TCP"}],
            "endpoints": [{"addresses": [BACKEND_IP], "conditions": {"ready": True}}],
        }
        spec = {"ports": [{"port": 80}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"}, "spec": spec}
        paths = [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "app", "port": {"number": 80}}}}]
        hosts = [HOST, *(f"other-{number}.test" for number in range(rules - 1))]
        ingresses = [
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": f"app-{first}"},
                "spec": {"rules": [{"host": host, "http": {"paths": paths}} for host in hosts[first : first + 500]]},
            }
            for first in range(0, len(hosts), 500)
        ]
        await cluster.apply([service, slice_, *ingresses])
        await cluster.wait_ready("ingress/app-0")
        assert cluster.ingress is not None
        print(json.dumps({"port": cluster.ingress.http_port, "pid": os.getpid()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


BACKEND_IP = "127.1.200.1"  # of the pod range, so that a slice may name it


# -- the load -------------------------------------------------------------------------------------------------------


async def load(port: int, path: str, seconds: float) -> list[float]:
    """How long each request took, ms; 16 connections, each asking again as soon as it is answered."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    ends = time.perf_counter() + seconds
    took: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while time.perf_counter() < ends:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            took.append((time.perf_counter() - began) * 1000)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return took


def measure(port: int, pid: int, path: str, seconds: float) -> Measured:
    import uvloop

    before, began = cpu_seconds(pid), time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = sorted(runner.run(load(port, path, seconds)))
    wall, used = time.perf_counter() - began, cpu_seconds(pid) - before
    return Measured(len(took) / wall, len(took) / max(used, 1 / TICKS), took[len(took) * 99 // 100])


def median(found: list[Measured]) -> Measured:
    return Measured(*(statistics.median(getattr(each, name) for each in found) for name in Measured.__slots__))


def compare(rounds: int, seconds: float, rules: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kubemu-bench-") as name:
        folder, backend, proxy = Path(name), free_port(), free_port()
        servers = backend_servers(backend, folder).replace(
            f"listen 127.0.0.1:{backend};", f"listen 127.0.0.1:{backend}; listen {BACKEND_IP}:{backend};"
        )
        with nginx(folder, "backend", servers), nginx(folder, "proxy", proxy_servers(proxy, backend, rules)) as worker:
            wait_for(backend)
            wait_for(proxy)
            command = [sys.executable, "-m", "benchmarks.ingress", "--serve", str(backend), "--rules", str(rules)]
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as ours:
                assert ours.stdout is not None
                assert ours.stdin is not None
                where = json.loads(ours.stdout.readline())
                for path in ("/small", "/large"):
                    found: dict[str, list[Measured]] = {"kubemu": [], "nginx": []}
                    for _ in range(rounds):
                        found["kubemu"].append(measure(where["port"], where["pid"], path, seconds))
                        found["nginx"].append(measure(proxy, worker, path, seconds))
                    report(path, rules, median(found["kubemu"]), median(found["nginx"]))
                ours.stdin.close()


def report(path: str, rules: int, ours: Measured, nginx: Measured) -> None:
    print(
        f"{path} {rules} rules: kubemu {ours.per_core:,.0f} requests per CPU second, nginx {nginx.per_core:,.0f}"
        f" (ratio {ours.per_core / nginx.per_core:.2f}); {ours.per_second:,.0f} and {nginx.per_second:,.0f} a second,"
        f" p99 {ours.p99_ms:.1f} and {nginx.p99_ms:.1f} ms"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rules", type=int, nargs="+", default=[1, 1_000, 10_000])
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_kubemu(options.serve, options.rules[0]))
        return 0
    for rules in options.rules:
        compare(options.rounds, options.seconds, rules)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How fast the API server is: creates a second on 1 and on 20 connections, and a LIST of 10,000 Services.

    python -m benchmarks.api [--rounds 5] [--creates 1000] [--objects 10000]

The server runs alone in this process; requests come from a second process with a bare HTTP client, over TLS on
loopback, so only the server's own work is on its core. Prints the median of all rounds, and the slowest and fastest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network

from emulator.api.kinds import NAMESPACE, SERVICE
from emulator.api.meta import JsonObject
from emulator.apiserver.identity import certificate_hosts
from emulator.apiserver.io.app import ApiServer
from emulator.client.io.inprocess import InProcessClient
from emulator.config.settings import ClusterConfig
from emulator.io.clock import utc_now
from emulator.io.tasks import running
from emulator.pki.authority import make_credentials
from emulator.registry.io.pipeline import Registry
from emulator.store.io.memory import MemoryStore

TOKEN = "benchmark"
SERVICES = "/api/v1/namespaces/bench/services"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def service(name: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "bench", "labels": {"run": name}},
        "spec": {"selector": {"run": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }


# -- the client's process -----------------------------------------------------------------------------------------


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"{head.decode()}{body[:500].decode()}")
    return body


def request(method: str, path: str, body: JsonObject | None = None, accept: str = "application/json") -> bytes:
    raw = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {accept}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def load(port: int, work: str, count: int, connections: int, prefix: str) -> float:
    """Seconds that `count` requests took on `connections` connections, which are open before the clock starts."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    streams = [await asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(connections)]
    numbers = iter(range(count))

    async def one(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        for number in numbers:
            if work == "create":
                asked = request("POST", SERVICES, service(f"{prefix}-{number}"))
            else:
                asked = request("GET", SERVICES, accept=TABLE if work == "table" else "application/json")
            await exchange(*stream, asked)

    for stream in streams:
        await exchange(*stream, request("GET", "/version"))
    started = time.perf_counter()
    await asyncio.gather(*(one(stream) for stream in streams))
    seconds = time.perf_counter() - started
    for _, writer in streams:
        writer.close()
    return seconds


# -- the server's process -----------------------------------------------------------------------------------------


async def ask(port: int, work: str, count: int, connections: int, prefix: str) -> float:
    """The seconds a client process of its own measured."""
    arguments = [str(port), work, str(count), str(connections), prefix]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.api", "--client", *arguments, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the client failed")
    return float(out)


def show(title: str, values: Sequence[float], unit: str) -> None:
    print(f"{title:<44}{statistics.median(values):>10.1f} {unit}   ({min(values):.1f} to {max(values):.1f})")


async def measure(rounds: int, creates: int, objects: int) -> None:
    default = ClusterConfig()
    addresses = replace(default.addresses, services=IPv4Network("10.96.0.0/12"))
    config = replace(default, nodes=0, addresses=addresses)
    registry = Registry(MemoryStore(), config)
    credentials = make_credentials(certificate_hosts(config), name="bench", token=TOKEN, at=utc_now())
    server = ApiServer(registry, config, credentials)
    client = InProcessClient(registry)
    await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})
    async with running(server):
        for connections in (1, 20):
            seconds = [
                await ask(server.port, "create", creates, connections, f"c{connections}r{r}") for r in range(rounds)
            ]
            show(f"creates, {connections} connection(s)", [creates / value for value in seconds], "per second")
        present = len((await client.list(SERVICE, "bench")).items)
        started = time.perf_counter()
        for number in range(present, objects):
            await client.create(SERVICE, service(f"filler-{number}"))
        filled = objects - present
        if filled > 0:
            show("creates, in process", [filled / (time.perf_counter() - started)], "per second")
        for work in ("list", "table"):
            seconds = [await ask(server.port, work, 1, 1, "") for _ in range(rounds)]
            show(f"LIST of {max(present, objects):,} Services, {work}", [value * 1000 for value in seconds], "ms")


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        port, work, count, connections, prefix = sys.argv[2:7]
        print(asyncio.run(load(int(port), work, int(count), int(connections), prefix)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--creates", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--uvloop", action="store_true", help="serve with uvloop")
    options = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; median (min to max)")
    measured = measure(options.rounds, options.creates, options.objects)
    if options.uvloop:
        import uvloop

        uvloop.run(measured)
    else:
        asyncio.run(measured)


if __name__ == "__main__":
    main()

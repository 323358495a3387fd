"""Watchers by the thousand, and memory by the ten thousand.

    python -m benchmarks.watch [--watchers 1000] [--writes 100] [--seconds 5] [--services 10000] [--slices 10]

First: so many watches of ConfigMaps are open while one client writes so many times a second; each write carries its
time, so that delays are known, and none may be missing. Server, watchers and writer are three processes on however
many cores there are; all speak TLS, and the delays include what decrypting costs the watchers.
Then: the memory a server has resident with that many Services and EndpointSlices (10 endpoints each).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, SERVICE
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
MARK = b'"at":"written='
PATH = "/api/v1/namespaces/default/configmaps"
ENDPOINTS_PER_SLICE = 10


def resident_mb() -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


# -- the server's process -------------------------------------------------------------------------------------------


async def serve(services: int, slices: int) -> None:
    """Serve until the input ends; with `services` fill first, and say what that takes."""
    config = ClusterConfig(nodes=0)
    registry = Registry(MemoryStore(), config)
    client = InProcessClient(registry)
    credentials = make_credentials(certificate_hosts(config), name="bench", token=TOKEN, at=utc_now())
    server = ApiServer(registry, config, credentials)
    async with running(server):
        if services:
            before = resident_mb()
            await fill(client, services, slices)
            print(json.dumps({"mb": resident_mb(), "before": before}), flush=True)
            return
        print(json.dumps({"url": server.url, "ca": credentials.ca}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def fill(client: InProcessClient, services: int, slices: int) -> None:
    for number in range(services):
        metadata = {"name": f"s{number}", "namespace": "default", "labels": {"app": f"s{number}"}}
        spec = {"selector": {"app": f"s{number}"}, "clusterIP": "None", "ports": [{"port": 80, "targetPort": 8080}]}
        await client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    for number in range(services * slices // 10):
        labels = {"kubernetes.io/service-name": f"s{number % services}"}
        endpoints = [
            {"addresses": [f"10.{number >> 14 & 63}.{number >> 6 & 255}.{n + 1}"], "conditions": {"ready": True}}
            for n in range(ENDPOINTS_PER_SLICE)
        ]
        metadata = {"name": f"s{number}", "namespace": "default", "labels": labels}
        ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
        body = {"addressType": "IPv4", "endpoints": endpoints, "ports": ports, "metadata": metadata}
        await client.create(ENDPOINT_SLICE, {"apiVersion": ENDPOINT_SLICE.api_version, "kind": "EndpointSlice", **body})


# -- the clients' process -------------------------------------------------------------------------------------------


@asynccontextmanager
async def server_process(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.watch", "--serve", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout
    assert process.stdin
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


class Watch(asyncio.Protocol):
    """One watch, read with as little work as can be: events are counted, and the delay of each chunk's last is kept."""

    def __init__(self, head: bytes, state: Counted) -> None:
        self._head = head
        self._state = state
        self._rest = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if not self._open:
            assert data.startswith(b"HTTP/1.1 200"), data
            self._open = True
            self._state.opened += 1
        data = self._rest + data
        count = data.count(MARK)
        if count:
            self._state.delivered += count
            at = data.rindex(MARK) + len(MARK)
            told = data[at : at + 30].partition(b"s")
            if told[1]:
                self._state.delays.append(time.monotonic() - float(told[0]))
        self._rest = data[-len(MARK) :] if count == 0 else b""


@dataclass(slots=True)
class Counted:
    """What all watches of a process have seen."""

    opened: int = 0
    delivered: int = 0
    delays: list[float] = field(default_factory=list)


async def sink(count: int, expected: int) -> None:
    """The watching process: where to is read from the input; says when all are open, and at the end what came."""
    where = json.loads(sys.stdin.readline())
    tls = ssl.create_default_context(cadata=where["ca"])
    host, port = where["url"].removeprefix("https://").split(":")
    head = (
        f"GET {PATH}?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
    loop, state = asyncio.get_running_loop(), Counted()
    for _ in range(count):
        await loop.create_connection(lambda: Watch(head, state), host, int(port), ssl=tls)
    while state.opened < count:
        await asyncio.sleep(0.01)
    print("open", flush=True)
    ends = time.monotonic() + 120
    while state.delivered < count * expected and time.monotonic() < ends:
        await asyncio.sleep(0.05)
    print(json.dumps({"delivered": state.delivered, "delays": sorted(state.delays)}), flush=True)


async def watchers(count: int, writes: int, seconds: float) -> None:
    expected = int(writes * seconds)
    pipe = subprocess.PIPE
    async with server_process() as where:
        arguments = ["--sink", "--watchers", str(count), "--writes", str(expected)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.watch", *arguments, stdin=pipe, stdout=pipe, limit=1 << 26
        )
        assert process.stdout
        assert process.stdin
        process.stdin.write(json.dumps(where).encode() + b"\n")
        assert await process.stdout.readline() == b"open\n"
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=where["ca"]))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session, asyncio.TaskGroup() as group:

            async def write(number: int) -> None:
                body = {"metadata": {"name": f"w{number}"}, "data": {"at": f"written={time.monotonic():.6f}s"}}
                async with session.post(where["url"] + PATH, json=body) as answer:
                    assert answer.status == 201, await answer.text()

            began = time.monotonic()
            for number in range(expected):
                await asyncio.sleep(max(began + number / writes - time.monotonic(), 0))
                group.create_task(write(number))
        took = time.monotonic() - began
        told = json.loads(await process.stdout.readline())
        await process.wait()
    delays = told["delays"]
    print(
        f"{count} watchers of {CONFIG_MAP.plural}, {expected / took:.0f} writes a second: "
        f"{told['delivered']:,} deliveries, {count * expected - told['delivered']} lost, "
        f"median {statistics.median(delays) * 1000:.1f} ms, p99 {delays[len(delays) * 99 // 100] * 1000:.1f} ms"
    )


async def memory(services: int, slices: int) -> None:
    async with server_process("--services", str(services), "--slices", str(slices)) as told:
        endpoints = services * slices // 10 * ENDPOINTS_PER_SLICE
        print(f"{services:,} Services with {endpoints:,} endpoints: {told['mb']:.0f} MB ({told['before']:.0f} before)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--writes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--slices", type=int, default=10, help="slices for ten Services")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        asyncio.run(sink(options.watchers, options.writes))
        return 0
    if options.serve:
        filling = "--services" in sys.argv
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as `kubemu up` has it where uvloop is
            runner.run(serve(options.services if filling else 0, options.slices))
        return 0
    asyncio.run(watchers(options.watchers, options.writes, options.seconds))
    asyncio.run(memory(options.services, options.slices))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

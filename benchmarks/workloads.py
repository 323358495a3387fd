"""How fast workloads follow what is asked: scaling, readiness, and a rolling update under load.

    python -m benchmarks.workloads [--pods 1000] [--rounds 3] [--flips 200] [--rolled 100]

1. A Deployment of echo pods behind a Service, scaled from 0 to --pods ready and back to none left.
2. One pod's readiness flipped: how long until its EndpointSlice says so, DNS of the headless Service answers so, and
   the virtual IP takes or refuses connections.
3. A rolling update of --rolled pods while clients ask through the virtual IP, on fresh and on kept connections: how
   many of their requests failed.

Cluster and clients share this process and its core, on loopback; CPU is that of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import socket
import statistics
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from emulator import Cluster
from emulator.api.kinds import DEPLOYMENT, ENDPOINT_SLICE, POD, SERVICE
from emulator.api.meta import JsonObject

PORT = 8080
POLL_SECONDS = 0.0005
FRESH_CLIENTS, KEPT_CLIENTS = 8, 8
LIMIT_SECONDS = 120.0


def deployment(replicas: int, image: str = "example/web:1") -> JsonObject:
    container = {"name": "web", "image": image, "ports": [{"containerPort": PORT}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def service(name: str, **spec: str) -> JsonObject:
    ports = [{"port": PORT}]
    made = {"selector": {"app": "web"}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": made}


async def scaled(cluster: Cluster, replicas: int) -> None:
    """Ask for so many and wait until just those are there, ready."""
    await cluster.client.patch(DEPLOYMENT, "web", "default", patch={"spec": {"replicas": replicas}})
    await settled(cluster, replicas)


async def settled(cluster: Cluster, replicas: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            held = await cluster.client.get(DEPLOYMENT, "web", "default")
            status = held.get("status") or {}
            current = status.get("observedGeneration") == held["metadata"]["generation"]
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
            if current and counts == [replicas] * 3 and len(cluster.informers[POD].index) == replicas:
                return
            await asyncio.sleep(0.005)


async def measure_scale(pods: int, rounds: int) -> None:
    up, down, cpu = list[float](), list[float](), list[float]()
    async with Cluster() as cluster:
        await cluster.apply([deployment(0), service("web")])
        for _ in range(rounds):
            began, used = time.perf_counter(), time.process_time()
            await scaled(cluster, pods)
            up.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
            began = time.perf_counter()
            await scaled(cluster, 0)
            down.append(time.perf_counter() - began)
    show(f"scale 0 -> {pods} ready", up, "s")
    show(f"scale 0 -> {pods} ready, CPU", cpu, "s")
    show(f"scale {pods} -> 0 gone", down, "s")


# -- readiness ---------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """One pod seen from three sides."""

    cluster: Cluster
    address: str
    virtual: str
    query: bytes
    asker: socket.socket

    async def in_slice(self) -> bool:
        index = self.cluster.informers[ENDPOINT_SLICE].index
        return any(
            bool(endpoint["conditions"]["ready"])
            for each in index.owned_by(self.uid, "default").values()
            for endpoint in each.get("endpoints") or ()
        )

    uid: str = ""

    async def in_dns(self) -> bool:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.asker, self.query)
        answer = await loop.sock_recv(self.asker, 512)
        return int.from_bytes(answer[6:8], "big") > 0

    async def in_proxy(self) -> bool:
        """Whether the virtual IP answers a request; one that is refused or reset is not answered."""
        try:
            return (await ask(self.virtual)) == 200
        except OSError:
            return False


async def measure_flips(flips: int) -> None:
    async with Cluster() as cluster:
        await cluster.apply([deployment(1), service("web"), service("headless", clusterIP="None")])
        await settled(cluster, 1)
        (pod,) = cluster.informers[POD].index
        found = await cluster.client.get(SERVICE, "web", "default")
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.setblocking(False)
        asker.connect(cluster.dns_address)
        seen = Seen(
            cluster,
            pod["status"]["podIP"],
            found["spec"]["clusterIP"],
            query("headless.default.svc.cluster.local"),
            asker,
        )
        seen.uid = found["metadata"]["uid"]
        sides = {"EndpointSlice": seen.in_slice, "DNS": seen.in_dns, "virtual IP": seen.in_proxy}
        taken: dict[str, list[float]] = {name: [] for name in [*sides, "all three"]}
        try:
            for side in sides.values():
                await becomes(side, True)
            for number in range(flips):
                ready = number % 2 == 1
                began = time.perf_counter()
                patch = {"metadata": {"annotations": {"kubemu.dev/ready": str(ready).lower()}}}
                await cluster.client.patch(POD, pod["metadata"]["name"], "default", patch=patch)
                ends = await asyncio.gather(*(becomes(side, ready) for side in sides.values()))
                for name, end in zip(sides, ends, strict=True):
                    taken[name].append((end - began) * 1000)
                taken["all three"].append((max(ends) - began) * 1000)
        finally:
            asker.close()
    for name, values in taken.items():
        ordered = sorted(values)
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        print(f"readiness flip -> {name}: median {statistics.median(values):.2f} ms, p99 {p99:.2f} ms")


async def becomes(side: Callable[[], Awaitable[bool]], wanted: bool) -> float:
    async with asyncio.timeout(LIMIT_SECONDS):
        while await side() != wanted:
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter()


def query(name: str) -> bytes:
    """A DNS question for its A records."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


# -- a rolling update under load ---------------------------------------------------------------------------------


async def ask(host: str) -> int:
    """The status of one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(host, PORT)
    try:
        writer.write(b"GET /hostname HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1]) if answer else 0
    finally:
        writer.close()


async def fresh(host: str, stop: asyncio.Event, counts: dict[str, int]) -> None:
    while not stop.is_set():
        try:
            async with asyncio.timeout(10):
                counts["ok" if await ask(host) == 200 else "failed"] += 1
        except (OSError, TimeoutError) as error:
            counts["failed"] += 1
            print(f"failed: {error!r}", file=sys.stderr)


async def kept(host: str, stop: asyncio.Event, counts: dict[str, int]) -> None:
    """Requests on one connection while the server keeps it.

    A server may close an idle connection just as the next request is sent: as HTTP clients do, such a request is sent
    again, once, on a new connection.
    """
    again = False
    while again or not stop.is_set():
        served = 0
        try:
            reader, writer = await asyncio.open_connection(host, PORT)
        except OSError:
            counts["failed"] += 1
            again = False
            continue
        try:
            while again or not stop.is_set():
                async with asyncio.timeout(10):
                    writer.write(b"GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n")
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                    await reader.readexactly(length)
                counts["ok" if b" 200 " in head.split(b"\r\n")[0] else "failed"] += 1
                served, again = served + 1, False
                if b"connection: close" in head.lower():
                    break
                await asyncio.sleep(0.01)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            unanswered = not (isinstance(error, asyncio.IncompleteReadError) and error.partial)
            if served and unanswered and not isinstance(error, TimeoutError):
                counts["sent again"] += 1
                again = True
            else:
                counts["failed"] += 1
                again = False
        finally:
            writer.close()


async def measure_rollout(pods: int) -> None:
    counts = {"ok": 0, "failed": 0, "sent again": 0}
    async with Cluster() as cluster:
        await cluster.apply([deployment(pods), service("web")])
        await settled(cluster, pods)
        host = (await cluster.client.get(SERVICE, "web", "default"))["spec"]["clusterIP"]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(FRESH_CLIENTS):
                group.create_task(fresh(host, stop, counts))
            for _ in range(KEPT_CLIENTS):
                group.create_task(kept(host, stop, counts))
            await asyncio.sleep(0.2)
            began = time.perf_counter()
            await cluster.apply([deployment(pods, "example/web:2")])
            await settled(cluster, pods)
            took = time.perf_counter() - began
            await asyncio.sleep(0.2)
            stop.set()
    print(
        f"rolling update of {pods} pods: {took:.2f} s, {counts['ok']} requests answered, {counts['failed']} failed, "
        f"{counts['sent again']} sent again on a new connection"
    )


def show(what: str, values: Sequence[float], unit: str) -> None:
    print(f"{what}: {statistics.median(values):.2f} {unit} ({min(values):.2f} to {max(values):.2f})")


async def measure(options: argparse.Namespace) -> None:
    if options.rounds:
        await measure_scale(options.pods, options.rounds)
    if options.flips:
        await measure_flips(options.flips)
    if options.rolled:
        await measure_rollout(options.rolled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--rolled", type=int, default=100)
    options = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; median (min to max)")
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()

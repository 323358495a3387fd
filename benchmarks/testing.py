"""What a test pays for its server: start, first answer, reset, memory; kubemu beside kmock and moto's server.

    python -m benchmarks.testing [ROUNDS]

Each runs in a process of its own, in rounds after one that is not counted. `start`: from nothing to ready, in a process
that has done it before. `first`: an object written over HTTP and read back (a Service; moto: an S3 object). `reset`:
back to empty. `stop`: until nothing is left. Medians; memory is the peak of the process (VmHWM).
kmock stores Kubernetes objects and answers what it is told to; moto's server emulates AWS. Neither resolves names,
allocates addresses or serves connections: kubemu alone is also asked for a Deployment behind a Service, resolved and
called. The peers are installed into .venv/bench on the first run.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv" / "bench"
PACKAGES = ("kmock==0.8", "moto[server]==5.2.5")
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "webapp"},
    "spec": {"selector": {"app": "webapp"}, "ports": [{"port": 8080}]},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "webapp"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "webapp"}},
        "template": {
            "metadata": {"labels": {"app": "webapp"}},
            "spec": {"containers": [{"name": "web", "image": "web", "ports": [{"containerPort": 8080}]}]},
        },
    },
}
Times = dict[str, list[float]]


def timed(times: Times, name: str, began: float) -> float:
    now = time.perf_counter()
    times.setdefault(name, []).append((now - began) * 1000)
    return now


def peak_mb() -> float:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


# -- one round of each ----------------------------------------------------------------------------------------------


async def kubemu_round(times: Times) -> None:
    import aiohttp

    from emulator import Cluster

    began = time.perf_counter()
    cluster = Cluster()
    await cluster.start()
    began = timed(times, "start", began)
    tls = _tls(cluster.credentials.ca)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {cluster.token}"}) as http:
        await _write_and_read(http, cluster.api_url)
    began = timed(times, "first", began)
    await cluster.reset()
    timed(times, "reset", began)
    began = time.perf_counter()
    await cluster.apply([SERVICE, DEPLOYMENT], wait=True)
    await cluster.resolve("webapp")
    async with cluster.http.get("http://webapp:8080/hostname") as answer:
        assert answer.status == 200
    timed(times, "workload", began)
    began = time.perf_counter()
    await cluster.stop()
    timed(times, "stop", began)


def _tls(ca: str) -> Any:
    import ssl

    return ssl.create_default_context(cadata=ca)


async def _write_and_read(http: Any, url: str) -> None:
    services = f"{url}/api/v1/namespaces/default/services"
    async with http.post(services, json=SERVICE) as answer:
        assert answer.status in (200, 201), await answer.text()
    async with http.get(f"{services}/webapp") as answer:
        assert (await answer.json())["metadata"]["name"] == "webapp"


async def kmock_round(times: Times) -> None:
    import aiohttp
    import kmock

    began = time.perf_counter()
    app = kmock.KubernetesEmulator()
    async with app, kmock.Server(app):
        app.resources["v1/services"] = {"kind": "Service", "namespaced": True}
        began = timed(times, "start", began)
        async with aiohttp.ClientSession() as http:
            await _write_and_read(http, str(app.url).rstrip("/"))
        timed(times, "first", began)
        began = time.perf_counter()
    timed(times, "stop", began)


async def moto_round(times: Times) -> None:
    from moto.server import ThreadedMotoServer

    began = time.perf_counter()
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    began = timed(times, "start", began)
    url = f"http://{host}:{port}"
    for method, path, data in (
        ("PUT", "/bucket", b""),
        ("PUT", "/bucket/webapp", b"{}"),
        ("GET", "/bucket/webapp", None),
    ):
        _ask(method, url + path, data)
    began = timed(times, "first", began)
    _ask("POST", f"{url}/moto-api/reset", b"")
    began = timed(times, "reset", began)
    server.stop()
    timed(times, "stop", began)


def _ask(method: str, url: str, data: bytes | None) -> None:
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        answer.read()


ROUND: dict[str, Callable[[Times], Awaitable[None]]] = {
    "kubemu": kubemu_round,
    "kmock": kmock_round,
    "moto": moto_round,
}


async def measure(name: str, rounds: int) -> None:
    times: Times = {}
    await ROUND[name]({})
    for _ in range(rounds):
        await ROUND[name](times)
    medians = {part: statistics.median(values) for part, values in times.items()}
    print(json.dumps({**medians, "mb": peak_mb()}))


# -- all of them ----------------------------------------------------------------------------------------------------


def peers() -> str:
    """The interpreter that has kmock and moto."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        venv.create(PEERS, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    return str(python)


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--measure"]:
        asyncio.run(measure(arguments[1], int(arguments[2])))
        return 0
    rounds = arguments[0] if arguments else "20"
    columns = ("start", "first", "reset", "workload", "stop", "mb")
    print(f"medians of {rounds} rounds, ms and MB")
    print("".join(f"{title:>10}" for title in ("", *columns)))
    for name in ROUND:
        python = sys.executable if name == "kubemu" else peers()
        command = [python, str(ROOT / "benchmarks" / "testing.py"), "--measure", name, rounds]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = json.loads(told.splitlines()[-1])
        print(
            f"{name:>10}" + "".join(f"{found[column]:10.1f}" if column in found else f"{'-':>10}" for column in columns)
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

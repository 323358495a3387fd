"""How long until a cluster serves, and how much memory it takes.

Cold: `kubemu up -d -f configs/webapp.yaml` as a new process, until a DNS query is answered with the Service's address
and an HTTP request through that address is answered by a pod. In loopback mode both are asked by this process; in the
sandbox by `kubemu run -- curl http://webapp:8080/hostname`, which starts a second Python and is counted in.
Warm: `async with Cluster()` in a process that has done it before, and reset().
Memory is the peak (VmHWM) of the cluster's process and of its helper. Medians of several rounds.

    python -m benchmarks.start [ROUNDS]
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from emulator import Cluster

ROOT = Path(__file__).resolve().parents[1]
WEBAPP = str(ROOT / "configs" / "webapp.yaml")
POLL_SECONDS = 0.001
DEADLINE_SECONDS = 20.0
QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"".join(
    bytes([len(label)]) + label.encode() for label in ("webapp", "default", "svc", "cluster", "local", "")
)


def peak_mb(pid: int) -> float:
    """The most memory a process has had resident, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def answered(port: int) -> str:
    """The address in the answer to webapp's A query, asked until there is one."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.2)
        while time.monotonic() < deadline:
            udp.sendto(QUERY + struct.pack("!HH", 1, 1), ("127.0.0.1", port))
            try:
                answer = udp.recv(512)
            except OSError:
                time.sleep(POLL_SECONDS)
                continue
            if answer[3] & 15 == 0 and answer[7]:
                return socket.inet_ntoa(answer[-4:])
    raise TimeoutError("no answer")


def replied(address: str) -> bool:
    with socket.create_connection((address, 8080), timeout=5) as tcp:
        tcp.sendall(b"GET /hostname HTTP/1.1\r\nHost: webapp\r\nConnection: close\r\n\r\n")
        return b"webapp-" in tcp.makefile("rb").read()


def cold(network: str, command: str) -> tuple[float, float, float]:
    """Seconds until `up -d` returns, seconds until DNS and HTTP answered, peak MB."""
    with tempfile.TemporaryDirectory(prefix="kubemu-bench-") as home:
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "KUBEMU_HOME": home}
        call = [command, "up", "-d", "-o", "json", "--dns-port", "0", "--network", network, "-f", WEBAPP]
        began = time.perf_counter()
        up = subprocess.run(call, env=env, capture_output=True, text=True, check=True)
        returned = time.perf_counter() - began
        where = json.loads(up.stdout)
        try:
            address = answered(where["dns"]["port"])
            if network == "loopback":
                assert replied(address)
            else:
                inside = [command, "run", "--", "curl", "-s", "http://webapp:8080/hostname"]
                assert subprocess.run(inside, env=env, capture_output=True, text=True, check=True).stdout
            served = time.perf_counter() - began
            memory = sum(peak_mb(pid) for pid in (where["pid"], *children(where["pid"])))
        finally:
            subprocess.run([command, "down"], env=env, capture_output=True, check=True)
    return returned, served, memory


async def warm(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds to enter Cluster(), and to reset() it after something was applied."""
    starts, resets = [], []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        async with Cluster() as cluster:
            starts.append(time.perf_counter() - began)
            await cluster.mark_baseline()
            await cluster.apply(WEBAPP)
            began = time.perf_counter()
            await cluster.reset()
            resets.append(time.perf_counter() - began)
    return starts[1:], resets[1:]


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 7
    command = str(Path(sys.executable).with_name("kubemu"))
    assert shutil.which("curl"), "curl is needed"
    print(f"{'':22}{'up -d returns':>16}{'DNS and HTTP':>16}{'peak memory':>14}")
    for network in ("loopback", "sandbox"):
        found = [cold(network, command) for _ in range(rounds)]
        up, served, memory = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{f'cold, {network}':22}{up * 1000:13.0f} ms{served * 1000:13.0f} ms{memory:11.1f} MB")
    starts, resets = asyncio.run(warm(rounds * 3))
    print(
        f"warm Cluster() {statistics.median(starts) * 1000:.1f} ms, reset() {statistics.median(resets) * 1000:.1f} ms"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

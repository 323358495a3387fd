"""The DNS server on real sockets, asked by dig, nslookup and busybox as users ask it."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.api.errors import StartError
from emulator.client.io.informer import Informers
from emulator.config.settings import ClusterConfig
from emulator.dns import names, wire
from emulator.dns.io import tcp as tcp_module
from emulator.dns.io.server import DnsServer, Listen
from emulator.io.tasks import running
from tests.conformance.dns_live import LocalNetwork, StaticClient, UpstreamService, serving

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "conformance" / "cases" / "dns.yaml").read_text(encoding="utf-8")
)
WEBAPP = "webapp.default.svc.cluster.local"
Address = tuple[str, int]


async def run(*command: str) -> str:
    """Standard output of a program that must be installed."""
    assert shutil.which(command[0]), f"{command[0]} is not installed"
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return output.decode()


async def dig(address: Address, *question: str) -> str:
    return await run("dig", f"@{address[0]}", "-p", str(address[1]), "+tries=1", "+time=3", *question)


@asynccontextmanager
async def cluster_dns(**options: Any) -> AsyncIterator[tuple[DnsServer, StaticClient]]:
    upstream = options.pop("upstream", None) or UpstreamService(DOCUMENT["upstream"])
    async with serving(DOCUMENT["fixture"], upstream=upstream, **options) as served:
        yield served


async def tcp_ask(address: Address, *packets: bytes) -> list[bytes]:
    """The packets on one connection, sent at once; the replies in order."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        async with asyncio.timeout(5):
            writer.write(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))
            replies = []
            for _ in packets:
                size = int.from_bytes(await reader.readexactly(2), "big")
                replies.append(await reader.readexactly(size))
            return replies
    finally:
        writer.close()
        await writer.wait_closed()


async def test_dig_gets_addresses_flags_and_size() -> None:
    async with cluster_dns() as (server, _):
        output = await dig(server.address, WEBAPP, "A")
        assert "status: NOERROR" in output
        assert "flags: qr aa rd;" in output
        assert f"{WEBAPP}. 5 IN A 10.152.183.44" in " ".join(output.split())
        assert "udp: 1232" in output
        srv = await dig(server.address, "_http._tcp.hdls1.testns.svc.cluster.local", "SRV", "+tcp")
        assert " ".join(srv.split()).count(" SRV 0 16 80 ") == 5
        assert "ADDITIONAL: 7" in srv  # six addresses and the OPT record
        assert "status: NXDOMAIN" in await dig(server.address, "absent.default.svc.cluster.local")


async def test_dig_reverse_and_truncation_retried_over_tcp() -> None:
    async with cluster_dns() as (server, _):
        assert await dig(server.address, "-x", "10.152.183.44", "+short") == f"{WEBAPP}.\n"
        output = await dig(server.address, "big.default.svc.cluster.local", "A", "+noedns")
        assert "Truncated, retrying in TCP mode" in output
        assert " ".join(output.split()).count(" IN A 10.9.0.") == 40


async def test_busybox_nslookup_names_server_and_address() -> None:
    async with cluster_dns() as (server, _):
        host, port = server.address
        output = await run("busybox", "nslookup", f"{WEBAPP}.", f"{host}:{port}")
        assert f"Name:\t{WEBAPP}" in output
        assert "Address: 10.152.183.44" in output
        reverse = await run("busybox", "nslookup", "10.152.183.44", f"{host}:{port}")
        assert f"name = {WEBAPP}" in reverse


async def test_bind_nslookup() -> None:
    async with cluster_dns() as (server, _):
        host, port = server.address
        output = await run("nslookup", f"-port={port}", f"{WEBAPP}.", host)
        assert "Address: 10.152.183.44" in output


async def test_a_change_shows_at_once_and_the_serial_moves() -> None:
    async with cluster_dns() as (server, client):
        assert "status: NXDOMAIN" in await dig(server.address, "late.default.svc.cluster.local")
        spec = {"clusterIP": "10.152.183.99", "clusterIPs": ["10.152.183.99"], "ports": [{"port": 80}]}
        late = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "late", "namespace": "default"},
            "spec": spec,
        }
        client.put(late)
        await asyncio.sleep(0)
        assert await dig(server.address, "late.default.svc.cluster.local", "+short") == "10.152.183.99\n"
        client.remove(late)
        assert "status: NXDOMAIN" in await dig(server.address, "late.default.svc.cluster.local")
        assert server.records.serial > 1_600_000_000


async def test_other_names_and_external_names_are_asked_upstream() -> None:
    async with cluster_dns(host_alias="127.0.0.1") as (server, _):
        assert await dig(server.address, "www.example.com", "+short") == "192.0.2.53\n"
        assert await dig(server.address, "www.example.com", "+short", "+tcp") == "192.0.2.53\n"
        assert await dig(server.address, "foo.default.svc.cluster.local", "+short") == "www.example.com.\n192.0.2.53\n"
        assert await dig(server.address, "host.kubemu.internal", "+short") == "127.0.0.1\n"
        assert server.engine.stats.forwarded == 3


async def test_a_silent_upstream_ends_in_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.dns.io.forwarder.READ_TIMEOUT_SECONDS", 0.1)
    async with cluster_dns(upstream=UpstreamService((), silent=True)) as (server, _):
        assert "status: SERVFAIL" in await dig(server.address, "www.example.com")
        assert f"{WEBAPP}." in await dig(server.address, "-x", "10.152.183.44")


async def test_queries_on_one_connection_are_answered_in_order() -> None:
    async with cluster_dns() as (server, _):
        queries = [
            wire.query("www.example.com.", wire.A, id_=1),
            wire.query(f"{WEBAPP}.", wire.A, id_=2),
            wire.query("absent.default.svc.cluster.local.", wire.A, id_=3),
        ]
        replies = [wire.parse(reply) for reply in await tcp_ask(server.address, *queries)]
        assert [(reply.id, reply.rcode) for reply in replies] == [(1, 0), (2, 0), (3, wire.NXDOMAIN)]


async def test_queries_cut_into_single_octets() -> None:
    async with cluster_dns() as (server, _):
        packet = wire.query(f"{WEBAPP}.", wire.A, id_=9)
        reader, writer = await asyncio.open_connection(*server.address)
        try:
            for octet in len(packet).to_bytes(2, "big") + packet:
                writer.write(bytes((octet,)))
                await writer.drain()
            size = int.from_bytes(await reader.readexactly(2), "big")
            assert wire.parse(await reader.readexactly(size)).id == 9
        finally:
            writer.close()
            await writer.wait_closed()


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_module, "FIRST_READ_SECONDS", 0.05)
    async with cluster_dns() as (server, _):
        reader, writer = await asyncio.open_connection(*server.address)
        async with asyncio.timeout(2):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_unsynced_is_servfail_never_nxdomain() -> None:
    client = StaticClient(())
    informers = Informers(client)  # type: ignore[arg-type]  # only list and watch are asked of it
    listen = [Listen(LocalNetwork(), "127.0.0.1", 0)]
    server = DnsServer(informers, ClusterConfig(), listen=listen, upstreams=())
    async with running(server):
        assert "status: SERVFAIL" in await dig(server.address, f"{WEBAPP}.")


async def test_a_taken_port_says_so_in_one_line() -> None:
    async with cluster_dns() as (server, _):
        host, port = server.address
        informers = Informers(StaticClient(()))  # type: ignore[arg-type]
        other = DnsServer(informers, ClusterConfig(), listen=[Listen(LocalNetwork(), host, port)], upstreams=())
        with pytest.raises(StartError, match=rf"^DNS cannot listen on {host}:{port}: the port is taken; .*--dns-port$"):
            async with running(other):
                pass


async def test_an_optional_listener_without_permission_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(LocalNetwork):
        async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
            raise PermissionError(13, "Permission denied")

    informers = Informers(StaticClient(()))  # type: ignore[arg-type]
    listen = [Listen(Refusing(), "127.152.183.10", 53, optional=True), Listen(LocalNetwork(), "127.0.0.1", 0)]
    server = DnsServer(informers, ClusterConfig(), listen=listen, upstreams=())
    async with running(informers, server):
        assert len(server.bound) == 1
    assert "not serving on 127.152.183.10:53" in caplog.text


async def test_many_queries_at_once_are_all_answered() -> None:
    async with cluster_dns() as (server, _):
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(server.address)
            for number in range(200):
                sock.send(wire.query(f"{WEBAPP}.", wire.A, id_=number))
            async with asyncio.timeout(5):
                seen = {wire.parse(await loop.sock_recv(sock, 512)).id for _ in range(200)}
        assert seen == set(range(200))
        assert server.engine.recent_queries()[-1].name == names.to_text(names.to_wire(WEBAPP))


async def test_a_walk_without_sockets_tells_each_step_and_why() -> None:
    async with cluster_dns() as (server, _):
        steps = await server.walk("www.example.com", wire.A, search=["default.svc.cluster.local", "svc.cluster.local"])
        assert [names.to_text(step.name) for step in steps][-1] == "www.example.com."
        assert [step.is_answer for step in steps] == [False, False, True]
        assert server.explain(steps[0]) == "there is no Service 'com' in namespace 'default'"
        assert server.explain(steps[2]).endswith("an upstream was asked: it answered")

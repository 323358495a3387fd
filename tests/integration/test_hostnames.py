"""Cluster names in this process: resolvers and transports of HTTP libraries, and the patched getaddrinfo."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import uvloop

from emulator import Cluster
from emulator.client.io.hostnames import HostNames
from emulator.client.io.resolvers import httpx_async_transport, requests_adapter
from emulator.testing.sync import SyncCluster
from emulator.testing.view import ClusterView

LABELS = {"app": "webapp"}
NAMES = ["webapp", "webapp.default", "webapp.default.svc", "webapp.default.svc.cluster.local", "WEBAPP"]


def service(name: str = "webapp", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    spec = spec or {"selector": LABELS, "ports": [{"port": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def pod(name: str = "webapp-0") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": LABELS}
    container = {"name": "c", "image": "webapp", "ports": [{"containerPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster() as cluster:
        await cluster.apply([pod(), service()], wait=True)
        yield cluster


async def vip(cluster: Cluster) -> str:
    return str((await cluster.get("service/webapp"))["spec"]["clusterIP"])


async def test_names_as_a_pod_of_a_namespace_finds_them(cluster: Cluster) -> None:
    names = cluster.names()
    for name in NAMES:
        assert names.addresses(name) == [(socket.AF_INET, await vip(cluster))]
        assert await asyncio.to_thread(names.addresses, name) == [(socket.AF_INET, await vip(cluster))]
    assert cluster.names("kube-system").one("kube-dns") == cluster.config.addresses.dns
    with pytest.raises(socket.gaierror) as error:
        names.addresses("nosuch.default.svc.cluster.local")
    assert error.value.errno == socket.EAI_NONAME
    with pytest.raises(socket.gaierror):
        names.addresses("webapp", socket.AF_INET6)


async def test_aiohttp(cluster: Cluster) -> None:
    async with aiohttp.ClientSession(connector=cluster.connector()) as session:
        for host in [*NAMES, await vip(cluster)]:
            async with session.get(f"http://{host}:8080/hostname") as answer:
                assert await answer.text() == "webapp-0"
        async with session.get("http://webapp:8080/") as answer:
            assert (await answer.json())["request"]["headers"]["Host"] == "webapp:8080"
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://nosuch.default.svc.cluster.local:8080/")


async def test_httpx(cluster: Cluster) -> None:
    async with httpx.AsyncClient(transport=cluster.httpx_transport()) as client:
        for host in [*NAMES, await vip(cluster)]:
            answer = await client.get(f"http://{host}:8080/hostname")
            assert (answer.text, answer.url.host) == ("webapp-0", host.lower())
        assert (await client.get("http://webapp:8080/")).json()["request"]["headers"]["Host"] == "webapp:8080"
        with pytest.raises(httpx.ConnectError):
            await client.get("http://nosuch.default.svc.cluster.local:8080/")

    def work() -> str:
        with httpx.Client(transport=cluster.httpx_sync_transport()) as client:
            return client.get("http://webapp:8080/hostname").text

    assert await asyncio.to_thread(work) == "webapp-0"


async def test_requests(cluster: Cluster) -> None:
    address = await vip(cluster)

    def work() -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", cluster.requests_adapter())
            for host in [*NAMES, address]:
                answer = session.get(f"http://{host}:8080/hostname", timeout=10)
                assert answer.text == "webapp-0"
            answer = session.get("http://webapp:8080/", timeout=10)
            assert answer.url == "http://webapp:8080/"
            assert answer.json()["request"]["headers"]["Host"] == "webapp:8080"
            with pytest.raises(requests.ConnectionError):
                session.get("http://nosuch.default.svc.cluster.local:8080/", timeout=10)

    await asyncio.to_thread(work)


async def test_tls_keeps_the_name_of_the_url(cluster: Cluster, tmp_path: Path) -> None:
    """The API's certificate names kubernetes.default.svc, whose port 443 not everybody may have: its own port, then."""
    ca = tmp_path / "ca.crt"
    ca.write_text(cluster.credentials.ca)
    headers = {"Authorization": f"Bearer {cluster.token}"}
    tls = ssl.create_default_context(cadata=cluster.credentials.ca)
    tls.hostname_checks_common_name = False
    url = f"https://kubernetes.default.svc:{cluster.api.port}/version"
    names = HostNames(lambda host, *_: ["127.0.0.1"], asyncio.get_running_loop())
    async with httpx.AsyncClient(transport=httpx_async_transport(names, verify=tls)) as client:
        assert (await client.get(url, headers=headers)).json()["minor"] == "36"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(url.replace("kubernetes.", "other."))

    def work() -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", requests_adapter(names))
            assert session.get(url, headers=headers, verify=str(ca), timeout=10).json()["minor"] == "36"
            with pytest.raises(requests.exceptions.SSLError):
                session.get(url.replace("kubernetes.", "other."), verify=str(ca), timeout=10)

    await asyncio.to_thread(work)


async def test_the_patched_resolver_answers_for_every_library_and_is_undone(cluster: Cluster) -> None:
    before = socket.getaddrinfo
    address = await vip(cluster)
    with cluster.patch_resolver():
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("webapp", 8080, type=socket.SOCK_STREAM)
        assert [entry[4] for entry in found] == [(address, 8080)]
        assert socket.getaddrinfo("webapp.default.svc", "http", socket.AF_INET, socket.SOCK_STREAM) == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))
        ]
        assert await asyncio.to_thread(socket.gethostbyname, "127.0.0.1") == "127.0.0.1"
        reader, writer = await asyncio.open_connection("webapp", 8080)
        writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"webapp-0")
        writer.close()
        await writer.wait_closed()

        def work() -> str:
            with requests.Session() as session:
                session.trust_env = False
                return session.get("http://webapp:8080/hostname", timeout=10).text

        assert await asyncio.to_thread(work) == "webapp-0"
        assert socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("nosuch.default.svc.cluster.local", 80)
        with cluster.patch_resolver("kube-system"):  # the one opened last is asked first
            assert socket.getaddrinfo("kube-dns", 53)[0][4][0] == cluster.config.addresses.dns
            assert socket.getaddrinfo("webapp.default", 80)[0][4][0] == address
        assert socket.getaddrinfo("webapp", 80)[0][4][0] == address
    assert socket.getaddrinfo is before


async def test_the_patched_resolver_on_uvloop(cluster: Cluster) -> None:
    before = {**vars(uvloop.Loop)}
    address = await vip(cluster)

    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, uvloop.Loop)
        found = await loop.getaddrinfo("webapp", 8080, type=socket.SOCK_STREAM)
        reader, writer = await asyncio.open_connection("webapp.default.svc", 8080)
        writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
        said = (await reader.read()).rpartition(b"\n")[2].decode()
        writer.close()
        await writer.wait_closed()
        async with aiohttp.ClientSession() as session, session.get("http://webapp:8080/hostname") as answer:
            assert await answer.text() == said
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("nosuch.default.svc.cluster.local", 80)
        (local,) = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        return [str(entry[4][0]) for entry in found] + [said, str(local[4][0])]

    def on_uvloop() -> list[str]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())

    with cluster.patch_resolver("kube-system"), cluster.patch_resolver():
        assert await asyncio.to_thread(on_uvloop) == [address, "webapp-0", "127.0.0.1"]
    assert {**vars(uvloop.Loop)} == before


async def test_threads_patch_and_undo_at_the_same_time(cluster: Cluster) -> None:
    before, address = socket.getaddrinfo, await vip(cluster)

    def work() -> None:
        for _ in range(50):
            with cluster.patch_resolver():
                assert socket.getaddrinfo("webapp", 1)[0][4][0] == address

    await asyncio.gather(*[asyncio.to_thread(work) for _ in range(4)])
    assert socket.getaddrinfo is before


async def test_a_cluster_that_has_stopped_knows_nothing(cluster: Cluster) -> None:
    def names_of_a_loop_that_is_gone() -> HostNames:
        loop = asyncio.new_event_loop()
        loop.close()
        return HostNames(lambda *_: ["127.0.0.1"], loop)

    with pytest.raises(socket.gaierror, match="has stopped"):
        names_of_a_loop_that_is_gone().one("webapp")


async def test_a_resolver_of_another_loop(cluster: Cluster) -> None:
    async def work() -> str:
        async with (
            aiohttp.ClientSession(connector=cluster.connector()) as session,
            session.get("http://webapp:8080/hostname") as answer,
        ):
            first = await answer.text()
        async with httpx.AsyncClient(transport=cluster.httpx_transport()) as client:
            return first + (await client.get("http://webapp:8080/hostname")).text

    assert await asyncio.to_thread(asyncio.run, work()) == "webapp-0webapp-0"


async def test_other_names_go_where_they_went(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def system(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    await cluster.apply(service("docs", type="ExternalName", externalName="docs.example.com"))
    monkeypatch.setattr(socket, "getaddrinfo", system)
    with cluster.patch_resolver():
        for host in ("example.com", "webapp.example.com", "localhost", "nosuch", b"bytes.example.com", None):
            assert socket.getaddrinfo(host, 80)[0][4] == ("192.0.2.1", 80)
        await asyncio.to_thread(socket.getaddrinfo, "docs", 80)
    assert asked == [
        "example.com",
        "webapp.example.com",
        "localhost",
        "nosuch",
        "bytes.example.com",
        None,
        "docs.example.com",
    ]
    assert socket.getaddrinfo is system


async def test_the_environment_is_a_pods_and_comes_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBAPP_SERVICE_PORT", "1")
    monkeypatch.delenv("WEBAPP_SERVICE_HOST", raising=False)
    with cluster.patch_env() as added:
        assert os.environ["WEBAPP_SERVICE_HOST"] == added["WEBAPP_SERVICE_HOST"] == await vip(cluster)
        assert os.environ["WEBAPP_SERVICE_PORT"] == "8080"
    assert os.environ["WEBAPP_SERVICE_PORT"] == "1"
    assert "WEBAPP_SERVICE_HOST" not in os.environ


async def test_a_view_has_them_too() -> None:
    def start() -> SyncCluster:
        sync = SyncCluster()
        sync.start()
        return sync

    sync = await asyncio.to_thread(start)
    try:
        view = ClusterView(sync)
        await view.apply([pod(), service()], wait=True)
        async with (
            aiohttp.ClientSession(connector=view.connector()) as http,
            http.get("http://webapp:8080/hostname") as reply,
        ):
            assert reply.status == 200
        async with httpx.AsyncClient(transport=view.httpx_transport()) as client:
            assert (await client.get("http://webapp:8080/hostname")).status_code == 200

        def blocking() -> int:
            with httpx.Client(transport=sync.httpx_transport()) as client:
                return client.get("http://webapp:8080/hostname").status_code

        assert await asyncio.to_thread(blocking) == 200
    finally:
        await asyncio.to_thread(sync.stop)

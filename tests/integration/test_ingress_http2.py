"""HTTP/2 at the ingress: curl and gRPC's own library as clients, a gRPC server as the backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from aiohttp import web

from emulator import Cluster
from emulator.pki.authority import KeyPair
from tests.integration.test_ingress import curl, ingress, pair, routed, rule, tls_secret, told

Json = dict[str, Any]
HOST = "grpc.test"
BACKEND_IP = "127.1.201.1"  # of the pods' range, so that a slice may name it
LARGE_BYTES = 3_000_000


class Echo(grpc.GenericRpcHandler):
    """Methods of bytes: no generated code is needed to call them."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.seen: dict[str, str] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]
        self.seen = {str(key): str(value) for key, value in details.invocation_metadata}
        made: dict[str, Any] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        return made.get(name)

    async def unary(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-trailer", "kept"),))
        return request[::-1]

    async def count(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()
            await asyncio.sleep(0.01)

    async def sum(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return str(sum([int(each) async for each in requests])).encode()

    async def chat(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for each in requests:
            yield b"heard " + each

    async def fail(self, request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this", (("x-why", "because"),))

    async def hang(self, request: bytes, context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""


@asynccontextmanager
async def backend(echo: Echo, credentials: Any = None) -> AsyncIterator[tuple[Any, int]]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo,))
    where = f"{BACKEND_IP}:0"
    port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


def service(port: int) -> list[Json]:
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "app-1", "labels": {"kubernetes.io/service-name": "app"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [BACKEND_IP], "conditions": {"ready": True}}],
    }
    spec = {"ports": [{"port": 8080}]}
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app"}, "spec": spec}, slice_]


@asynccontextmanager
async def called(cluster: Cluster, keys: KeyPair, port: int, protocol: str = "GRPC") -> AsyncIterator[Any]:
    """A channel of gRPC's own client to the backend, through the ingress."""
    await cluster.apply([*service(port), tls_secret("grpc", keys)])
    tls = [{"hosts": [HOST], "secretName": "grpc"}]
    await routed(cluster, ingress(rule("app", host=HOST), tls=tls, backend_protocol=protocol, proxy_body_size="0"))
    assert cluster.ingress is not None
    credentials = grpc.ssl_channel_credentials(keys.certificate.encode())
    options = (("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST))
    address = f"127.0.0.1:{cluster.ingress.https_port}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        yield channel


@pytest.mark.parametrize("protocol", ["GRPC", "GRPCS"])
async def test_every_kind_of_call(cluster: Cluster, protocol: str) -> None:
    echo, keys = Echo(), pair(HOST)
    secure = grpc.ssl_server_credentials([(keys.key.encode(), keys.certificate.encode())])
    async with (
        backend(echo, secure if protocol == "GRPCS" else None) as (_, port),
        called(cluster, keys, port, protocol) as channel,
    ):
        call = channel.unary_unary("/Echo/Unary")(b"hello", metadata=(("x-asked", "yes"),))
        assert await call == b"olleh"
        assert ("x-trailer", "kept") in tuple(await call.trailing_metadata())
        assert echo.seen["x-asked"] == "yes"
        assert echo.seen["x-forwarded-proto"] == "https"
        large = bytes(LARGE_BYTES)
        assert await channel.unary_unary("/Echo/Unary")(large) == large
        assert [each async for each in channel.unary_stream("/Echo/Count")(b"5")] == [b"0", b"1", b"2", b"3", b"4"]
        assert await channel.stream_unary("/Echo/Sum")(iter([b"1", b"2", b"3"])) == b"6"
        chat = channel.stream_stream("/Echo/Chat")()
        for word in (b"one", b"two"):  # each is answered before the next is said
            await chat.write(word)
            assert await chat.read() == b"heard " + word
        await chat.done_writing()
        assert await chat.read() == grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary("/Echo/Fail")(b"")
        assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert failed.value.details() == "not like this"
        assert ("x-why", "because") in tuple(failed.value.trailing_metadata())
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await channel.unary_unary("/Echo/Nothing")(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_many_calls_share_a_connection(cluster: Cluster) -> None:
    async with backend(Echo()) as (_, port), called(cluster, pair(HOST), port) as channel:
        words = [str(number).encode() for number in range(300)]
        answers = await asyncio.gather(*(channel.unary_unary("/Echo/Unary")(word) for word in words))
        assert answers == [word[::-1] for word in words]


async def test_a_call_given_up_is_given_up_at_the_backend(cluster: Cluster) -> None:
    echo = Echo()
    async with backend(echo) as (_, port), called(cluster, pair(HOST), port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await channel.unary_unary("/Echo/Hang")(b"", timeout=0.2)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            await echo.cancelled.wait()


async def test_a_backend_that_leaves_ends_its_calls(cluster: Cluster) -> None:
    """A server that is stopped says GOAWAY and answers what it has begun; a new call finds nobody."""
    async with backend(Echo()) as (server, port), called(cluster, pair(HOST), port) as channel:

        async def call_until_refused() -> grpc.StatusCode:
            while True:
                try:
                    await channel.unary_unary("/Echo/Unary")(b"x")
                except grpc.aio.AioRpcError as refused:
                    return refused.code()

        chat = channel.stream_stream("/Echo/Chat")()
        await chat.write(b"one")
        assert await chat.read() == b"heard one"
        ingress: Any = cluster.ingress
        [link] = ingress._requests._http2._open
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(server.stop(10))
            code = group.create_task(call_until_refused())
            while not link.leaving:  # until GOAWAY has come
                await asyncio.sleep(0.01)
            await chat.write(b"two")
            assert await chat.read() == b"heard two"
            await chat.done_writing()
            assert await chat.read() == grpc.aio.EOF
        assert await code is grpc.StatusCode.UNAVAILABLE  # what gRPC makes of 502


async def test_curl_speaks_it_too(cluster: Cluster) -> None:
    async def large(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * len(await request.read()))

    async with cluster.serve("app", told), cluster.serve("large", large):
        rules = [rule("app"), rule("large", path="/large")]
        await routed(cluster, tls_secret("app", pair("app.test")))
        tls = [{"hosts": ["app.test"], "secretName": "app"}]
        await routed(cluster, ingress(*rules, tls=tls, proxy_body_size="0"))
        status, headers, body = await curl(cluster, "https://app.test/a?b=c", "--http2", "-w", "v=%{http_version}")
        assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000; includeSubDomains")
        assert body.endswith("v=2")
        assert '"path": "/a"' in body
        assert '"Host": "app.test' in body
        status, _, body = await curl(cluster, "https://app.test/a", "--http1.1", "-w", "v=%{http_version}")
        assert (status, body[-5:]) == (200, "v=1.1")
        status, _, _ = await curl(cluster, "https://nobody.test/", "--http2")
        assert status == 404
        status, headers, body = await curl(cluster, "https://app.test/a", "--http2", "-I")
        assert (status, body) == (200, "")
        sent = "y" * LARGE_BYTES
        status, _, body = await curl(cluster, "https://app.test/large", "--http2", "-d", sent[:100_000])
        assert (status, len(body)) == (200, 100_000)


async def test_clients_of_http1_reach_backends_of_http2(cluster: Cluster) -> None:
    async with backend(Echo()) as (_, port), called(cluster, pair(HOST), port):
        message = b"\0\0\0\0\x02hi"
        status, headers, body = await curl(
            cluster, f"https://{HOST}/Echo/Unary", "--http1.1", "-H", "content-type: application/grpc",
            "-H", "te: trailers", "--data-binary", "@-", stdin=message,
        )  # fmt: skip
        assert (status, headers["content-type"]) == (200, "application/grpc")
        answer, _, trailers = body.partition("ih")  # curl shows them behind the body
        assert (answer, "grpc-status: 0" in trailers, "x-trailer: kept" in trailers) == ("\0\0\0\0\x02", True, True)

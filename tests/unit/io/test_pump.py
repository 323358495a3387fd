"""The pump: bytes both ways, half-close, back-pressure, resets, cancellation; under both event loops."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

from emulator.io.hostnet import HostNetwork
from emulator.io.pump import BUFFER_BYTES, pump, reset_on_close

SECONDS = 20

Case = Callable[[socket.socket, socket.socket, "asyncio.Task[None]"], Coroutine[Any, Any, None]]


@contextmanager
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        two, _ = server.accept()
        with two:
            one.setblocking(False)
            two.setblocking(False)
            yield one, two


async def pumped(case: Case) -> None:
    """Run `case` with the two outer ends and the pump between them."""
    with tcp_pair() as (client, a), tcp_pair() as (b, backend):
        async with asyncio.timeout(SECONDS):
            task = asyncio.create_task(pump(a, b))
            try:
                await case(client, backend, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            loop = asyncio.get_running_loop()
            assert not any(loop.remove_reader(s.fileno()) or loop.remove_writer(s.fileno()) for s in (a, b))


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Case], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_case(case: Case) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(pumped(case))

    return run_case


def test_half_close(run: Callable[[Case], None]) -> None:
    async def case(client: socket.socket, backend: socket.socket, task: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"question")
        assert await loop.sock_recv(backend, 100) == b"question"
        client.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(backend, 100) == b""
        assert not task.done()
        await loop.sock_sendall(backend, b"answer")
        assert await loop.sock_recv(client, 100) == b"answer"
        backend.shutdown(socket.SHUT_WR)
        assert await loop.sock_recv(client, 100) == b""
        await task

    run(case)


def test_a_lot_both_ways_at_once(run: Callable[[Case], None]) -> None:
    data = random.Random(1).randbytes(12 << 20)

    async def drain(sock: socket.socket) -> str:
        digest = hashlib.sha256()
        while chunk := await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
            digest.update(chunk)
        return digest.hexdigest()

    async def send(sock: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)

    async def case(client: socket.socket, backend: socket.socket, task: asyncio.Task[None]) -> None:
        _, _, one, two = await asyncio.gather(send(client), send(backend), drain(client), drain(backend))
        assert one == two == hashlib.sha256(data).hexdigest()
        await task

    run(case)


def test_a_receiver_that_does_not_read_stops_the_sender(run: Callable[[Case], None]) -> None:
    async def case(client: socket.socket, backend: socket.socket, task: asyncio.Task[None]) -> None:
        sent, still = 0, 0
        while still < 20:
            try:
                sent += client.send(bytes(BUFFER_BYTES))
                still = 0
            except BlockingIOError:
                still += 1
                await asyncio.sleep(0.01)
        assert not task.done()
        client.shutdown(socket.SHUT_WR)
        received = 0
        while chunk := await asyncio.get_running_loop().sock_recv(backend, 1 << 20):
            received += len(chunk)
        assert received == sent

    run(case)


def test_a_reset_is_passed_on(run: Callable[[Case], None]) -> None:
    async def case(client: socket.socket, backend: socket.socket, task: asyncio.Task[None]) -> None:
        reset_on_close(backend)
        backend.close()
        await task

    run(case)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_peer_of_a_broken_connection_is_reset_by_close(loop_factory: Callable[[], Any]) -> None:
    async def case() -> None:
        with tcp_pair() as (client, a), tcp_pair() as (b, backend):
            reset_on_close(backend)
            backend.close()
            async with asyncio.timeout(SECONDS):
                await pump(a, b)
                a.close()
                with pytest.raises(ConnectionResetError):
                    await asyncio.get_running_loop().sock_recv(client, 1)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(case())


def test_cancelled_it_leaves_the_sockets_open(run: Callable[[Case], None]) -> None:
    async def case(client: socket.socket, backend: socket.socket, task: asyncio.Task[None]) -> None:
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(BlockingIOError):
            client.recv(1)

    run(case)


async def test_host_network_serves_and_refuses() -> None:
    network = HostNetwork()
    loop = asyncio.get_running_loop()
    with await network.tcp_listener("127.3.2.1", 0) as listener:
        place = listener.getsockname()
        with await network.tcp_connect(*place) as client:
            accepted, _ = await loop.sock_accept(listener)
            with accepted:
                await loop.sock_sendall(client, b"x")
                assert await loop.sock_recv(accepted, 1) == b"x"
    with pytest.raises(ConnectionRefusedError):
        await network.tcp_connect(*place)
    with await network.udp_socket("127.3.2.1", 0) as server, await network.udp_connect(*server.getsockname()) as client:
        await loop.sock_sendall(client, b"y")
        assert await loop.sock_recv(server, 10) == b"y"
    with pytest.raises(OSError):
        await network.udp_socket("198.51.100.1", 0)

"""The sandbox: a network namespace of its own, whose sockets the event loop of this process serves.

A helper process (sandbox_helper.py) holds the namespaces; sockets come from it over a Unix socket. Nothing of the
host is changed: when the helper ends, the namespaces and everything in them are gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from emulator.api.errors import StartError
from emulator.config.presets import node_address
from emulator.config.settings import ClusterConfig
from emulator.io.hostaddresses import cluster_ranges
from emulator.io.sandbox_probe import probe_sandbox, process_start_time

__all__ = ["Sandbox", "probe_sandbox"]

log = logging.getLogger(__name__)

HELPER = Path(__file__).with_name("sandbox_helper.py")
START_TIMEOUT_SECONDS = 10.0
STOP_TIMEOUT_SECONDS = 2.0
ANSWER_TIMEOUT_SECONDS = 10.0
POOL_SIZE = 128  # unconnected TCP sockets kept ready
POOL_LOW = 64  # below this more are asked for
MAX_OUTSTANDING = 64  # requests under way: they and their answers fit the socket's buffers
MAX_SOCKETS = 200  # as in the helper

Answer = tuple[dict[str, Any], list[socket.socket]]


class Sandbox:
    """A network world of its own; fulfils Network, and is a Service that ends when its helper dies unasked."""

    name = "sandbox"

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.mode = "sandbox"
        self.host_address = str(config.addresses.nodes[-2])
        self._failed = asyncio.Event()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, Callable[[dict[str, Any] | None, list[socket.socket]], None]] = {}
        self._number = 0
        self._slots = asyncio.Semaphore(MAX_OUTSTANDING)
        self._pool: deque[socket.socket] = deque()
        self._refilling = False

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self, ready: Callable[[], None]) -> None:
        try:
            await self.start()
            ready()
            await self._failed.wait()
        finally:
            await self.stop()

    async def start(self) -> None:
        """Start the helper; on return its network is there. Raises StartError."""
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        command = [sys.executable, "-S", "-E", str(HELPER), str(theirs.fileno())]
        try:
            # Not in a thread: the helper dies with the thread that started it.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns within a millisecond or two
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            await self.stop()
            raise StartError(f"the sandbox cannot start {sys.executable}: {error.strerror}") from error
        finally:
            theirs.close()
        try:
            await self._set_up()
        except BaseException:
            await self.stop()
            raise

    async def _set_up(self) -> None:
        assert self._loop
        assert self._control
        plan = self.config.addresses
        setup = {"parent": os.getpid(), "ranges": cluster_ranges(plan), "source": node_address(plan, 1)}
        self._control.send(json.dumps(setup).encode())
        ready: asyncio.Future[dict[str, Any] | None] = self._loop.create_future()

        def answered(answer: dict[str, Any] | None, _: list[socket.socket]) -> None:
            if not ready.done():
                ready.set_result(answer)

        self._waiting[0] = answered
        self._loop.add_reader(self._control, self._on_readable)
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                answer = await ready
        except TimeoutError as error:
            raise StartError(f"the sandbox was not ready after {START_TIMEOUT_SECONDS:g} s") from error
        if answer is None:
            raise StartError("the sandbox's helper ended while it started; see `kubemu doctor`")
        if answer["errno"]:
            raise StartError(f"the sandbox cannot start: {probe_sandbox() or answer['said']}")
        self._refill()

    async def stop(self) -> None:
        """End the helper and with it the namespaces. May be called twice."""
        self._close_control()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _close_control(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            assert self._loop
            self._loop.remove_reader(control)
            control.close()
        while self._pool:
            self._pool.pop().close()
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            answered(None, [])

    def reference(self) -> dict[str, Any]:
        """What another process needs to find and enter the sandbox, and to see that it is still the same one."""
        assert self._process, "the sandbox runs"
        pid = self._process.pid
        return {"pid": pid, "startTime": process_start_time(pid), "netns": os.stat(f"/proc/{pid}/ns/net").st_ino}

    # -- Network ---------------------------------------------------------------------------------------------

    async def tcp_listener(self, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
        return await self._one(op="tcp", bind=True, host=host, port=port, backlog=backlog)

    async def udp_socket(self, host: str, port: int) -> socket.socket:
        return await self._one(op="udp", bind=True, host=host, port=port)

    async def tcp_connect(self, host: str, port: int, *, timeout_seconds: float = 5.0) -> socket.socket:
        assert self._loop, "the sandbox runs"
        async with asyncio.timeout(timeout_seconds):
            if ":" in host:
                sock = await self._one(op="tcp", host=host)
            else:
                sock = await self._take()
            try:
                await self._loop.sock_connect(sock, (host, port))
            except BaseException:
                sock.close()
                raise
            return sock

    async def udp_connect(self, host: str, port: int) -> socket.socket:
        sock = await self._one(op="udp", host=host)
        try:
            sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def run_inside(self, argv: list[str], text: str) -> str:
        """Run a short program in the namespaces; what it complained of, "" when it succeeded. Raises OSError."""
        answer, _ = await self._request(op="run", argv=argv, text=text)
        return str(answer["said"])

    async def add_route(self, network: str) -> None:
        """Make the addresses of a network local inside, beside the cluster's own. Raises OSError."""
        await self._request(op="route", network=network, source=node_address(self.config.addresses, 1))

    async def add_pod(self, address: str) -> str:
        """Make a network of its own for the pod at `address`; the path of its namespace. Raises OSError."""
        answer, _ = await self._request(op="add-pod", address=address, gateway=node_address(self.config.addresses, 1))
        return str(answer["path"])

    async def remove_pod(self, address: str) -> None:
        """Cut the pod at `address` off; that there is none is fine. Raises OSError when the sandbox is gone."""
        await self._request(op="remove-pod", address=address)

    async def make(self, **request: Any) -> socket.socket:
        """A socket with options that Network does not have (see the helper). Raises OSError."""
        return await self._one(**request)

    # -- requests --------------------------------------------------------------------------------------------

    async def _take(self) -> socket.socket:
        """A pooled TCP socket, at no cost; when the pool is dry one fresh from the helper."""
        if self._pool:
            sock = self._pool.popleft()
            if len(self._pool) < POOL_LOW:
                self._refill()
            return sock
        self._refill()
        return await self._one(op="tcp")

    def _refill(self) -> None:
        if self._refilling or self._control is None:
            return
        self._refilling = True

        def arrived(answer: dict[str, Any] | None, sockets: list[socket.socket]) -> None:
            self._refilling = False
            if self._control is None:
                for sock in sockets:
                    sock.close()
            self._pool.extend(sockets)

        try:
            self._send({"op": "tcp", "count": POOL_SIZE - len(self._pool)}, arrived)
        except OSError:
            self._refilling = False  # busy or gone; the next taker asks again

    async def _one(self, **request: Any) -> socket.socket:
        _, sockets = await self._request(**request)
        return sockets[0]

    async def _request(self, **request: Any) -> Answer:
        """Ask the helper. Raises OSError as the call there did, ConnectionResetError when it is gone."""
        assert self._loop, "the sandbox runs"
        future: asyncio.Future[Answer | None] = self._loop.create_future()

        def answered(answer: dict[str, Any] | None, sockets: list[socket.socket]) -> None:
            if future.done():  # the asker was cancelled
                for sock in sockets:
                    sock.close()
            else:
                future.set_result(None if answer is None else (answer, sockets))

        async with self._slots, asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            self._send(request, answered)
            result = await _await_sockets(future)
        if result is None:
            raise ConnectionResetError("the sandbox is gone")
        if code := result[0]["errno"]:
            raise OSError(code, os.strerror(code))
        return result

    def _send(
        self, request: dict[str, Any], answered: Callable[[dict[str, Any] | None, list[socket.socket]], None]
    ) -> None:
        if self._control is None:
            raise ConnectionResetError("the sandbox is gone")
        self._number += 1
        self._control.send(json.dumps({"id": self._number, **request}).encode())
        self._waiting[self._number] = answered

    def _on_readable(self) -> None:
        while self._control is not None:
            try:
                data, handles, _, _ = socket.recv_fds(self._control, 65536, MAX_SOCKETS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, handles = b"", []
            if not data:
                self._lost()
                return
            answer = json.loads(data)
            answered = self._waiting.pop(answer["id"])
            sockets = [socket.socket(fileno=handle) for handle in handles]
            for sock in sockets:
                sock.setblocking(False)
            answered(answer, sockets)

    def _lost(self) -> None:
        log.error("the sandbox's helper process ended")
        self._close_control()
        self._failed.set()


async def _await_sockets(future: asyncio.Future[Answer | None]) -> Answer | None:
    """The answer; sockets that arrive in the very moment of a cancellation are closed."""
    try:
        return await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and (result := future.result()) is not None:
            for sock in result[1]:
                sock.close()
        raise

"""Pods that run as programs of this machine: the simplest PodStreams, for tests of what the API server makes of one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import termios
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.api.errors import NotFound
from emulator.api.kinds import POD
from emulator.api.meta import JsonObject
from emulator.io.podstreams import Ended, LogOptions, Streams
from tests.support.api import Api, eventually

PIECE_BYTES = 64 * 1024


@dataclass
class HostPods:
    """exec runs a program of the host, connect goes to 127.0.0.1; logs give `lines` and what `say` adds.

    calls: what was asked, in order.
    """

    lines: list[bytes] = field(default_factory=list)
    previous: list[bytes] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    refuse: Exception | None = None
    attached: list[str] = field(default_factory=lambda: ["sh", "-c", "echo attached; cat"])
    _said: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, line: bytes) -> None:
        self.lines.append(line)
        self._said.set()

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.calls.append(("logs", options))
        if self.refuse is not None:
            raise self.refuse
        lines = self.previous if options.previous else self.lines
        count = len(lines)
        for line in lines[-options.tail_lines or count :] if options.tail_lines is not None else list(lines):
            yield self._shown(line, options)
        while options.follow:
            await self._said.wait()
            self._said.clear()
            for line in self.lines[count:]:
                yield self._shown(line, options)
            count = len(self.lines)
            if self.lines[-1] == b"the end\n":
                return

    def _shown(self, line: bytes, options: LogOptions) -> bytes:
        return b"2026-01-02T03:04:05.678901234Z " + line if options.timestamps else line

    async def exec(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> Ended:
        self.calls.append(("exec", (container, tuple(command))))
        if self.refuse is not None:
            raise self.refuse
        return await self._run(command, streams)

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> Ended:
        self.calls.append(("attach", container))
        return await self._run(self.attached, streams)

    async def connect(self, namespace: str, pod: str, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.ports.get(port, port)))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _run(self, command: Sequence[str], streams: Streams) -> Ended:
        end: int = asyncio.subprocess.PIPE
        with contextlib.ExitStack() as stack:
            master = -1
            if streams.tty:
                master, slave = pty.openpty()
                stack.callback(os.close, master)
                end = slave
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=end, stdout=end, stderr=end, start_new_session=True
                )
            except (FileNotFoundError, PermissionError):
                return Ended(127, f'exec: "{command[0]}": executable file not found in $PATH')
            finally:
                if streams.tty:
                    os.close(end)
            self.running.add(process.pid)
            try:
                work = self._tty(master, process, streams) if streams.tty else self._pipes(process, streams)
                return Ended(await work)
            finally:
                self.running.discard(process.pid)
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()

    async def _pipes(self, process: asyncio.subprocess.Process, streams: Streams) -> int:
        assert process.stdin is not None
        async with asyncio.TaskGroup() as group:
            feeder = group.create_task(_feed(process.stdin, streams.stdin))
            readers = [
                group.create_task(_drain(reader, write))
                for reader, write in ((process.stdout, streams.stdout), (process.stderr, streams.stderr))
                if reader is not None
            ]
            await asyncio.wait(readers)
            code = await process.wait()
            feeder.cancel()
        process.stdin.close()
        return code if code >= 0 else 128 - code

    async def _tty(self, master: int, process: asyncio.subprocess.Process, streams: Streams) -> int:
        os.set_blocking(master, False)

        async def read() -> None:
            while data := await _readable(master):
                if streams.stdout is not None:
                    await streams.stdout(data)

        async def write() -> None:
            if streams.stdin is not None:
                async for data in streams.stdin:
                    os.write(master, data)

        async def resize() -> None:
            if streams.resizes is not None:
                async for columns, rows in streams.resizes:
                    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(write()), group.create_task(resize())]
            await group.create_task(read())
            code = await process.wait()
            for helper in helpers:
                helper.cancel()
        return code if code >= 0 else 128 - code


async def _feed(writer: asyncio.StreamWriter, chunks: AsyncIterator[bytes] | None) -> None:
    with contextlib.suppress(ConnectionError):
        if chunks is not None:
            async for data in chunks:
                writer.write(data)
                await writer.drain()
        writer.close()


async def _drain(reader: asyncio.StreamReader, write: Any) -> None:
    while data := await reader.read(PIECE_BYTES):
        if write is not None:
            await write(data)


async def _readable(fd: int) -> bytes:
    """The next bytes of a terminal, b"" when the other side has closed it."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
    try:
        return os.read(fd, PIECE_BYTES)
    except OSError:  # EIO: nobody has the other end any more
        return b""


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """A port on which nothing listens, kept from others by being bound."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def running_pod(
    api: Api, name: str = "web", containers: Sequence[str] = ("web",), *, ports: Sequence[int] = ()
) -> JsonObject:
    """A pod of `default` that a node named node-1 says is running, at 127.0.0.1."""
    spec = {
        "nodeName": "node-1",
        "containers": [
            {"name": each, "image": "x", "stdin": True, "ports": [{"containerPort": port} for port in ports]}
            for each in containers
        ],
    }
    manifest = {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}

    async def created() -> bool:
        try:
            await api.registry.create(POD, manifest, "default")
        except NotFound:  # the namespace is made by a controller
            return False
        return True

    await eventually(created)
    return await set_states(
        api, name, {each: {"running": {"startedAt": "2026-01-02T03:04:05Z"}} for each in containers}
    )


async def set_states(api: Api, name: str, states: Mapping[str, JsonObject], phase: str = "Running") -> JsonObject:
    """Say of containers that they run, wait or have ended; with `lastState` beside what `state` holds."""
    pod = await api.registry.get(POD, name, "default")
    status = {
        **pod["status"],
        "phase": phase,
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [
            {"type": type, "status": "True"} for type in ("Initialized", "PodScheduled", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": each,
                "ready": "running" in state,
                "restartCount": 0,
                "image": "x",
                "imageID": "",
                "state": {kind: value for kind, value in state.items() if kind != "lastState"},
                "lastState": state.get("lastState", {}),
            }
            for each, state in states.items()
        ],
    }
    written = await api.registry.update(POD, name, "default", {**pod, "status": status}, subresource="status")
    return written.object

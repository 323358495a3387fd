"""Real, unmodified kubectl: exec, attach, cp, logs, port-forward, in every version of this machine.

1.29 speaks SPDY throughout, 1.30 WebSocket channels for exec, 1.31 and later SPDY inside a WebSocket for port-forward.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import io
import os
import pty
import re
import struct
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from emulator.api.kinds import POD
from tests.support.api import Api, Kubectl, api_server, eventually, kubectl_for, kubectl_versions
from tests.support.podstreams import HostPods, running_pod, set_states, unused_port

VERSIONS = kubectl_versions()
STDIN_BYTES = 50 * 1024 * 1024
DOWNLOAD_BYTES = 100 * 1024 * 1024
CONNECTIONS = 50
SECONDS = 60.0


@dataclass
class World:
    """An API server whose only pod `web` runs as programs of this machine, and one kubectl."""

    api: Api
    pods: HostPods
    kubectl: Kubectl


@pytest.fixture(params=sorted(VERSIONS))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    pods = HostPods(lines=[b"one\n", b"two\n", b"three\n"], previous=[b"before\n"])
    async with api_server() as api:
        api.server.pod_streams = pods
        await running_pod(api)
        with kubectl_for(api, VERSIONS[request.param]) as kubectl:
            yield World(api, pods, kubectl)
    assert not pods.running


# -- exec --------------------------------------------------------------------------------------------------------


async def test_exec_carries_output_and_exit_code(world: World) -> None:
    result = await world.kubectl("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.status, result.stdout) == (7, "out\n")
    assert result.stderr == "err\ncommand terminated with exit code 7\n"
    assert await world.kubectl.ok("exec", "web", "-c", "web", "--", "echo", "fine") == "fine\n"


async def test_exec_of_what_is_not_there(world: World) -> None:
    result = await world.kubectl("exec", "web", "--", "no-such-program")
    assert result.status == 127
    assert 'exec: "no-such-program": executable file not found in $PATH' in result.stderr
    result = await world.kubectl("exec", "web", "-c", "other", "--", "true")
    assert "container other is not valid for pod web" in result.stderr or "container not found" in result.stderr
    result = await world.kubectl("exec", "absent", "--", "true")
    assert result.stderr == 'Error from server (NotFound): pods "absent" not found\n'


async def test_exec_into_a_container_that_does_not_run(world: World) -> None:
    await set_states(world.api, "web", {"web": {"waiting": {"reason": "CrashLoopBackOff"}}})
    result = await world.kubectl("exec", "web", "--", "true")
    assert result.status == 1
    assert result.stderr == 'error: unable to upgrade connection: container not found ("web")\n'


async def test_standard_input_arrives_whole(world: World) -> None:
    data = os.urandom(1024 * 1024) * (STDIN_BYTES // (1024 * 1024))
    process = await world.kubectl.start("exec", "-i", "web", "--", "sh", "-c", "cat | sha256sum")
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(data)
    assert (process.returncode, err) == (0, b"")
    assert out.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_much_output_arrives_whole(world: World) -> None:
    process = await world.kubectl.start("exec", "web", "--", "head", "-c", str(STDIN_BYTES), "/dev/zero")
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert (process.returncode, err, len(out)) == (0, b"", STDIN_BYTES)


async def test_a_command_that_ends_before_its_input(world: World) -> None:
    process = await world.kubectl.start("exec", "-i", "web", "--", "sh", "-c", "read line; echo got $line; exit 3")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"hello\n")
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.read() == b"got hello\n"
        assert await process.wait() == 3
    process.stdin.close()


async def test_terminal_and_its_size(world: World) -> None:
    async with _on_terminal(world.kubectl, "exec", "-it", "web", "--", "sh") as terminal:
        terminal.resize(100, 40)
        await terminal.until("stty size\n", r"40 100")
        terminal.resize(77, 33)
        await terminal.until("stty size\n", r"33 77")
        terminal.type("exit 5\n")
        assert await terminal.ended() == 5


async def test_the_command_ends_with_its_client(world: World) -> None:
    process = await world.kubectl.start("exec", "web", "--", "sleep", "1000")
    await eventually(lambda: _is(bool(world.pods.running)))
    process.kill()
    await process.wait()
    await eventually(lambda: _is(not world.pods.running))


async def test_the_command_ends_with_its_pod(world: World) -> None:
    process = await world.kubectl.start("exec", "web", "--", "sleep", "1000")
    await eventually(lambda: _is(bool(world.pods.running)))
    await world.kubectl.ok("delete", "pod", "web", "--now", "--wait=false")
    await world.kubectl.ok("delete", "pod", "web", "--force", "--grace-period=0", "--ignore-not-found")
    async with asyncio.timeout(SECONDS):
        _, err = await process.communicate()
    assert (process.returncode, err) == (137, b"command terminated with exit code 137\n")


async def test_copies_files_both_ways(world: World, tmp_path: Path) -> None:
    source, there, back = tmp_path / "source", tmp_path / "there", tmp_path / "back"
    source.mkdir()
    there.mkdir()
    (source / "small.txt").write_text("hello")
    (source / "big.bin").write_bytes(os.urandom(3_000_000))
    await world.kubectl.ok("cp", str(source), f"default/web:{there}")
    assert (there / "source" / "big.bin").read_bytes() == (source / "big.bin").read_bytes()
    await world.kubectl.ok("cp", f"default/web:{there}/source", str(back))
    assert (back / "small.txt").read_text() == "hello"
    assert (back / "big.bin").read_bytes() == (source / "big.bin").read_bytes()


async def test_attach(world: World) -> None:
    result = await world.kubectl("attach", "-i", "web", stdin="typed\n")
    assert result.status == 0, result.text
    assert result.stdout == "attached\ntyped\n"
    assert world.pods.calls[-1] == ("attach", "web")


# -- logs --------------------------------------------------------------------------------------------------------


async def test_logs_and_their_options(world: World) -> None:
    kubectl = world.kubectl
    assert await kubectl.ok("logs", "web") == "one\ntwo\nthree\n"
    assert await kubectl.ok("logs", "web", "--tail", "1") == "three\n"
    assert (await kubectl.ok("logs", "web", "--timestamps", "--tail=1")).startswith("2026-01-02T03:04:05.678901234Z ")
    await kubectl.ok("logs", "web", "--since=5m", "--limit-bytes=100")
    options = world.pods.calls[-1][1]
    assert options.since_at is not None
    assert options.limit_bytes == 100
    await kubectl.ok("logs", "web", "--since-time=2026-01-02T03:04:05Z")
    assert world.pods.calls[-1][1].since_at.isoformat() == "2026-01-02T03:04:05+00:00"


async def test_logs_of_the_container_before(world: World) -> None:
    result = await world.kubectl("logs", "web", "-p")
    assert result.stderr == (
        'Error from server (BadRequest): previous terminated container "web" in pod "web" not found\n'
    )
    ended = {"terminated": {"exitCode": 1}}
    await set_states(world.api, "web", {"web": {"running": {}, "lastState": ended}})
    assert await world.kubectl.ok("logs", "web", "-p") == "before\n"


async def test_logs_that_are_refused(world: World) -> None:
    result = await world.kubectl("logs", "web", "-c", "other")
    assert result.stderr.endswith("container other is not valid for pod web\n")
    await set_states(world.api, "web", {"web": {"waiting": {"reason": "ContainerCreating"}}}, "Pending")
    result = await world.kubectl("logs", "web")
    assert result.stderr == (
        'Error from server (BadRequest): container "web" in pod "web" is waiting to start: ContainerCreating\n'
    )
    result = await world.kubectl("logs", "absent")
    assert 'pods "absent" not found' in result.stderr


async def test_logs_followed_to_the_end(world: World) -> None:
    process = await world.kubectl.start("logs", "-f", "web")
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        for line in (b"one\n", b"two\n", b"three\n"):
            assert await process.stdout.readline() == line
        world.pods.say(b"four\n")
        assert await process.stdout.readline() == b"four\n"
        world.pods.say(b"the end\n")
        assert await process.stdout.readline() == b"the end\n"
        assert await process.wait() == 0


# -- port-forward ------------------------------------------------------------------------------------------------


async def test_port_forward_many_at_once_and_much(world: World) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.query['n']}")

    async def much(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(DOWNLOAD_BYTES)})
        await response.prepare(request)
        piece = b"x" * (1024 * 1024)
        for _ in range(DOWNLOAD_BYTES // len(piece)):
            await response.write(piece)
        return response

    async def upload(request: web.Request) -> web.Response:
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        return web.Response(text=str(size))

    routes = {"/": hello, "/much": much, "/upload": upload}
    client = aiohttp.ClientSession(connector=_each_its_own())
    async with _backend(routes) as port, _forwarded(world, port) as url, client:

        async def one(number: int) -> None:
            async with client.get(f"{url}/", params={"n": str(number)}) as answer:
                assert await answer.text() == f"hello {number}"

        await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
        async with client.get(f"{url}/much") as answer:
            size = 0
            async for piece in answer.content.iter_any():
                size += len(piece)
            assert size == DOWNLOAD_BYTES
        async with client.post(f"{url}/upload", data=io.BytesIO(b"y" * 20_000_000)) as answer:
            assert await answer.text() == "20000000"


async def test_port_forward_to_a_closed_port_harms_no_other(world: World) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with _backend({"/": hello}) as port:
        with unused_port() as closed:
            async with _forwarded(world, closed) as url, aiohttp.ClientSession() as client:
                with pytest.raises(aiohttp.ClientConnectionError):
                    await client.get(url)
        async with _forwarded(world, port) as url, aiohttp.ClientSession() as client, client.get(url) as answer:
            assert await answer.text() == "hello"


async def test_port_forward_tells_why_a_port_is_closed(world: World) -> None:
    uid = (await world.api.registry.get(POD, "web", "default"))["metadata"]["uid"]
    with unused_port() as closed:
        process = await world.kubectl.start("port-forward", "web", f":{closed}")
        try:
            local = await _local_port(process)
            _, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            writer.close()
            assert process.stderr is not None
            async with asyncio.timeout(SECONDS):
                text = (await process.stderr.readline()).decode()
                while "an error occurred" not in text:
                    text = (await process.stderr.readline()).decode()
        finally:
            await _end(process)
    why = f"error forwarding port {closed} to pod web, uid {uid}: dial tcp 127.0.0.1:{closed}: connect: connection refused"
    assert f"an error occurred forwarding {local} -> {closed}: {why}" in text


async def test_port_forward_ends_with_its_pod(world: World) -> None:
    process = await world.kubectl.start("port-forward", "web", ":80")
    try:
        await _local_port(process)
        await world.kubectl.ok("delete", "pod", "web", "--force", "--grace-period=0")
        async with asyncio.timeout(SECONDS):
            _, err = await process.communicate()
    finally:
        await _end(process)
    assert b"lost connection to pod" in err


async def test_port_forward_ends_with_the_server(world: World) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with _backend({"/": hello}) as port, _forwarded(world, port) as url, aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert await answer.text() == "hello"
        connections = world.api.server._handlers.connections
        assert len(connections.sessions) == 1
        connections.sessions.end()
        await eventually(lambda: _is(not len(connections.sessions)))


# -- helpers -----------------------------------------------------------------------------------------------------


async def _is(value: bool) -> bool:
    return value


def _each_its_own() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(limit=0, force_close=True)


@asynccontextmanager
async def _backend(routes: Mapping[str, Any]) -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 30)
    for path, handler in routes.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _forwarded(world: World, port: int) -> AsyncIterator[str]:
    process = await world.kubectl.start("port-forward", "web", f":{port}")
    try:
        yield f"http://127.0.0.1:{await _local_port(process)}"
    finally:
        await _end(process)


async def _local_port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:(\d+) ->", line)
    assert found, line
    return int(found[1])


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


class _Terminal:
    """The user's end of a terminal a program runs on."""

    def __init__(self, fd: int, process: asyncio.subprocess.Process) -> None:
        self._fd = fd
        self._process = process
        self.seen = ""
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            self.seen += os.read(self._fd, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def until(self, typed: str, pattern: str) -> None:
        """Type again and again until the answer comes: a program needs a moment to see a new size."""
        async with asyncio.timeout(SECONDS):
            while not re.search(pattern, self.seen):
                self.type(typed)
                await asyncio.sleep(0.2)

    async def ended(self) -> int:
        async with asyncio.timeout(SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def _on_terminal(kubectl: Kubectl, *arguments: str) -> AsyncIterator[_Terminal]:
    master, slave = pty.openpty()
    try:
        # The first terminal that the leader of a session opens is the one whose size it is told of.
        opening = f'exec "$@" <{os.ttyname(slave)} >{os.ttyname(slave)} 2>&1'
        command: Sequence[str] = ("sh", "-c", opening, "sh", kubectl.path, *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=kubectl.home, env=kubectl.environment, start_new_session=True
        )
        try:
            yield _Terminal(master, process)
        finally:
            asyncio.get_running_loop().remove_reader(master)
            if process.returncode is None:
                process.kill()
            await process.wait()
    finally:
        os.close(slave)
        os.close(master)

"""exec and attach: a client's WebSocket channels or SPDY streams on one side, a command of a pod on the other.

Nothing is decided about pods here. The command ends when the client leaves; the client is told how a command ended,
and that is the last it hears.
Source: k8s.io/kubelet pkg/cri/streaming/remotecommand, k8s.io/client-go tools/remotecommand (what clients wait for).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import WSMsgType, web

from emulator.api.errors import ApiError, Forbidden, InternalError
from emulator.api.meta import JsonObject
from emulator.apiserver import channels
from emulator.apiserver.channels import ChannelError, Resizes, Subprotocol
from emulator.apiserver.io.sessions import Interrupted, Sessions
from emulator.apiserver.io.spdysession import SpdySession, SpdyStream, StreamReset
from emulator.apiserver.io.upgrade import SPDY, offered_protocols, open_websocket
from emulator.apiserver.podtargets import CommandOptions
from emulator.io.podstreams import Ended, Streams
from emulator.io.rawtunnel import RawTunnel

log = logging.getLogger(__name__)

STREAMS_SECONDS = 30.0  # for a client to open all its streams; StreamCreationTimeout
STDIN_CHUNKS = 16  # held for a command that does not read
RESIZES = 16
KILLED = 137  # what a command ended with whose pod went away
STREAM_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
VERSION_HEADER = "X-Stream-Protocol-Version"

Run = Callable[[Streams], Awaitable[Ended]]


class Feed:
    """Chunks from one task to another; the giver waits while the taker has enough."""

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(limit)
        self._ended = False

    async def put(self, data: bytes) -> None:
        if data and not self._ended:
            await self._queue.put(data)

    async def end(self) -> None:
        if not self._ended:
            self._ended = True
            await self._queue.put(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (data := await self._queue.get()) is not None:
            yield data


class Sizes:
    """Sizes of a terminal; of many that nobody looked at only the newest count."""

    def __init__(self) -> None:
        self._parser = Resizes()
        self._queue: asyncio.Queue[tuple[int, int]] = asyncio.Queue(RESIZES)

    def put(self, data: bytes) -> None:
        for size in self._parser.receive(data):
            if self._queue.full():
                self._queue.get_nowait()
            self._queue.put_nowait(size)

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        while True:
            yield await self._queue.get()


async def status_of(run: Run, streams: Streams) -> JsonObject:
    """Run the command; the Status that tells how it ended."""
    try:
        ended = await run(streams)
    except ApiError as error:
        return error.status()
    except ConnectionError:  # the client does not listen any more
        return channels.exit_status(KILLED)
    except Exception as error:  # too late for an answer of HTTP's: what is not expected ends the session too
        log.exception("a command could not be run")
        return InternalError.of(f"error executing command in container: {error}").status()
    told = streams.stderr or streams.stdout
    if ended.problem and told is not None:
        with contextlib.suppress(ConnectionError):
            await told(f"{ended.problem}\r\n".encode() if streams.tty else f"{ended.problem}\n".encode())
    return channels.exit_status(ended.exit_code)


# -- WebSocket ---------------------------------------------------------------------------------------------------


async def serve_websocket(
    request: web.BaseRequest, sessions: Sessions, pod: JsonObject, options: CommandOptions, run: Run
) -> web.StreamResponse:
    """Raises Forbidden when client and server have no subprotocol in common."""
    offered = offered_protocols(request, "Sec-WebSocket-Protocol")
    protocol = channels.chosen(offered, channels.COMMAND_PROTOCOLS)
    if protocol is None:
        raise _no_protocol(offered, [each.name for each in channels.COMMAND_PROTOCOLS])
    websocket = await open_websocket(request, protocol.name)
    client = _WebSocketClient(websocket, protocol, options)
    status: JsonObject | None
    try:
        status = await sessions.run(status_of(run, client.streams()), pod, client.read())
    except Interrupted:
        status = None if websocket.closed else channels.exit_status(KILLED)
    with contextlib.suppress(ConnectionError):
        if status is not None and (text := channels.end_text(status, protocol.version)):
            await client.send(channels.ERROR, text)
        await websocket.close()
    return websocket


class _WebSocketClient:
    """One client's channels."""

    def __init__(self, websocket: web.WebSocketResponse, protocol: Subprotocol, options: CommandOptions) -> None:
        self._websocket = websocket
        self._protocol = protocol
        self._options = options
        self._stdin = Feed(STDIN_CHUNKS)
        self._sizes = Sizes()

    def streams(self) -> Streams:
        options = self._options
        return Streams(
            stdin=self._stdin.chunks() if options.stdin else None,
            stdout=self._writer(channels.STDOUT) if options.stdout else None,
            stderr=self._writer(channels.STDERR) if options.stderr else None,
            tty=options.tty,
            resizes=self._sizes.sizes() if options.tty else None,
        )

    def _writer(self, channel: int) -> Callable[[bytes], Awaitable[None]]:
        async def write(data: bytes) -> None:
            if data:
                await self.send(channel, data)

        return write

    async def send(self, channel: int, data: bytes) -> None:
        """Raises ConnectionError."""
        message = self._protocol.encode(channel, data)
        if isinstance(message, str):
            await self._websocket.send_str(message)
        else:
            await self._websocket.send_bytes(message)

    async def read(self) -> None:
        """Until the client leaves or sends what means nothing."""
        while True:
            message = await self._websocket.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            if not message.data:
                continue
            try:
                await self._take(*self._protocol.decode(message.data))
            except ChannelError as error:
                log.info("a client's channels end: %s", error)
                return

    async def _take(self, channel: int, data: bytes) -> None:
        if channel == channels.STDIN and self._options.stdin:
            await self._stdin.put(data)
        elif channel == channels.RESIZE and self._options.tty:
            self._sizes.put(data)
        elif channel == channels.CLOSE and data[0] == channels.STDIN and self._options.stdin:
            await self._stdin.end()


# -- SPDY --------------------------------------------------------------------------------------------------------


async def serve_spdy(
    request: web.BaseRequest, sessions: Sessions, pod: JsonObject, options: CommandOptions, run: Run
) -> web.StreamResponse:
    """Raises Forbidden when client and server have no version in common."""
    name = stream_protocol(request, STREAM_PROTOCOLS)
    version = 4 - STREAM_PROTOCOLS.index(name)
    tunnel = await RawTunnel(request, {"Upgrade": SPDY, VERSION_HEADER: name}).open()
    session = SpdySession(tunnel)
    client = _SpdyClient(session, options, version)
    try:
        await sessions.run(client.serve(run), pod, session.read_all(client.opened))
    except Interrupted:
        with contextlib.suppress(ConnectionError):
            await client.tell(channels.exit_status(KILLED))
    except TimeoutError:
        log.info("a client did not open its streams")
    with contextlib.suppress(Interrupted):
        await sessions.run(session.close(), None)
    return tunnel.response


class _SpdyClient:
    """One client's streams, by their types."""

    def __init__(self, session: SpdySession, options: CommandOptions, version: int) -> None:
        self._session = session
        self._options = options
        self._version = version
        asked = {"stdin": options.stdin, "stdout": options.stdout, "stderr": options.stderr}
        self._wanted = {"error", *(name for name, is_asked in asked.items() if is_asked)}
        if options.tty and version >= 3:
            self._wanted.add("resize")
        self._streams: dict[str, SpdyStream] = {}
        self._complete = asyncio.Event()

    def opened(self, stream: SpdyStream) -> bool:
        type = stream.headers.get("streamtype", "")
        if type not in self._wanted or type in self._streams:
            return False
        self._streams[type] = stream
        if self._wanted == self._streams.keys():
            self._complete.set()
        return True

    async def serve(self, run: Run) -> None:
        """Raises TimeoutError when the client does not open every stream it must."""
        async with asyncio.timeout(STREAMS_SECONDS):
            await self._complete.wait()
        sizes = Sizes()
        streams = Streams(
            stdin=self._input() if self._options.stdin else None,
            stdout=self._streams["stdout"].write if self._options.stdout else None,
            stderr=self._streams["stderr"].write if self._options.stderr else None,
            tty=self._options.tty,
            resizes=sizes.sizes() if self._options.tty else None,
        )
        if "resize" not in self._streams:
            await self.tell(await status_of(run, streams))
            return
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read_sizes(sizes))
            status = await status_of(run, streams)
            reader.cancel()
        await self.tell(status)

    async def _input(self) -> AsyncIterator[bytes]:
        with contextlib.suppress(StreamReset):
            while data := await self._streams["stdin"].read():
                yield data

    async def _read_sizes(self, sizes: Sizes) -> None:
        with contextlib.suppress(StreamReset, ChannelError):
            while data := await self._streams["resize"].read():
                sizes.put(data)

    async def tell(self, status: JsonObject) -> None:
        """End every stream of ours, the error stream last, with how the command ended."""
        with contextlib.suppress(ConnectionError):
            for type in ("stdout", "stderr"):
                if stream := self._streams.get(type):
                    await stream.finish()
            if error := self._streams.get("error"):
                await error.write(channels.end_text(status, self._version))
                await error.finish()


def stream_protocol(request: web.BaseRequest, known: tuple[str, ...]) -> str:
    """The first version the client offers that is known; the oldest when it offers none. Raises Forbidden."""
    offered = offered_protocols(request, VERSION_HEADER)
    if not offered:
        return known[-1]
    found = next((name for name in offered if name in known), None)
    if found is None:
        raise _no_protocol(offered, known)
    return found


def _no_protocol(offered: list[str], known: list[str] | tuple[str, ...]) -> Forbidden:
    return Forbidden(
        "unable to upgrade: unable to negotiate protocol: "
        f"client supports [{' '.join(offered)}], server accepts [{' '.join(known)}]"
    )

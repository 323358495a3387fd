"""port-forward: connections to a pod's ports, carried by SPDY (raw or inside a WebSocket) or by WebSocket channels.

Each connection is on its own: a port that refuses is told on its error stream and harms no other.
Source: k8s.io/kubelet pkg/cri/streaming/portforward, k8s.io/client-go tools/portforward (what clients wait for).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from emulator.api.errors import ApiError, BadRequest
from emulator.api.meta import JsonObject
from emulator.apiserver import channels
from emulator.apiserver.channels import ChannelError, Subprotocol
from emulator.apiserver.goerrors import dial_error
from emulator.apiserver.io.remotecommand import VERSION_HEADER, Feed, stream_protocol
from emulator.apiserver.io.sessions import Interrupted, Sessions, first
from emulator.apiserver.io.spdysession import SpdySession, SpdyStream
from emulator.apiserver.io.upgrade import (
    SPDY,
    Tunnel,
    WebSocketTunnel,
    offered_protocols,
    open_websocket,
)
from emulator.apiserver.portforward import PAIR_SECONDS, PROTOCOL, TUNNEL_PROTOCOL, Pair, Pairs, Rejected, failure_text
from emulator.io.clock import now
from emulator.io.pump import reset_on_close
from emulator.io.rawtunnel import RawTunnel
from emulator.io.tasks import TaskOwner

log = logging.getLogger(__name__)

PIECE_BYTES = 64 * 1024
INPUT_CHUNKS = 16
MAX_CHANNEL_PORTS = 100  # a channel's number is one byte, and each port has two
CONNECT_SECONDS = 30.0

Connection = Awaitable[socket.socket]
Connect = Callable[[int], Connection]


async def serve_spdy(
    request: web.BaseRequest, sessions: Sessions, pod: JsonObject, connect: Connect
) -> web.StreamResponse:
    """A POST that becomes SPDY."""
    name = stream_protocol(request, (PROTOCOL,))
    tunnel = await RawTunnel(request, {"Upgrade": SPDY, VERSION_HEADER: name}).open()
    return await _serve_tunnel(tunnel, sessions, pod, connect)


async def serve_websocket(
    request: web.BaseRequest, sessions: Sessions, pod: JsonObject, connect: Connect, ports: Callable[[], Sequence[int]]
) -> web.StreamResponse:
    """A WebSocket that carries SPDY, or channels for the ports named in the URL."""
    offered = offered_protocols(request, "Sec-WebSocket-Protocol")
    if TUNNEL_PROTOCOL in offered:
        websocket = await open_websocket(request, TUNNEL_PROTOCOL)
        return await _serve_tunnel(WebSocketTunnel(websocket), sessions, pod, connect)
    protocol = channels.chosen(offered, channels.FORWARD_PROTOCOLS)
    if protocol is None:
        raise BadRequest(f"unable to upgrade: the subprotocols [{' '.join(offered)}] are not known")
    numbers = ports()
    if len(numbers) > MAX_CHANNEL_PORTS:
        raise BadRequest(f"at most {MAX_CHANNEL_PORTS} ports can be forwarded at once")
    websocket = await open_websocket(request, protocol.name)
    client = _ChannelClient(websocket, protocol, numbers)
    with contextlib.suppress(Interrupted):
        await sessions.run(client.serve(pod, connect), pod, client.read())
    with contextlib.suppress(ConnectionError):
        await websocket.close()
    return websocket


# -- SPDY --------------------------------------------------------------------------------------------------------


async def _serve_tunnel(tunnel: Tunnel, sessions: Sessions, pod: JsonObject, connect: Connect) -> web.StreamResponse:
    session = SpdySession(tunnel)
    client = _SpdyClient(session, pod, connect)
    try:
        with contextlib.suppress(Interrupted):
            await sessions.run(session.read_all(client.opened), pod, client.drop_overdue())
    finally:
        await client.close()
    with contextlib.suppress(Interrupted):
        await sessions.run(session.close(), None)
    return tunnel.response


class _SpdyClient:
    """One client's connections."""

    def __init__(self, session: SpdySession, pod: JsonObject, connect: Connect) -> None:
        self._session = session
        self._pod = pod
        self._connect = connect
        self._pairs = Pairs()
        self._tasks = TaskOwner("port-forward connections")

    def opened(self, stream: SpdyStream) -> bool:
        try:
            pair = self._pairs.opened(stream.id, stream.headers, now())
        except Rejected as error:
            log.info("a stream of a port-forward is refused: %s", error)
            return False
        if pair is not None:
            self._tasks.start(self._forward(pair))
        return True

    async def drop_overdue(self) -> None:
        while True:
            await asyncio.sleep(PAIR_SECONDS)
            for id in self._pairs.overdue(now()):
                if stream := self._session.streams.get(id):
                    await stream.reset()

    async def _forward(self, pair: Pair) -> None:
        data, error = self._session.streams.get(pair.data), self._session.streams.get(pair.error)
        if data is None or error is None:  # reset at once
            return
        try:
            sock = await _connected(self._connect, pair.port, self._pod)
        except _Unreachable as failure:
            with contextlib.suppress(ConnectionError):
                await error.write(str(failure).encode())
        else:
            try:
                await _copy(sock, data.read, data.write, data.finish)
            finally:
                sock.close()
        with contextlib.suppress(ConnectionError):
            await data.finish()
            await error.finish()

    async def close(self) -> None:
        await self._tasks.close()


class _Unreachable(Exception):
    """The pod's port cannot be reached; the text is for the client."""


async def _connected(connect: Connect, port: int, pod: JsonObject) -> socket.socket:
    """Raises _Unreachable."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connect(port)
    except Exception as error:  # whatever it is, the client waits to hear of it
        if not isinstance(error, OSError | ApiError | TimeoutError):
            log.exception("port %d of a pod could not be reached", port)
        why = str(error) if isinstance(error, ApiError) else dial_error(error, "127.0.0.1", port)
        metadata = pod["metadata"]
        raise _Unreachable(failure_text(port, metadata["name"], metadata.get("uid", ""), why)) from error


async def _copy(
    sock: socket.socket,
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    finish: Callable[[], Awaitable[None]],
) -> None:
    """Carry bytes both ways until both have ended or one broke; `read` gives b"" at the client's end."""
    loop = asyncio.get_running_loop()

    async def to_pod() -> None:
        while data := await read():
            await loop.sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)

    async def from_pod() -> None:
        while data := await loop.sock_recv(sock, PIECE_BYTES):
            await write(data)
        await finish()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(to_pod())
            group.create_task(from_pod())
    except* OSError:  # broken on either side: the other is to see it
        reset_on_close(sock)


# -- channels ----------------------------------------------------------------------------------------------------


class _ChannelClient:
    """Channels 2i and 2i+1 are the data and the error of the i-th port."""

    def __init__(self, websocket: web.WebSocketResponse, protocol: Subprotocol, ports: Sequence[int]) -> None:
        self._websocket = websocket
        self._protocol = protocol
        self._ports = ports
        self._inputs = [Feed(INPUT_CHUNKS) for _ in ports]

    async def _send(self, channel: int, data: bytes) -> None:
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
                channel, data = self._protocol.decode(message.data)
            except ChannelError as error:
                log.info("a client's channels end: %s", error)
                return
            ended = channel == channels.CLOSE
            number = data[0] if ended else channel
            if number % 2 == 0 and number // 2 < len(self._inputs):
                feed = self._inputs[number // 2]
                await (feed.end() if ended else feed.put(data))

    async def serve(self, pod: JsonObject, connect: Connect) -> None:
        """Until every connection has ended."""
        with contextlib.suppress(ConnectionError):
            for number, port in enumerate(self._ports):
                for channel in (2 * number, 2 * number + 1):
                    await self._send(channel, channels.port_greeting(port))
        async with asyncio.TaskGroup() as group:
            for number, port in enumerate(self._ports):
                group.create_task(self._forward(number, port, pod, connect))

    async def _forward(self, number: int, port: int, pod: JsonObject, connect: Connect) -> None:
        try:
            sock = await _connected(connect, port, pod)
        except _Unreachable as failure:
            with contextlib.suppress(ConnectionError):
                await self._send(2 * number + 1, str(failure).encode())
            return
        chunks = self._inputs[number].chunks()

        async def read() -> bytes:
            return await anext(chunks, b"")

        async def write(data: bytes) -> None:
            await self._send(2 * number, data)

        # A channel has no end of its own in v4: the connection is over once the pod has ended its side.
        over = asyncio.Event()

        async def finish() -> None:
            over.set()

        try:
            with contextlib.suppress(Interrupted):
                await first(_copy(sock, read, write, finish), over.wait())
        finally:
            sock.close()

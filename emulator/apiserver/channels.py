"""Channels in WebSocket messages: the subprotocols of exec, attach and port-forward, and how a command's end is told.

The first byte of a message is its channel. No I/O; whatever a client sends raises nothing but ChannelError.
Source: k8s.io/apimachinery pkg/util/remotecommand/constants.go, k8s.io/apiserver pkg/util/wsstream/conn.go,
k8s.io/kubelet pkg/cri/streaming/remotecommand.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from emulator.api.meta import JsonObject

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255  # v5: the channel in the second byte has ended
MAX_RESIZE_BYTES = 4096
MAX_COLUMNS = 0xFFFF


class ChannelError(Exception):
    """A message that means nothing in the subprotocol."""


@dataclass(frozen=True, slots=True)
class Subprotocol:
    """name: as in Sec-WebSocket-Protocol, "" when the client named none; version: decides how the end is told."""

    name: str
    version: int
    base64: bool = False

    @property
    def has_close(self) -> bool:
        return self.version >= 5

    def encode(self, channel: int, data: bytes) -> bytes | str:
        """The message; bytes go out as a binary one, text as a text one."""
        if self.base64:
            return f"{channel}{base64.b64encode(data).decode()}"
        return bytes((channel,)) + data

    def decode(self, message: bytes | str) -> tuple[int, bytes]:
        """The channel and its bytes; CLOSE with the number of a channel that ended. Raises ChannelError.

        Clients in Python send text messages in a binary subprotocol too.
        """
        raw = message.encode("utf-8", "surrogateescape") if isinstance(message, str) else message
        if not raw:
            raise ChannelError("a message without a channel")
        channel, data = raw[0], raw[1:]
        if self.base64:
            channel -= ord("0")
            if not 0 <= channel <= 9:
                raise ChannelError("a message that begins with no digit")
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise ChannelError(f"a message that is not base64: {error}") from error
        if channel == CLOSE and (not self.has_close or len(data) != 1):
            raise ChannelError("the end of a channel is not told so")
        return channel, data


V5 = Subprotocol("v5.channel.k8s.io", 5)
V4 = Subprotocol("v4.channel.k8s.io", 4)
V4_BASE64 = Subprotocol("v4.base64.channel.k8s.io", 4, base64=True)
OLD = Subprotocol("channel.k8s.io", 1)
OLD_BASE64 = Subprotocol("base64.channel.k8s.io", 1, base64=True)
UNNAMED = Subprotocol("", 1)
COMMAND_PROTOCOLS = (V5, V4, V4_BASE64, OLD, OLD_BASE64)
FORWARD_PROTOCOLS = (V4, V4_BASE64, V5)  # v5 because clients offer it first; it has the same channels here


def chosen(offered: Iterable[str], known: Iterable[Subprotocol]) -> Subprotocol | None:
    """The first offered that is known; UNNAMED when none was offered; None when they have none in common."""
    by_name = {protocol.name: protocol for protocol in known}
    names = [name for name in offered if name]
    if not names:
        return UNNAMED
    return next((by_name[name] for name in names if name in by_name), None)


class Resizes:
    """Sizes of a terminal from a stream of JSON objects, cut anywhere."""

    def __init__(self) -> None:
        self._text = ""
        self._decoder = json.JSONDecoder()

    def receive(self, data: bytes) -> Iterator[tuple[int, int]]:
        """(columns, rows) of every complete object. Raises ChannelError."""
        self._text = (self._text + data.decode("utf-8", "replace")).lstrip()
        while self._text:
            try:
                found, end = self._decoder.raw_decode(self._text)
            except (json.JSONDecodeError, RecursionError) as error:
                if len(self._text) > MAX_RESIZE_BYTES:
                    raise ChannelError("the size of a terminal is no JSON") from error
                return
            self._text = self._text[end:].lstrip()
            columns, rows = _size(found, "Width"), _size(found, "Height")
            if columns and rows:
                yield columns, rows


def _size(found: Any, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    return value if type(value) is int and 0 < value <= MAX_COLUMNS else 0


def port_greeting(port: int) -> bytes:
    """What the server sends first on both channels of a forwarded port."""
    return struct.pack("<H", port)


# -- how a command ended -----------------------------------------------------------------------------------------


def exit_status(code: int) -> JsonObject:
    """The Status of an exit code."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def end_text(status: JsonObject, version: int) -> bytes:
    """What the error channel or stream carries: the Status from version 4 on, before that only what went wrong."""
    if version >= 4:
        return json.dumps(status, separators=(",", ":")).encode()
    return b"" if status.get("status") == "Success" else str(status.get("message") or "").encode()

"""A client's request and the way back to it, whatever version of HTTP the client speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from emulator.ingress.model import Header

BODY_SECONDS = 60.0  # nginx client_body_timeout: between two pieces of a client's body
SEND_SECONDS = 60.0  # nginx send_timeout: until a client takes something of an answer


class BrokenBody(Exception):
    """The client's body cannot be read to its end; `status` says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Tunnel(Protocol):
    """The client's connection after `101 Switching Protocols`."""

    async def read(self) -> bytes:
        """What came next, b"" at the end."""
        ...

    async def write(self, data: bytes) -> None: ...


class Incoming(Protocol):
    """One request. Exactly one answer is begun; a client that has gone away raises ConnectionError."""

    @property
    def method(self) -> str: ...

    @property
    def begun(self) -> bool:
        """Whether something of the answer was sent."""
        ...

    @property
    def headers(self) -> Iterable[Header]:
        """As the client sent them."""
        ...

    @property
    def has_body(self) -> bool: ...

    def whole_body(self) -> bytes | None:
        """The body when all of it is here; None while more is to come."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, when it was not here whole. Raises BrokenBody."""
        ...

    async def go_on(self) -> None:
        """Tell the client to send the body, if it waits for that."""
        ...

    async def begin(
        self, status: int, reason: str, headers: Iterable[Header], *, sized: bool, data: bytes = b"", ends: bool = False
    ) -> None:
        """The answer's head and `data`, the first of its body. sized: a header tells the length, or there is no body.

        ends: nothing follows. Raises BadMessage, before anything is sent, for headers that are none.
        """
        ...

    async def write(self, data: bytes) -> None:
        """More of the body, after `begin`."""
        ...

    async def end(self, trailers: Sequence[Header] = ()) -> None:
        """Nothing more, after `begin` without `ends`."""
        ...

    def close_after(self) -> None:
        """No other request is taken from this connection. To be called before `begin`."""
        ...

    def abort(self) -> None:
        """Break off an answer that cannot be completed, so that the client does not take it for whole."""
        ...

    async def tunnel(self, headers: Iterable[Header]) -> Tunnel:
        """Answer 101 and take the connection over."""
        ...

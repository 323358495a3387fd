"""The answer to one HTTP/1 request, out of the bytes of a connection. No I/O."""

from __future__ import annotations

from emulator.ingress.bodies import Body, OpenBody, body_of
from emulator.ingress.messages import (
    FINAL,
    MAX_HEAD_BYTES,
    SWITCHING,
    UNTIL_CLOSE,
    BadMessage,
    ResponseHead,
    head_end,
    parse_response,
)
from emulator.ingress.model import Header


class ResponseReader:
    """Fed what the backend sends after a request with `method`.

    head: None until it is complete; answers before the final one (100, 103) are passed over. begun: something has come.
    After 101 the bytes of the other protocol are the body, which lasts until the connection does.
    """

    __slots__ = ("_body", "_held", "_method", "begun", "head")

    def __init__(self, method: str) -> None:
        self.head: ResponseHead | None = None
        self.begun = False
        self._method = method
        self._held = b""
        self._body: Body = OpenBody()

    @property
    def ended(self) -> bool:
        return self._body.ended

    @property
    def trailers(self) -> list[Header]:
        return self._body.trailers

    @property
    def excess(self) -> bool:
        """More came than belongs to the answer."""
        return self._body.excess

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.head is not None and self.head.keep_alive and self._body.ended and not self._body.excess

    def feed(self, data: bytes) -> bytes:
        """The part of the body in `data`. Raises BadMessage."""
        if self.head is None:
            self.begun = True
            data = self._feed_head(self._held + data)
        return self._body.feed(data) if data else b""

    def feed_eof(self) -> None:
        """The backend has closed. Raises BadMessage when that was too early."""
        if self.head is not None and isinstance(self._body, OpenBody):
            self._body.ended = True
        if not self._body.ended:
            raise BadMessage("the backend closed the connection")

    def _feed_head(self, data: bytes) -> bytes:
        """What comes behind the head."""
        while end := head_end(data):
            head = parse_response(data[:end], self._method)
            data = data[end:]
            if head.status >= FINAL or head.status == SWITCHING:
                self._held = b""
                self.head = head
                self._body = body_of(UNTIL_CLOSE if head.status == SWITCHING else head.length)
                return data
        if len(data) > MAX_HEAD_BYTES:
            raise BadMessage(f"the head of the backend's answer is longer than {MAX_HEAD_BYTES} bytes")
        self._held = data
        return b""

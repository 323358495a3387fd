"""Answers of the ingress itself: nginx' short pages, redirects."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from emulator.ingress.io.incoming import Incoming
from emulator.ingress.messages import EMPTY, BadMessage
from emulator.ingress.model import Header, Redirect, Respond

REASONS = {
    302: "Found",
    413: "Request Entity Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
"""Where nginx' words differ from the registry's."""


def page(status: int) -> str:
    """nginx' page of a status."""
    title = f"{status} {reason_of(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


def reason_of(status: int) -> str:
    if status in REASONS:
        return REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


async def send(incoming: Incoming, decision: Respond | Redirect, more: tuple[Header, ...] = ()) -> None:
    """The answer that a decision stands for. more: headers besides its own."""
    location = (("Location", decision.location),) if isinstance(decision, Redirect) else ()
    body = decision.body if isinstance(decision, Respond) else ""
    await answer(incoming, decision.status, body, (*location, *more, *decision.headers))


async def answer(
    incoming: Incoming, status: int, body: str = "", headers: Iterable[Header] = (), *, close: bool = False
) -> None:
    """A short answer, nginx' page unless there is a body. close: nothing more is read from this connection."""
    sent = list(headers)
    data = b""
    if status not in EMPTY:
        data = (body or (page(status) if status >= HTTPStatus.MULTIPLE_CHOICES else "")).encode()
        if not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("Content-Type", "text/plain" if body else "text/html"))
        sent.append(("Content-Length", str(len(data))))
    if close:
        incoming.close_after()
    if incoming.method == "HEAD":
        data = b""
    try:
        await incoming.begin(status, reason_of(status), sent, sized=True, data=data, ends=True)
    except BadMessage:  # a header that the request made impossible, such as a Location with a line break
        await answer(incoming, HTTPStatus.BAD_REQUEST, close=True)

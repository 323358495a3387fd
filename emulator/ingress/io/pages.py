"""Answers of the ingress itself: nginx' short pages, redirects."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from emulator.ingress.io.incoming import Incoming
from emulator.ingress.messages import EMPTY, BadMessage
from emulator.ingress.model import Header, Redirect, Respond
from emulator.ingress.requests import HEADERS_TOO_LARGE

REASONS = {
    302: "Found",
    405: "Not Allowed",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
"""Where nginx' words differ from the registry's."""


OWN = {HEADERS_TOO_LARGE: "Request Header Or Cookie Too Large"}
"""nginx' own statuses, which clients see as 400 with these words."""
CLOSING = frozenset((400, HEADERS_TOO_LARGE, 405, 408, 413, 414, 501, 505))
"""After these nothing more is read from the connection."""


def page(status: int) -> str:
    """nginx' page of a status."""
    shown = f"{status_of(status)} {reason_of(status_of(status))}"
    title, more = (f"400 {OWN[status]}", f"<center>{OWN[status]}</center>\r\n") if status in OWN else (shown, "")
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{shown}</h1></center>\r\n{more}"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


def status_of(status: int) -> int:
    """What clients see of a status."""
    return 400 if status in OWN else status


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


async def answer(incoming: Incoming, status: int, body: str = "", headers: Iterable[Header] = ()) -> None:
    """A short answer, nginx' page unless there is a body."""
    sent = list(headers)
    data = b""
    if status not in EMPTY:
        data = (body or (page(status) if status >= HTTPStatus.MULTIPLE_CHOICES else "")).encode()
        if not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("Content-Type", "text/plain" if body else "text/html"))
        sent.append(("Content-Length", str(len(data))))
    if status in CLOSING:
        incoming.close_after()
    if incoming.method == "HEAD":
        data = b""
    shown = status_of(status)
    try:
        await incoming.begin(shown, reason_of(shown), sent, sized=True, data=data, ends=True)
    except BadMessage:  # a header that the request made impossible, such as a Location with a line break
        await answer(incoming, HTTPStatus.BAD_REQUEST)

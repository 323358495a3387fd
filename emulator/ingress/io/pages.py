"""Answers of the ingress itself: nginx' short pages, redirects."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from emulator.ingress.io.exchange import Answer
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
    title = f"{status} {_reason(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


def _reason(status: int) -> str:
    if status in REASONS:
        return REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


async def send(request: web.BaseRequest, decision: Respond | Redirect) -> web.StreamResponse:
    """The answer that a decision stands for."""
    location = (("Location", decision.location),) if isinstance(decision, Redirect) else ()
    body = decision.body if isinstance(decision, Respond) else ""
    return await answer(request, decision.status, body, (*location, *decision.headers))


async def answer(
    request: web.BaseRequest, status: int, body: str = "", headers: Iterable[Header] = (), *, close: bool = False
) -> web.StreamResponse:
    """A short answer, nginx' page unless there is a body. close: nothing more is read from this connection."""
    response = Answer(status=status, reason=_reason(status) or None)
    for name, value in headers:
        response.headers.add(name, value)
    data = b"" if status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) else (body or _default(status)).encode()
    if data:
        response.headers.setdefault("Content-Type", "text/plain" if body else "text/html")
        response.content_length = len(data)
    if close:
        response.force_close()
    await response.prepare(request)
    await response.write_eof(b"" if request.method == "HEAD" else data)
    return response


def _default(status: int) -> str:
    return page(status) if status >= HTTPStatus.MULTIPLE_CHOICES else ""

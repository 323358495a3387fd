"""gRPC health checks: the request as a server reads it, answers whole and byte by byte."""

from __future__ import annotations

import pytest

from emulator.node.grpchealth import NOT_IMPLEMENTED, PREFACE, Answer, request

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
HEADERS = b"\0\0\x01\x01\x04\0\0\0\x01\x88"
TRAILERS = b"\0\0\x01\x01\x05\0\0\0\x01\x88"


def data(status: int) -> bytes:
    message = bytes((0x08, status)) if status else b""
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return len(body).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + body


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (1, ""),
        (2, 'service unhealthy (responded with "NOT_SERVING")'),
        (0, 'service unhealthy (responded with "UNKNOWN")'),
        (3, 'service unhealthy (responded with "SERVICE_UNKNOWN")'),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_answers(status: int, problem: str, size: int) -> None:
    answer, text, sent = Answer(), SETTINGS + HEADERS + data(status) + TRAILERS, b""
    for at in range(0, len(text), size):
        answer.feed(text[at : at + size])
        sent += answer.send
    assert (answer.done, answer.problem, answer.healthy) == (True, problem, not problem)
    assert sent == b"\0\0\0\x04\x01\0\0\0\0"  # the server's settings acknowledged


def test_a_server_without_the_service() -> None:
    answer = Answer()
    answer.feed(SETTINGS + TRAILERS)
    assert (answer.done, answer.problem) == (True, NOT_IMPLEMENTED)


def test_what_is_not_http2() -> None:
    with pytest.raises(ValueError, match="does not speak HTTP/2"):
        Answer().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_the_request_has_its_frames() -> None:
    text = request("10.1.0.3:9090", "shop", "probe")
    assert text.startswith(PREFACE)
    rest, kinds = text[len(PREFACE) :], []
    while rest:
        length = int.from_bytes(rest[:3], "big")
        kinds.append((rest[3], rest[4], rest[9 : 9 + length]))
        rest = rest[9 + length :]
    assert [(kind, flags) for kind, flags, _ in kinds] == [(4, 0), (1, 4), (0, 1)]
    assert kinds[2][2] == b"\0\0\0\0\x06\x0a\x04shop"
    assert b"/grpc.health.v1.Health/Check" in kinds[1][2]

"""Network errors as Go's net package words them, which is how upstream tells them to clients. No I/O."""

from __future__ import annotations

import errno

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EINVAL: "invalid argument",
    errno.EMFILE: "too many open files",
}


def host_port(host: str, port: int | str) -> str:
    """`10.1.0.5:80`, `[fd00::5]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dial_error(error: BaseException, host: str, port: int) -> str:
    """`dial tcp 10.1.0.5:80: connect: connection refused`."""
    begin = f"dial tcp {host_port(host, port)}: "
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError) or number == errno.ETIMEDOUT:
        return f"{begin}i/o timeout"
    if isinstance(error, ConnectionRefusedError):
        number = errno.ECONNREFUSED
    if number in _WORDS:
        return f"{begin}connect: {_WORDS[number]}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{begin}connect: {text.lower() if number else text}"

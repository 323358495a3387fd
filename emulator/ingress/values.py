"""How the values of annotations are read. Each reader raises ValueError, saying what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from emulator.ingress.cors import ORIGIN
from emulator.ingress.model import Network
from emulator.ingress.regexes import InvalidPattern, compile_header

Reader = Callable[[str], Any]

TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
SIZE = re.compile(r"(\d+)([kKmMgG]?)")
FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
ALIAS = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|~\S+")
HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
TIME = re.compile(r"(\d+)(ms|[smhdwMy])")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
NEXT_UPSTREAM = (
    "error", "timeout", "invalid_header", "http_500", "http_502", "http_503", "http_504", "http_403", "http_404",
    "http_429", "non_idempotent", "off",
)  # fmt: skip


def boolean(text: str) -> bool:
    if text not in (*TRUE, *FALSE):
        raise ValueError('must be "true" or "false"')
    return text in TRUE


def on_off(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError('must be "on" or "off"')
    return text == "on"


def number(least: int = 0, most: int = 2**31 - 1) -> Reader:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError('must be a number of seconds without a unit, such as "60"')
    return float(text)


def size(text: str) -> int:
    """Bytes; 0 is no limit."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError('must be a size such as "8m", "512k" or "0" for no limit')
    return int(match[1]) * FACTORS[match[2].lower()]


def one_of(*allowed: str) -> Reader:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def number_of(*allowed: int) -> Reader:
    def read(text: str) -> int:
        return int(one_of(*map(str, allowed))(text))

    return read


def method(text: str) -> str:
    return str(one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE")(text))


def protocol(text: str) -> str:
    return str(one_of("HTTP", "HTTPS", "AUTO_HTTP", "GRPC", "GRPCS", "FCGI")(text.strip().upper()))


def words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def next_upstream(text: str) -> tuple[str, ...]:
    found = tuple(text.split())
    if not found or any(word not in NEXT_UPSTREAM for word in found):
        raise ValueError(f"must be words of {', '.join(NEXT_UPSTREAM)}")
    return found


def networks(text: str) -> tuple[Network, ...]:
    try:
        found = tuple(ipaddress.ip_network(part, strict=False) for part in words(text))
    except ValueError as error:
        raise ValueError(f"must be addresses or CIDR ranges separated by commas ({error})") from error
    if not found:
        raise ValueError("must be addresses or CIDR ranges separated by commas")
    return found


def header_names(text: str) -> tuple[str, ...]:
    found = words(text)
    if any(not HEADER_NAME.fullmatch(name) for name in found):
        raise ValueError('must be names of headers separated by commas, such as "X-User, X-Email"')
    return found


def header(text: str) -> str:
    """In lower case, as headers of requests are looked up."""
    if not HEADER_NAME.fullmatch(text):
        raise ValueError('must be the name of a header, such as "X-Real-IP"')
    return text.lower()


def cache_durations(text: str) -> tuple[tuple[int, float], ...]:
    """Statuses and seconds, as in proxy_cache_valid: codes, then a time; one without codes is for 200, 301 and 302."""
    found: dict[int, float] = {}
    for entry in words(text):
        parts = entry.split()
        codes = [part for part in parts if re.fullmatch(r"\d{3}", part)]
        times = [TIME.fullmatch(part) for part in parts[len(codes) :]]
        if parts[: len(codes)] != codes or not times or None in times:
            raise ValueError('must be codes with a time, separated by commas, such as "200 202 10m, 401 5m"')
        seconds = sum(int(time[1]) * UNITS[time[2]] for time in times if time)
        found |= dict.fromkeys((int(code) for code in codes or ("200", "301", "302")), float(seconds))
    if not found:
        raise ValueError('must be codes with a time, separated by commas, such as "200 202 10m, 401 5m"')
    return tuple(found.items())


def codes(text: str) -> tuple[int, ...]:
    found = words(text)
    if not found or any(not re.fullmatch(r"[345]\d\d", code) for code in found):
        raise ValueError('must be HTTP status codes separated by commas, such as "404,503"')
    return tuple(int(code) for code in found)


def origins(text: str) -> tuple[str, ...]:
    """Those that lack a scheme are taken here, and allowed by nobody."""
    found = words(text)
    if not found or any(not re.fullmatch(rf"{ORIGIN.pattern}|(?:\*\.)?[A-Za-z0-9.-]*(?::\d+)?", one) for one in found):
        raise ValueError('must be "*" or origins such as "https://app.example.com" separated by commas')
    return found


def listed(what: str, one: str) -> Reader:
    """Text that is a list, kept as it was written."""

    def read(text: str) -> str:
        if not re.fullmatch(rf"(?:{one},?)+", text.replace(" ", "")):
            raise ValueError(f"must be {what} separated by commas")
        return text.strip()

    return read


def aliases(text: str) -> tuple[str, ...]:
    found = words(text)
    if any(not ALIAS.fullmatch(alias) for alias in found):
        raise ValueError("must be host names separated by commas")
    return tuple(dict.fromkeys(alias.lower() for alias in found))


def url(text: str) -> str:
    text = text.strip()
    if not re.fullmatch(r"\$?\w[\w+.$-]*://[^\s{}]+(?:\{\w+\}[^\s]*)?", text):
        raise ValueError("must be a URL such as https://example.com/path")
    return text


def url_or_path(text: str) -> str:
    """A path is one of the host that was asked."""
    return path(text) if text.startswith("/") else url(text)


def path(text: str) -> str:
    text = text.strip()
    if not text.startswith("/") or re.search(r"\s", text):
        raise ValueError('must be a path such as "/app"')
    return text


def word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("may hold only letters, digits, - and _")
    return text


def plain(text: str) -> str:
    text = text.strip()
    if re.search(r"[\r\n\0]", text):
        raise ValueError("must be one line")
    return text


def reference(text: str) -> str:
    """A name, or NAMESPACE/NAME."""
    if not re.fullmatch(r"[a-z0-9.-]+(?:/[a-z0-9.-]+)?", text):
        raise ValueError("must be a name, or a namespace and a name separated by a slash")
    return text


def variables(text: str) -> str:
    """Text made of nginx' variables."""
    if not re.fullmatch(r"[A-Za-z0-9_${}-]*", text):
        raise ValueError("may hold only variables, letters, digits, - and _")
    return text


def basic(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~/:-]+", text):
        raise ValueError("may hold only letters, digits and . _ ~ / : -")
    return text


def ciphers(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+:_!-]+", text):
        raise ValueError('must be names of ciphers as OpenSSL has them, such as "HIGH:!MD5"')
    return text


def tls_versions(text: str) -> tuple[str, ...]:
    found = tuple(sorted(set(text.split())))
    if not found or not {*found} <= {"TLSv1.2", "TLSv1.3"}:
        raise ValueError("must be words of TLSv1.2, TLSv1.3")
    return found


def pattern(text: str) -> re.Pattern[str]:
    try:
        return compile_header(text)
    except InvalidPattern as error:
        raise ValueError(f"is no regular expression: {error}") from error

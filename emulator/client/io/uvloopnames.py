"""Cluster names on uvloop, which looks names up by itself and never asks Python's getaddrinfo.

Only while hostnames.patched is open, and only if somebody has imported uvloop. Addresses found go on as addresses;
every other name goes uvloop's own way.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Find = Callable[[str, int], Awaitable["tuple[str, list[tuple[int, str]]]"]]
"""(name, family) -> the name to go on with and the addresses that are known; none for a name of others."""


class UvloopPatch:
    """Puts methods on uvloop.Loop, and takes them off again."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._loop_class: Any = None

    def install(self) -> None:
        uvloop = sys.modules.get("uvloop")
        if uvloop is None or self._loop_class is not None:
            return
        self._loop_class = uvloop.Loop
        base, find = uvloop.Loop.__mro__[1], self._find

        async def getaddrinfo(
            loop: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
        ) -> Any:
            options = {"type": type, "proto": proto}
            name, found = await find(host, family) if _is_name(host, flags) else (host, [])
            if not found:
                return await base.getaddrinfo(loop, name, port, family=family, flags=flags, **options)
            entries: list[Any] = []
            for held, address in found:
                flags |= socket.AI_NUMERICHOST
                entries += await base.getaddrinfo(loop, address, port, family=held, flags=flags, **options)
            return entries

        async def create_connection(loop: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
            if _is_name(host, 0):
                name, found = await find(host, options.get("family", 0))
                if options.get("ssl") and options.get("server_hostname") is None:
                    options["server_hostname"] = host
                host = found[0][1] if found else name
            return await base.create_connection(loop, factory, host, port, **options)

        uvloop.Loop.getaddrinfo = getaddrinfo
        uvloop.Loop.create_connection = create_connection

    def remove(self) -> None:
        loop_class, self._loop_class = self._loop_class, None
        if loop_class is not None:
            del loop_class.getaddrinfo
            del loop_class.create_connection


def _is_name(host: Any, flags: int) -> bool:
    return isinstance(host, str) and bool(host) and not flags & socket.AI_NUMERICHOST

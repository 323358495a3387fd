"""Cluster names for programs of this process that are not in the cluster, without touching the system.

`HostNames` is the one question; for libraries that take a resolver or a transport see resolvers.py. For code that cannot
be reached, `patched` answers this process' getaddrinfo for cluster names and passes every other name on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from emulator.client.io.uvloopnames import UvloopPatch

WAIT_SECONDS = 5.0  # for the cluster's loop to answer another thread


class NotOurs(Exception):
    """Not a name of the cluster; `name` is what another resolver is to be asked."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


Find = Callable[[str, str, bool], Sequence[str]]
"""(name, namespace, IPv6?) -> addresses. Raises NotOurs, and socket.gaierror as getaddrinfo does."""


class HostNames:
    """Names as a pod of `namespace` finds them; safe to ask from any thread."""

    def __init__(self, find: Find, loop: asyncio.AbstractEventLoop, namespace: str = "default") -> None:
        self._find = find
        self._loop = loop
        self._namespace = namespace

    def addresses(self, host: str, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        """(family, address) of a cluster name, IPv4 first. Raises NotOurs, and gaierror for names that are absent."""
        if not host or _is_address(host) or host.lower().rstrip(".") == "localhost":
            raise NotOurs(host)
        if _running_loop() is self._loop:
            return self._now(host, family)
        try:
            return self._ask(host, family).result(WAIT_SECONDS)
        except TimeoutError as error:
            raise _no_answer(host) from error

    async def find(self, host: str, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        """As `addresses`, without holding up the running loop."""
        if not host or _is_address(host) or host.lower().rstrip(".") == "localhost":
            raise NotOurs(host)
        if _running_loop() is self._loop:
            return self._now(host, family)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.wrap_future(self._ask(host, family))
        except TimeoutError as error:
            raise _no_answer(host) from error

    def _ask(self, host: str, family: int) -> concurrent.futures.Future[list[tuple[int, str]]]:
        """What the cluster's own loop will say."""
        future: concurrent.futures.Future[list[tuple[int, str]]] = concurrent.futures.Future()

        def answer() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(self._now(host, family))
            except Exception as error:  # raised again where it is waited for
                future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError as error:
            raise socket.gaierror(socket.EAI_FAIL, f"the cluster that knows {host} has stopped") from error
        return future

    def _now(self, host: str, family: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        if family in (socket.AF_UNSPEC, socket.AF_INET):
            found += [(socket.AF_INET, each) for each in self._find(host, self._namespace, False)]
        if family in (socket.AF_UNSPEC, socket.AF_INET6):
            found += [(socket.AF_INET6, each) for each in self._find(host, self._namespace, True)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def one(self, host: str) -> str:
        """The first address. Raises as `addresses` does."""
        return self.addresses(host)[0][1]


def _no_answer(host: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, f"the cluster's loop did not answer for {host}: is it blocked?")


async def _find_patched(host: str, family: int) -> tuple[str, list[tuple[int, str]]]:
    """As _getaddrinfo looks names up, for loops that do so by themselves."""
    for names in tuple(_patches):  # others may come and go meanwhile
        try:
            return host, await names.find(host, family)
        except NotOurs as other:
            host = other.name
    return host, []


_uvloop = UvloopPatch(_find_patched)
_lock = threading.Lock()
_patches: list[HostNames] = []  # the newest first
_system_getaddrinfo = socket.getaddrinfo


@contextmanager
def patched(names: HostNames) -> Iterator[None]:
    """While this is open, getaddrinfo of this process (and so of every event loop in it) knows the cluster's names.

    Several may be open at once, in any thread; the one opened last is asked first. Each undoes only itself.
    """
    global _system_getaddrinfo  # noqa: PLW0603 - the function of the module `socket` is one for the process
    with _lock:
        if not _patches:
            _system_getaddrinfo = socket.getaddrinfo
            socket.getaddrinfo = _getaddrinfo
        _patches.insert(0, names)
        _uvloop.install()
    try:
        yield
    finally:
        with _lock:
            _patches.remove(names)
            if not _patches:
                _uvloop.remove()
                if socket.getaddrinfo is _getaddrinfo:
                    socket.getaddrinfo = _system_getaddrinfo


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    name = host.decode("idna") if isinstance(host, bytes) else host
    found: list[tuple[int, str]] = []
    for names in list(_patches) if isinstance(name, str) and not flags & socket.AI_NUMERICHOST else ():
        try:
            found = names.addresses(name, family)
            break
        except NotOurs as other:
            name = other.name
    if not found:
        return _system_getaddrinfo(name if isinstance(name, str) else host, port, family, type, proto, flags)
    entries: list[Any] = []
    for found_family, address in found:
        entries += _system_getaddrinfo(address, port, found_family, type, proto, flags | socket.AI_NUMERICHOST)
    if flags & socket.AI_CANONNAME and entries:
        entries[0] = (*entries[0][:3], name, entries[0][4])
    return entries


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

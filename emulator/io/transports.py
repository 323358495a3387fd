"""What every Python's transports can do."""

from __future__ import annotations

import asyncio
import contextlib


def cut(transport: asyncio.Transport) -> None:
    """Abort a connection, also one that is closing.

    In Python before 3.11.4 a TLS transport that was closed twice has forgotten its connection, whose end is under way then.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()

"""Warning Events on Services whose address could not be listened on."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from datetime import datetime

from emulator.api.errors import ApiError
from emulator.api.kinds import EVENT
from emulator.api.meta import JsonObject, format_time
from emulator.client.io.protocol import Client
from emulator.proxy.plan import Listen

log = logging.getLogger(__name__)

COMPONENT = "kube-proxy"
ADVICE = {
    errno.EACCES: "ports below 1024 need root here; sandbox mode does not",
    errno.EADDRINUSE: "another program has this port",
    errno.EADDRNOTAVAIL: "this machine does not have the address; sandbox mode does",
}


def failure_text(listen: Listen, error: OSError) -> str:
    """What is told about an address that could not be listened on."""
    advice = ADVICE.get(error.errno or 0)
    text = f"Cannot listen on {listen.ip}:{listen.port}/{listen.protocol}: {error.strerror or error}"
    return f"{text} ({advice})" if advice else text


class EventWriter:
    """Writes Events; failing to is only logged."""

    def __init__(self, client: Client, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._serial = 0

    async def warn(self, service: JsonObject, reason: str, message: str) -> None:
        metadata, at = service["metadata"], self._clock()
        self._serial += 1
        name = f"{metadata['name']}.{int(at.timestamp() * 1e6) * 1000 + self._serial % 1000:x}"
        event: JsonObject = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "kind": "Service",
                "apiVersion": "v1",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata.get("uid"),
                "resourceVersion": metadata.get("resourceVersion"),
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "firstTimestamp": format_time(at),
            "lastTimestamp": format_time(at),
            "count": 1,
            "eventTime": None,
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
        }
        try:
            await self._client.create(EVENT, event)
        except ApiError as error:  # the Service's namespace is gone, or the API is
            log.debug("event not written: %s", error)

"""What a failed test is shown of its cluster: the latest events, DNS queries, connections and requests."""

from __future__ import annotations

from collections.abc import Iterable

from emulator.api.errors import EmulatorError
from emulator.testing.sync import SyncCluster


def lately(cluster: SyncCluster, count: int) -> str:
    """A text of sections; never raises, for a report must not hide the failure it is about."""
    try:
        events = cluster.list("events", namespace=None)
    except (EmulatorError, OSError) as error:
        return f"the cluster cannot be asked: {error}"
    told = [
        f"{event['metadata']['namespace']}/{event['involvedObject']['name']}: {event['reason']}: {event['message']}"
        for event in events
    ]
    sections = {
        "events": told,
        "DNS queries": [str(query) for query in cluster.dns.queries],
        "connections": [str(connection) for connection in cluster.connections],
        "API requests": [str(request) for request in cluster.api.requests],
    }
    return "\n".join(line for title, lines in sections.items() for line in _section(title, lines[-count:]))


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines or ["none"])]

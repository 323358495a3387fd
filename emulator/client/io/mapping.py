"""A Service backed by a process of the host: what `kubemu map` and Cluster.map do, through any Client."""

from __future__ import annotations

from contextlib import suppress

from emulator.api.errors import EmulatorError, NotFound
from emulator.api.kinds import POD, SERVICE
from emulator.api.meta import JsonObject
from emulator.client.io.protocol import Client
from emulator.config.sources import backing_pod


async def map_service(client: Client, name: str, port: int | None, backend: str, namespace: str) -> JsonObject:
    """Put a Pod that stands for the process at `backend` behind a Service; the Pod.

    port: which of the Service's ports, None for all of them. An absent Service is made with this port, or with the
    backend's. Raises EmulatorError for a Service without a selector or without the port.
    """
    number = int(backend.rpartition(":")[2])
    service = await _service(client, name, port or number, number, namespace)
    selector = service["spec"].get("selector")
    if not selector:
        raise EmulatorError(f"service {name!r} has no selector; give it one, or write its Endpoints yourself")
    ports = [entry for entry in service["spec"].get("ports") or () if port is None or entry["port"] == port]
    if not ports:
        raise EmulatorError(f"service {name!r} has no port {port}")
    targets = [entry["targetPort"] if isinstance(entry.get("targetPort"), int) else entry["port"] for entry in ports]
    pod = backing_pod(f"{name}-mapped", namespace, selector, targets, backend)
    await unmap_service(client, name, namespace)
    return await client.create(POD, pod)


async def unmap_service(client: Client, name: str, namespace: str) -> None:
    """Take the Pod away again; the Service stays."""
    with suppress(NotFound):
        await client.delete(POD, f"{name}-mapped", namespace, grace_period_seconds=0)


async def _service(client: Client, name: str, port: int, target: int, namespace: str) -> JsonObject:
    """target: of an absent Service; the backend's own port, for port 80 of a pod's address is not everybody's to bind."""
    try:
        return await client.get(SERVICE, name, namespace)
    except NotFound:
        labels = {"kubemu.dev/mapped": name}
        wanted: JsonObject = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"selector": labels, "ports": [{"port": port, "targetPort": target}]},
        }
        return await client.create(SERVICE, wanted)

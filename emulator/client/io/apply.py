"""Apply and delete manifests through any Client: the good ones are done, the bad ones come back with their reason.

Apply is server-side apply; what is applied also carries the annotation of kubectl's older way, so that either
`kubectl apply` may go on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.api.errors import ApiError, NotFound
from emulator.api.kinds import NAMESPACE, Kind
from emulator.api.meta import JsonObject, annotations_of
from emulator.client.io.protocol import Client
from emulator.client.manifests import Manifest
from emulator.registry.managedfields import LAST_APPLIED, last_applied_text

MANAGER = "kubemu"

Outcome = Literal["created", "configured", "unchanged", "deleted", "not found", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one manifest; `problem` says why it failed or was skipped."""

    manifest: Manifest
    outcome: Outcome
    problem: str = ""
    object: JsonObject | None = None

    def __str__(self) -> str:
        if self.problem:
            return f"{self.manifest.where}: {self.problem}"
        return f"{self.manifest.title} {self.outcome}"


async def apply_all(client: Client, manifests: Sequence[Manifest], *, namespace: str = "default") -> list[Applied]:
    """Apply in order, Namespaces first. Kinds that are not served are skipped; errors do not stop the others."""
    ordered = sorted(manifests, key=lambda manifest: manifest.kind is not NAMESPACE)
    return [await apply_one(client, manifest, namespace=namespace) for manifest in ordered]


async def apply_one(client: Client, manifest: Manifest, *, namespace: str = "default") -> Applied:
    kind = manifest.kind
    if kind is None:
        of = f"{manifest.object['kind']} of {manifest.object['apiVersion']}"
        return Applied(manifest, "skipped", f"{of} is not a kind kubemu knows")
    wanted = manifest.object
    metadata = dict(wanted["metadata"])
    if kind.namespaced:
        metadata.setdefault("namespace", namespace)
    wanted = {**wanted, "metadata": metadata}
    try:
        if not metadata.get("name"):
            return Applied(manifest, "created", object=await client.create(kind, wanted, strict=True))
        live = await _held(client, kind, metadata["name"], metadata.get("namespace", ""))
        applied = await client.patch(
            kind,
            metadata["name"],
            metadata.get("namespace", ""),
            patch=with_last_applied(wanted),
            patch_type="apply",
            strict=True,
            manager=MANAGER,
            force=True,
        )
        if live is None:
            return Applied(manifest, "created", object=applied)
        same = live["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]
        return Applied(manifest, "unchanged" if same else "configured", object=applied)
    except ApiError as error:
        return Applied(manifest, "failed", str(error))


async def _held(client: Client, kind: Kind, name: str, namespace: str) -> JsonObject | None:
    try:
        return await client.get(kind, name, namespace)
    except NotFound:
        return None


def with_last_applied(wanted: JsonObject) -> JsonObject:
    """`wanted` carrying itself in the annotation that kubectl's client-side apply compares with."""
    annotations = {k: v for k, v in annotations_of(wanted).items() if k != LAST_APPLIED}
    bare = {**wanted, "metadata": {**wanted["metadata"], "annotations": annotations}}
    marked = {**annotations, LAST_APPLIED: last_applied_text(bare)}
    return {**bare, "metadata": {**bare["metadata"], "annotations": marked}}


async def delete_all(client: Client, manifests: Iterable[Manifest], *, namespace: str = "default") -> list[Applied]:
    """Delete in reverse order; what is absent already is said so."""
    done: list[Applied] = []
    for manifest in reversed(list(manifests)):
        kind = manifest.kind
        if kind is None:
            done.append(Applied(manifest, "skipped", f"{manifest.object['kind']} is not a kind kubemu knows"))
            continue
        metadata = manifest.object["metadata"]
        place = metadata.get("namespace", namespace) if kind.namespaced else ""
        try:
            await client.delete(kind, metadata.get("name", ""), place, propagation="Background")
            done.append(Applied(manifest, "deleted"))
        except NotFound as error:
            done.append(Applied(manifest, "not found", str(error)))
        except ApiError as error:
            done.append(Applied(manifest, "failed", str(error)))
    return done

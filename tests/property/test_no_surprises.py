"""Whatever well-typed object a client sends, of any kind and to any subresource, it is stored or refused in words.

The fields come from the tables of the kinds, the values from what their types allow: no write may end as an error of
the server's own that nobody wrote down.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.errors import ApiError
from emulator.api.fields import Field, Message, Table, message_of, table_of
from emulator.api.kinds import KINDS, NAMESPACE, Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.tables import columns, row
from emulator.registry.io.pipeline import Registry
from tests.unit.registry.support import BEGIN, make_registry

DEPTH = 7  # of nested objects; deeper ones are left out
WORDS = (
    "",
    "a",
    "web",
    "A_b",
    "10.152.183.9",
    "fd00::1",
    "1.2.3.4/24",
    "ClusterIP",
    "NodePort",
    "None",
    "Always",
    "In",
    "x/y",
    "50%",
)
NUMBERS = (-1, 0, 1, 80, 30001, 70000)
VALUES: dict[str, tuple[Any, ...]] = {
    "string": WORDS,
    "int32": NUMBERS,
    "int64": NUMBERS,
    "number": (0.5, 1),
    "boolean": (True, False),
    "time": ("2026-01-01T00:00:00Z",),
    "microTime": ("2026-01-01T00:00:00.000000Z",),
    "quantity": ("0", "1", "-1", "500m", "1Gi"),
    "intOrString": (0, 80, -1, "web", "50%", "A_b"),
    "bytes": ("", "YQ=="),
    "any": ({}, {"a": "b"}, "x", 5),
}


TEMPLATE: JsonObject = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SELECTED = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
BASES: dict[str, JsonObject] = {
    "pods": {"spec": TEMPLATE["spec"]},
    "services": {"spec": {"type": "LoadBalancer", "ports": [{"name": "a", "port": 80}]}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]},
    "replicationcontrollers": {"spec": {"template": TEMPLATE}},
    "podtemplates": {"template": TEMPLATE},
    "persistentvolumeclaims": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}},
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "events": {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}},
    "deployments.apps": SELECTED,
    "replicasets.apps": SELECTED,
    "daemonsets.apps": SELECTED,
    "statefulsets.apps": {"spec": {**SELECTED["spec"], "serviceName": "s"}},
    "controllerrevisions.apps": {"data": {}, "revision": 1},
    "jobs.batch": {"spec": {"template": ONCE}},
    "cronjobs.batch": {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": ONCE}}}},
    "ingresses.networking.k8s.io": {
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}},
    },
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "example.com/c"}},
    "servicecidrs.networking.k8s.io": {"spec": {"cidrs": ["10.9.0.0/16"]}},
    "horizontalpodautoscalers.autoscaling": {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    },
    "rolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    },
    "clusterrolebindings.rbac.authorization.k8s.io": {
        "roleRef": {"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    },
    "storageclasses.storage.k8s.io": {"provisioner": "example.com/p"},
    "endpointslices.discovery.k8s.io": {"addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}]},
}


def merged(base: Any, other: Any, draw: random.Random) -> Any:
    """The base with some of the other's fields in it."""
    if not isinstance(base, dict) or not isinstance(other, dict):
        return base if draw.random() < 0.7 else other
    found = {key: merged(value, other[key], draw) if key in other else value for key, value in base.items()}
    return found | {key: value for key, value in other.items() if key not in base and draw.random() < 0.3}


class Writer:
    """Objects of a kind with fields and values drawn by chance."""

    def __init__(self, types: Table, draw: random.Random) -> None:
        self.types = types
        self.draw = draw

    def message(self, message: Message, depth: int, likely: float) -> JsonObject:
        found: JsonObject = {}
        for name, field in message.fields.items():
            if name in ("apiVersion", "kind", "managedFields"):
                continue
            if depth < DEPTH and self.draw.random() < likely:
                found[name] = self.field(field, depth)
        return found

    def field(self, field: Field, depth: int) -> Any:
        if field.shape == "list":
            return [self.value(field, depth) for _ in range(self.draw.choice((0, 1, 1, 2)))]
        if field.shape == "map":
            return {self.draw.choice(WORDS[1:]): self.value(field, depth) for _ in range(self.draw.choice((0, 1, 2)))}
        return self.value(field, depth)

    def value(self, field: Field, depth: int) -> Any:
        if field.type:
            return self.message(self.types.messages[field.type], depth + 1, 0.35)
        return self.draw.choice(VALUES[field.scalar])

    def object(self, kind: Kind, name: str) -> JsonObject:
        body = self.message(message_of(kind), 0, 0.95)
        if self.draw.random() < 0.8:  # near something valid, so that what comes after the first checks is met too
            body = merged(BASES.get(kind.resource) or {}, body, self.draw)
        metadata = {
            key: value for key, value in (body.get("metadata") or {}).items() if key in ("labels", "annotations")
        }
        return {**body, "metadata": {**metadata, "name": name}}


async def attempt(registry: Registry, kind: Kind, writer: Writer) -> None:
    namespace, name = ("default" if kind.namespaced else ""), "a"
    if base := BASES.get(kind.resource):
        await registry.create(kind, {**base, "metadata": {"name": name}}, namespace)
    for verb in ("create", "update", "patch", "strategic", "apply", *(sub.name for sub in kind.subresources)):
        body = writer.object(kind, name)
        try:
            if verb == "create":
                await registry.create(kind, body, namespace)
            elif verb == "update":
                await registry.update(kind, name, namespace, body)
            elif verb in ("patch", "strategic", "apply"):
                type_ = {"patch": "merge"}.get(verb, verb)
                said = {**body, "apiVersion": kind.api_version, "kind": kind.kind} if verb == "apply" else body
                await registry.patch(kind, name, namespace, said, type_)
            elif verb in ("status", "finalize", "ephemeralcontainers"):
                await registry.update(kind, name, namespace, body, subresource=verb)
        except ApiError:
            continue
        for stored in (await registry.list(kind, namespace)).items:  # and whatever was stored can be shown
            assert len(row(kind, stored, at=BEGIN).cells) == len(columns(kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_no_write_surprises_the_server(kind: Kind, seed: int) -> None:
    async def run() -> None:
        registry = make_registry()
        await registry.get(NAMESPACE, "default")
        await attempt(registry, kind, Writer(table_of(kind), random.Random(seed)))

    asyncio.run(run())

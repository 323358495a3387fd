"""Conversion loses nothing: what is stored comes back from every shape, and every shape from what is stored."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from emulator.api.kinds import (
    DAEMON_SET,
    DAEMON_SET_V1BETA1,
    DEPLOYMENT,
    DEPLOYMENT_V1BETA1,
    EVENT,
    EVENT_V1,
    EXTENSIONS_INGRESS,
    INGRESS,
    INGRESS_V1BETA1,
    Kind,
)
from emulator.api.meta import JsonObject
from emulator.registry.conversion.shapes import from_storage, to_storage
from emulator.registry.conversion.workloads import ROLLBACK_TO, TEMPLATE_GENERATION
from emulator.registry.kinds.table import STRATEGIES
from tests.unit.registry.kinds.support import context

names = st.text("abc1", min_size=1, max_size=5)
ports: st.SearchStrategy[JsonObject] = st.one_of(
    st.builds(dict, number=st.integers(1, 65535)), st.builds(dict, name=names)
)
services = st.builds(lambda name, port: {"service": {"name": name, "port": port}}, names, ports)
references = st.builds(lambda kind, name: {"resource": {"apiGroup": None, "kind": kind, "name": name}}, names, names)
backends = st.one_of(services, references)
path_types = st.sampled_from(("Exact", "Prefix", "ImplementationSpecific"))
paths = st.fixed_dictionaries({"backend": backends, "pathType": path_types}, optional={"path": names.map("/{}".format)})
rules = st.fixed_dictionaries(
    {}, optional={"host": names, "http": st.builds(lambda found: {"paths": found}, st.lists(paths, min_size=1))}
)
ingress_specs = st.fixed_dictionaries(
    {}, optional={"defaultBackend": backends, "ingressClassName": names, "rules": st.lists(rules, min_size=1)}
)
numbers = st.integers(0, 9).map(str)


def stored(kind: Kind, annotations: JsonObject, **fields: object) -> JsonObject:
    metadata = {"name": "x", "namespace": "n", **({"annotations": annotations} if annotations else {})}
    object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}
    STRATEGIES[kind.resource].default(object, context())
    return object


def assert_comes_back(shape: Kind, object: JsonObject) -> None:
    before = copy.deepcopy(object)
    shown = from_storage(shape, object)
    assert object == before  # stored objects are shared
    assert to_storage(shape, copy.deepcopy(shown)) == object
    assert from_storage(shape, object) == shown


@given(ingress_specs, st.sampled_from((INGRESS_V1BETA1, EXTENSIONS_INGRESS)))
def test_ingresses(spec: JsonObject, shape: Kind) -> None:
    assert_comes_back(shape, stored(INGRESS, {}, spec=spec))


@given(st.dictionaries(st.sampled_from((ROLLBACK_TO, "other")), numbers))
def test_deployments(annotations: JsonObject) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {}, "spec": {"containers": []}}}
    assert_comes_back(DEPLOYMENT_V1BETA1, stored(DEPLOYMENT, annotations, spec=spec))


@given(st.dictionaries(st.sampled_from((TEMPLATE_GENERATION, "other")), st.integers(1, 9).map(str)))
def test_daemon_sets(annotations: JsonObject) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {}, "spec": {"containers": []}}}
    assert_comes_back(DAEMON_SET_V1BETA1, stored(DAEMON_SET, annotations, spec=spec))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "message": names,
            "count": st.integers(1, 9),
            "reason": names,
            "involvedObject": st.builds(dict, name=names),
            "source": st.builds(dict, component=names),
            "lastTimestamp": st.just("2026-01-01T00:00:00Z"),
        },
    )
)
def test_events(fields: JsonObject) -> None:
    """The core shape writes reporters even when they are empty, which its defaults put back."""
    object = stored(EVENT, {}, **fields)
    back = to_storage(EVENT_V1, from_storage(EVENT_V1, object))
    STRATEGIES[EVENT.resource].default(back, context())
    assert back == object

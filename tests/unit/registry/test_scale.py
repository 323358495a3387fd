"""The Scale of an object, and an object with the replicas of a Scale."""

from __future__ import annotations

import pytest

from emulator.api import kinds
from emulator.api.errors import Conflict, Invalid
from emulator.api.meta import JsonObject
from emulator.registry.scale import is_scale, scale_of, scaled, selector_text

DEPLOYMENT: JsonObject = {
    "metadata": {
        "name": "web",
        "namespace": "default",
        "uid": "u-1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"a": "b"},
    },
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}},
    "status": {"replicas": 1, "readyReplicas": 1},
}


def test_a_scale_is_made() -> None:
    scale = scale_of(DEPLOYMENT)
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert "labels" not in scale["metadata"]
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "app=web"})


def test_zero_replicas_are_not_written() -> None:
    assert scale_of({**DEPLOYMENT, "spec": {"replicas": 0}, "status": {}})["spec"] == {}


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        (None, ""),
        ({"b": "2", "a": "1"}, "a=1,b=2"),
        (
            {
                "matchLabels": {"c": "3"},
                "matchExpressions": [
                    {"key": "b", "operator": "In", "values": ["y", "x"]},
                    {"key": "a", "operator": "DoesNotExist"},
                    {"key": "d", "operator": "Exists"},
                    {"key": "e", "operator": "NotIn", "values": ["z"]},
                ],
            },
            "!a,b in (x,y),c=3,d,e notin (z)",
        ),
    ],
)
def test_selectors_as_text(selector: JsonObject | None, wanted: str) -> None:
    assert selector_text(selector) == wanted


def test_replicas_are_taken() -> None:
    scale = scale_of(DEPLOYMENT)
    scale["spec"]["replicas"] = 5
    taken = scaled(kinds.DEPLOYMENT, DEPLOYMENT, scale)
    assert taken["spec"] == {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}}
    assert DEPLOYMENT["spec"]["replicas"] == 2


def test_what_is_refused() -> None:
    with pytest.raises(Invalid) as invalid:
        scaled(kinds.DEPLOYMENT, DEPLOYMENT, {"metadata": {"name": "web"}, "spec": {"replicas": -1}})
    assert str(invalid.value) == (
        'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )
    with pytest.raises(Conflict):
        scaled(kinds.DEPLOYMENT, DEPLOYMENT, {"metadata": {"name": "web", "uid": "other"}})


def test_where_a_scale_is_spoken() -> None:
    assert is_scale(kinds.DEPLOYMENT, "scale")
    assert not is_scale(kinds.DEPLOYMENT, "status")
    assert not is_scale(kinds.DAEMON_SET, "scale")

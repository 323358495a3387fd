"""What a node says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emulator.api.meta import JsonObject, condition_of
from emulator.node.nodes import Health, lease_object, node_status, steered_health, with_health

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def status() -> JsonObject:
    return node_status("n1", "10.0.0.1", pods=10, architecture="amd64", kernel="6.1", at=AT)


@pytest.mark.parametrize(
    ("text", "health"),
    [(None, "ready"), ("true", "ready"), ("False", "not ready"), ("unknown", "silent"), ("other", "ready")],
)
def test_steering(text: str | None, health: Health) -> None:
    annotations = {} if text is None else {"kubemu.dev/ready": text}
    assert steered_health({"metadata": {"annotations": annotations}}) == health


def test_a_settled_status_is_reported_every_five_minutes() -> None:
    assert with_health(status(), "ready", AT + timedelta(seconds=299)) is None
    later = with_health(status(), "ready", AT + timedelta(seconds=300))
    ready = condition_of({"status": later}, "Ready") or {}
    assert (ready["lastHeartbeatTime"], ready["lastTransitionTime"]) == ("2026-03-04T05:11:07Z", "2026-03-04T05:06:07Z")


def test_not_ready_and_back() -> None:
    later = AT + timedelta(seconds=5)
    down = with_health(status(), "not ready", later)
    assert down is not None
    ready = condition_of({"status": down}, "Ready") or {}
    assert (ready["status"], ready["reason"], ready["lastTransitionTime"]) == (
        "False",
        "KubeletNotReady",
        "2026-03-04T05:06:12Z",
    )
    assert (condition_of({"status": down}, "MemoryPressure") or {})["status"] == "False"
    assert with_health(down, "not ready", later) is None
    back = with_health(
        {**down, "conditions": [*down["conditions"], {"type": "Mine", "status": "True"}]}, "ready", later
    )
    assert back is not None
    assert (condition_of({"status": back}, "Ready") or {})["reason"] == "KubeletReady"
    assert condition_of({"status": back}, "Mine")


def test_a_lease_is_owned_by_its_node() -> None:
    made = lease_object({"metadata": {"name": "n1", "uid": "u"}}, "2026-03-04T05:06:07.000000Z")
    assert made["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u"}]
    assert made["spec"]["leaseDurationSeconds"] == 40

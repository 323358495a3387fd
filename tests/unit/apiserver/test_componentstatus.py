"""The control plane's parts, as kubectl has always shown them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from emulator.api.errors import BadRequest, NotFound
from emulator.api.kinds import COMPONENT_STATUS
from emulator.apiserver.componentstatus import component_status, component_statuses
from emulator.apiserver.deprecation import deprecation_warnings
from emulator.apiserver.tables import columns, row

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_every_part_is_healthy() -> None:
    cells = [row(COMPONENT_STATUS, status, at=AT).cells for status in component_statuses()]
    assert cells == [[name, "Healthy", "ok", ""] for name in ("scheduler", "controller-manager", "etcd-0")]
    assert [column["name"] for column in columns(COMPONENT_STATUS)] == ["Name", "Status", "Message", "Error"]


@pytest.mark.parametrize(
    ("conditions", "cells"),
    [
        ([], ["x", "Unknown", "", ""]),
        ([{"type": "Healthy", "status": "False", "error": "gone"}], ["x", "Unhealthy", "", "gone"]),
    ],
)
def test_other_states(conditions: list[dict[str, str]], cells: list[str]) -> None:
    assert row(COMPONENT_STATUS, {"metadata": {"name": "x"}, "conditions": conditions}, at=AT).cells == cells


def test_selectors_and_names() -> None:
    assert [s["metadata"]["name"] for s in component_statuses(field_selector="metadata.name=etcd-0")] == ["etcd-0"]
    assert component_statuses(label_selector="a") == []
    with pytest.raises(BadRequest):
        component_statuses(field_selector="spec.x=1")
    assert component_status("scheduler")["conditions"][0]["status"] == "True"
    with pytest.raises(NotFound, match='componentstatuses "x" not found'):
        component_status("x")


def test_the_kind_is_deprecated() -> None:
    assert deprecation_warnings(COMPONENT_STATUS) == ["v1 ComponentStatus is deprecated in v1.19+"]

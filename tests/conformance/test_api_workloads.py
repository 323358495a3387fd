"""Workloads against what real Kubernetes 1.36 and its controllers answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.api_replay import Json, Target, compare, scenarios
from tests.support.api import api_server, recorded_config

SCENARIOS = scenarios(Path(__file__).parent / "cases" / "api-workloads.json")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["id"] for scenario in SCENARIOS])
async def test_recorded(scenario: Json) -> None:
    async with api_server(recorded_config()) as api, api.session() as session:
        assert await compare(Target(session, api.url), scenario, "recorded") == {}

"""Recorded environment variables, from manifests and from what the API stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.envvars_runner import main, run_document, run_document_api

CASES = Path(__file__).parent / "cases" / "envvars.yaml"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return loaded


def test_manifests_give_the_recorded_variables(document: dict[str, Any]) -> None:
    results = run_document(document)
    assert len(results) >= 8
    assert [(result.id, result.differences) for result in results if result.differences] == []


async def test_stored_objects_give_the_recorded_variables(document: dict[str, Any]) -> None:
    results = await run_document_api(document)
    ran = [result for result in results if not result.skipped]
    assert len(ran) >= 7
    assert [(result.id, result.differences) for result in ran if result.differences] == []


def test_a_difference_shows_in_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text("cases: [{id: wrong, level: function, services: [], expect_exact: {A: b}}]", encoding="utf-8")
    assert main([str(file), "--level", "function"]) == 1
    assert "wrong: A: expected 'b', got None" in capsys.readouterr().out

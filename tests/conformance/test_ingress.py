"""Recorded Ingress routing, through the pure rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.ingress_runner import main, run_document
from tests.conformance.run import runner_of

CASES = sorted((Path(__file__).parent / "cases").glob("ingress-*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_requests_go_where_they_were_recorded_to_go(path: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    results = run_document(document)
    assert len(results) >= 18
    assert [(result.id, result.differences) for result in results if result.differences] == []
    assert runner_of(document) == "tests.conformance.ingress_runner"


def test_a_difference_shows_in_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = (
        "{id: wrong, rules: [{path: /a, service: a}], request: {host: h, path: /a}, expect: {match: true, service: b}}"
    )
    file = tmp_path / "cases.yaml"
    file.write_text(f"cases: [{case}]", encoding="utf-8")
    assert main([str(file)]) == 1
    assert "wrong: service: expected 'b', got 'a'" in capsys.readouterr().out

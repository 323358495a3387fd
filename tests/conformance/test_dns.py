"""Recorded cluster DNS answers, through the engine and through real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.dns_runner import Result, run_document, run_live

CASES = sorted((Path(__file__).parent / "cases").glob("dns*.yaml"))


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def differing(results: list[Result]) -> list[str]:
    return [f"{result.id}: {'; '.join(result.differences)}" for result in results if result.differences]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_engine_answers_as_recorded(path: Path) -> None:
    results = run_document(load(path))
    assert results
    assert differing(results) == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
async def test_live_server_answers_as_recorded(path: Path) -> None:
    assert differing(await run_live(load(path))) == []

"""Recorded Ingress routing, through the pure rules and through a cluster that curl asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.ingress_live import run_live
from tests.conformance.ingress_runner import Result, main, run_document
from tests.conformance.run import runner_of
from tests.support.cli import program

CASES = sorted((Path(__file__).parent / "cases").glob("ingress-*.yaml"))
WRONG = """
cases:
- {id: service, rules: &a [{path: /a, service: a}], request: {path: /a}, expect: {match: true, service: b}}
- {id: match, rules: *a, request: {path: /a}, expect: {match: false}}
- {id: no-match, rules: *a, request: {path: /b}, expect: {match: true}}
- {id: status, rules: *a, request: {path: /b}, expect: {status: 200}}
- {id: upstream-path, rules: *a, request: {path: /a/b}, expect: {upstream_path: /b}}
- {id: upstream-query, rules: *a, request: {path: /a/b, query: c=d}, expect: {upstream_path: '/a/b?c=e'}}
- {id: default, default_backend: d, rules: *a, request: {path: /b}, expect: {match: true, service: d}}
- id: location
  annotations: {nginx.ingress.kubernetes.io/permanent-redirect: 'https://there/x'}
  rules: *a
  request: {path: /a}
  expect: {status: 301, location: 'https://there/y'}
- {id: slash, rules: [{path: /a/, pathType: Prefix, service: a}], request: {path: /a}, expect: {status: 301, location: /a/}}
- {id: unknown-expectation, rules: *a, request: {path: /a}, expect: {colour: blue}}
- {id: right, rules: *a, request: {path: /a}, expect: {match: true, service: a, status: 200, upstream_path: /a}}
"""


def wrong_ones(results: list[Result]) -> list[tuple[str, list[str]]]:
    return [(result.id, result.differences) for result in results if result.differences]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_requests_go_where_they_were_recorded_to_go(path: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    results = run_document(document)
    assert len(results) >= 18
    assert len({result.id for result in results}) == len(results)
    assert wrong_ones(results) == []
    assert runner_of(document) == "tests.conformance.ingress_runner"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_curl_finds_them_there(path: Path) -> None:
    program("curl")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    results = asyncio.run(run_live(document))
    assert wrong_ones(results) == []
    assert len(results) == len(document["cases"])


async def test_every_wrong_expectation_is_found_both_ways() -> None:
    document = yaml.safe_load(WRONG)
    expected = [case["id"] for case in document["cases"]][:-1]
    assert [result for result, _ in wrong_ones(run_document(document))] == expected
    assert [result for result, _ in wrong_ones(await run_live(document))] == expected


async def test_what_a_cluster_refuses_is_a_difference() -> None:
    refused = "{id: refused, rules: [{host: 10.0.0.1, path: /, service: a}], request: {path: /}, expect: {status: 404}}"
    [result] = await run_live(yaml.safe_load(f"cases: [{refused}]"))
    assert "the cluster does not take it" in result.differences[0]


async def test_what_curl_cannot_ask_is_a_difference() -> None:
    asked = "{id: no-host, rules: [{path: /, service: a}], request: {host: 'a b', path: /}, expect: {status: 200}}"
    [result] = await run_live(yaml.safe_load(f"cases: [{asked}]"))
    assert "no answer: curl: (3)" in result.differences[0]


def test_heads_named_ports_and_namespaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(
        """
cases:
- {id: head, rules: [{path: /, service: a}], request: {method: HEAD, path: /a}, expect: {match: true, service: a}}
- {id: put, rules: [{path: /, service: a}], request: {method: PUT, path: /a%20b}, expect: {status: 200}}
- {id: port, namespace: shop, rules: [{path: /, service: a, port: web}], request: {path: /}, expect: {service: a}}
- {id: number, rules: [{path: /, service: a, port: 8080}], request: {path: /, query: b=c}, expect: {upstream_path: /}}
""",
        encoding="utf-8",
    )
    main([str(file)])
    assert capsys.readouterr().out.splitlines()[-1].split() == ["ingress", "paths", "4/4", "by", "curl"]


def test_a_difference_shows_in_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = (
        "{id: wrong, rules: [{path: /a, service: a}], request: {host: h, path: /a}, expect: {match: true, service: b}}"
    )
    file = tmp_path / "cases.yaml"
    file.write_text(f"cases: [{case}]", encoding="utf-8")
    assert main([str(file)]) == 1
    out = capsys.readouterr().out
    assert "wrong, by the rules: service: expected 'b', got 'a'" in out
    assert "wrong, by curl: service: expected 'b', got 'a'" in out

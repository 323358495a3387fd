"""The OpenAPI documents over HTTP: addresses, hashes, caching, formats, and descriptions when the extra is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.apiserver.io.descriptions import published_descriptions
from tests.support.api import Api, api_server

ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
ANSWERED = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server(controllers=False) as api:
        yield api


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(api: Api, path: str, *, method: str = "GET", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        api.session() as http,
        http.request(method, api.url + path, headers=sent, allow_redirects=False) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


async def test_an_address_with_the_hash_is_for_ever(api: Api) -> None:
    index = json.loads((await ask(api, "/openapi/v3")).body)
    address = index["paths"]["apis/discovery.k8s.io/v1"]["serverRelativeURL"]
    answer = await ask(api, address)
    assert answer.headers["Cache-Control"] == "public, immutable"
    assert "Expires" in answer.headers
    assert "io.k8s.api.discovery.v1.EndpointSlice" in json.loads(answer.body)["components"]["schemas"]
    plain = await ask(api, address.partition("?")[0])
    assert plain.headers["Cache-Control"] == "no-cache, private"
    assert plain.headers["ETag"] == answer.headers["ETag"]
    stale = await ask(api, f"{address.partition('=')[0]}=OLD")
    assert (stale.status, stale.headers["Location"]) == (301, address)


@pytest.mark.parametrize("path", ["/openapi/v3", "/openapi/v3/api/v1", "/openapi/v2"])
async def test_a_client_that_has_it_is_told_so(api: Api, path: str) -> None:
    tag = (await ask(api, path)).headers["ETag"]
    again = await ask(api, path, If_None_Match=tag)
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (await ask(api, path, If_None_Match='"other"')).status == 200
    assert (await ask(api, path, method="POST")).status == 405


@pytest.mark.parametrize(
    ("accept", "status", "type"),
    [
        ("", 200, "application/json"),
        ("*/*", 200, "application/json"),
        ("application/json", 200, "application/json"),
        (ASKED, 200, ANSWERED),
        (f"{ASKED}, application/json;q=0.5", 200, ANSWERED),
        (ANSWERED, 200, ANSWERED),
        ("text/html", 406, "application/json"),
    ],
)
async def test_version_2_in_the_form_asked_for(api: Api, accept: str, status: int, type: str) -> None:
    answer = await ask(api, "/openapi/v2", Accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (status, type)


@pytest.mark.parametrize("path", ["", "/v1", "/v3/api", "/v3/api/v2", "/v3/apis/apps", "/v3/apis/apps/v1/x", "/v2/x"])
async def test_there_is_nothing_else(api: Api, path: str) -> None:
    assert (await ask(api, f"/openapi{path}")).status == 404


def test_descriptions_are_those_of_the_nearest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "kubernetes_validate"
    for version in ("1.25.0", "1.9.0", "1.99.0"):
        folder = package / "kubernetes-json-schema" / f"v{version}-local"
        folder.mkdir(parents=True)
        definition = {"description": version, "properties": {"a": {"description": "of a"}, "b": {}}}
        (folder / "_definitions.json").write_text(json.dumps({"$defs": {"io.k8s.A": definition}}))
    (package / "__init__.py").write_text("raise ImportError('it need not run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert published_descriptions() == {"io.k8s.A": {"": "1.25.0", "a": "of a", "b": ""}}


@pytest.mark.parametrize("content", ["not JSON", "{}", "[]", None])
def test_a_package_put_together_differently_is_no_descriptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    package = tmp_path / "kubernetes_validate"
    folder = package / "kubernetes-json-schema" / "v1.36.0-local"
    (folder if content is not None else package).mkdir(parents=True)
    (package / "__init__.py").touch()
    if content is not None:
        (folder / "_definitions.json").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert published_descriptions() == {}

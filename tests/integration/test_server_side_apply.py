"""Server-side apply as users meet it: real kubectl of every version, and the wire where kubectl does not go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support.api import Api, Kubectl, api_server, kubectl_for, kubectl_versions, recorded_config

VERSIONS = kubectl_versions()
APPLY = "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"

SERVICE = """
apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {run: web}
spec:
  selector: {run: web}
  ports:
  - {port: 80}
"""
OTHER = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {run: other}
  type: NodePort
"""


@pytest.fixture(params=sorted(VERSIONS))
async def kubectl(request: pytest.FixtureRequest) -> AsyncIterator[Kubectl]:
    """Each kubectl of this machine in turn."""
    async with api_server(recorded_config()) as api:
        with kubectl_for(api, VERSIONS[request.param]) as kubectl:
            yield kubectl


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with api_server(recorded_config(), controllers=False) as api:
        yield api


async def managers(kubectl: Kubectl) -> dict[str, Any]:
    shown = json.loads(await kubectl.ok("get", "service", "web", "-o", "json", "--show-managed-fields"))
    return {
        f"{entry['manager']} {entry['operation']}": entry["fieldsV1"] for entry in shown["metadata"]["managedFields"]
    }


async def test_apply_conflict_force_and_diff(kubectl: Kubectl) -> None:
    ours, theirs = ("apply", "--server-side", "-f", "-"), ("apply", "--server-side", "--field-manager=other", "-f", "-")
    for _ in range(2):
        assert "service/web serverside-applied" in await kubectl.ok(*ours, stdin=SERVICE)
    refused = await kubectl(*theirs, stdin=OTHER)
    assert refused.status == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.selector' in refused.stderr
    assert "--force-conflicts" in refused.stderr
    await kubectl.ok(*theirs, "--force-conflicts", stdin=OTHER)
    found = await managers(kubectl)
    assert found["other Apply"] == {"f:spec": {"f:selector": {}, "f:type": {}}}
    assert "f:selector" not in found["kubectl Apply"]["f:spec"]

    shown = await kubectl("diff", "--server-side", "--force-conflicts", "-f", "-", stdin=SERVICE)
    assert shown.status == 1
    assert "-    run: other\n+    run: web" in shown.stdout
    tried = await kubectl.ok(*ours, "--force-conflicts", "--dry-run=server", stdin=SERVICE)
    assert "serverside-applied (server dry run)" in tried
    assert await managers(kubectl) == found


async def test_what_client_side_apply_made_moves_over(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=SERVICE)
    assert list(await managers(kubectl)) == ["kubectl-client-side-apply Update"]
    changed = SERVICE.replace("selector: {run: web}", "selector: {run: web2}").replace(
        "labels: {run: web}", "labels: {a: b}"
    )
    assert "serverside-applied" in await kubectl.ok("apply", "--server-side", "-f", "-", stdin=changed)
    assert "serverside-applied" in await kubectl.ok("apply", "--server-side", "-f", "-", stdin=changed)
    shown = json.loads(await kubectl.ok("get", "service", "web", "-o", "json"))
    assert shown["spec"]["selector"] == {"run": "web2"}
    assert shown["metadata"]["labels"] == {"a": "b"}, "what only client-side apply owned goes when it is dropped"
    assert "kubectl-client-side-apply Update" not in await managers(kubectl)


async def test_each_verb_leaves_its_name(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "service", "clusterip", "web", "--tcp=80")
    await kubectl.ok("label", "service", "web", "a=b")
    await kubectl.ok("patch", "service", "web", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    found = await managers(kubectl)
    assert set(found) == {"kubectl-create Update", "kubectl-label Update", "kubectl-patch Update"}
    assert found["kubectl-label Update"] == {"f:metadata": {"f:labels": {"f:a": {}}}}


async def send(
    api: Api, method: str, path: str, body: Any, type: str, **headers: str
) -> tuple[int, Any, aiohttp.ClientResponse]:
    text = body if isinstance(body, str) else json.dumps(body)
    async with api.session() as session:
        headers = {"Content-Type": type, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with session.request(method, api.url + path, data=text, headers=headers) as response:
            return response.status, await response.json(), response


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


async def test_yaml_and_json_create_with_201_and_change_with_200(api: Api) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  since: 2020-01-01T00:00:00Z\n  1: one\n"
    refused, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", text, APPLY)
    assert (refused, body.get("data")) == (201, {"since": "2020-01-01T00:00:00Z", "1": "one"})
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", config_map(x="1"), APPLY)
    assert (status, body["data"]) == (200, {"x": "1"})


async def test_what_the_request_must_be(api: Api) -> None:
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a", config_map(), APPLY)
    assert (status, body["details"]["causes"][0]["field"]) == (422, "fieldManager")
    merge = "application/merge-patch+json"
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?force=true", {}, merge)
    assert (status, body["details"]["causes"]) == (
        422,
        [
            {
                "reason": "FieldValueForbidden",
                "message": "Forbidden: may not be specified for non-apply patch",
                "field": "force",
            }
        ],
    )
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", "", "application/apply-patch+cbor")
    assert (status, body["reason"]) == (415, "UnsupportedMediaType")
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", "a: [", APPLY)
    assert status == 400
    assert body["message"].startswith("error decoding YAML: error converting YAML to JSON: yaml: ")
    status, body, _ = await send(api, "PATCH", f"{CONFIG_MAPS}/a?fieldManager=m", "[]", APPLY)
    assert body["message"] == (
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
        "json: cannot unmarshal array into Go value of type map[string]interface {}"
    )


async def test_a_key_that_comes_twice_is_told_or_refused(api: Api) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: '1'\n  x: '2'\n"
    why = 'error converting YAML to JSON: yaml: unmarshal errors:{}line 6: key "x" already set in map'
    path = f"{CONFIG_MAPS}/a?fieldManager=m&fieldValidation="
    status, body, _ = await send(api, "PATCH", path + "Strict", text, APPLY)
    assert (status, body["message"]) == (400, "error strict decoding YAML: " + why.format("\n  "))
    status, body, response = await send(api, "PATCH", path + "Warn", text, APPLY)
    assert (status, body["data"]) == (201, {"x": "2"})
    assert why.format("   ").replace('"', '\\"') in response.headers["Warning"]
    status, _, response = await send(api, "PATCH", path + "Ignore", text, APPLY)
    assert (status, "Warning" in response.headers) == (200, False)


async def test_the_manager_of_an_update_is_told_by_its_user_agent(api: Api) -> None:
    json_type = "application/json"
    _, body, _ = await send(api, "POST", CONFIG_MAPS, config_map(x="1"), json_type, User_Agent="my tool/1.2 (linux)")
    assert [entry["manager"] for entry in body["metadata"]["managedFields"]] == ["my tool"]
    status, body, _ = await send(api, "PUT", f"{CONFIG_MAPS}/a?fieldManager=me", config_map(x="2"), json_type)
    assert status == 200
    assert {entry["manager"] for entry in body["metadata"]["managedFields"]} == {"me", "my tool"}

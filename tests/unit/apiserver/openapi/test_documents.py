"""The documents as wholes: what kubectl looks for in them, and that they are made once."""

from __future__ import annotations

import json

import pytest

from emulator.api.kinds import CONFIG_MAP, NODE, SERVED, SERVICE, SERVICE_ACCOUNT, Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.openapi.documents import Documents, v2_document, v3_document
from emulator.apiserver.openapi.paths import operations

ITEM = "/api/v1/namespaces/{namespace}/services/{name}"


def documents(kinds: list[Kind]) -> Documents:
    return Documents(lambda: kinds, dict)


def test_the_index_names_every_group_version_with_its_hash() -> None:
    made = documents(list(SERVED))
    paths = json.loads(made.index().raw)["paths"]
    assert set(paths) == {
        f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}" for kind in SERVED
    }
    core = made.v3("", "v1")
    assert core is not None
    assert paths["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={core.digest}"
    assert made.v3("", "v2") is None


def test_a_document_is_made_once_and_again_when_a_kind_joins() -> None:
    kinds = [SERVICE]
    made = documents(kinds)
    first, index, other = made.v3("", "v1"), made.index(), made.v2_protobuf()
    assert made.v3("", "v1") is first
    assert made.v2_protobuf() is other
    kinds.append(CONFIG_MAP)
    assert first is not None
    assert (made.v3("", "v1") or first).digest != first.digest
    assert made.index().digest != index.digest
    assert b"ConfigMap" in made.v2_protobuf().raw


def test_descriptions_are_read_once_and_only_when_something_is_made() -> None:
    read: list[int] = []

    def descriptions() -> dict[str, dict[str, str]]:
        read.append(1)
        return {}

    made = Documents(lambda: [SERVICE], descriptions)
    assert read == []
    made.index()
    made.v2()
    assert read == [1]


@pytest.mark.parametrize("make", [v3_document, v2_document])
def test_kubectl_finds_that_the_server_validates_fields(make: object) -> None:
    """Without this parameter of PATCH every kubectl falls back to validating by itself."""
    assert callable(make)
    patch = make([SERVICE], {})["paths"][ITEM]["patch"]
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= {
        parameter["name"] for parameter in patch["parameters"]
    }
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Service"}


def test_patch_names_the_types_it_takes() -> None:
    content = v3_document([SERVICE], {})["paths"][ITEM]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" in content
    assert v2_document([SERVICE], {})["paths"][ITEM]["patch"]["consumes"] == list(content)


def test_scope_and_subresources_are_in_the_paths() -> None:
    paths = v3_document([NODE, SERVICE, SERVICE_ACCOUNT], {})["paths"]
    assert set(paths["/api/v1/nodes/{name}/status"]) == {"get", "put", "patch", "parameters"}
    assert set(paths["/api/v1/services"]) == {"get"}
    assert set(paths["/api/v1/namespaces/{namespace}/services"]) == {"get", "post", "delete", "parameters"}
    token = paths["/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"]["post"]
    assert token["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/io.k8s.api.authentication.v1.TokenRequest"
    }
    assert [parameter["name"] for parameter in paths[ITEM]["parameters"]] == ["namespace", "name"]


def test_operation_ids_are_upstream_s_and_unique() -> None:
    by_id = {operation.id: operation for kind in SERVED for operation in operations(kind)}
    assert len(by_id) == sum(1 for kind in SERVED for _ in operations(kind))
    for name in (
        "readCoreV1NamespacedService",
        "listCoreV1NamespacedService",
        "listCoreV1ServiceForAllNamespaces",
        "deleteCoreV1CollectionNamespacedService",
        "replaceAppsV1NamespacedDeploymentScale",
        "createCoreV1NamespacedServiceAccountToken",
        "createRbacAuthorizationV1ClusterRole",
        "patchCoreV1NodeStatus",
    ):
        assert name in by_id


def test_every_kind_is_described_in_both_versions() -> None:
    def identities(schemas: JsonObject) -> set[tuple[str, str, str]]:
        return {
            (entry["group"], entry["version"], entry["kind"])
            for schema in schemas.values()
            for entry in schema.get("x-kubernetes-group-version-kind", [])
        }

    served = {(kind.group, kind.version, kind.kind) for kind in SERVED}
    assert served <= identities(v2_document(SERVED, {})["definitions"])
    made = documents(list(SERVED))
    found: set[tuple[str, str, str]] = set()
    for group, version in {(kind.group, kind.version) for kind in SERVED}:
        document = made.v3(group, version)
        assert document is not None
        found |= identities(json.loads(document.raw)["components"]["schemas"])
    assert served <= found

"""Volumes as files: what each kind shows, in which mode, and what is said of what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.node.volumes import (
    Claim,
    Files,
    Folder,
    HostPath,
    Sources,
    VolumeFailure,
    references,
    volume_of,
    wants_token,
)

POD = {
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": {"b": 'x"y', "a": "1"}},
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]},
}
SOURCES = Sources(
    POD,
    {"settings": {"data": {"one": "1", "two": "2"}, "binaryData": {"raw": "AAE="}}},
    {"hidden": {"data": {"key": "czNjcmV0"}}},
    {"memory": "1Gi"},
    "the-token",
)


def files(volume: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    made = volume_of({"name": "v", **volume}, SOURCES)
    assert isinstance(made, Files)
    return dict(made.contents)


def test_config_maps() -> None:
    assert files({"configMap": {"name": "settings"}}) == {
        "one": (b"1", 0o644),
        "two": (b"2", 0o644),
        "raw": (b"\0\1", 0o644),
    }
    chosen = [{"key": "one", "path": "sub/first"}, {"key": "two", "path": "second", "mode": 0o400}]
    assert files({"configMap": {"name": "settings", "items": chosen, "defaultMode": 0o600}}) == {
        "sub/first": (b"1", 0o600),
        "second": (b"2", 0o400),
    }


def test_secrets() -> None:
    assert files({"secret": {"secretName": "hidden", "defaultMode": 0o400}}) == {"key": (b"s3cret", 0o400)}


def test_downward_api() -> None:
    items = [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}},
    ]
    assert {path: text for path, (text, _) in files({"downwardAPI": {"items": items}}).items()} == {
        "name": b"web",
        "labels": b'a="1"\nb="x\\"y"',
        "memory": b"64",
    }


def test_projected() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "settings", "items": [{"key": "one", "path": "one"}]}},
        {"secret": {"name": "hidden"}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"projected": {"sources": sources, "defaultMode": 0o640}}
    assert files(volume) == {
        "token": (b"the-token", 0o600),
        "one": (b"1", 0o640),
        "key": (b"s3cret", 0o640),
        "namespace": (b"shop", 0o640),
    }
    assert wants_token([volume])
    assert references(volume) == {("configmap", "settings"), ("secret", "hidden")}


def test_folders() -> None:
    assert volume_of({"name": "v", "emptyDir": {}}, SOURCES) == Folder()
    assert volume_of({"name": "v"}, SOURCES) == Folder()
    assert volume_of({"name": "v", "hostPath": {"path": "/srv", "type": "Directory"}}, SOURCES) == HostPath(
        "/srv", "Directory"
    )
    assert volume_of({"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, SOURCES) == Claim("data")


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"configMap": {"name": "absent"}}, 'configmap "absent" not found'),
        ({"secret": {"secretName": "absent"}}, 'secret "absent" not found'),
        (
            {"configMap": {"name": "settings", "items": [{"key": "no", "path": "no"}]}},
            "references non-existent config key: no",
        ),
        ({"nfs": {"server": "a", "path": "/b"}}, "volumes of type nfs are not emulated"),
    ],
)
def test_what_is_missing(volume: dict[str, Any], said: str) -> None:
    with pytest.raises(VolumeFailure, match=said):
        volume_of({"name": "v", **volume}, SOURCES)


def test_what_is_optional() -> None:
    assert files({"configMap": {"name": "absent", "optional": True}}) == {}
    assert files({"secret": {"secretName": "absent", "optional": True}}) == {}
    items = [{"key": "no", "path": "no"}, {"key": "one", "path": "one"}]
    assert list(files({"configMap": {"name": "settings", "items": items, "optional": True}})) == ["one"]

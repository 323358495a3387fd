"""What a CustomResourceDefinition is refused for, and what is said of one that is taken."""

from __future__ import annotations

from typing import Any

from emulator.registry.kinds import customresource
from tests.unit.registry.kinds.support import context


def definition(**spec: Any) -> dict[str, Any]:
    names = {"plural": "wonders", "kind": "Wonder"}
    versions = [{"name": "v1", "served": True, "storage": True}]
    return {
        "metadata": {"name": "wonders.example.dev"},
        "spec": {"group": "example.dev", "names": names, "versions": versions, "scope": "Namespaced", **spec},
    }


def test_defaults_and_warning() -> None:
    found = definition()
    customresource.default(found, context())
    assert found["spec"]["names"] == {
        "plural": "wonders",
        "kind": "Wonder",
        "singular": "wonder",
        "listKind": "WonderList",
    }
    assert customresource.validate(found, context()) == []
    assert customresource.warnings(found, None, context()) == [customresource.NOT_SERVED]
    assert customresource.warnings(found, found, context()) == []


def test_mistakes() -> None:
    assert [e.field for e in customresource.validate(definition(group="other.dev"), context())] == ["metadata.name"]
    assert [e.field for e in customresource.validate(definition(versions=[]), context())] == ["spec.versions"]
    assert [e.field for e in customresource.validate(definition(names={}), context())] == [
        "spec.names.plural",
        "spec.names.kind",
    ]

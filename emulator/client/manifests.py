"""Manifests: from YAML or JSON text to objects, each with where it stood. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from emulator.api.errors import EmulatorError
from emulator.api.kinds import SERVICE, Kind, kind_by_name
from emulator.api.meta import JsonObject
from emulator.config.presets import moved_to_plan
from emulator.config.settings import AddressPlan

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is absent where libyaml is


class ManifestError(EmulatorError):
    """A manifest is not YAML, or not an object; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a file; `where` is FILE:LINE of its document."""

    object: JsonObject
    where: str

    @property
    def kind(self) -> Kind | None:
        """The served kind it is of, or None."""
        return kind_by_name(str(self.object.get("apiVersion")), str(self.object.get("kind")))

    def placed(self, preset: str, plan: AddressPlan) -> Manifest:
        """The manifest with a Service's clusterIP moved into `plan`, when it names an address of the preset's own.

        Only loopback mode moves addresses, so that one file serves every mode.
        """
        spec = self.object.get("spec")
        if self.kind is not SERVICE or not isinstance(spec, dict):
            return self
        moved = dict(spec)
        if isinstance(spec.get("clusterIP"), str):
            moved["clusterIP"] = moved_to_plan(spec["clusterIP"], preset, plan)
        if isinstance(spec.get("clusterIPs"), list):
            moved["clusterIPs"] = [moved_to_plan(str(ip), preset, plan) for ip in spec["clusterIPs"]]
        return replace(self, object={**self.object, "spec": moved}) if moved != spec else self

    @property
    def title(self) -> str:
        """`service/webapp`, as kubectl names it."""
        name = (self.object.get("metadata") or {}).get("name") or (self.object.get("metadata") or {}).get(
            "generateName", ""
        )
        kind = self.kind
        word = str(self.object.get("kind", "")).lower()
        return f"{word}.{kind.group}/{name}" if kind and kind.group else f"{word}/{name}"


def parse_manifests(text: str, filename: str) -> list[Manifest]:
    """Every object of a multi-document text; Lists are opened. Raises ManifestError."""
    manifests: list[Manifest] = []
    loader = Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            line = node.start_mark.line + 1 if node else 1
            document = loader.construct_document(node)
            manifests += _objects(document, f"{filename}:{line}")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ManifestError(f"{filename}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from error
    finally:
        loader.dispose()
    return manifests


def _objects(document: Any, where: str) -> Iterator[Manifest]:
    if document is None:
        return
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: an object with apiVersion and kind is expected, not {type(document).__name__}")
    if not isinstance(document.get("kind"), str) or not isinstance(document.get("apiVersion"), str):
        raise ManifestError(f"{where}: apiVersion and kind must be given")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, where)
        return
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise ManifestError(f"{where}: {document['kind']} has no metadata.name")
    yield Manifest(document, where)

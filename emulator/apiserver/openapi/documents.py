"""The documents of /openapi/v3 and /openapi/v2, each made when first asked for and then kept as bytes.

Source: k8s.io/kube-openapi pkg/handler3 (index, hashes), pkg/builder, pkg/builder3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject
from emulator.apiserver.negotiation import BODY_TYPES, JSON, PATCH_TYPES
from emulator.apiserver.openapi.gnostic import encode
from emulator.apiserver.openapi.paths import Operation, base_path, operations, parameters_of
from emulator.apiserver.openapi.schemas import V2, V3, Descriptions, schema_name, schemas
from emulator.apiserver.version import GIT_VERSION

UNIQUE = {"uniqueItems": True}
INFO = {"title": "Kubernetes", "version": GIT_VERSION}


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes and the hash by which clients know them."""

    raw: bytes
    digest: str


class Documents:
    """What is served, described.

    kinds: the kinds served now; a document is kept as long as its kinds are the same ones.
    descriptions: called once, when the first document is made.
    """

    def __init__(self, kinds: Callable[[], Sequence[Kind]], descriptions: Callable[[], Descriptions]) -> None:
        self._kinds = kinds
        self._read = descriptions
        self._descriptions: Descriptions | None = None
        self._kept: dict[str, tuple[tuple[Kind, ...], Document]] = {}

    def index(self) -> Document:
        """`/openapi/v3`: the address of each group version's document, with the hash of its content."""
        kinds = tuple(self._kinds())
        return self._made("", kinds, lambda: orjson.dumps({"paths": self._addresses(kinds)}))

    def v3(self, group: str, version: str) -> Document | None:
        """The document of one group version, None when it is not served."""
        kinds = tuple(kind for kind in self._kinds() if (kind.group, kind.version) == (group, version))
        if not kinds:
            return None
        return self._made(base_path(group, version), kinds, lambda: orjson.dumps(v3_document(kinds, self._texts())))

    def v2(self) -> Document:
        """`/openapi/v2` as JSON."""
        kinds = tuple(self._kinds())
        return self._made("v2", kinds, lambda: orjson.dumps(v2_document(kinds, self._texts())))

    def v2_protobuf(self) -> Document:
        """`/openapi/v2` in the form kubectl up to 1.28 asks for."""
        kinds = tuple(self._kinds())
        return self._made("v2 protobuf", kinds, lambda: encode(v2_document(kinds, self._texts())))

    def _addresses(self, kinds: Iterable[Kind]) -> JsonObject:
        found: JsonObject = {}
        for group, version in sorted({(kind.group, kind.version) for kind in kinds}):
            document = self.v3(group, version)
            assert document is not None
            name = base_path(group, version)
            found[name] = {"serverRelativeURL": address(group, version, document.digest)}
        return found

    def _made(self, name: str, kinds: tuple[Kind, ...], make: Callable[[], bytes]) -> Document:
        kept = self._kept.get(name)
        if kept is None or kept[0] != kinds:
            raw = make()
            kept = kinds, Document(raw, hashlib.sha512(raw).hexdigest().upper())
            self._kept[name] = kept
        return kept[1]

    def _texts(self) -> Descriptions:
        if self._descriptions is None:
            self._descriptions = self._read()
        return self._descriptions


def address(group: str, version: str, digest: str) -> str:
    return f"/openapi/v3/{base_path(group, version)}?hash={digest}"


def v3_document(kinds: Sequence[Kind], descriptions: Descriptions) -> JsonObject:
    """kinds: those of one group version."""
    found = [operation for kind in kinds for operation in operations(kind)]
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": _paths(found, _v3_operation, lambda name: _parameter(name, "path", "string", v3=True)),
        "components": {"schemas": schemas(_exchanged(kinds, found), V3, descriptions)},
    }


def v2_document(kinds: Sequence[Kind], descriptions: Descriptions) -> JsonObject:
    """kinds: everything that is served; version 2 has one document for all."""
    found = [operation for kind in kinds for operation in operations(kind)]
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": _paths(found, _v2_operation, lambda name: _parameter(name, "path", "string", v3=False)),
        "definitions": schemas(_exchanged(kinds, found), V2, descriptions),
    }


def _exchanged(kinds: Sequence[Kind], found: Iterable[Operation]) -> list[Kind]:
    """The kinds and those that only their subresources exchange."""
    names = {schema_name(kind) for kind in kinds}
    others = {operation.answer: operation.actor for operation in found if operation.actor not in kinds}
    return [*kinds, *(actor for name, actor in others.items() if name and name not in names)]


def _paths(
    found: Iterable[Operation], write: Callable[[Operation], JsonObject], in_path: Callable[[str], JsonObject]
) -> JsonObject:
    paths: JsonObject = {}
    for operation in found:
        item = paths.setdefault(operation.path, {})
        item[operation.method] = write(operation)
        names = parameters_of(operation.path)
        if names:
            item["parameters"] = [in_path(name) for name in names]
    return dict(sorted(paths.items()))


def _v3_operation(operation: Operation) -> JsonObject:
    entry = _said(operation)
    if operation.query:
        entry["parameters"] = [_parameter(name, "query", type, v3=True) for name, type in operation.query]
    if operation.body:
        schema = {"schema": V3.reference(operation.body)}
        types = PATCH_TYPES if operation.action == "patch" else ("*/*",)
        entry["requestBody"] = {"content": dict.fromkeys(types, schema)}
        if operation.action in ("post", "put", "patch"):
            entry["requestBody"]["required"] = True
    answer: JsonObject = {"description": "OK"}
    if operation.answer:
        answer["content"] = {JSON: {"schema": V3.reference(operation.answer)}}
    return entry | {"responses": {str(operation.status): answer}}


def _v2_operation(operation: Operation) -> JsonObject:
    entry = _said(operation)
    parameters = [_parameter(name, "query", type, v3=False) for name, type in operation.query]
    if operation.body:
        body: JsonObject = {"in": "body", "name": "body", "schema": V2.reference(operation.body)}
        if operation.action in ("post", "put", "patch"):
            body["required"] = True
        parameters.insert(0, body)
    if parameters:
        entry["parameters"] = parameters
    entry["consumes"] = list(PATCH_TYPES) if operation.action == "patch" else ["*/*"]
    entry["produces"] = list(BODY_TYPES)
    answer: JsonObject = {"description": "OK"}
    if operation.answer:
        answer["schema"] = V2.reference(operation.answer)
    return entry | {"responses": {str(operation.status): answer}}


def _said(operation: Operation) -> JsonObject:
    """What both versions say alike."""
    actor = operation.actor
    return {
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": actor.group, "version": actor.version, "kind": actor.kind},
    }


def _parameter(name: str, place: str, type: str, *, v3: bool) -> dict[str, Any]:
    shape: JsonObject = {"type": type, **UNIQUE}
    needed = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, **needed, **({"schema": shape} if v3 else shape)}

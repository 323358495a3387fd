"""Accept and Content-Type headers -> the form of an answer and the format of a body.

Answers are JSON or YAML; a client that also takes protobuf gets JSON, as the specification of Accept allows.
Source: k8s.io/apiserver pkg/endpoints/handlers/negotiation, pkg/endpoints/handlers/patch.go (patch types).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from emulator.api.errors import ApiError, UnsupportedMediaType
from emulator.apiserver.discovery import AGGREGATED_GROUP, AGGREGATED_KIND, AGGREGATED_VERSIONS

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
BODY_TYPES = (JSON, YAML, PROTOBUF)
OPENAPI_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
OPENAPI_PROTOBUF_NAMES = (OPENAPI_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
PATCH_TYPES: dict[str, str] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}
"""What PATCH takes; application/apply-patch+cbor is behind a feature gate upstream and refused."""

Shape = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]
SHAPES: tuple[Shape, ...] = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
SHAPE_VERSIONS = ("v1", "v1beta1")


class NotAcceptable(ApiError):
    """The client takes no format that is written here."""

    code, reason = 406, "NotAcceptable"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One clause of an Accept header."""

    type: str
    parameters: tuple[tuple[str, str], ...] = ()
    quality: float = 1.0

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.parameters if key == name), "")


@dataclass(frozen=True, slots=True)
class Form:
    """How to answer: format, and the shape objects are turned into ("" as they are) in a meta.k8s.io version."""

    yaml: bool = False
    shape: Shape = ""
    version: str = "v1"

    @property
    def content_type(self) -> str:
        return YAML if self.yaml else JSON


PLAIN = Form()


def media_ranges(accept: str) -> list[MediaRange]:
    """The clauses in order of preference: quality first, then as written."""
    found: list[MediaRange] = []
    for clause in accept.split(","):
        type, *parameters = (part.strip() for part in clause.split(";"))
        if not type:
            continue
        pairs = [
            (key.strip().lower(), value.strip().strip('"')) for key, _, value in (p.partition("=") for p in parameters)
        ]
        quality = 1.0
        for key, value in pairs:
            if key == "q":
                quality = _quality(value)
        found.append(MediaRange(type.lower(), tuple(pair for pair in pairs if pair[0] != "q"), quality))
    return sorted((clause for clause in found if clause.quality > 0), key=lambda clause: -clause.quality)


@lru_cache(maxsize=256)
def form_of(accept: str) -> Form:
    """The form for an object or list. Raises NotAcceptable when the header leaves neither JSON nor YAML."""
    if not accept.strip():
        return PLAIN
    for clause in media_ranges(accept):
        yaml = clause.type in (YAML, "application/x-yaml", "text/yaml")
        if not yaml and clause.type not in (JSON, "application/*", "*/*"):
            continue
        wanted = clause.parameter("as")
        if not wanted:
            return Form(yaml=yaml)
        version = clause.parameter("v")
        if clause.parameter("g") == "meta.k8s.io" and version in SHAPE_VERSIONS:
            for shape in SHAPES:
                if shape == wanted:
                    return Form(yaml=yaml, shape=shape, version=version)
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(BODY_TYPES)}")


@lru_cache(maxsize=256)
def discovery_version(accept: str) -> str:
    """`v2` or `v2beta1` when the client prefers aggregated discovery, "" for the older lists."""
    for clause in media_ranges(accept):
        version = clause.parameter("v")
        if clause.parameter("as") == AGGREGATED_KIND and clause.parameter("g") == AGGREGATED_GROUP:
            if version in AGGREGATED_VERSIONS and clause.type in (JSON, "*/*", "application/*"):
                return version
        elif not clause.parameter("as") and clause.type in (JSON, "*/*", "application/*"):
            return ""
    return ""


def openapi_type(accept: str) -> str:
    """JSON or OPENAPI_PROTOBUF, as the client prefers. Raises NotAcceptable."""
    if not accept.strip():
        return JSON
    for clause in media_ranges(accept):
        if clause.type in OPENAPI_PROTOBUF_NAMES:
            return OPENAPI_PROTOBUF
        if clause.type in (JSON, "*/*", "application/*"):
            return JSON
    raise NotAcceptable(f"only the following media types are accepted: {JSON}, {OPENAPI_PROTOBUF}")


def aggregated_content_type(version: str) -> str:
    return f"{JSON};g={AGGREGATED_GROUP};v={version};as={AGGREGATED_KIND}"


def media_type(content_type: str) -> str:
    """`application/json` of `Application/JSON; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def body_type(content_type: str) -> str:
    """One of BODY_TYPES; a missing header means JSON. Raises UnsupportedMediaType."""
    type = media_type(content_type)
    if not type or type in BODY_TYPES:
        return type or JSON
    raise unsupported(BODY_TYPES)


def patch_type(content_type: str) -> str:
    """`json`, `merge`, `strategic` or `apply`. Raises UnsupportedMediaType, also for a missing header."""
    try:
        return PATCH_TYPES[media_type(content_type)]
    except KeyError:
        raise unsupported(PATCH_TYPES) from None


def unsupported(accepted: tuple[str, ...] | dict[str, str]) -> UnsupportedMediaType:
    types = ", ".join(accepted)
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {types}"
    )


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0

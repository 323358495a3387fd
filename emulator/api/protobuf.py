"""Objects from their protobuf form, as kubectl 1.32 and later sends them. Reading only; answers are JSON.

Field numbers stand in the field tables; a message without numbers, or a number a message does not have, is refused.
Go writes every non-pointer field even when zero, so single zero values are dropped unless the field is a pointer; an
empty message stays ({}: `emptyDir: {}` means something), which for messages held by value is the same as none.
Source: k8s.io/apimachinery pkg/runtime/serializer/protobuf, the generated.proto of each API group.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from emulator.api.errors import BadRequest
from emulator.api.fields import Field, Message, Table, table, table_of
from emulator.api.kinds import kind_by_name
from emulator.api.meta import JsonObject, format_micro_time, format_time

MAGIC = b"k8s\x00"
MAX_DEPTH = 100
POINTERS = frozenset(
    {
        "replicas", "immutable", "gracePeriodSeconds", "orphanDependents", "propagationPolicy", "controller",
        "blockOwnerDeletion", "automountServiceAccountToken", "allocateLoadBalancerNodePorts", "timeoutSeconds",
        "internalTrafficPolicy", "ipFamilyPolicy", "loadBalancerClass", "appProtocol", "trafficDistribution",
        "ipMode", "deletionGracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
        "activeDeadlineSeconds", "allowPrivilegeEscalation", "allowVolumeExpansion", "averageUtilization",
        "backoffLimit", "backoffLimitPerIndex", "collisionCount", "completions", "defaultMode",
        "enableServiceLinks", "endPort", "expirationSeconds", "failedJobsHistoryLimit", "fsGroup",
        "hostProcess", "hostUsers", "leaseDurationSeconds", "leaseTransitions", "lun", "manualSelector",
        "maxFailedIndexes", "maxSurge", "maxUnavailable", "minAvailable", "minDomains", "minReplicas", "mode",
        "optional", "parallelism", "partition", "priority", "privileged", "progressDeadlineSeconds",
        "readOnlyRootFilesystem", "revisionHistoryLimit", "runAsGroup", "runAsNonRoot", "runAsUser", "serving",
        "setHostnameAsFQDN", "shareProcessNamespace", "stabilizationWindowSeconds", "started",
        "startingDeadlineSeconds", "storageClassName", "succeededCount", "successfulJobsHistoryLimit",
        "suspend", "targetCPUUtilizationPercentage", "terminating", "terminationGracePeriodSeconds",
        "tolerationSeconds", "ttlSecondsAfterFinished",
    }
)  # fmt: skip
"""Single values that Go holds by pointer: present means set, zero or not."""


def decode(raw: bytes) -> JsonObject:
    """The object in the envelope. Raises BadRequest."""
    if not raw.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = dict(_fields(raw[len(MAGIC) :]))
    type_meta = dict(_fields(_bytes(envelope.get(1, b""))))
    api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
    message, types = _message_of(api_version, kind)
    found = _decode(_bytes(envelope.get(2, b"")), message, types, 0)
    return {"apiVersion": api_version, "kind": kind, **found}


def _message_of(api_version: str, kind: str) -> tuple[Message, Table]:
    served = kind_by_name(api_version, kind)
    types = table_of(served) if served else _table_without_resource(api_version.rpartition("/")[0], kind)
    name = types.kinds.get(kind)
    if name is None or not types.messages[name].by_number():
        raise BadRequest(f'no protobuf form of kind "{kind}" is known for version "{api_version}"; send JSON')
    return types.messages[name], types


def _table_without_resource(group: str, kind: str) -> Table:
    """Where a kind that is no resource stands: DeleteOptions among those of every group, Scale in its own."""
    if group and kind not in table("meta").kinds:
        try:
            return table(group)
        except KeyError:
            pass
    return table("meta")


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(raw, at)
            if at + size > len(raw):
                raise BadRequest("unexpected EOF in protobuf body")
            yield number, raw[at : at + size]
            at += size
        else:
            raise BadRequest(f"protobuf: wire type {wire} is not used by Kubernetes objects")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise BadRequest("unexpected EOF in protobuf body")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _decode(raw: bytes, message: Message, types: Table, depth: int) -> JsonObject:
    if depth > MAX_DEPTH:
        raise BadRequest("protobuf: exceeded max depth")
    out: JsonObject = {}
    nested = message.nested_numbers()
    _read(raw, message, 0, nested, types, depth, out)
    return out


def _read(
    raw: bytes, message: Message, inside: int, nested: frozenset[int], types: Table, depth: int, out: JsonObject
) -> None:
    """Adds the fields to `out`; inside: the number of the nested message these bytes are, 0 for the message itself."""
    by_number = message.by_number(inside)
    for number, value in _fields(raw):
        if not inside and number in nested:
            _read(_bytes(value), message, number, nested, types, depth, out)
            continue
        field = by_number.get(number)
        if field is None:
            raise BadRequest(f"protobuf: {message.short} has no field number {number}")
        if field.shape == "map":
            entry = dict(_fields(_bytes(value)))
            out.setdefault(field.name, {})[_text(entry.get(1, b""))] = _one(entry.get(2, b""), field, types, depth)
        elif field.shape == "list":
            out.setdefault(field.name, []).append(_one(value, field, types, depth))
        else:
            found = _one(value, field, types, depth)
            is_set = bool(field.type) or bool(found) or field.name in POINTERS
            if found is not None and is_set:
                out[field.name] = found


def _one(value: int | bytes, field: Field, types: Table, depth: int) -> Any:
    if field.type:
        return _decode(_bytes(value), types.messages[field.type], types, depth + 1)
    match field.scalar:
        case "boolean":
            return bool(_int(value))
        case "int32" | "int64" | "number":
            return _int(value)
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "time" | "microTime":
            parts = dict(_fields(_bytes(value)))
            seconds, nanos = _int(parts.get(1, 0)), _int(parts.get(2, 0))
            if not seconds and not nanos:
                return None
            at = datetime.fromtimestamp(seconds + nanos / 1e9, UTC)
            return format_time(at) if field.scalar == "time" else format_micro_time(at)
        case "quantity":
            return _text(dict(_fields(_bytes(value))).get(1, b""))
        case "intOrString":
            parts = dict(_fields(_bytes(value)))
            return _text(parts.get(3, b"")) if parts.get(1, 0) else _int(parts.get(2, 0))
        case "any":
            return json.loads(_bytes(dict(_fields(_bytes(value))).get(1, b"")) or b"null")
    return _text(value)


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise BadRequest("protobuf: a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise BadRequest("protobuf: bytes were expected")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("protobuf: a text is not UTF-8") from error

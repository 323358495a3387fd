"""Hashes that name versions of a pod template: the very ones upstream makes of the same template. Pure.

Source: pkg/controller/controller_utils.go (ComputeHash), pkg/controller/history/controller_history.go
(HashControllerRevision), apimachinery pkg/util/rand (SafeEncodeString), Go's hash/fnv.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from emulator.controllers.godump import dump

SAFE = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident
_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF  # FNV of 32 bits


def template_hash(template: Mapping[str, Any], collisions: int | None = None) -> str:
    """Eight to ten letters for a template; `collisions`, a status.collisionCount, gives another hash."""
    salt = b"" if collisions is None else collisions.to_bytes(4, "little") + bytes(4)
    return _safe(fnv_1a(dump(template).encode() + salt))


def data_hash(data: Mapping[str, Any], collisions: int | None = None) -> str:
    """The hash of a ControllerRevision's data, as of a StatefulSet."""
    salt = "" if collisions is None else str(collisions)
    return _safe(fnv_1(f"{go_json(data)}{salt}".encode()))


def go_json(value: Any) -> str:
    """JSON as Go writes a map: keys sorted, nothing between, <, > and & as escapes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for plain in "<>&\u2028\u2029":
        text = text.replace(plain, f"\\u{ord(plain):04x}")
    return text


def fnv_1a(data: bytes) -> int:
    found = _OFFSET
    for byte in data:
        found = (found ^ byte) * _PRIME & _MASK
    return found


def fnv_1(data: bytes) -> int:
    found = _OFFSET
    for byte in data:
        found = found * _PRIME & _MASK ^ byte
    return found


def _safe(number: int) -> str:
    return "".join(SAFE[ord(digit) % len(SAFE)] for digit in str(number))

"""Hashes that name versions of a pod template. Pure.

Upstream hashes Go's memory layout; only that it is stable, short and of safe letters matters to users.
Source: pkg/controller/controller_utils.go (ComputeHash), apimachinery pkg/util/rand (SafeEncodeString).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

SAFE = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """Eight to ten letters for a template; another `collisions` gives another hash."""
    text = json.dumps([template, collisions], sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")
    return "".join(SAFE[ord(digit) % len(SAFE)] for digit in str(number))

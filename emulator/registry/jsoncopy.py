"""Private copies of JSON objects."""

from __future__ import annotations

import orjson

from emulator.api.meta import JsonObject


def json_copy(object: JsonObject) -> JsonObject:
    """A deep copy that shares nothing mutable. A round trip through orjson: several times faster than copy.deepcopy,
    and about twice as fast as a recursive copy in Python.
    """
    copied: JsonObject = orjson.loads(orjson.dumps(object))
    return copied

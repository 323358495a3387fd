"""A YAML body as the JSON it means: no times, text for every key, and keys that came twice noticed.

Source: sigs.k8s.io/yaml (YAMLToJSON, texts of its strict form).
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from emulator.api.errors import BadRequest

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(_Base):  # type: ignore[misc]
    """Keeps times as text, and remembers duplicates."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = True) -> dict[str, Any]:
        self.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key_text(self.construct_object(key_node, deep=True))
            if key in found:
                line = value_node.start_mark.line + 1
                self.duplicates.append(f"line {line}: key {json.dumps(key)} already set in map")
            found[key] = self.construct_object(value_node, deep=True)
        return found


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_mapping)


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def load_yaml(raw: bytes) -> tuple[Any, list[str]]:
    """The first document, and each duplicate key as `line 3: key "a" already set in map`. Raises BadRequest."""
    text = raw.decode("utf-8", "replace")
    if text.lstrip()[:1] == "{":
        quick = _json_without_duplicates(text)
        if quick is not None:
            return quick, []
    loader = _Loader(text)
    try:
        document = loader.get_data() if loader.check_data() else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = str(error).splitlines()[0] if str(error) else "unreadable"
        raise BadRequest(f"error converting YAML to JSON: yaml: {problem}") from error
    finally:
        loader.dispose()
    return document, loader.duplicates


class _Duplicate(ValueError):
    pass


def _json_without_duplicates(text: str) -> Any:
    """The document, None when it is not JSON or has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _Duplicate
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None

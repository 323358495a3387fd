"""YAML answers as Go's library writes them: keys in order, long lines whole, texts quoted only where they must be.

Source: sigs.k8s.io/yaml (Marshal), its goyaml.v2 (encode.go, stringv).
"""

from __future__ import annotations

from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TEXT = "tag:yaml.org,2002:str"
_LIKE_BOOLEANS = frozenset(("y", "Y", "n", "N"))  # of YAML 1.1, though no reader of today takes them so


class _Dumper(_Base):  # type: ignore[misc]
    """Quotes as goyaml does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = None
    if "\n" in value:
        style = "|"
    elif value in _LIKE_BOOLEANS or _RESOLVER.resolve(yaml.ScalarNode, value, (True, False)) != _TEXT:
        style = '"'
    return dumper.represent_scalar(_TEXT, value, style=style)


_RESOLVER: Any = yaml.resolver.Resolver()
_Dumper.add_representer(str, _text)


def yaml_text(body: Any) -> bytes:
    dumped: str = yaml.dump(body, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=2**31 - 1)
    return dumped.encode()

"""`images:` of kubemu.yaml, read with the line of every mistake. Pure.

Paths are made absolute against the folder of the file, so that what comes after need not know where it was.
"""

from __future__ import annotations

import posixpath
from typing import Any

import yaml

from emulator.api.errors import ConfigError
from emulator.config.images import ImageRule

KEYS = ("match", "command", "env", "cwd", "mounts")


def parse_images(node: yaml.Node, filename: str, folder: str) -> tuple[ImageRule, ...]:
    """The entries of the list at `node`. Raises ConfigError naming file and line.

    folder: what relative paths are relative to.
    """
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigError(f"{filename}:{_line(node)}: images must be a list of entries with match and command")
    return tuple(_rule(entry, filename, folder) for entry in node.value)


def _rule(node: yaml.Node, filename: str, folder: str) -> ImageRule:
    where = f"{filename}:{_line(node)}: images"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}: an entry with match and command is expected")
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key not in KEYS:
            raise ConfigError(f"{filename}:{_line(key_node)}: images: unknown key {key!r}; known are {', '.join(KEYS)}")
        values[key] = _CHECKS[key](value_node, f"{filename}:{_line(value_node)}: images.{key}")
    if not values.get("match"):
        raise ConfigError(f"{where}: match is missing: a glob over image references, such as example/webapp:*")
    values["cwd"] = posixpath.normpath(posixpath.join(folder, values.get("cwd") or "."))
    values["mounts"] = {
        inner: posixpath.normpath(posixpath.join(folder, path)) for inner, path in values.get("mounts", {}).items()
    }
    return ImageRule(**values)


def _text(node: yaml.Node, where: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
        raise ConfigError(f"{where}: a text is expected")
    return str(node.value)


def _words(node: yaml.Node, where: str) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigError(f"{where}: a list of words is expected, such as [python, app.py]")
    return tuple(_text(word, where) for word in node.value)


def _texts(node: yaml.Node, where: str) -> dict[str, str]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}: a mapping of texts is expected")
    return {_text(key, where): _text(value, where) for key, value in node.value}


def _mounts(node: yaml.Node, where: str) -> dict[str, str]:
    found = _texts(node, where)
    for inner in found:
        if not posixpath.isabs(inner) or posixpath.normpath(inner) == "/":
            raise ConfigError(f"{where}: {inner!r} is not a path inside the container, such as /app/bin")
    return found


_CHECKS = {"match": _text, "command": _words, "env": _texts, "cwd": _text, "mounts": _mounts}


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1

"""What the published API documents say about each type and field, where the extra `docs` has brought them.

Read from the PyPI package kubernetes-validate, whose data are the published schemas; without it, or with one that is
put together differently, there are no descriptions and everything else works as before.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from pathlib import Path
from typing import Any

import orjson

from emulator.apiserver.openapi.schemas import Descriptions
from emulator.apiserver.version import MAJOR, MINOR

log = logging.getLogger(__name__)

PACKAGE = "kubernetes_validate"
FOLDER = re.compile(r"v(\d+)\.(\d+)\.(\d+)-local")


def published_descriptions() -> Descriptions:
    """The texts for the version that is emulated, or for the nearest one the package has."""
    spec = importlib.util.find_spec(PACKAGE)  # finds it without running it
    if spec is None or spec.origin is None:
        return {}
    try:
        folder = _nearest(Path(spec.origin).parent / "kubernetes-json-schema")
        document = orjson.loads((folder / "_definitions.json").read_bytes())
        return _texts(document.get("$defs") or document["definitions"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("no descriptions for kubectl explain: the package %s cannot be read: %s", PACKAGE, error)
        return {}


def _nearest(folder: Path) -> Path:
    """Raises ValueError when there is none."""
    wanted = (int(MAJOR), int(MINOR))
    found = {
        tuple(map(int, match.groups())): path for path in folder.iterdir() if (match := FOLDER.fullmatch(path.name))
    }
    return found[max(found, key=lambda version: (version[:2] <= wanted, version if version[:2] <= wanted else ()))]


def _texts(definitions: dict[str, Any]) -> Descriptions:
    return {
        name: {
            "": definition.get("description", ""),
            **{field: schema.get("description", "") for field, schema in definition.get("properties", {}).items()},
        }
        for name, definition in definitions.items()
    }

"""Manifests from files and folders."""

from __future__ import annotations

from pathlib import Path

from emulator.api.errors import EmulatorError
from emulator.client.manifests import Manifest, parse_manifests


def load_manifests(source: str | Path) -> list[Manifest]:
    """The manifests at a path (folders: every .yaml, .yml and .json in name order) or of a YAML text.

    A text is told from a path by its line breaks. Raises ManifestError, or EmulatorError for an absent file.
    """
    if isinstance(source, str) and "\n" in source:
        return parse_manifests(source, "<text>")
    path = Path(source)
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml", ".json"))
        else:
            files = [path]
        return [manifest for file in files for manifest in parse_manifests(file.read_text(), str(file))]
    except OSError as error:
        raise EmulatorError(f"{error.filename or path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EmulatorError(f"{path}: not a text file in UTF-8") from error

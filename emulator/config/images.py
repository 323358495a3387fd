"""Which local program stands for a container image. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class ImageRule:
    """One entry. `command` is the image's entrypoint, `cwd` its working directory, `mounts` host paths by path inside."""

    match: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)


def rule_for(rules: Iterable[ImageRule], image: str) -> ImageRule | None:
    """The first rule whose glob matches an image reference; one without a tag is also tried as `:latest`."""
    tagged = image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
    return next((rule for rule in rules if any(fnmatchcase(name, rule.match) for name in (image, tagged))), None)

"""Variables of a pod in this process' environment, for as long as a block lasts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def patched_environment(variables: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Set the variables; afterwards each is as it was, unless somebody has changed it meanwhile. Yields those set."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield dict(variables)
    finally:
        for name, value in before.items():
            if os.environ.get(name) != variables[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

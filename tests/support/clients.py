"""A whole cluster for client libraries to talk to, and what their tests create there."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from emulator import Cluster

LABELS = {"app": "web"}


@asynccontextmanager
async def cluster_and_kubeconfig(folder: Path) -> AsyncIterator[tuple[Cluster, str]]:
    """A running cluster on loopback, and the path of its kubeconfig."""
    async with Cluster() as cluster:
        path = folder / "kubeconfig"
        path.write_text(cluster.kubeconfig)
        path.chmod(0o600)
        yield cluster, str(path)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Some clients leave their sockets to the collector; it comes here, where it blames nobody else."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def deployment(name: str = "web", replicas: int = 2) -> dict[str, Any]:
    container = {"name": "web", "image": "example/web:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": LABELS}, "spec": spec}


def pod(name: str = "shell") -> dict[str, Any]:
    container = {"name": "main", "image": "example/web:1", "ports": [{"containerPort": 8080}]}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "data": data,
    }


def waited(check: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """What `check` gives once it is true; for synchronous clients. Raises AssertionError."""
    ends = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.02)
    return found

"""A synchronous test: the cluster runs in a thread with a loop of its own, the test uses requests."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import requests
from conftest import config

from emulator import Cluster

WEBAPP = """
apiVersion: v1
kind: Service
metadata: {name: webapp}
spec: {selector: {app: webapp}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: webapp-0, labels: {app: webapp}}
spec: {containers: [{name: webapp, image: webapp, ports: [{containerPort: 8080}]}]}
"""
Result = TypeVar("Result")


class Background:
    """A cluster in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.cluster = Cluster(config())

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)


@pytest.fixture
def background() -> Iterator[Background]:
    made = Background()
    made.thread.start()
    try:
        made.do(made.cluster.start())
        yield made
    finally:
        made.do(made.cluster.stop())
        made.loop.call_soon_threadsafe(made.loop.stop)
        made.thread.join()
        made.loop.close()


def test_a_request_by_name(background: Background) -> None:
    cluster = background.cluster
    background.do(cluster.apply(WEBAPP, wait=True))
    with requests.Session() as session:
        session.mount("http://", cluster.requests_adapter())
        assert session.get("http://webapp:8080/hostname", timeout=5).text == "webapp-0"


def test_code_that_has_its_own_session(background: Background) -> None:
    cluster = background.cluster
    background.do(cluster.apply(WEBAPP, wait=True))
    with cluster.patch_resolver():
        assert requests.get("http://webapp.default.svc:8080/hostname", timeout=5).text == "webapp-0"

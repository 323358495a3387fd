"""Synchronous tests with requests: the fixture `sync_cluster` blocks, and its cluster runs in a thread of its own."""

import pytest
import requests

from emulator.testing.sync import SyncCluster

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


@pytest.mark.kubemu(WEBAPP)  # applied, and ready, before the test begins
def test_a_request_by_name(sync_cluster: SyncCluster) -> None:
    with sync_cluster.http() as session:
        assert session.get("http://webapp:8080/hostname", timeout=5).text == "webapp-0"


@pytest.mark.kubemu(WEBAPP)
def test_code_that_has_its_own_session(sync_cluster: SyncCluster) -> None:
    with sync_cluster.patch_resolver():
        assert requests.get("http://webapp.default.svc:8080/hostname", timeout=5).text == "webapp-0"

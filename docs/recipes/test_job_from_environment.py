"""A program that finds its services in the environment, as the kubelet gives it to every pod."""

import asyncio
import os
import sys

import pytest

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

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
JOB = """
import os, urllib.request
url = "http://{WEBAPP_SERVICE_HOST}:{WEBAPP_SERVICE_PORT}/echo?msg=done".format_map(os.environ)
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).read().decode())
"""


async def test_code_of_this_process(cluster: ClusterView) -> None:
    await cluster.apply(WEBAPP, wait=True)
    with cluster.patch_env():
        host, port = os.environ["WEBAPP_SERVICE_HOST"], int(os.environ["WEBAPP_SERVICE_PORT"])
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"webapp-0")
    writer.close()
    await writer.wait_closed()
    assert "WEBAPP_SERVICE_HOST" not in os.environ


async def test_a_job_of_its_own(cluster: ClusterView) -> None:
    await cluster.apply(WEBAPP, wait=True)
    done = await cluster.run(sys.executable, "-c", JOB)
    assert (done.returncode, done.stdout.strip()) == (0, b"done")

"""A program that finds its cluster as one in a pod does: token, CA and address by ServiceAccount files and variables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.cli import Kubemu

OFFICIAL = """
from kubernetes import client, config
config.load_incluster_config()
core = client.CoreV1Api()
print(core.list_namespaced_service("default").items[0].metadata.name)
print(client.AuthenticationV1Api().create_self_subject_review({}).status.user_info.username)
print(open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read())
"""
LIGHT = """
from lightkube import Client, KubeConfig
from lightkube.resources.core_v1 import Service
print([each.metadata.name for each in Client(KubeConfig.from_service_account()).list(Service, namespace="default")][0])
"""
KR8S = """
import asyncio, warnings
warnings.simplefilter("ignore")
import kr8s
async def main():
    api = await kr8s.asyncio.api()
    print(api.auth.namespace, [each.name async for each in api.get("services", namespace="default")][0])
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (OFFICIAL, ["kubernetes", "system:serviceaccount:default:default", "default"]),
        (LIGHT, ["kubernetes"]),
        (KR8S, ["default kubernetes"]),
    ],
    ids=["kubernetes", "lightkube", "kr8s"],
)
def test_in_cluster_configuration(tmp_path: Path, program: str, said: list[str]) -> None:
    kubemu = Kubemu(tmp_path)
    try:
        assert kubemu.up("--network", "sandbox")["network"] == "sandbox"
        done = kubemu.run(sys.executable, "-c", program)
        assert done.stdout.splitlines() == said, done.text
    finally:
        kubemu("down")

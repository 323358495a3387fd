"""Code that uses the `kubernetes` package: give it the cluster's kubeconfig."""

import asyncio
from pathlib import Path

import pytest
from kubernetes import client, config

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio


def names_of_services(kubeconfig: Path) -> list[str]:
    """The code under test; synchronous, so it runs in a thread beside the cluster."""
    with config.new_client_from_config(str(kubeconfig)) as api:
        found = client.CoreV1Api(api).list_service_for_all_namespaces()
        return sorted(item.metadata.name for item in found.items)


async def test_services_are_listed(cluster: ClusterView, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig)
    assert await asyncio.to_thread(names_of_services, kubeconfig) == ["kube-dns", "kubernetes"]

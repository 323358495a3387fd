"""Two candidates and one Lease, as client-go's leader election has it: who writes first leads, until its Lease expires."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

LEASE_SECONDS = 1


class Candidate:
    """The code under test."""

    def __init__(self, api: client.ApiClient, name: str) -> None:
        self.leases = client.CoordinationV1Api(api)
        self.name = name
        self.leads = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                self.leads.set() if await self.acquire() else self.leads.clear()
            except ApiException as error:
                if error.status != 409:  # Conflict: somebody else was faster, so look again
                    raise
                self.leads.clear()
            await asyncio.sleep(0.1)

    async def acquire(self) -> bool:
        now = datetime.now(UTC)
        wanted = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.isoformat(timespec="microseconds"),
        }
        try:
            held = await self.leases.read_namespaced_lease("leader", "default")
        except ApiException as error:
            if error.status != 404:
                raise
            await self.leases.create_namespaced_lease("default", {"metadata": {"name": "leader"}, "spec": wanted})
            return True
        expires = held.spec.renew_time + timedelta(seconds=LEASE_SECONDS)
        if held.spec.holder_identity != self.name and now < expires:
            return False
        version = {"name": "leader", "resourceVersion": held.metadata.resource_version}
        await self.leases.replace_namespaced_lease("leader", "default", {"metadata": version, "spec": wanted})
        return True


async def test_another_takes_over(cluster: ClusterView, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig)
    async with await config.new_client_from_config(str(kubeconfig)) as api:
        first, second = Candidate(api, "first"), Candidate(api, "second")
        async with asyncio.timeout(15), asyncio.TaskGroup() as group:
            leader = group.create_task(first.run())
            await first.leads.wait()
            other = group.create_task(second.run())
            await asyncio.sleep(LEASE_SECONDS * 1.5)
            assert not second.leads.is_set()
            leader.cancel()  # it dies without a word
            await second.leads.wait()
            other.cancel()
    await asyncio.sleep(0.25)  # aiohttp, which this client uses, ends TLS connections after it says it has
    assert (await cluster.get("lease/leader"))["spec"]["holderIdentity"] == "second"

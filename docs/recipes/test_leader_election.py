"""Two candidates and one Lease, as client-go's leader election has it: who writes first leads, until its Lease expires."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from emulator import ApiError, Cluster
from emulator.api.kinds import LEASE

pytestmark = pytest.mark.asyncio

LEASE_SECONDS = 1


class Candidate:
    """The code under test; in yours, a Kubernetes client stands where `cluster.client` does."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.client = cluster.client
        self.name = name
        self.leads = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                self.leads.set() if await self.acquire() else self.leads.clear()
            except ApiError:  # somebody else was faster: look again
                self.leads.clear()
            await asyncio.sleep(0.1)

    async def acquire(self) -> bool:
        now = datetime.now(UTC)
        spec = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.isoformat(timespec="microseconds"),
        }
        listed = await self.client.list(LEASE, "default")
        held = next((each for each in listed.items if each["metadata"]["name"] == "leader"), None)
        if held is None:
            metadata = {"name": "leader", "namespace": "default"}
            await self.client.create(
                LEASE, {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            )
            return True
        renewed = datetime.fromisoformat(held["spec"]["renewTime"])
        if held["spec"]["holderIdentity"] != self.name and now - renewed < timedelta(seconds=LEASE_SECONDS):
            return False
        await self.client.update(LEASE, {**held, "spec": {**held["spec"], **spec}})  # Conflict if it has changed
        return True


async def test_another_takes_over(cluster: Cluster) -> None:
    first, second = Candidate(cluster, "first"), Candidate(cluster, "second")
    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        leader = group.create_task(first.run())
        await first.leads.wait()
        other = group.create_task(second.run())
        await asyncio.sleep(LEASE_SECONDS * 1.5)
        assert not second.leads.is_set()
        leader.cancel()  # it dies without a word
        await second.leads.wait()
        other.cancel()
    lease = await cluster.get("lease/leader")
    assert lease["spec"]["holderIdentity"] == "second"

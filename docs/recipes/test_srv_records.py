"""A consumer of SRV records: the members of a StatefulSet and their port, found by asking DNS."""

import asyncio

import pytest
from dnslib import QTYPE, DNSRecord

from emulator.testing.view import ClusterView

pytestmark = pytest.mark.asyncio

DATABASE = """
apiVersion: v1
kind: Service
metadata: {name: database}
spec: {clusterIP: None, selector: {app: database}, ports: [{name: sql, port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database}
spec:
  serviceName: database
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: database}}
  template:
    metadata: {labels: {app: database}}
    spec: {containers: [{name: database, image: database, ports: [{name: sql, containerPort: 5432}]}]}
"""


def members(dns: tuple[str, int], service: str) -> list[tuple[str, int]]:
    """The code under test; synchronous, as dnslib is."""
    question = DNSRecord.question(f"_sql._tcp.{service}.default.svc.cluster.local", "SRV")
    answer = DNSRecord.parse(question.send(*dns, timeout=5))
    return sorted((str(each.rdata.target), each.rdata.port) for each in answer.rr if each.rtype == QTYPE.SRV)


async def test_the_members_are_found(cluster: ClusterView) -> None:
    await cluster.apply(DATABASE)
    async with asyncio.timeout(20):
        while len(found := await asyncio.to_thread(members, cluster.dns_address, "database")) < 2:
            await asyncio.sleep(0.02)
    assert found == [
        ("database-0.database.default.svc.cluster.local.", 5432),
        ("database-1.database.default.svc.cluster.local.", 5432),
    ]

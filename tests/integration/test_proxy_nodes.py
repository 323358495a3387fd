"""Node ports of a cluster with several nodes, which have addresses of their own in the sandbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emulator import Cluster, ClusterConfig
from emulator.config.presets import address_plan

MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30123}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: web, image: web, ports: [{containerPort: 8080}]}]}
"""


async def hostname(cluster: Cluster, address: str, port: int) -> bytes:
    reader, writer = await cluster.connect(address, port)
    writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
    try:
        return (await reader.read()).rpartition(b"\n")[2]
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_node_port_of_policy_local_is_for_the_pods_of_its_node() -> None:
    plan = address_plan("microk8s", "sandbox")
    config = replace(ClusterConfig(dns_port=0), network="sandbox", addresses=plan, nodes=2)
    first, second = str(plan.nodes[1]), str(plan.nodes[2])
    async with Cluster(config) as cluster:
        await cluster.apply(MANIFESTS, wait=True)
        assert await hostname(cluster, first, 30123) == b"web-0"
        with pytest.raises(ConnectionRefusedError):
            await hostname(cluster, second, 30123)
        await cluster.apply(MANIFESTS.replace("Policy: Local", "Policy: Cluster"), wait=True)
        assert await hostname(cluster, second, 30123) == b"web-0"

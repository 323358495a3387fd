"""ClusterConfig: every setting of one cluster, frozen. Where it came from (flags, environment, file) is settled before."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from emulator.config.images import ImageRule

NetworkMode = Literal["sandbox", "loopback", "host"]

API_PORT_IN_CLUSTER = 16443  # where MicroK8s' API server listens on each node; `kubernetes` points there
HTTP_PORT, HTTPS_PORT = 10080, 10443  # of the ingress on the host; another program there moves it to a free port
BROWSER_PORT = 10081  # beside HTTP_PORT, which browsers refuse: https://fetch.spec.whatwg.org/#port-blocking
NODE_PORT_RANGE = (30000, 32767)  # kube-apiserver --service-node-port-range, inclusive


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The address ranges of one cluster."""

    services: IPv4Network
    pods: IPv4Network
    nodes: IPv4Network
    load_balancer_first: IPv4Address
    load_balancer_last: IPv4Address

    @property
    def kubernetes(self) -> str:
        """ClusterIP of default/kubernetes: the first usable address."""
        return str(self.services[1])

    @property
    def dns(self) -> str:
        """ClusterIP of kube-system/kube-dns: the tenth address."""
        return str(self.services[10])


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The settings of one cluster; a port of 0 means a free one."""

    name: str = "kubemu"
    network: NetworkMode = "loopback"
    preset: str = "microk8s"
    addresses: AddressPlan = AddressPlan(
        IPv4Network("127.152.183.0/24"),
        IPv4Network("127.1.0.0/16"),
        IPv4Network("127.0.0.1/32"),
        IPv4Address("127.64.140.43"),
        IPv4Address("127.64.140.254"),
    )
    cluster_domain: str = "cluster.local"
    nodes: int = 1
    store: str = "memory"
    load_balancer: Literal["assign", "pending"] = "assign"
    runtime: Literal["simulate", "process"] = "simulate"
    images: tuple[ImageRule, ...] = ()
    api_port: int = 0
    dns_port: int = 10053
    http_port: int = HTTP_PORT
    https_port: int = HTTPS_PORT
    socks_port: int = 10800
    node_port_range: tuple[int, int] = NODE_PORT_RANGE
    isolated: bool = False
    ingress: bool = True  # the add-on: classes, addresses of Ingresses, the HTTP and HTTPS ports
    insecure_http: bool = False
    dns_ttl_seconds: int = 5  # CoreDNS' default, and MicroK8s'

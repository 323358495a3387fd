"""The composition root: the only module that knows all parts. It builds, wires, starts and stops them.

What users ask of a running cluster is in cluster.py.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.api.errors import AlreadyExists
from emulator.api.kinds import (
    CONFIG_MAP,
    ENDPOINTS,
    INGRESS_CLASS,
    NAMESPACE,
    POD,
    SERVICE,
)
from emulator.apiserver.io.app import ApiServer
from emulator.client.index import Change
from emulator.client.io.informer import Informers
from emulator.client.io.inprocess import InProcessClient
from emulator.client.io.protocol import Client
from emulator.config.addons import ADDONS, is_on
from emulator.config.presets import node_address
from emulator.config.settings import API_PORT_IN_CLUSTER, BROWSER_PORT, HTTP_PORT, HTTPS_PORT, ClusterConfig
from emulator.controllers.io.runner import ControllerRunner
from emulator.dns.io.server import DnsServer, Listen
from emulator.dns.lookup import Absent, Elsewhere, lookup
from emulator.io.clock import utc_now
from emulator.io.hostnet import HostNetwork
from emulator.io.network import Network
from emulator.io.slots import take_slot
from emulator.io.switched import Switched
from emulator.io.tasks import running
from emulator.node.io.kubelet import NodeAgent
from emulator.node.io.podstreams import NodeStreams
from emulator.pki.authority import Credentials, make_credentials
from emulator.proxy.io.proxy import ServiceProxy
from emulator.registry.io.pipeline import Registry
from emulator.routing.ingressclasses import built_in_classes
from emulator.routing.ingressservice import ingress_endpoints, ingress_namespace, ingress_service
from emulator.store.io.memory import MemoryStore

if TYPE_CHECKING:
    from emulator.client.io.hostnames import HostNames
    from emulator.ingress.io.controller import IngressController
    from emulator.io.sandbox import Sandbox
    from emulator.node.io.processes import ProcessRuntime


DNS_POD_NUMBER = 2  # kube-dns' endpoint: the second pod address, which the node agent does not give away
UNKNOWN_NAME = "Name or service not known"
SERVED_BY_DNS = {"service.kubernetes.io/service-proxy-name": "kubemu-dns"}


class Composition:
    """The parts of one cluster, wired."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.failed = asyncio.Event()
        self.ingress: IngressController | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stack = AsyncExitStack()

    async def stop(self) -> None:
        """Stop every part in reverse order. May be called twice."""
        await self._stack.aclose()

    async def _start(self) -> None:
        config, marker = take_slot(self.config)
        if marker is not None:
            self.config = config
            self._stack.callback(marker.close)
        self._loop = asyncio.get_running_loop()
        self.host: Network = HostNetwork("host" if config.network == "host" else "loopback")
        self.network, self.sandbox = await self._networks()
        self.registry = Registry(MemoryStore(), config)
        self.client: Client = InProcessClient(self.registry)
        self.informers = Informers(self.client)
        self.credentials: Credentials = make_credentials(
            _server_names(config), name=config.name, token=secrets.token_urlsafe(24), at=utc_now()
        )
        self.api = ApiServer(self.registry, config, self.credentials, dial=self.network.tcp_connect)
        await self._stack.enter_async_context(running(self.api, failed=self.failed))
        endpoint = await self._api_endpoint()
        self.dns = DnsServer(
            self.informers,
            config,
            listen=self._dns_places(),
            host_alias=self._host_alias(),
            upstream_network=self.host,
        )
        self.controllers = ControllerRunner(
            self.client, self.informers, config, api_endpoint=endpoint, ca=self.credentials.ca
        )
        self.proxy = ServiceProxy(self.client, self.informers, self.network, self.host, config)
        self._addons = {"dns": Switched(self.dns)}
        self.informers[CONFIG_MAP].listen(self._addons_told)
        parts: list[Any] = [self._addons["dns"], self.informers, self.controllers]
        if config.nodes:
            self.informers[POD]  # waiting for readiness reads it
            self.node = NodeAgent(
                InProcessClient(self.registry, manager="kubelet"),
                self.informers,
                self.network,
                config,
                host_network=self.host,
                node_resolv_conf=host_file(),
                processes=self._processes(),
            )
            parts.append(self.node)
            self.api.pod_streams = NodeStreams(
                self.node,
                self.network,
                config,
                self.sandbox.reference if self.sandbox is not None else None,
                ca=self.credentials.ca,
                issue=self.api.accounts.issue,
            )
        parts.append(self.proxy)
        if config.ingress:
            self.ingress = self._ingress()
            self._addons["ingress"] = Switched(self.ingress)
            parts.append(self._addons["ingress"])
        await self._stack.enter_async_context(running(*parts, failed=self.failed))
        await self._create_dns_objects()
        await self._create_ingress_classes()

    def _addons_told(self, change: Change) -> None:
        """`kubemu disable ingress` writes `ingress: "false"` into a ConfigMap; what it does not name is on."""
        if change.key == ADDONS:
            wanted = change.object if change.type != "DELETED" else None
            for name, addon in self._addons.items():
                addon.turn(on=is_on(wanted, name))

    def _ingress(self) -> IngressController:
        """On the host at its own ports; where nodes have addresses of their own also there, at 80 and 443."""
        from emulator.ingress.io.controller import IngressController
        from emulator.ingress.io.controller import Listen as Door

        config = self.config
        doors = [
            Door(self.host, "127.0.0.1", config.http_port, "http", may_move=config.http_port == HTTP_PORT),
            Door(self.host, "127.0.0.1", config.https_port, "https", may_move=config.https_port == HTTPS_PORT),
        ]
        if config.http_port == HTTP_PORT:
            doors.append(Door(self.host, "127.0.0.1", BROWSER_PORT, "http", optional=True, name="browser"))
        if config.network != "loopback":
            for address in dict.fromkeys((node_address(config.addresses, 1), "127.0.0.1")):
                doors.append(Door(self.network, address, 80, "http", optional=True))
                doors.append(Door(self.network, address, 443, "https", optional=True))
        pair = self.credentials.ingress
        return IngressController(
            self.client,
            self.informers,
            self.network,
            listen=doors,
            certificate=(pair.certificate, pair.key),
            resolve=lambda host: self._address_of(host, "default"),
        )

    async def _networks(self) -> tuple[Network, Sandbox | None]:
        if self.config.network != "sandbox":
            if self.config.network == "host":
                from emulator.io.hostaddresses import local_routes

                await self._stack.enter_async_context(local_routes(self.config.addresses))
            return self.host, None
        from emulator.io.sandbox import Sandbox

        sandbox = Sandbox(self.config)
        await self._stack.enter_async_context(running(sandbox, failed=self.failed))
        if not self.config.isolated:
            from emulator.io.egress import Egress

            egress = Egress(sandbox, self.host)
            self._stack.push_async_callback(egress.stop)
            await egress.start()
        return sandbox, sandbox

    def _processes(self) -> ProcessRuntime | None:
        if not self.config.images and self.config.runtime == "simulate":
            return None
        from emulator.node.io.processes import ProcessRuntime

        return ProcessRuntime(self.config, self.sandbox, issue=self.api.accounts.issue)

    async def _api_endpoint(self) -> tuple[str, int]:
        """Where the API is reached from inside the cluster: the address behind default/kubernetes."""
        address = node_address(self.config.addresses, 1)
        if self.sandbox is None and self.config.network != "host":
            return address, self.api.port
        self.api.add_listener(await self.network.tcp_listener(address, API_PORT_IN_CLUSTER))
        return address, API_PORT_IN_CLUSTER

    def _dns_places(self) -> list[Listen]:
        loopback = self.config.network == "loopback"
        addresses = self.config.addresses
        return [
            Listen(self.host, "127.0.0.1", self.config.dns_port),
            Listen(self.network, addresses.dns, 53, optional=loopback),
            Listen(self.network, str(addresses.pods[DNS_POD_NUMBER]), 53, optional=loopback),
        ]

    def _host_alias(self) -> str | None:
        if self.sandbox is not None:
            return self.sandbox.host_address
        return "127.0.0.1"

    async def _create_dns_objects(self) -> None:
        """kube-system/kube-dns as MicroK8s has it; its endpoint is this process, so no selector and no proxying."""
        ports = [("dns", "UDP", 53), ("dns-tcp", "TCP", 53)]
        labels = {
            "k8s-app": "kube-dns",
            "kubernetes.io/cluster-service": "true",
            "kubernetes.io/name": "CoreDNS",
            **SERVED_BY_DNS,
        }
        metadata = {"name": "kube-dns", "namespace": "kube-system"}
        address = str(self.config.addresses.pods[DNS_POD_NUMBER])
        try:
            await self.client.create(
                SERVICE,
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {**metadata, "labels": labels},
                    "spec": {
                        "clusterIP": self.config.addresses.dns,
                        "ports": [{"name": n, "protocol": p, "port": port} for n, p, port in ports],
                    },
                },
            )
            # The mirroring controller makes the EndpointSlice of it.
            await self.client.create(
                ENDPOINTS,
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "metadata": {**metadata, "labels": {"k8s-app": "kube-dns"}},
                    "subsets": [
                        {
                            "addresses": [{"ip": address}],
                            "ports": [{"name": n, "protocol": p, "port": port} for n, p, port in ports],
                        }
                    ],
                },
            )
        except AlreadyExists:
            pass

    async def _create_ingress_classes(self) -> None:
        """Where nothing gives addresses (load balancers pending) no class is the default one, as without the add-on."""
        if not self.config.ingress or not self.config.nodes:
            return
        for made in built_in_classes(with_default=self.config.load_balancer == "assign"):
            with suppress(AlreadyExists):
                await self.client.create(INGRESS_CLASS, made)
        if self.config.network != "loopback" and self.config.load_balancer == "assign":
            await self._create_ingress_service()

    async def _create_ingress_service(self) -> None:
        """An address of its own for the ingress, whose controller listens on the first node."""
        addresses = self.config.addresses
        with suppress(AlreadyExists):
            await self.client.create(NAMESPACE, ingress_namespace())
            await self.client.create(SERVICE, ingress_service(str(addresses.load_balancer_last)))
            await self.client.create(ENDPOINTS, ingress_endpoints(node_address(addresses, 1)))

    def names(self, namespace: str = "default") -> HostNames:
        """Cluster names as a pod of `namespace` finds them, for this process; safe to ask from any thread."""
        from emulator.client.io.hostnames import HostNames

        return HostNames(self._find, self._loop, namespace)

    def _address_of(self, host: str, namespace: str) -> str:
        from emulator.client.io.hostnames import NotOurs

        try:
            return self.names(namespace).one(host)
        except NotOurs as other:
            return other.name

    def _find(self, host: str, namespace: str, six: bool) -> Sequence[str]:
        from emulator.client.io.hostnames import NotOurs

        domain = self.config.cluster_domain
        search = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
        found = lookup(host, self.dns.ask_own, search=search, domain=domain, six=six)
        if isinstance(found, Elsewhere):
            raise NotOurs(found.name)
        if isinstance(found, Absent):
            number = socket.EAI_AGAIN if found.failed else socket.EAI_NONAME
            raise socket.gaierror(number, "Temporary failure in name resolution" if found.failed else UNKNOWN_NAME)
        return found.found


def _server_names(config: ClusterConfig) -> list[str]:
    """What the API's certificate covers: the names and addresses it is reached by, outside and inside."""
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    nodes = [node_address(config.addresses, number) for number in range(1, max(config.nodes, 1) + 1)]
    full = f"kubernetes.default.svc.{config.cluster_domain}"
    return list(dict.fromkeys(["localhost", "127.0.0.1", *service, full, config.addresses.kubernetes, *nodes]))


def host_file() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""

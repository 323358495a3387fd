"""Address plans by preset and network mode, and the ranges a user asks for instead.

In loopback mode every range moves into 127/8, which every Linux process can bind and reach; the rest of the
address stays recognisable (10.152.183.44 becomes 127.152.183.44).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from emulator.api.errors import ConfigError
from emulator.config.settings import AddressPlan, NetworkMode

PRESETS = {  # service range, pod range: the defaults of each distribution
    "microk8s": ("10.152.183.0/24", "10.1.0.0/16"),
    "kubeadm": ("10.96.0.0/12", "10.244.0.0/16"),
    "k3s": ("10.43.0.0/16", "10.42.0.0/16"),
}
NODE_RANGE = "10.0.0.0/24"
SLOTS = 128  # clusters of one machine that do not meet in loopback mode
LOAD_BALANCER_RANGE = ("10.64.140.43", "10.64.140.254")  # MicroK8s' MetalLB add-on suggests 10.64.140.43-49


def address_plan(
    preset: str, mode: NetworkMode, *, service_cidr: str | None = None, pod_cidr: str | None = None
) -> AddressPlan:
    """The ranges of a cluster; an explicit range is taken as it stands. Raises ConfigError."""
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is unknown; use one of {', '.join(PRESETS)}")
    services, pods = PRESETS[preset]
    loopback = mode == "loopback"

    def placed(text: str) -> str:
        return "127." + text.split(".", 1)[1] if loopback else text

    return AddressPlan(
        services=parse_range("service-cidr", service_cidr or placed(services), smallest=28),
        pods=parse_range("pod-cidr", pod_cidr or placed(pods), smallest=24),
        nodes=IPv4Network("127.0.0.1/32") if loopback else IPv4Network(NODE_RANGE),
        load_balancer_first=IPv4Address(placed(LOAD_BALANCER_RANGE[0])),
        load_balancer_last=IPv4Address(placed(LOAD_BALANCER_RANGE[1])),
    )


def parse_range(setting: str, text: str, *, smallest: int) -> IPv4Network:
    """The IPv4 range a setting names. Raises ConfigError for no range, host bits, or one smaller than /smallest."""
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise ConfigError(f"{setting}: {text!r} is not an IPv4 range such as 10.152.183.0/24 ({error})") from error
    if network.prefixlen > smallest:
        raise ConfigError(f"{setting}: {text} is too small; a /{smallest} or larger is needed")
    return network


def node_address(plan: AddressPlan, number: int) -> str:
    """The address of node `number` (from 1); all nodes share the one address of loopback mode."""
    if plan.nodes.num_addresses == 1:
        return str(plan.nodes[0])
    return str(plan.nodes[number])


def slot_plan(number: int) -> AddressPlan:
    """The usual ranges of loopback mode for the machine's nth cluster, from 0.

    Later ones differ in the third octet of Services and load balancers and in the second of Pods:
    127.152.1.0/24, 127.2.0.0/16, 127.64.1.43 and so on.
    """
    if number == 0:
        return address_plan("microk8s", "loopback")
    pods = number + 1 if number < 63 else number + 2  # 127.64/16 is the load balancers'
    pods += pods >= 152  # and 127.152/16 the Services'
    return AddressPlan(
        services=IPv4Network(f"127.152.{number}.0/24"),
        pods=IPv4Network(f"127.{pods}.0.0/16"),
        nodes=IPv4Network("127.0.0.1/32"),
        load_balancer_first=IPv4Address(f"127.64.{number}.43"),
        load_balancer_last=IPv4Address(f"127.64.{number}.254"),
    )


def moved_to_plan(address: str, preset: str, plan: AddressPlan) -> str:
    """The address in `plan` of a manifest written for the preset's own ranges; any other comes back unchanged.

    Only loopback mode moves addresses: 10.152.183.44 of a manifest is 127.152.183.44 there, or the 44th address of
    the range that the machine's next cluster has.
    """
    try:
        given = IPv4Address(address)
    except ValueError:
        return address
    if not plan.services.is_loopback or given in plan.services:
        return address
    written_for = [IPv4Network(PRESETS[preset][0]), address_plan(preset, "loopback").services]
    for network in written_for:
        offset = int(given) - int(network[0])
        if given in network and offset < plan.services.num_addresses:
            return str(plan.services[offset])
    return address


def ingress_address(preset: str, plan: AddressPlan) -> str:
    """What Ingresses get as their address: MicroK8s' add-on publishes the host's loopback, others a node's address."""
    return "127.0.0.1" if preset == "microk8s" else node_address(plan, 1)

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


def moved_to_plan(address: str, preset: str, plan: AddressPlan) -> str:
    """The address in `plan` of a manifest written for the preset's own ranges; any other comes back unchanged.

    Only loopback mode moves addresses: 10.152.183.44 of a manifest is 127.152.183.44 there.
    """
    try:
        given = IPv4Address(address)
    except ValueError:
        return address
    moved = "127." + address.split(".", 1)[1]
    if given in IPv4Network(PRESETS[preset][0]) and given not in plan.services and IPv4Address(moved) in plan.services:
        return moved
    return address

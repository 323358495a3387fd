"""The engine against the rules written down a second time, plainly: which names exist, and what they hold.

Written after the prose of CoreDNS' kubernetes plugin and the DNS specification, not after emulator/dns: an empty
non-terminal, a port label, an endpoint, a pod form or a type is decided here by one function each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.api.kinds import ENDPOINT_SLICE, NAMESPACE, SERVICE
from emulator.client.index import Change
from emulator.dns import names, wire
from emulator.dns.config import DnsConfig
from emulator.dns.engine import Engine, Reply
from emulator.dns.records import Records

ZONE = "cluster.local."
NAMESPACES = ("default", "other")
SERVICES = ("web", "db")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "fd00::1")
PORTS = (("http", "TCP", 80), ("dns", "UDP", 53), ("", "TCP", 81))
LABELS = ("web", "db", "default", "other", "svc", "pod", "_http", "http", "_tcp", "tcp", "_udp", "_dns", "h", "H", "x")
FORMS = ("10-0-0-1", "10-0-0-2", "fd00--1", "1-2-3-4", "_", "any", "Web", "SVC", "1-2-3")
TYPES = ("A", "AAAA", "SRV", "CNAME", "TXT", "MX", "PTR", "NS", "SOA", "ANY", "HTTPS")

Port = tuple[str, str, int]
Found = list[tuple[str, int, str]]  # address, port, target


@dataclass
class Slice:
    ports: list[Port]
    endpoints: list[tuple[str, str, bool]]  # address, hostname, ready


@dataclass
class Service:
    addresses: list[str]  # none: headless
    ports: list[Port]
    slices: list[Slice] = field(default_factory=list)


World = dict[tuple[str, str], Service]

ports = st.lists(st.sampled_from(PORTS), unique=True, max_size=3)
endpoints = st.lists(
    st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(["", "h"]), st.booleans()),
    max_size=3,
    unique_by=lambda e: e[0],
)
services = st.builds(
    Service,
    st.sampled_from([[], ["10.0.0.2"], ["10.0.0.1", "fd00::1"]]),
    ports.filter(len),
    st.lists(st.builds(Slice, ports, endpoints), max_size=2),
)
worlds = st.dictionaries(st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(SERVICES)), services, max_size=4)
labels = st.sampled_from(LABELS + FORMS)
likely = st.tuples(
    st.lists(labels, max_size=3),
    st.sampled_from(SERVICES + FORMS),
    st.sampled_from(NAMESPACES),
    st.sampled_from(["svc", "pod"]),
).map(lambda parts: [*parts[0], *parts[1:]])
queries = st.tuples(st.one_of(likely, likely, st.lists(labels, max_size=6)), st.sampled_from(TYPES))


def index(world: World) -> Records:
    records = Records(pods=True)
    for name in NAMESPACES[: 2 if any(key[0] == "other" for key in world) else 1]:
        records.apply(Change("ADDED", NAMESPACE, {"metadata": {"name": name}}, None))
    for (namespace, name), service in world.items():
        spec: dict[str, Any] = {"clusterIPs": service.addresses or ["None"], "ports": [shown(p) for p in service.ports]}
        metadata = {"name": name, "namespace": namespace, "resourceVersion": "1"}
        records.apply(Change("ADDED", SERVICE, {"metadata": metadata, "spec": spec}, None))
        for number, part in enumerate(service.slices):
            held = {**metadata, "name": f"{name}-{number}", "labels": {"kubernetes.io/service-name": name}}
            said = [
                {"addresses": [address], "hostname": hostname, "conditions": {"ready": ready}}
                for address, hostname, ready in part.endpoints
            ]
            made = {"metadata": held, "ports": [shown(port) for port in part.ports], "endpoints": said}
            records.apply(Change("ADDED", ENDPOINT_SLICE, made, None))
    return records


def shown(port: Port) -> dict[str, Any]:
    return {"name": port[0], "protocol": port[1], "port": port[2]}


def exists_namespace(world: World, name: str) -> bool:
    return name == "default" or (name == "other" and any(key[0] == "other" for key in world))


def matches(port: Port | None, wanted: list[str]) -> bool:
    """Whether a port answers to `_name._protocol`; None is the port of a slice that has none."""
    if not wanted:
        return True
    name, protocol = (label.removeprefix("_") for label in wanted)
    if port is None:
        return name == "" and protocol == ""
    return name in ("", port[0].lower()) and protocol in ("", port[1].lower())


def endpoint_label(address: str, hostname: str) -> str:
    return hostname or address.replace(".", "-").replace(":", "-")


def lookup(world: World, labels: list[str], pods: str) -> Found | None:
    """What is at the name, an empty list for a name that only leads to others, None where there is nothing."""
    if not labels or labels in (["svc"], ["pod"]):
        return []
    if labels[-1] not in ("svc", "pod") or (labels[-1] == "pod" and pods == "disabled"):
        return None
    if not exists_namespace(world, labels[-2]):
        return None
    if len(labels) == 2:
        return []
    return pod_at(labels) if labels[-1] == "pod" else service_at(world, labels)


def pod_at(labels: list[str]) -> Found | None:
    if len(labels) > 5:  # an endpoint, or a port and a protocol, may stand before it, and mean nothing
        return None
    text = labels[-3]
    four = text.count("-") == 3 and "--" not in text
    try:
        address = ip_address(text.replace("-", "." if four else ":"))
    except ValueError:
        return None
    return [(str(address), 0, ".".join(labels[-3:]))]


def service_at(world: World, labels: list[str]) -> Found | None:
    *left, name, namespace, _ = labels
    service = world.get((namespace, name))
    if service is None or len(left) > 2:
        return None
    wanted = left if len(left) == 2 else []
    found: Found = []
    if service.addresses and len(left) != 1:
        at = f"{name}.{namespace}.svc"
        found = [
            (address, port[2], at) for port in service.ports if matches(port, wanted) for address in service.addresses
        ]
        return found or None
    for part in service.slices:
        for address, hostname, ready in part.endpoints:
            label = endpoint_label(address, hostname)
            if not ready or (len(left) == 1 and left[0] != label):
                continue
            target = f"{label}.{name}.{namespace}.svc"
            held: list[Port | None] = [*part.ports] or [None]
            found += [(address, port[2] if port else -1, target) for port in held if matches(port, wanted)]
    return found or None


def expected(world: World, labels: list[str], type_: str, pods: str) -> tuple[str, set[str]]:
    found = lookup(world, labels, pods)
    if type_ == "SOA":
        return "NOERROR", {"SOA"} if not labels else set()
    if type_ == "NS" and not labels:
        return "NOERROR", {"NS"}
    if found is None or (type_ == "TXT" and not found):
        return "NXDOMAIN", set()
    if type_ in ("A", "AAAA"):
        version = 4 if type_ == "A" else 6
        return "NOERROR", {address for address, _, _ in found if ip_address(address).version == version}
    if type_ == "SRV":
        known = [entry for entry in found if entry[1] >= 0]
        weight = max(100 // len(known), 1) if known else 0
        return "NOERROR", {f"0 {weight} {port} {target}.{ZONE}" for _, port, target in known}
    return "NOERROR", set()


@settings(deadline=None, max_examples=300)
@given(worlds, st.lists(queries, min_size=1, max_size=30), st.sampled_from(["disabled", "insecure"]))
def test_every_name_and_type_is_answered_by_the_rules(
    world: World, asked: list[tuple[list[str], str]], pods: str
) -> None:
    config = DnsConfig.from_mapping({"zones": [ZONE], "pods": pods, "forward": False, "dns_pod_ips": ["10.1.0.2"]})
    engine = Engine(index(world), config, rng=lambda stop: stop // 2)
    for labels, type_ in asked:
        name = ".".join([*labels, ZONE])
        outcome = engine.handle(wire.render(query(name, type_)), ("192.0.2.1", 4000), 0.0, "udp")
        assert isinstance(outcome, Reply)
        reply = wire.parse(outcome.payload)
        rcode, wanted = expected(world, [label.lower() for label in labels], type_, pods)
        got = {answer_text(record, type_) for record in reply.answer}
        assert (wire.RCODES[reply.rcode], got) == (rcode, wanted), (name, type_)
        assert reply.aa
        assert (not reply.answer) == any(record.type == wire.SOA for record in reply.authority)


def query(name: str, type_: str) -> wire.Message:
    return wire.Message(id=7, rd=True, question=wire.Question(names.to_wire(name), wire.type_number(type_)))


def answer_text(record: wire.Record, type_: str) -> str:
    if record.type in (wire.SOA, wire.NS):
        return wire.type_text(record.type)
    text = wire.data_text(record)
    return text.lower() if type_ == "SRV" else text


def reverse_expected(world: World, address: str, type_: str) -> tuple[str, set[str]]:
    """The names an address has: its Service's, or else those of every ready endpoint that has it."""
    owners = [f"{name}.{namespace}.svc.{ZONE}" for (namespace, name), s in world.items() if address in s.addresses]
    if not owners:
        owners = [
            f"{endpoint_label(held, hostname)}.{name}.{namespace}.svc.{ZONE}"
            for (namespace, name), service in world.items()
            for part in service.slices
            for held, hostname, ready in part.endpoints
            if ready and held == address
        ]
    if type_ == "SOA":
        return "NOERROR", set()
    return ("NOERROR", set(owners)) if owners and type_ == "PTR" else ("NXDOMAIN", set())


def one_owner_each(world: World) -> bool:
    held = [address for service in world.values() for address in service.addresses]
    return len(held) == len(set(held))


@settings(deadline=None, max_examples=200)
@given(worlds.filter(one_owner_each), st.sampled_from(["PTR", "A", "TXT", "ANY", "SOA", "MX"]))
def test_every_address_has_the_names_the_rules_give_it(world: World, type_: str) -> None:
    zones = [ZONE, "in-addr.arpa.", "ip6.arpa."]
    config = DnsConfig.from_mapping({"zones": zones, "forward": False, "dns_pod_ips": ["10.1.0.2"]})
    engine = Engine(index(world), config, rng=lambda stop: stop // 2)
    for address in (*ADDRESSES, "192.0.2.7"):
        name = ip_address(address).reverse_pointer + "."
        outcome = engine.handle(wire.render(query(name, type_)), ("192.0.2.1", 4000), 0.0, "udp")
        assert isinstance(outcome, Reply)
        reply = wire.parse(outcome.payload)
        got = {wire.data_text(record) for record in reply.answer}
        assert (wire.RCODES[reply.rcode], got) == reverse_expected(world, address, type_), (name, type_)
        assert len(got) == len(reply.answer)

"""Why a DNS reply is what it is, in a sentence for the person who asked.

Reads the same index the answer came from and decides nothing: it may only describe. Used by `kubemu resolve --explain`.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.dns import names, wire
from emulator.dns.answers import Answers, address_octets
from emulator.dns.config import DnsConfig
from emulator.dns.names import Query
from emulator.dns.records import Port, Records, ServiceRecord
from emulator.dns.walk import Step

MAX_LISTED = 5  # names listed as a hint


def explain(step: Step, records: Records, config: DnsConfig) -> str:
    """One sentence on one step of a walk."""
    answers = Answers(records, config)
    lower = step.name.lower()
    zones = {names.to_wire(zone.lower()) for zone in config.zones}
    zone = names.longest_match(lower, zones)
    if zone is None:
        return _outside(step, config)
    if step.reply.rcode == wire.SERVFAIL:
        return "the records are not complete yet, so an absent name is SERVFAIL, not NXDOMAIN"
    if names.is_reverse(lower):
        return _reverse(step, answers)
    if lower == zone:
        return "this is the cluster domain itself" + ("" if step.is_answer else f"{_other_type(step)}")
    labels = [label.decode("latin-1") for label in names.split(lower[: len(lower) - len(zone)] + names.ROOT)]
    if labels in (["dns-version"], ["ns", "dns"]):
        return "a name the DNS server has of its own"
    query = names.parse(labels, zonal=config.zonal)
    if query is None:
        return _ungrammatical(labels)
    if not query.kind:
        return f"{labels[0]!r} is a fixed part of every name: it exists and holds nothing (NODATA)"
    if config.namespaces and query.namespace not in config.namespaces:
        return f"namespace {query.namespace!r} is hidden by the setting `namespaces`"
    if query.namespace not in records.namespaces:
        return f"there is no namespace {query.namespace!r}" + _service_hint(query.namespace, records)
    if not query.service:
        return (
            f"{query.namespace!r} is a namespace: the name exists and holds nothing (NODATA); "
            "musl (Alpine) ends its search here"
        )
    if query.kind == "pod":
        return _pod(query, step, answers)
    return _service(query, step, answers)


def summary(name: str, steps: Sequence[Step], *, ndots: int) -> str:
    """What the whole walk cost and how to make it shorter."""
    dots = name.rstrip(".").count(".")
    wasted = sum(not step.is_answer for step in steps)
    if name.endswith("."):
        rule = "the trailing dot means: no search list"
    elif dots < ndots:
        rule = f"{dots} dots are fewer than ndots:{ndots}, so the search list comes first"
    else:
        rule = f"{dots} dots are at least ndots:{ndots}, so the name itself comes first"
    found = bool(steps) and steps[-1].is_answer
    outcome = "found" if found else "not found"
    text = f"{outcome} after {len(steps)} {'query' if len(steps) == 1 else 'queries'}; {rule}"
    if found and wasted and not name.endswith("."):
        full = names.to_text(steps[-1].name)
        text += f"; {wasted} without result: ask for {full!r} (with the dot) to save them"
    return text


def _outside(step: Step, config: DnsConfig) -> str:
    rcode = wire.RCODES.get(step.reply.rcode, str(step.reply.rcode))
    where = f"outside {config.primary_zone.rstrip('.')}, so"
    if not config.forward:
        return f"{where} nobody here knows it ({rcode})"
    if step.reply.rcode == wire.SERVFAIL:
        return f"{where} an upstream was asked; none is set or none answered"
    what = (
        "it answered" if step.is_answer else ("it has no record of this type" if step.is_nodata else f"it said {rcode}")
    )
    return f"{where} an upstream was asked: {what}"


def _reverse(step: Step, answers: Answers) -> str:
    address = names.reverse_address(step.name.lower())
    if address is None:
        return "not a whole address, so there is no such reverse name"
    services = answers.records.services_at(address)
    if services:
        said = f"{address} is the cluster IP of Service {services[0].namespace}/{services[0].name}"
    elif answers.records.slices_at(address):
        behind = {f"{one.namespace}/{one.service}" for one in answers.records.slices_at(address)}
        said = f"{address} is a ready endpoint of {_listed(sorted(behind))}"
    else:
        return f"{address} is no cluster IP and no ready endpoint of a Service"
    return said if step.type == wire.PTR else f"{said}, but reverse names only have PTR records"


def _ungrammatical(labels: Sequence[str]) -> str:
    if labels[-1] not in ("svc", "pod"):
        return f"{labels[-1]!r} is neither 'svc' nor 'pod', and nothing else stands below the cluster domain"
    return f"{len(labels) - 3} labels left of the Service are too many: one is an endpoint, two are port and protocol"


def _service_hint(name: str, records: Records) -> str:
    """A hint where the missing namespace has the name of a Service somewhere."""
    inside = sorted(service.namespace for service in records.services.values() if service.name == name)
    return f" ({name!r} is a Service in {_listed(inside)})" if inside else ""


def _pod(query: Query, step: Step, answers: Answers) -> str:
    mode = answers.config.pods
    if mode == "disabled":
        return "pod names are off (setting `pods`)"
    address = query.service.replace("-", "." if query.service.count("-") == 3 and "--" not in query.service else ":")
    if mode == "insecure" and address_octets(address) is None:
        return f"{query.service!r} is not an address with dashes; pod names are not names here"
    if mode == "verified" and not any(pod.namespace == query.namespace for pod in answers.records.pods_at(address)):
        return f"no running pod with address {address} in namespace {query.namespace!r}"
    return f"the address is read from the name: {address}" + ("" if step.is_answer else _other_type(step))


def _service(query: Query, step: Step, answers: Answers) -> str:
    records = answers.records
    service = records.service(query.service, query.namespace)
    if service is None:
        text = f"there is no Service {query.service!r} in namespace {query.namespace!r}"
        others = sorted(one.namespace for one in records.services.values() if one.name == query.service)
        return text + (f"; there is one in {_listed(others)}" if others else "")
    title = f"Service {service.namespace}/{service.name}"
    if service.external_name is not None:
        return _external(title, service.external_name, query, step, answers)
    if query.endpoint:
        return _endpoint(title, service, query, step, answers)
    if not service.is_headless:
        if answers.find(step.name, _zone_of(step, answers)) is None:
            return (
                _no_port(title, query, service.ports)
                if query.port or query.protocol
                else f"{title} has no ready endpoint"
            )
        if step.is_answer:
            return f"{title} has cluster IP {_listed(service.cluster_ips)}"
        return f"{title} exists with {_listed(service.cluster_ips)}{_other_type(step)}"
    slices = answers.slices_of(service)
    ready = sum(len(slice_.endpoints) for slice_ in slices)
    if not ready:
        return f"{title} is headless and has no ready endpoint" + (
            "; publishNotReadyAddresses would show pods that are not ready" if slices else ": no EndpointSlice names it"
        )
    if (query.port or query.protocol) and step.reply.rcode == wire.NXDOMAIN:
        return _no_port(title, query, [port for slice_ in slices for port in slice_.ports], service)
    text = f"{title} is headless with {ready} ready endpoint{'s' if ready > 1 else ''}"
    if step.type == wire.SRV and step.is_nodata:
        return f"{text}, but they list no ports (NODATA)"
    return text if step.is_answer else text + _other_type(step)


def _endpoint(title: str, service: ServiceRecord, query: Query, step: Step, answers: Answers) -> str:
    found = (answers.label(end) for slice_ in answers.slices_of(service) for end in slice_.endpoints)
    labels = list(dict.fromkeys(found))
    if query.endpoint in (label.lower() for label in labels):
        return f"{query.endpoint!r} is a ready endpoint of {title}" + ("" if step.is_answer else _other_type(step))
    if query.endpoint.startswith("_"):
        return f"one label left of {title} is an endpoint; a port needs two, such as _http._tcp"
    text = f"{title} has no ready endpoint called {query.endpoint!r}"
    if labels:
        return f"{text}; it has {_listed(labels)}"
    return f"{text}, nor any other"


def _external(title: str, target: str, query: Query, step: Step, answers: Answers) -> str:
    if address_octets(target) is not None:
        return f"{title} is an ExternalName with an address ({target}), which DNS cannot give; use a Service without selector"
    if query.endpoint or query.port or query.protocol:
        return f"{title} is an ExternalName: no name exists below it"
    text = f"{title} is an alias of {target}"
    if step.is_answer:
        only_alias = all(record.type == wire.CNAME for record in step.reply.answer)
        return text + (", which gave no record" if only_alias and step.type != wire.CNAME else "")
    if step.type in (wire.A, wire.AAAA):
        return f"{text}, which has no such record or leads back here (NODATA)"
    return text + _other_type(step)


def _no_port(title: str, query: Query, ports: Sequence[Port], service: ServiceRecord | None = None) -> str:
    known = sorted({f"_{port.name}._{port.protocol}" for port in ports if port.name})
    text = f"{title} has no port _{query.port}._{query.protocol}"
    if known:
        return f"{text}; it has {_listed(known)}"
    if service is not None and any(port.name for port in service.ports):
        return f"{text}: the Service names its ports, the endpoints do not"
    return f"{text}: its ports have no names"


def _other_type(step: Step) -> str:
    if step.type in (wire.A, wire.AAAA):
        return f", but no {'IPv4' if step.type == wire.A else 'IPv6'} address (NODATA)"
    return f", but no {wire.type_text(step.type)} record (NODATA)"


def _zone_of(step: Step, answers: Answers) -> bytes:
    zones = {names.to_wire(zone.lower()) for zone in answers.config.zones}
    return names.longest_match(step.name.lower(), zones) or names.ROOT


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:MAX_LISTED])
    return f"{shown} and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else shown

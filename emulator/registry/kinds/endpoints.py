"""Endpoints and EndpointSlice: defaults and validation. Controllers write most of them, users some.

Hand-made Endpoints are kept in the order they came in: nothing is sorted or regrouped here.
Source: pkg/apis/core/validation/validation.go (ValidateEndpoints), pkg/apis/discovery/{v1/defaults.go,validation/validation.go}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, invalid, required, too_many
from emulator.api.kinds import ENDPOINT_SLICE, ENDPOINTS
from emulator.api.meta import JsonObject, key_of, labels_of
from emulator.registry.kinds import fields
from emulator.registry.strategy import Context, Strategy

AddressCheck = Callable[[str, str], list[FieldError]]

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICE_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000  # these four: pkg/apis/discovery/validation
MAX_ADDRESSES = 100
MAX_PORTS = 20000
MAX_TOPOLOGY_LABELS = 16
MAX_HINTS = 8  # for zones, and as many for nodes


def default_endpoints(endpoints: JsonObject, context: Context) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("port", 0)
            if not port.get("protocol"):
                port["protocol"] = "TCP"
            if port.get("name") == "":
                del port["name"]
    if not endpoints.get("subsets"):
        endpoints.pop("subsets", None)


def validate_endpoints(endpoints: JsonObject, context: Context) -> list[FieldError]:
    check = _address_check(endpoints, context)
    errors: list[FieldError] = []
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        errors += _subset_errors(f"subsets[{index}]", subset, check)
    return errors


def _address_check(object: JsonObject, context: Context) -> AddressCheck:
    # The API server itself may listen on loopback, and says so in default/kubernetes.
    loopback = context.config.network == "loopback" and key_of(object) == ("default", "kubernetes")
    return partial(fields.endpoint_ip, context=context, loopback=loopback)


def _subset_errors(path: str, subset: JsonObject, check: AddressCheck) -> list[FieldError]:
    errors: list[FieldError] = []
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    for name in ("addresses", "notReadyAddresses"):
        for index, address in enumerate(subset.get(name) or ()):
            errors += _address_errors(f"{path}.{name}[{index}]", address, check)
    ports = subset.get("ports") or ()
    for index, port in enumerate(ports):
        errors += _endpoints_port_errors(f"{path}.ports[{index}]", port, name_required=len(ports) > 1)
    return errors


def _address_errors(path: str, address: JsonObject, check: AddressCheck) -> list[FieldError]:
    ip = address.get("ip") or ""
    errors = fields.legacy_ip(f"{path}.ip", ip)
    if address.get("hostname"):
        errors += fields.label(f"{path}.hostname", address["hostname"])
    if address.get("nodeName") is not None:
        errors += fields.subdomain(f"{path}.nodeName", address["nodeName"])
    return errors + check(f"{path}.ip", ip)


def _endpoints_port_errors(path: str, port: JsonObject, *, name_required: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if port.get("name"):
        errors += fields.label(f"{path}.name", port["name"])
    elif name_required:
        errors.append(required(f"{path}.name"))
    errors += fields.port_number(f"{path}.port", port.get("port", 0))
    errors += fields.one_of(f"{path}.protocol", port.get("protocol"), fields.PROTOCOLS)
    if port.get("appProtocol") is not None:
        errors += fields.qualified(f"{path}.appProtocol", port["appProtocol"])
    return errors


def endpoints_warnings(endpoints: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    """Addresses in odd shapes; the controller's own writes are known to be good."""
    if labels_of(endpoints).get(MANAGED_BY) == CONTROLLER:
        return []
    texts: list[str] = []
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        for name in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(name) or ()):
                texts += fields.ip_warnings(f"subsets[{index}].{name}[{at}].ip", address.get("ip") or "")
    return texts


def default_slice(slice: JsonObject, context: Context) -> None:
    """Port names and protocols, conditions, and the two lists that are written as null when they are empty."""
    for port in slice.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"
    for endpoint in slice.get("endpoints") or ():
        endpoint.setdefault("conditions", {})
    # The two are required lists in the API's own encoding, where an empty one cannot be told from none.
    slice["endpoints"] = slice.get("endpoints") or None
    slice["ports"] = slice.get("ports") or None


def prepare_slice(slice: JsonObject, context: Context) -> None:
    for endpoint in slice.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def prepare_slice_update(slice: JsonObject, old: JsonObject, context: Context) -> None:
    if slice.get("endpoints") != old.get("endpoints"):
        prepare_slice(slice, context)


def validate_slice(slice: JsonObject, context: Context) -> list[FieldError]:
    address_type = slice.get("addressType") or ""
    errors = fields.one_of("addressType", address_type, ADDRESS_TYPES)
    endpoints = slice.get("endpoints") or ()
    if len(endpoints) > MAX_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    else:
        check = _address_check(slice, context)
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint_errors(f"endpoints[{index}]", endpoint, address_type, check)
    return errors + _slice_port_errors(slice)


def _endpoint_errors(path: str, endpoint: JsonObject, address_type: str, check: AddressCheck) -> list[FieldError]:
    addresses = endpoint.get("addresses") or ()
    errors: list[FieldError] = []
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for index, address in enumerate(addresses):
        errors += _typed_address_errors(f"{path}.addresses[{index}]", address, address_type, check)
    if endpoint.get("nodeName") is not None:
        errors += fields.subdomain(f"{path}.nodeName", endpoint["nodeName"])
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > MAX_TOPOLOGY_LABELS:
        errors.append(too_many(f"{path}.deprecatedTopology", len(topology), MAX_TOPOLOGY_LABELS))
    errors += fields.label_map(f"{path}.deprecatedTopology", topology)
    if endpoint.get("hostname") is not None:
        errors += fields.label(f"{path}.hostname", endpoint["hostname"])
    return errors + _hint_errors(f"{path}.hints", endpoint.get("hints") or {})


def _typed_address_errors(path: str, address: str, address_type: str, check: AddressCheck) -> list[FieldError]:
    if address_type in ("IPv4", "IPv6"):
        parsed = fields.parse_address(address)
        if parsed is not None and f"IPv{parsed.version}" == address_type:
            return fields.legacy_ip(path, address) + check(path, address)
        return [invalid(path, address, f"must be a valid {address_type} address"), *check(path, address)]
    if address_type == "FQDN":
        return _fqdn_errors(path, address)
    return []


def _fqdn_errors(path: str, name: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    name = name.removesuffix(".")
    if errors := fields.subdomain(path, name):
        return errors
    if "." not in name:
        return [invalid(path, name, "should be a domain with at least two segments separated by dots")]
    return [error for label in name.split(".") for error in fields.label(path, label)]


def _hint_errors(path: str, hints: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, check in (("forZones", names.label_value), ("forNodes", names.dns1123_subdomain)):
        entries = hints.get(name) or ()
        if len(entries) > MAX_HINTS:
            errors.append(too_many(f"{path}.{name}", len(entries), MAX_HINTS))
            continue
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            entry_path, value = f"{path}.{name}[{index}].name", entry.get("name") or ""
            if value in seen:
                errors.append(duplicate(entry_path, value))
            seen.add(value)
            errors += [invalid(entry_path, value, text) for text in check(value)]
    return errors


def _slice_port_errors(slice: JsonObject) -> list[FieldError]:
    ports = slice.get("ports") or ()
    if len(ports) > MAX_PORTS:
        return [too_many("ports", len(ports), MAX_PORTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            errors += fields.label(f"{path}.name", name)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        errors += fields.one_of(f"{path}.protocol", port.get("protocol"), fields.PROTOCOLS)
        if port.get("appProtocol") is not None:
            errors += fields.qualified(f"{path}.appProtocol", port["appProtocol"])
    return errors


def validate_slice_update(slice: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    return fields.immutable("addressType", slice.get("addressType"), old.get("addressType"))


def slice_warnings(slice: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    """FQDN slices are deprecated; addresses in odd shapes, but for the controllers' own slices."""
    texts: list[str] = []
    if old is None and slice.get("addressType") == "FQDN":
        texts.append("spec.addressType: FQDN endpoints are deprecated")  # upstream's path, though there is no spec
    if labels_of(slice).get(SLICE_MANAGED_BY) in SLICE_CONTROLLERS:
        return texts
    for index, endpoint in enumerate(slice.get("endpoints") or ()):
        for at, address in enumerate(endpoint.get("addresses") or ()):
            texts += fields.ip_warnings(f"endpoints[{index}].addresses[{at}]", address)
    return texts


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        ENDPOINTS,
        default=default_endpoints,
        validate=validate_endpoints,
        warnings=endpoints_warnings,
        create_on_update=True,
    ),
    Strategy(
        ENDPOINT_SLICE,
        default=default_slice,
        prepare_create=prepare_slice,
        prepare_update=prepare_slice_update,
        validate=validate_slice,
        validate_update=validate_slice_update,
        warnings=slice_warnings,
        has_generation=True,
    ),
)

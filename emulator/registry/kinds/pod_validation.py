"""What is wrong with a pod spec or pod template; workloads check their templates here.

Source: pkg/apis/core/validation/validation.go (ValidatePodSpec, ValidatePodTemplateSpec, ValidateTolerations).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api import names
from emulator.api.errors import FieldError, duplicate, forbidden_field, invalid, not_found_field, required
from emulator.registry.kinds import fields
from emulator.registry.kinds.pod_affinity import affinity_errors, spread_errors
from emulator.registry.kinds.pod_containers import PodParts, container_errors, init_container_errors
from emulator.registry.kinds.pod_resources import resource_requirement_errors
from emulator.registry.kinds.pod_security import pod_security_errors
from emulator.registry.kinds.pod_volumes import volume_errors

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
MAX_NAMESERVERS = 3  # libc's limits
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
_MAX_INT32 = 2**31 - 1

Spec = Mapping[str, Any]


def validate_pod_template(template: Spec | None, path: str) -> list[FieldError]:
    """Mistakes of a workload's pod template. path: `spec.template`."""
    template = template or {}
    metadata = template.get("metadata") or {}
    errors = fields.label_map(f"{path}.labels", metadata.get("labels"))
    for key in sorted(metadata.get("annotations") or {}):
        errors += fields.qualified(f"{path}.annotations", key.lower())
    spec = template.get("spec") or {}
    errors += validate_pod_spec(spec, f"{path}.spec", is_pod=False)
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(forbidden_field(f"{path}.spec.ephemeralContainers", text))
    return errors


def validate_pod_spec(spec: Spec, path: str, *, is_pod: bool) -> list[FieldError]:
    """Mistakes of a pod spec, which must have been defaulted. is_pod: it is a Pod's own, not a template's."""
    volumes, errors = volume_errors(f"{path}.volumes", spec.get("volumes") or ())
    grace = spec.get("terminationGracePeriodSeconds")
    parts = PodParts(frozenset(volumes), grace)
    containers, inits = spec.get("containers") or (), spec.get("initContainers") or ()
    errors += container_errors(f"{path}.containers", containers, parts)
    errors += init_container_errors(f"{path}.initContainers", inits, containers, parts)
    errors += _ephemeral_errors(f"{path}.ephemeralContainers", spec)
    if spec.get("resources"):
        errors += resource_requirement_errors(f"{path}.resources", spec["resources"])
    if spec.get("hostNetwork"):
        errors += _host_network_errors(f"{path}.containers", containers, is_pod=is_pod)
    errors += _chosen(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    errors += _chosen(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    errors += fields.label_map(f"{path}.nodeSelector", spec.get("nodeSelector"))
    errors += pod_security_errors(f"{path}.securityContext", spec)
    errors += affinity_errors(f"{path}.affinity", spec.get("affinity") or {})
    errors += _dns_config_errors(f"{path}.dnsConfig", spec)
    errors += _gate_errors(path, spec)
    errors += spread_errors(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or ())
    return errors + _name_errors(path, spec) + _rest_errors(path, spec)


def _chosen(path: str, value: str | None, choices: tuple[str, ...]) -> list[FieldError]:
    # Like one_of, but these lists are shown in upstream's own order.
    if not value:
        return [required(path)]
    return [] if value in choices else [fields.unsupported(path, value, choices)]


def _ephemeral_errors(path: str, spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    others = {c.get("name") for part in ("containers", "initContainers") for c in spec.get(part) or ()}
    taken = set(others)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        at, name, target = f"{path}[{index}]", container.get("name") or "", container.get("targetContainerName")
        errors += fields.label(f"{at}.name", name) if name else [required(f"{at}.name")]
        if not container.get("image"):
            errors.append(required(f"{at}.image"))
        if name in taken:
            errors.append(duplicate(f"{at}.name", name))
        taken.add(name)
        if target and target not in others:
            errors.append(not_found_field(f"{at}.targetContainerName", target))
        for part in ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"):
            if container.get(part):
                errors.append(forbidden_field(f"{at}.{part}", "cannot be set for an Ephemeral Container"))
    return errors


def _host_network_errors(path: str, containers: Any, *, is_pod: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort") or 0
            if (is_pod or host_port) and host_port != port.get("containerPort", 0):
                text = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid(f"{path}[{index}].ports[{at}].hostPort", host_port, text))
    return errors


def _dns_config_errors(path: str, spec: Spec) -> list[FieldError]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{path}.nameservers", text)]
    config = config or {}
    errors: list[FieldError] = []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > MAX_NAMESERVERS:
        errors.append(invalid(f"{path}.nameservers", servers, f"must not have more than {MAX_NAMESERVERS} nameservers"))
    for index, server in enumerate(servers):
        errors += fields.legacy_ip(f"{path}.nameservers[{index}]", server)
    if len(searches) > MAX_SEARCHES:
        errors.append(invalid(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths"))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        text = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", searches, text))
    for index, search in enumerate(searches):
        if search != ".":
            # Underscores are let through: names such as _tcp.example.com are searched for.
            domain = search.removesuffix(".")
            texts = names.dns1123_subdomain(domain.replace("_", "a"))
            errors += [invalid(f"{path}.searches[{index}]", domain, text) for text in texts]
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))
    return errors


def _gate_errors(path: str, spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        errors += fields.qualified(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType") or "")
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        at, name = f"{path}.schedulingGates[{index}]", gate.get("name") or ""
        errors += fields.qualified(at, name)
        if name in seen:
            errors.append(duplicate(at, name))
        seen.add(name)
    return errors


def _name_errors(path: str, spec: Spec) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("serviceAccountName", "nodeName"):
        if spec.get(name):
            errors += fields.subdomain(f"{path}.{name}", spec[name])
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= _MAX_INT32:
        errors.append(invalid(f"{path}.activeDeadlineSeconds", seconds, fields.in_range(1, _MAX_INT32)))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            errors += fields.label(f"{path}.{name}", spec[name])
    return errors


def _rest_errors(path: str, spec: Spec) -> list[FieldError]:
    errors = toleration_errors(f"{path}.tolerations", spec.get("tolerations") or ())
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{path}.hostAliases[{index}]"
        errors += fields.legacy_ip(f"{at}.ip", alias.get("ip") or "")
        for position, hostname in enumerate(alias.get("hostnames") or ()):
            errors += fields.subdomain(f"{at}.hostnames[{position}]", hostname)
    for name in ("priorityClassName", "runtimeClassName"):
        if spec.get(name):
            errors += fields.subdomain(f"{path}.{name}", spec[name])
    if spec.get("preemptionPolicy") is not None:
        errors += _chosen(f"{path}.preemptionPolicy", spec["preemptionPolicy"], PREEMPTION_POLICIES)
    if spec.get("os") is not None:
        errors += fields.one_of(f"{path}.os.name", spec["os"].get("name"), ("linux", "windows"))
    return errors


def toleration_errors(path: str, tolerations: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, value = toleration.get("key") or "", toleration.get("value") or ""
        operator, effect = toleration.get("operator") or "", toleration.get("effect") or ""
        if key:
            errors += fields.qualified(f"{at}.key", key)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{at}.operator", operator, text))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{at}.effect", effect, text))
        errors += _operator_errors(at, operator, value)
        errors += fields.taint_effect(f"{at}.effect", effect) if effect else []
    return errors


def _operator_errors(path: str, operator: str, value: str) -> list[FieldError]:
    if operator in ("", "Equal"):
        texts = names.label_value(value)
        return [invalid(f"{path}.operator", value, ";".join(texts))] if texts else []
    if operator == "Exists":
        text = "value must be empty when `operator` is 'Exists'"
        return [invalid(f"{path}.operator", value, text)] if value else []
    choices = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
    return [fields.unsupported(f"{path}.operator", operator, choices)]

"""The field tables of shapes that no published schema has any more, made from those of their successors.

Called by tools/generate_field_tables.py. Facts of the old wire format (names, types, protobuf numbers) stand below.
Source: k8s.io/api v0.21 extensions/v1beta1 and networking/v1beta1, generated.proto.
"""

from __future__ import annotations

import copy
from typing import Any

Document = dict[str, Any]
Types = dict[str, Any]

INGRESS_CHANGES = {
    "IngressSpec": {"defaultBackend": None, "backend": ["ref:{}.IngressBackend", {"number": 1}]},
    "IngressBackend": {
        "service": None,
        "serviceName": ["string", {"number": 1}],
        "servicePort": ["intOrString", {"number": 2}],
    },
}
WORKLOAD_CHANGES = {
    "DeploymentSpec": {"rollbackTo": ["ref:{}.RollbackConfig", {"number": 8}]},
    "DaemonSetSpec": {"templateGeneration": ["int64", {"number": 5}]},
}
ROLLBACK_CONFIG = {"fields": {"revision": ["int64", {"number": 1}]}}
NOT_REQUIRED = ("pathType", "selector")
"""What the successors ask for and these fill in."""


def legacy_documents(groups: dict[str, Document]) -> dict[str, Document]:
    """File name without ending -> document. groups: those of networking.k8s.io and apps among them."""
    networking, apps = groups["networking.k8s.io"], groups["apps"]
    ingress = {"Ingress": "networking.v1beta1.Ingress"}
    extended = {kind: f"extensions.v1beta1.{kind}" for kind in ("Ingress", "Deployment", "DaemonSet")}
    old_ingress = _changed(networking["types"], "networking.v1", "networking.v1beta1", INGRESS_CHANGES)
    extensions = _changed(networking["types"], "networking.v1", "extensions.v1beta1", INGRESS_CHANGES)
    extensions |= _changed(apps["types"], "apps.v1", "extensions.v1beta1", WORKLOAD_CHANGES)
    extensions["extensions.v1beta1.RollbackConfig"] = ROLLBACK_CONFIG
    return {
        "networking.k8s.io.v1beta1": {"kinds": ingress, "types": _reachable(old_ingress, ingress)},
        "extensions.v1beta1": {"kinds": extended, "types": _reachable(extensions, extended)},
    }


def _changed(types: Types, package: str, renamed: str, changes: dict[str, dict[str, Any]]) -> Types:
    """The types with those of one package renamed and changed; a change to None takes a field away."""
    made: Types = {}
    for name, entry in copy.deepcopy(types).items():
        own = name.startswith(f"{package}.")
        short = name.rpartition(".")[2]
        for field, spec in entry["fields"].items():
            entry["fields"][field][0] = spec[0].replace(f"ref:{package}.", f"ref:{renamed}.")
        if own:
            for field, spec in changes.get(short, {}).items():
                entry["fields"].pop(field, None)
                if spec is not None:
                    entry["fields"][field] = [spec[0].format(renamed), *spec[1:]]
            required = [field for field in entry.pop("required", ()) if field not in NOT_REQUIRED]
            if required:
                entry["required"] = required
        made[f"{renamed}.{short}" if own else name] = entry
    return made


def _reachable(types: Types, kinds: dict[str, str]) -> Types:
    found: Types = {}
    waiting = list(kinds.values())
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = types[name]
            waiting += [spec[0].rpartition("ref:")[2] for spec in types[name]["fields"].values() if "ref:" in spec[0]]
    return found

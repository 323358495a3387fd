"""Ingress as it was before networking.k8s.io/v1: `backend` for `defaultBackend`, serviceName and servicePort.

Both v1beta1 groups have the same shape. Each function changes the private copy it is handed.
Source: pkg/apis/networking/v1beta1/{defaults,conversion}.go.
"""

from __future__ import annotations

from typing import Any

from emulator.api.meta import JsonObject

DEFAULT_PATH_TYPE = "ImplementationSpecific"


def to_storage(ingress: JsonObject) -> None:
    """v1beta1 -> v1. A path without a type is matched as the controller pleases."""
    spec = ingress.get("spec") or {}
    if spec.get("backend") is not None:
        spec["defaultBackend"] = _to_storage_backend(spec["backend"])
    spec.pop("backend", None)
    for path in _paths(spec):
        if path.get("pathType") is None:
            path["pathType"] = DEFAULT_PATH_TYPE
        path["backend"] = _to_storage_backend(path.get("backend") or {})


def from_storage(ingress: JsonObject) -> None:
    """v1 -> v1beta1."""
    spec = ingress.get("spec") or {}
    if spec.get("defaultBackend") is not None:
        spec["backend"] = _from_storage_backend(spec["defaultBackend"])
    spec.pop("defaultBackend", None)
    for path in _paths(spec):
        path["backend"] = _from_storage_backend(path.get("backend") or {})


def _paths(spec: JsonObject) -> list[JsonObject]:
    return [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]


def _to_storage_backend(backend: JsonObject) -> JsonObject:
    """A port that is a text is a name, also when it is made of digits."""
    name, port = backend.pop("serviceName", ""), backend.pop("servicePort", 0)
    if name or port != 0:
        backend["service"] = {"name": name, "port": _port(port)}
    return backend


def _port(port: Any) -> JsonObject:
    if isinstance(port, str):
        return {"name": port} if port else {}
    return {"number": port} if port else {}


def _from_storage_backend(backend: JsonObject) -> JsonObject:
    """servicePort is written even for a backend that is no Service: Go has no way to leave it out."""
    service = backend.pop("service", None)
    port = (service or {}).get("port") or {}
    if service is not None and service.get("name"):
        backend["serviceName"] = service["name"]
    backend["servicePort"] = port.get("name") or port.get("number") or 0
    return backend

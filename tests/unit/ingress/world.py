"""Ingresses as the API stores them, and requests, in few words."""

from __future__ import annotations

import base64
from typing import Any

from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.ingress.model import Decision, Proxy, Request
from emulator.ingress.router import Router, build
from emulator.routing.ingressclasses import built_in_classes

PREFIX = "nginx.ingress.kubernetes.io/"


def last(limit: int) -> int:
    """The drawing that no weight below the total wins."""
    return limit - 1


def rule(
    path: str = "/", service: str = "web", host: str = "", kind: str = "Prefix", port: int | str = 80
) -> JsonObject:
    """One rule with one path."""
    entry = {"path": path, "pathType": kind, "backend": backend(service, port)}
    return {"host": host, "http": {"paths": [entry]}} if host else {"http": {"paths": [entry]}}


def backend(service: str, port: int | str = 80) -> JsonObject:
    return {"service": {"name": service, "port": {"number" if isinstance(port, int) else "name": port}}}


def ingress(
    *rules: JsonObject, name: str = "web", age: int = 0, spec: JsonObject | None = None, **annotations: str
) -> JsonObject:
    """An Ingress; age: the greater, the younger. Annotations by their names with _ for -."""
    marks = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    metadata: JsonObject = {"name": name, "namespace": "shop", "creationTimestamp": f"2026-01-01T00:00:{age:02}Z"}
    if marks:
        metadata["annotations"] = marks
    whole: JsonObject = {"ingressClassName": "nginx", **(spec or {})}
    if rules:
        whole["rules"] = list(rules)
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": whole}


def secret(name: str, **data: str) -> JsonObject:
    """A Secret of the namespace; keys by their names with _ for a dot."""
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": name, "namespace": "shop"}, "data": encoded}


def config_map(name: str, namespace: str = "shop", **data: str) -> JsonObject:
    """A ConfigMap; keys by their names with _ for -."""
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    return {"metadata": {"name": name, "namespace": namespace}, "data": keys}


def controller(**data: str) -> JsonObject:
    """The controller's own ConfigMap."""
    return config_map("ingress-nginx-controller", "ingress-nginx", **data)


def router(
    *ingresses: JsonObject, secrets: tuple[JsonObject, ...] = (), config_maps: tuple[JsonObject, ...] = ()
) -> Router:
    held = {ObjectKey("shop", entry["metadata"]["name"]): entry for entry in secrets}
    named = {key_of(entry): entry for entry in config_maps}
    return build(ingresses, built_in_classes(), secret=held.get, config_map=named.get)


def request(url: str = "/", method: str = "GET", host: str = "web.example.com", **more: Any) -> Request:
    """A request for a path; headers by their names with _ for -."""
    fields = {key: more.pop(key) for key in ("scheme", "port", "client", "https_port") if key in more}
    path, _, query = url.partition("?")
    headers = {"host": host, **{key.replace("_", "-"): str(value) for key, value in more.items()}}
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return Request(
        method, path=path, query=query, host=name, headers=headers, **{"scheme": "http", "port": 80, **fields}
    )


def decide(made: Router, url: str = "/", **more: Any) -> Decision:
    return made.decide(request(url, **more), rng=last)


def service_of(decision: Decision) -> str | None:
    return decision.backend.service if isinstance(decision, Proxy) else None


def messages(made: Router) -> list[tuple[str, str]]:
    return [(problem.reason, problem.message) for problem in made.problems]

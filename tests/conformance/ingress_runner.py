"""Runs recorded Ingress cases: rules (or several Ingresses) and one request in, where it goes out.

    python -m tests.conformance.ingress_runner FILE

The rules become Ingresses, which the rules of emulator.ingress read; nothing listens. Where a Prefix rule's path ends in
a slash the controller answers a request without it with a redirect, which is followed, as a client would.
Prints equal/total; exit status 1 if a case differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from emulator.api.meta import JsonObject
from emulator.ingress.model import Decision, Proxy, Redirect, Request, Respond
from emulator.ingress.paths import split_query
from emulator.ingress.router import Router, build
from emulator.routing.ingressclasses import DEFAULT_CLASS, built_in_classes

PORT = 80


@dataclass
class Result:
    """One case: what differs."""

    id: str
    differences: list[str] = field(default_factory=list)


def run_document(document: Mapping[str, Any]) -> list[Result]:
    return [Result(case["id"], differences(case)) for case in document.get("cases") or ()]


def differences(case: Mapping[str, Any]) -> list[str]:
    router = build(ingresses_of(case), built_in_classes(), secret=lambda key: None)
    decision = decide(router, request_of(case["request"]))
    found = outcome(decision)
    expected = case["expect"]
    return [
        f"{name}: expected {value!r}, got {found.get(name)!r} ({decision_text(decision)})"
        for name, value in expected.items()
        if found.get(name) != value and not (name == "service" and value is None and not found["match"])
    ]


def ingresses_of(case: Mapping[str, Any]) -> list[JsonObject]:
    """The Ingresses of a case, the first one the oldest."""
    entries = case.get("ingresses") or [case]
    return [ingress(entry, number) for number, entry in enumerate(entries)]


def ingress(entry: Mapping[str, Any], number: int) -> JsonObject:
    """One Ingress as the API stores it."""
    spec: JsonObject = {"ingressClassName": DEFAULT_CLASS}
    rules = [{"host": rule.get("host"), "http": {"paths": [path_of(rule)]}} for rule in entry.get("rules") or ()]
    if rules:
        spec["rules"] = rules
    default = entry.get("defaultBackend") or entry.get("default_backend")
    if default:
        spec["defaultBackend"] = default if isinstance(default, dict) else backend_of(default)
    if entry.get("tls"):
        spec["tls"] = entry["tls"]
    metadata = {
        "name": entry.get("name") or f"case-{number}",
        "namespace": entry.get("namespace") or "default",
        "creationTimestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "annotations": {name: str(value) for name, value in (entry.get("annotations") or {}).items()},
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def path_of(rule: Mapping[str, Any]) -> JsonObject:
    kind = rule.get("pathType") or "ImplementationSpecific"
    return {"path": rule.get("path") or "", "pathType": kind, "backend": backend_of(rule["service"])}


def backend_of(service: str) -> JsonObject:
    return {"service": {"name": service, "port": {"number": 80}}}


def request_of(entry: Mapping[str, Any]) -> Request:
    path, query = split_query(str(entry["path"]))
    host = str(entry.get("host") or "localhost")
    headers = {name.lower(): str(value) for name, value in (entry.get("headers") or {}).items()}
    return Request(
        method=entry.get("method") or "GET",
        scheme=entry.get("scheme") or "http",
        host=host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host,
        port=PORT,
        path=path,
        query=str(entry.get("query") or query),
        headers={"host": host, **headers},
    )


def decide(router: Router, request: Request) -> Decision:
    """What becomes of the request, after the one redirect to the path with a slash."""
    decision = router.decide(request, rng=lambda limit: limit - 1)
    if isinstance(decision, Redirect) and decision.status == 301 and decision.route is not None:
        to = decision.location.partition("://")[2].partition("/")[2]
        if f"/{to}".partition("?")[0] == request.path + "/" and decision.route.path_type == "Prefix":
            return router.decide(
                Request(request.method, request.scheme, request.host, PORT, request.path + "/", request.query),
                rng=lambda limit: limit - 1,
            )
    return decision


def outcome(decision: Decision) -> dict[str, Any]:
    """What a case may say about a decision; a request that nothing takes has no service."""
    match decision:
        case Proxy(backend=backend, path=path, route=route):
            is_match = bool(route.path_type)  # a default backend's location has none
            return {"match": is_match, "service": backend.service, "upstream_path": path, "status": 200}
        case Redirect(status=status, location=location):
            return {"match": decision.route is not None, "service": None, "status": status, "location": location}
        case Respond(status=status):
            return {"match": False, "service": None, "status": status}


def decision_text(decision: Decision) -> str:
    return "; ".join(f"{step.subject}: {step.reason}" for step in decision.trace) or type(decision).__name__


def report(results: list[Result]) -> int:
    equal = sum(not result.differences for result in results)
    for result in results:
        if result.differences:
            print(f"{result.id}: " + "; ".join(result.differences))
    print(f"ingress paths {equal:4}/{len(results)}")
    return 0 if equal == len(results) else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run recorded Ingress routing cases.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    return report(run_document(yaml.safe_load(options.file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    sys.exit(main())

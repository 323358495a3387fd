"""Runs recorded Ingress cases: rules (or several Ingresses) and one request in, where it goes out.

    python -m tests.conformance.ingress_runner FILE

Every case is run twice: through the rules of emulator.ingress, for which nothing listens, and through a cluster that curl
asks (ingress_live). Where a Prefix rule's path ends in a slash the controller answers a request without it with a redirect,
which is followed, as a client would, unless the case is about that redirect.
Prints equal/total of both; exit status 1 if a case differs in either, 2 without curl.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from emulator.api.meta import JsonObject
from emulator.ingress.model import Decision, Proxy, Redirect, Request, Respond
from emulator.ingress.paths import split_query
from emulator.ingress.router import Router, build
from emulator.routing.ingressclasses import CLASS_ANNOTATION, DEFAULT_CLASS, built_in_classes

PORT = 80
LAST_NUMBER = 999  # three digits, so that names of a case sort as numbers
SLASH_STATUS = 301  # nginx' answer to a path that only lacks a location's slash


@dataclass
class Result:
    """One case: what differs."""

    id: str
    differences: list[str] = field(default_factory=list)


def run_document(document: Mapping[str, Any]) -> list[Result]:
    return [Result(case["id"], differences(case)) for case in document.get("cases") or ()]


def differences(case: Mapping[str, Any]) -> list[str]:
    router = build(ingresses_of(case), built_in_classes(), secret=lambda key: None)
    decision = decide(router, case)
    expected = dict(case["expect"])
    if "location" in expected:
        expected["location"] = without_default_port(str(expected["location"]))
    return compared(expected, outcome(decision), decision_text(decision))


def compared(expected: Mapping[str, Any], found: Mapping[str, Any], why: str) -> list[str]:
    """What is found otherwise than expected. A request that no rule takes has no service, or a default backend's.

    An upstream_path with a query is compared with path and query, another with the path alone.
    """
    if "?" in str(expected.get("upstream_path")):
        found = {**found, "upstream_path": f"{found.get('upstream_path')}?{found.get('upstream_query')}"}
    return [
        f"{name}: expected {value!r}, got {found.get(name)!r} ({why})"
        for name, value in expected.items()
        if found.get(name) != value and not (name == "service" and value is None and not found.get("match"))
    ]


def entries_of(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a case says of each of its Ingresses; a case with one Ingress says it itself."""
    return case.get("ingresses") or [case]


def ingresses_of(case: Mapping[str, Any]) -> list[JsonObject]:
    """The Ingresses of a case, the first one the oldest."""
    return [ingress(entry, number) for number, entry in enumerate(entries_of(case))]


def ingress(entry: Mapping[str, Any], number: int) -> JsonObject:
    """One Ingress as the API stores it.

    The names are ours and fall: of those that an API makes in the same second the greater name counts as the older one.
    """
    annotations = {name: str(value) for name, value in (entry.get("annotations") or {}).items()}
    spec: JsonObject = {} if CLASS_ANNOTATION in annotations else {"ingressClassName": DEFAULT_CLASS}
    rules = [rule_of(rule) for rule in entry.get("rules") or ()]
    if rules:
        spec["rules"] = rules
    default = default_of(entry)
    if default:
        spec["defaultBackend"] = default
    if entry.get("tls"):
        spec["tls"] = entry["tls"]
    metadata = {
        "name": f"case-{LAST_NUMBER - number}",
        "namespace": entry.get("namespace") or "default",
        "creationTimestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        "annotations": annotations,
    }
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def rule_of(rule: Mapping[str, Any]) -> JsonObject:
    """A host with one path; with none when the rule names no Service."""
    host = {"host": rule["host"]} if rule.get("host") else {}
    if "service" not in rule:
        return host
    kind = rule.get("pathType") or "ImplementationSpecific"
    path = {"path": rule.get("path") or "", "pathType": kind, "backend": backend_of(rule["service"], rule.get("port"))}
    return {**host, "http": {"paths": [path]}}


def default_of(entry: Mapping[str, Any]) -> JsonObject | None:
    """The backend beside the rules: the name of a Service, a name and a port, or as the API has it."""
    default = entry.get("defaultBackend") or entry.get("default_backend")
    if isinstance(default, str):
        return backend_of(default)
    if default and isinstance(default.get("service"), str):
        return backend_of(default["service"], default.get("port"))
    return default


def backend_of(service: str, port: int | str | None = None) -> JsonObject:
    return {"service": {"name": service, "port": {"name": port} if isinstance(port, str) else {"number": port or PORT}}}


def headers_of(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (entry.get("headers") or {}).items()}


def request_of(entry: Mapping[str, Any]) -> Request:
    path, query = split_query(str(entry["path"]))
    host = str(entry.get("host") or "localhost")
    headers = headers_of(entry)
    return Request(
        method=entry.get("method") or "GET",
        scheme=entry.get("scheme") or "http",
        host=host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host,
        port=PORT,
        path=path,
        query=str(entry.get("query") or query),
        headers={"host": host, **headers},
    )


def decide(router: Router, case: Mapping[str, Any]) -> Decision:
    """What becomes of the request, after the one redirect to the path with a slash."""
    request = request_of(case["request"])
    decision = router.decide(request, rng=lambda limit: limit - 1)
    if isinstance(decision, Redirect) and adds_slash(case, decision.status, decision.location):
        return router.decide(replace(request, path=request.path + "/"), rng=lambda limit: limit - 1)
    return decision


def adds_slash(case: Mapping[str, Any], status: int, location: str) -> bool:
    """Whether an answer is nginx' redirect to the path with a slash, and the case says nothing of it."""
    asked, expected = str(case["request"]["path"]).partition("?")[0], case["expect"]
    if status != SLASH_STATUS or expected.get("status") == SLASH_STATUS or "location" in expected:
        return False
    to = location.partition("://")[2].partition("/")[2] if "://" in location else location.removeprefix("/")
    return f"/{to}".partition("?")[0] == asked + "/"


def outcome(decision: Decision) -> dict[str, Any]:
    """What a case may say about a decision; a request that nothing takes has no service."""
    match decision:
        case Proxy(backend=backend, path=path, query=query, route=route):
            is_match = bool(route.path_type)  # a default backend's location has none
            asked = {"upstream_path": path, "upstream_query": query}
            return {"match": is_match, "service": backend.service, "status": 200, **asked}
        case Redirect(status=status, location=location, route=route):
            to = without_default_port(location)
            return {"match": route is not None, "service": None, "status": status, "location": to}
        case Respond(status=status, route=route):
            return {"match": route is not None and bool(route.path_type), "service": None, "status": status}


def without_default_port(location: str) -> str:
    """The same URL; releases of the controller differ in whether a redirect to www names :80 and :443."""
    return re.sub(r"^(http://[^/?]*):80(?=[/?]|$)|^(https://[^/?]*):443(?=[/?]|$)", r"\1\2", location)


def decision_text(decision: Decision) -> str:
    return "; ".join(f"{step.subject}: {step.reason}" for step in decision.trace) or type(decision).__name__


def report(results: list[Result], how: str) -> int:
    """The exit status. how: what was asked, for the line with the totals."""
    equal = sum(not result.differences for result in results)
    for result in results:
        if result.differences:
            print(f"{result.id}, {how}: " + "; ".join(result.differences))
    print(f"ingress paths {equal:4}/{len(results)} {how}")
    return 0 if equal == len(results) else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run recorded Ingress routing cases.")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    document = yaml.safe_load(options.file.read_text(encoding="utf-8"))
    status = report(run_document(document), "by the rules")
    if shutil.which("curl") is None:
        print("curl is absent: no cluster was asked; `make programs` installs it")
        return 2
    from tests.conformance.ingress_live import run_live  # which reads cases as this module does

    return max(status, report(asyncio.run(run_live(document)), "by curl"))


if __name__ == "__main__":
    sys.exit(main())

"""How long the rules take to find a request's location, and to be compiled, with 10, 1,000 and 10,000 rules.

    python -m benchmarks.ingress_rules [--seconds 1]

In turn: every rule with a host of its own, all rules on one host, and all rules on one host as regular expressions.
Prints microseconds a decision (the whole of it: headers for the backend too) and milliseconds to compile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from emulator.api.meta import JsonObject, ObjectKey
from emulator.ingress.model import Proxy, Request
from emulator.ingress.router import build
from emulator.routing.ingressclasses import built_in_classes

COUNTS = (10, 1_000, 10_000)


def ingress(number: int, host: str, path: str, annotations: dict[str, str]) -> JsonObject:
    backend = {"service": {"name": f"s{number}", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": path, "pathType": "ImplementationSpecific", "backend": backend}]}}
    metadata = {"name": f"i{number}", "namespace": "default", "annotations": annotations}
    return {"metadata": metadata, "spec": {"ingressClassName": "nginx", "rules": [rule]}}


def hosts(number: int) -> JsonObject:
    return ingress(number, f"h{number}.example.com", "/", {})


def paths(number: int) -> JsonObject:
    return ingress(number, "h.example.com", f"/svc{number}/api", {})


def regexes(number: int) -> JsonObject:
    annotations = {
        "nginx.ingress.kubernetes.io/use-regex": "true",
        "nginx.ingress.kubernetes.io/rewrite-target": "/$2",
    }
    return ingress(number, "h.example.com", f"/svc{number}(/|$)(.*)", annotations)


def no_secret(key: ObjectKey) -> JsonObject | None:
    """None of the rules names one."""
    return None


def first(limit: int) -> int:
    """What is drawn: nothing here depends on it."""
    return limit - 1


def ask(kind: str, number: int) -> Request:
    host = f"h{number}.example.com" if kind == "hosts" else "h.example.com"
    path = "/a/b" if kind == "hosts" else f"/svc{number}/api/v1/items"
    return Request("GET", "http", host, 80, path, headers={"host": host, "accept": "*/*"})


def measure(kind: str, make: Callable[[int], JsonObject], count: int, seconds: float) -> tuple[float, float]:
    """Microseconds a decision, milliseconds to compile."""
    objects = [make(number) for number in range(count)]
    began = time.perf_counter()
    router = build(objects, built_in_classes(), secret=no_secret)
    compiled = time.perf_counter() - began
    requests = [ask(kind, number * 7919 % count) for number in range(min(count, 1000))]
    for number, request in enumerate(requests[:10]):
        decision = router.decide(request, rng=first)
        assert isinstance(decision, Proxy)
        assert decision.backend.service == f"s{number * 7919 % count}"
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for request in requests:
            router.decide(request, rng=first)
        done += len(requests)
    return (time.perf_counter() - began) / done * 1e6, compiled * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the rules of Ingress.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each case is measured")
    options = parser.parse_args()
    print(f"{'rules':>7}  {'kind':8} {'us/decision':>12} {'ms to compile':>14}")
    for kind, make in (("hosts", hosts), ("paths", paths), ("regexes", regexes)):
        for count in COUNTS:
            decision, compiled = measure(kind, make, count, options.seconds)
            print(f"{count:7}  {kind:8} {decision:12.1f} {compiled:14.1f}")


if __name__ == "__main__":
    main()

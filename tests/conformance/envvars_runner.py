"""Runs recorded environment-variable cases: Service manifests and pod settings in, variables out.

    python -m tests.conformance.envvars_runner FILE [--level function|api|both] [-v]

Level `function` hands the manifests to the rules; level `api` creates them through the registry and reads back what
is stored. Prints equal/total per level; exit status 1 if a case differs.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from emulator.api.errors import ApiError, Invalid
from emulator.api.kinds import NAMESPACE, POD, SERVICE
from emulator.api.meta import JsonObject
from emulator.config.presets import address_plan
from emulator.config.settings import ClusterConfig
from emulator.node.envvars import environment

SERVICE_RANGE = "10.152.183.0/24"  # where the recorded addresses are


@dataclass
class Result:
    """One case: what differs, or why it was not run."""

    id: str
    differences: list[str] = field(default_factory=list)
    skipped: str = ""


def run_document(document: Mapping[str, Any]) -> list[Result]:
    """Every case at level `function`."""
    return [run_function(case) for case in document.get("cases") or ()]


async def run_document_api(document: Mapping[str, Any]) -> list[Result]:
    """The cases of level `api`, each through a registry of its own."""
    return [await run_api(case) for case in document.get("cases") or () if case.get("level") == "api"]


def run_function(case: Mapping[str, Any]) -> Result:
    pod = pod_of(case)
    variables = environment(pod, pod["spec"]["containers"][0], case.get("services") or ())
    return Result(case["id"], differences(case, variables))


async def run_api(case: Mapping[str, Any]) -> Result:
    from emulator.client.io.inprocess import InProcessClient
    from emulator.registry.io.pipeline import Registry
    from emulator.store.io.memory import MemoryStore

    plan = dataclasses.replace(address_plan("microk8s", "host"), services=IPv4Network(SERVICE_RANGE))
    config = ClusterConfig(network="host", addresses=plan)
    client = InProcessClient(Registry(MemoryStore(), config))
    wanted = [*(case.get("services") or ()), pod_of(case)]
    for namespace in sorted({object["metadata"].get("namespace") or "default" for object in wanted}):
        try:
            await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    for service in case.get("services") or ():
        try:
            await client.create(SERVICE, service)
        except Invalid as error:
            if ":" in str(service["spec"].get("clusterIP")):
                return Result(case["id"], skipped=f"no IPv6 service range here: {error}")
            return Result(case["id"], [str(error)])
    pod = await client.create(POD, pod_of(case))
    services = (await client.list(SERVICE)).items
    variables = environment(pod, pod["spec"]["containers"][0], services)
    return Result(case["id"], differences(case, variables))


def pod_of(case: Mapping[str, Any]) -> JsonObject:
    """The pod a case's settings stand for; settings of a container go to its only one, the others to the spec."""
    settings = dict(case.get("pod") or {})
    namespace = settings.pop("namespace", "default")
    container: JsonObject = {"name": "c", "image": "example/c"}
    for name in ("env", "envFrom"):
        if name in settings:
            container[name] = settings.pop(name)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"containers": [container], **settings},
    }


def differences(case: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    found = []
    exact, contained = case.get("expect_exact"), case.get("expect_contains") or {}
    for name, value in {**(exact or {}), **contained}.items():
        if variables.get(name) != str(value):
            found.append(f"{name}: expected {value!r}, got {variables.get(name)!r}")
    if exact is not None:
        found += [f"{name}: not expected, got {variables[name]!r}" for name in sorted(set(variables) - set(exact))]
    absent: Iterable[str] = case.get("expect_absent") or ()
    return found + [f"{name}: must be absent, got {variables[name]!r}" for name in absent if name in variables]


def report(level: str, results: list[Result], verbose: bool) -> int:
    ran = [result for result in results if not result.skipped]
    equal = sum(not result.differences for result in ran)
    for result in results:
        if result.differences:
            print(f"{result.id}: " + "; ".join(result.differences))
        elif result.skipped and verbose:
            print(f"{result.id}: not run: {result.skipped}")
    skipped = len(results) - len(ran)
    print(f"envvars {level:12} {equal:4}/{len(ran)}" + (f"  ({skipped} not run)" if skipped else ""))
    return 0 if equal == len(ran) else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run recorded environment-variable cases.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--level", choices=("function", "api", "both"), default="both")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args(arguments)
    document = yaml.safe_load(options.file.read_text(encoding="utf-8"))
    status = 0
    if options.level != "api":
        status |= report("function", run_document(document), options.verbose)
    if options.level != "function":
        status |= report("api", asyncio.run(run_document_api(document)), options.verbose)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""`kubemu route`: which Ingress rule a URL would take, what would become of the request, and why each other rule lost."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import click

from emulator.api.errors import EmulatorError
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE, INGRESS, INGRESS_CLASS, SECRET, SERVICE
from emulator.api.meta import JsonObject, ObjectKey, annotations_of, key_of
from emulator.cli.remote import call
from emulator.client.index import Change
from emulator.client.io.http import HttpClient
from emulator.ingress.backends import port_id, single_place
from emulator.ingress.model import Decision, Problem, Proxy, Redirect, Request, Respond
from emulator.ingress.router import Router, build
from emulator.routing.ingressclasses import CLASS_ANNOTATION, is_ours, our_classes
from emulator.routing.policy import usable
from emulator.routing.servicemap import ServiceMap

MARKS = {"won": "+", "lost": "-", "applied": "*"}
PORTS = {"http": 80, "https": 443}


@click.command("route")
@click.argument("url")
@click.option("-X", "--method", default="GET", metavar="METHOD", help="The request's method; default GET.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE", help="A header; may be repeated.")
@click.option("--client", default="127.0.0.1", metavar="ADDRESS", help="The client's address; default 127.0.0.1.")
@click.pass_obj
def route_command(obj: Any, url: str, method: str, headers: tuple[str, ...], client: str) -> int:
    """Say which Ingress rule URL would take and why the others lose; nothing is sent."""
    return explain_url(obj, url, method, headers, client)


def explain_url(
    obj: Any, url: str, method: str = "GET", headers: tuple[str, ...] = (), client: str = "127.0.0.1"
) -> int:
    """Print what becomes of the request; 0 when a backend or a redirect answers it. Raises EmulatorError."""
    asked = request_of(url, method, headers, client)
    request = replace(asked, https_port=https_port_of(obj.folder.state(), asked.port))
    rules = call(obj.folder, read_rules)
    router = rules.router
    decision = router.decide(request, rng=secrets.randbelow, explain=True)
    missing = _missing(decision, rules)
    problems = [problem for problem in router.problems if _concerns(decision, problem)]
    if decision.route is None or decision.route.ingress is None:
        problems += rules.unserved
    if obj.output == "json":
        steps = [{"subject": s.subject, "outcome": s.outcome, "reason": s.reason} for s in decision.trace]
        told = [{p.kind.lower(): str(p.about), "reason": p.reason, "message": p.message} for p in problems]
        click.echo(json.dumps({**outcome(decision), "missing": missing, "trace": steps, "problems": told}))
    else:
        for step in decision.trace:
            click.echo(f"{MARKS[step.outcome]} {step.subject}: {step.reason}")
        click.echo(sentence(decision))
        if missing:
            click.echo(f"  but {missing}: the client would get 503")
        for problem in problems:
            named = f"configmap {problem.about}" if problem.kind == "ConfigMap" else problem.about
            click.echo(f"! {named}: {problem.message}")
    return 0 if isinstance(decision, Proxy | Redirect) and not missing else 1


def request_of(url: str, method: str, headers: tuple[str, ...], client: str) -> Request:
    """The request a client would send for this URL. Raises EmulatorError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise EmulatorError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise EmulatorError(f"{url!r} is not a URL such as http://web.example.com/path")
    found = {"host": parts.netloc.rpartition("@")[2]}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise EmulatorError(f"{header!r} is not a header such as 'X-Canary: always'")
        found[name.strip().lower()] = value.strip()
    if parts.username is not None:
        word = base64.b64encode(f"{parts.username}:{parts.password or ''}".encode()).decode()
        found.setdefault("authorization", f"Basic {word}")
    host = found["host"]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
    scheme: Any = parts.scheme
    return Request(method.upper(), scheme, name, port or PORTS[scheme], parts.path or "/", parts.query, found, client)


def https_port_of(state: Mapping[str, Any], port: int) -> int:
    """Where https is served to clients that came in at `port`: beside the host's own port for http, else at 443."""
    http, browsers, https = (urlsplit(state.get(name) or "").port for name in ("http", "httpInBrowsers", "https"))
    return https if https and port in (http, browsers) else PORTS["https"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The cluster as it stands: its rules, its Services with their endpoints, and the Ingresses that nobody serves."""

    router: Router
    services: Mapping[ObjectKey, JsonObject]
    endpoints: ServiceMap
    unserved: list[Problem]


async def read_rules(client: HttpClient) -> Rules:
    """From the API."""
    kinds = (INGRESS, INGRESS_CLASS, SECRET, CONFIG_MAP, SERVICE, ENDPOINT_SLICE)
    listed = {kind: (await client.list(kind)).items for kind in kinds}
    secrets_held = {key_of(secret): secret for secret in listed[SECRET]}
    config_maps = {key_of(config_map): config_map for config_map in listed[CONFIG_MAP]}
    endpoints = ServiceMap()
    for kind in (SERVICE, ENDPOINT_SLICE):
        for object in listed[kind]:
            endpoints.apply(Change("ADDED", kind, object, None))
    return Rules(
        build(listed[INGRESS], listed[INGRESS_CLASS], secret=secrets_held.get, config_map=config_maps.get),
        {key_of(service): service for service in listed[SERVICE]},
        endpoints,
        unserved_ingresses(listed[INGRESS], listed[INGRESS_CLASS]),
    )


def unserved_ingresses(ingresses: list[JsonObject], classes: list[JsonObject]) -> list[Problem]:
    """Why Ingresses of other classes have no rule here."""
    controllers = {entry["metadata"]["name"]: entry["spec"].get("controller") for entry in classes}
    ours, found = our_classes(classes), []
    for ingress in ingresses:
        if is_ours(ingress, ours):
            continue
        name = ingress["spec"].get("ingressClassName") or annotations_of(ingress).get(CLASS_ANNOTATION)
        if name in controllers:
            why = f'its class "{name}" is for the controller {controllers[name]}, which does not run here'
        else:
            why = f'its class "{name}" does not exist; `kubemu get ingressclass` lists those there are'
        found.append(Problem(key_of(ingress), "NotServed", why))
    return found


def outcome(decision: Decision) -> dict[str, Any]:
    """A decision for machines."""
    route = decision.route
    found: dict[str, Any] = {
        "ingress": str(route.ingress) if route is not None and route.ingress is not None else None,
        "host": route.host if route is not None else None,
        "rule": route.path if route is not None else None,
    }
    match decision:
        case Proxy():
            query = f"?{decision.query}" if decision.query else ""
            found |= {
                "action": "proxy",
                "backend": str(decision.backend),
                "canary": decision.is_canary,
                "path": decision.path + query,
                "vhost": decision.vhost,
            }
        case Redirect():
            found |= {"action": "redirect", "status": decision.status, "location": decision.location}
        case Respond():
            found |= {"action": "respond", "status": decision.status, "reason": decision.reason}
    return found


def sentence(decision: Decision) -> str:
    match decision:
        case Proxy():
            canary = " (canary)" if decision.is_canary else ""
            query = f"?{decision.query}" if decision.query else ""
            return f"-> service {decision.backend}{canary}, as {decision.path}{query}, Host: {decision.vhost}"
        case Redirect():
            return f"-> {decision.status} to {decision.location}"
        case Respond():
            return f"-> {decision.status}: {decision.reason}"


def _missing(decision: Decision, rules: Rules) -> str:
    """What the backend lacks; "" if nothing."""
    if not isinstance(decision, Proxy):
        return ""
    backend = decision.backend
    service = rules.services.get(backend.key)
    if service is None:
        return f"service {backend.key} does not exist"
    if single_place(service, backend, service_upstream=decision.settings.service_upstream) is not None:
        return ""
    port = port_id(service, backend)
    if port is None:
        return f"service {backend.key} has no TCP port {backend.port}"
    return "" if usable(rules.endpoints.endpoints(port)) else f"service {backend.key} has no ready endpoint"


def _concerns(decision: Decision, problem: Problem) -> bool:
    """ConfigMaps are for every Ingress."""
    owner = decision.route.ingress if decision.route is not None else None
    return problem.kind == "ConfigMap" or owner is None or owner == problem.about

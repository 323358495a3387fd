"""Recorded Ingress cases over sockets: a cluster of this process, a backend for each Service, and curl.

Everything listens on loopback at free ports and is closed at the end. What a client cannot see is not compared: whether a
redirect or an error page came of a rule. The port in a Location is not, as the ingress is not at 80 and 443 here.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiohttp import web

from emulator import Cluster, EmulatorError
from emulator.api.meta import JsonObject, ObjectKey, key_of
from emulator.pki.authority import make_credentials
from tests.conformance.ingress_runner import Result, adds_slash, compared, entries_of, headers_of, ingresses_of

BACKEND_IP = "127.1.200.1"  # of the pods' range, so that an EndpointSlice may name it
SERVED_BY, ASKED_FOR = "x-served-by", "x-asked-for"  # what a backend says of itself and of its request line
DEFAULT_BACKEND = "nginx.ingress.kubernetes.io/default-backend"
CURL_SECONDS = 10
Ports = set[int | str]
_PORT = re.compile(r"^(https?://(?:\[[^]]*\]|[^/:?]*)):\d+")


class CurlFailed(Exception):
    """curl had no answer; the message is its own."""


class Answer(NamedTuple):
    """headers: names in lower case."""

    status: int
    headers: dict[str, str]


async def run_live(document: Mapping[str, Any]) -> list[Result]:
    """Every case, one after the other, against one cluster; its Services and Secrets are there from the start."""
    cases = document.get("cases") or ()
    async with Cluster() as cluster, backends(cluster, cases):
        await cluster.apply(secrets_of(cases))
        return [Result(case["id"], await differences(cluster, case)) for case in cases]


async def differences(cluster: Cluster, case: Mapping[str, Any]) -> list[str]:
    objects = ingresses_of(case)
    try:
        for each in objects:  # one by one: the first is the oldest
            del each["metadata"]["creationTimestamp"]
            await cluster.apply(each)
        for each in objects:
            key = key_of(each)
            await cluster.wait_ready(f"ingress/{key.name}", namespace=key.namespace)
        answer = await answer_to(cluster, case)
    except EmulatorError as error:
        return [f"the cluster does not take it: {error}"]
    except CurlFailed as error:
        return [f"no answer: {error}"]
    finally:
        await cluster.delete(objects)
    found = outcome(answer, defaults_of(case))
    expected = {name: value for name, value in case["expect"].items() if name != "match" or "match" in found}
    if "location" in expected:
        expected["location"] = without_port(str(expected["location"]))
    return compared(expected, found, f"{answer.status} of {answer.headers.get(SERVED_BY, 'the ingress')}")


def outcome(answer: Answer, defaults: frozenset[str]) -> dict[str, Any]:
    """What a case may say about an answer, as far as it shows. defaults: Services that answer where no rule does."""
    service = answer.headers.get(SERVED_BY)
    found: dict[str, Any] = {"service": service, "status": answer.status}
    if service is not None:
        path, _, query = answer.headers[ASKED_FOR].partition("?")
        found |= {"match": service not in defaults, "upstream_path": path, "upstream_query": query}
    elif answer.status == 404:
        found["match"] = False
    if "location" in answer.headers:
        found["location"] = without_port(answer.headers["location"])
    return found


def without_port(location: str) -> str:
    return _PORT.sub(r"\1", location)


# -- asking ------------------------------------------------------------------------------------------------------------


async def answer_to(cluster: Cluster, case: Mapping[str, Any]) -> Answer:
    """The answer to a case's request, after the one redirect to the path with a slash."""
    asked = case["request"]
    answer = await curl(cluster, asked, str(asked["path"]))
    if adds_slash(case, answer.status, answer.headers.get("location", "")):
        path, mark, query = str(asked["path"]).partition("?")
        return await curl(cluster, asked, f"{path}/{mark}{query}")
    return answer


async def curl(cluster: Cluster, asked: Mapping[str, Any], path: str) -> Answer:
    """One request to the ingress of this machine, with the request line and the Host header as they were recorded."""
    assert cluster.ingress is not None
    scheme, method = asked.get("scheme") or "http", asked.get("method") or "GET"
    target = f"{path.partition('?')[0]}?{asked['query']}" if asked.get("query") else path
    headers = [f"{name}: {value}" if value else f"{name};" for name, value in headers_of(asked).items()]
    command = ["curl", "-sSkg", "--noproxy", "*", "--max-time", str(CURL_SECONDS), "-D", "-", "-o", "/dev/null"]
    command += ["--connect-to", f"::127.0.0.1:{cluster.ingress.bound[scheme]}", "--request-target", target]
    command += ["-I"] if method == "HEAD" else ["-X", method]
    for header in headers:
        command += ["-H", header]
    pipe = asyncio.subprocess.PIPE
    url = f"{scheme}://{asked.get('host') or 'localhost'}/"
    process = await asyncio.create_subprocess_exec(*command, url, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate()
    if process.returncode:
        raise CurlFailed(errors.decode(errors="replace").strip())
    return parsed(out.decode("utf-8", "surrogateescape"))


def parsed(heads: str) -> Answer:
    """The last of the heads that curl prints; those before it are interim ones."""
    first, *lines = heads.strip().rpartition("\r\n\r\n")[2].split("\r\n")
    return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)})


# -- what stands behind and beside the rules ---------------------------------------------------------------------------


@asynccontextmanager
async def backends(cluster: Cluster, cases: Sequence[Mapping[str, Any]]) -> AsyncIterator[None]:
    """A server for every Service that the cases name, which says its name to whoever asks it."""
    runners: list[web.ServerRunner] = []
    try:
        for key, ports in services_of(cases).items():
            runner = web.ServerRunner(web.Server(telling(key.name)))
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, BACKEND_IP, 0).start()
            if key.namespace != "default":
                await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": key.namespace}})
            await cluster.apply(service(key, ports, runner.addresses[0][1]))
            await cluster.wait_ready(f"service/{key.name}", namespace=key.namespace)
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


def telling(name: str) -> Any:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(headers={SERVED_BY: name, ASKED_FOR: request.raw_path})

    return answer


def service(key: ObjectKey, ports: Ports, backend_port: int) -> list[JsonObject]:
    """A Service with the endpoint at `backend_port`; without an address of its own, as port 80 is not everybody's."""
    numbered = {f"port-{port}" if isinstance(port, int) else port: port for port in ports}
    entries = [
        {"name": name, "port": port if isinstance(port, int) else 10_000 + place}
        for place, (name, port) in enumerate(sorted(numbered.items()))
    ]
    metadata = {"name": key.name, "namespace": key.namespace}
    labels = {"kubernetes.io/service-name": key.name}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None", "ports": entries}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": entry["name"], "port": backend_port, "protocol": "TCP"} for entry in entries],
            "endpoints": [{"addresses": [BACKEND_IP], "conditions": {"ready": True}}],
        },
    ]


def services_of(cases: Sequence[Mapping[str, Any]]) -> dict[ObjectKey, Ports]:
    """Every Service that rules, default backends and annotations name, and by which ports."""
    found: dict[ObjectKey, Ports] = defaultdict(set)
    for case in cases:
        for each in ingresses_of(case):
            namespace = each["metadata"]["namespace"]
            for backend in (*rule_backends(each), *default_backends(each)):
                port = backend["port"]
                found[ObjectKey(namespace, backend["name"])].add(port.get("number") or port["name"])
            if instead := each["metadata"]["annotations"].get(DEFAULT_BACKEND):
                found[ObjectKey(namespace, instead)].add(80)
    return found


def rule_backends(ingress: JsonObject) -> Iterator[JsonObject]:
    for rule in ingress["spec"].get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield path["backend"]["service"]


def default_backends(ingress: JsonObject) -> Iterator[JsonObject]:
    default = ingress["spec"].get("defaultBackend") or {}
    if "service" in default:
        yield default["service"]


def defaults_of(case: Mapping[str, Any]) -> frozenset[str]:
    """The Services of a case that no rule names: they answer where no rule does."""
    objects = ingresses_of(case)
    named = {backend["name"] for each in objects for backend in rule_backends(each)}
    return frozenset(backend["name"] for each in objects for backend in default_backends(each)) - named


def secrets_of(cases: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """A certificate for every Secret of the cases' TLS entries, for all hosts that any case wants of it."""
    hosts: dict[ObjectKey, set[str]] = defaultdict(set)
    for case in cases:
        for entry in entries_of(case):
            for tls in entry.get("tls") or ():
                if tls.get("secretName"):
                    named = tls.get("hosts") or [rule["host"] for rule in entry.get("rules") or () if rule.get("host")]
                    hosts[ObjectKey(entry.get("namespace") or "default", tls["secretName"])] |= set(named)
    return [secret(key, sorted(names)) for key, names in hosts.items()]


def secret(key: ObjectKey, hosts: Sequence[str]) -> JsonObject:
    made = make_credentials(hosts, name=key.name, token="t", at=datetime.now(UTC)).server
    data = {"tls.crt": made.certificate, "tls.key": made.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }

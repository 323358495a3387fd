"""Controllers over a running API server: what Services, namespaces and owners lead to, seen in process and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from emulator.api.errors import NotFound
from emulator.api.kinds import (
    CONFIG_MAP,
    ENDPOINT_SLICE,
    ENDPOINTS,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from emulator.api.meta import JsonObject
from tests.support.api import Api, api_server, eventually, recorded_config

NS = "shop"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
PODS = f"/api/v1/namespaces/{NS}/pods"
ENDPOINTS_PATH = f"/api/v1/namespaces/{NS}/endpoints/web"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices"


class Http:
    """Plain requests, as any HTTP client makes them."""

    def __init__(self, api: Api, session: aiohttp.ClientSession) -> None:
        self._url, self._session = api.url, session

    async def __call__(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, type: str = "application/json"
    ) -> JsonObject:
        headers = {"Content-Type": type} if body is not None else {}
        async with self._session.request(method, self._url + path, json=body, headers=headers) as answer:
            told: JsonObject = await answer.json()
            assert answer.status < 400, told
            return told

    async def patch(self, path: str, body: Mapping[str, Any]) -> JsonObject:
        return await self("PATCH", path, body, type="application/merge-patch+json")


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Api, Http]]:
    """A server with controllers, the namespace shop and the node n1."""
    async with api_server(recorded_config()) as api, api.session() as session:
        await api.client.create(NAMESPACE, made(NAMESPACE, NS))
        await api.client.create(NODE, made(NODE, "n1"))
        yield api, Http(api, session)


def made(kind: Kind, name: str, **fields: Any) -> JsonObject:
    metadata = {"name": name, **({"namespace": NS} if kind.namespaced else {}), **fields.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def service(**spec: Any) -> JsonObject:
    whole = {"ports": [{"port": 80, "targetPort": "http"}], "selector": {"app": "web"}, **spec}
    return made(SERVICE, "web", metadata={"labels": {"run": "web"}}, spec=whole)


def pod(name: str, **ports: int) -> JsonObject:
    listed = [{"name": port, "containerPort": number} for port, number in ports.items()]
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "x", "ports": listed}]}
    return made(POD, name, metadata={"labels": {"app": "web"}}, spec=spec)


def status(ip: str, *, ready: bool = True) -> JsonObject:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]}}


async def has(api: Api, kind: Kind, name: str, namespace: str = NS) -> bool:
    try:
        await api.client.get(kind, name, namespace if kind.namespaced else "")
    except NotFound:
        return False
    return True


async def slices(api: Api) -> list[JsonObject]:
    return (await api.client.list(ENDPOINT_SLICE, NS)).items


async def addresses(api: Api) -> tuple[list[str], list[str]]:
    """The ready and other addresses of Endpoints and of slices, once both agree."""
    for _ in range(200):
        subsets = (
            (await api.client.get(ENDPOINTS, "web", NS)).get("subsets") or []
            if await has(api, ENDPOINTS, "web")
            else []
        )
        told = tuple(
            sorted({a["ip"] for s in subsets for a in s.get(field, ())}) for field in ("addresses", "notReadyAddresses")
        )
        listed = [e for slice in await slices(api) for e in slice["endpoints"] or ()]
        shown = tuple(
            sorted({e["addresses"][0] for e in listed if e["conditions"]["ready"] == ready}) for ready in (True, False)
        )
        if told == shown:
            return told[0], told[1]
        await asyncio.sleep(0.02)
    raise AssertionError(f"Endpoints say {told}, slices {shown}")


async def settled(api: Api) -> str:
    """The revision at which nothing has been written for a while."""
    revision = ""
    async with asyncio.timeout(10):
        while True:
            now = (await api.client.list(NAMESPACE)).resource_version
            if now == revision:
                return now
            revision = now
            await asyncio.sleep(0.15)


async def test_a_service_and_its_pods_over_http() -> None:
    async with served() as (api, http):
        await http("POST", f"/api/v1/namespaces/{NS}/services", service())
        await eventually(lambda: has(api, ENDPOINTS, "web"))
        await settled(api)
        held = await http("GET", ENDPOINTS_PATH)
        assert "subsets" not in held
        assert held["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller", "run": "web"}
        (placeholder,) = (await http("GET", SLICES))["items"]
        assert (placeholder["endpoints"], placeholder["ports"]) == (None, None)

        for number, (name, port) in enumerate((("a", 8080), ("b", 8080), ("c", 9090)), start=1):
            await http("POST", PODS, pod(name, http=port))
            await http.patch(f"{PODS}/{name}/status", status(f"10.1.0.{number}", ready=name != "b"))
        await settled(api)
        assert await addresses(api) == (["10.1.0.1", "10.1.0.3"], ["10.1.0.2"])
        held = await http("GET", ENDPOINTS_PATH)
        assert TRIGGER_TIME in held["metadata"]["annotations"]
        assert sorted(subset["ports"][0]["port"] for subset in held["subsets"]) == [8080, 9090]
        found = {slice["ports"][0]["port"]: slice for slice in (await http("GET", SLICES))["items"]}
        assert {port: len(slice["endpoints"]) for port, slice in found.items()} == {8080: 2, 9090: 1}
        uid = (await http("GET", f"{PODS}/c"))["metadata"]["uid"]
        assert found[9090]["endpoints"] == [
            {
                "addresses": ["10.1.0.3"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "n1",
                "targetRef": {"kind": "Pod", "namespace": NS, "name": "c", "uid": uid},
            }
        ]


async def test_pods_leave_by_ending_by_relabelling_and_by_deletion() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        for number, name in enumerate("abcd", start=1):
            await api.client.create(POD, pod(name, http=8080))
            await http.patch(f"{PODS}/{name}/status", status(f"10.1.0.{number}"))
        await settled(api)
        assert await addresses(api) == ([f"10.1.0.{n}" for n in (1, 2, 3, 4)], [])
        await http.patch(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})
        await http.patch(f"{PODS}/b", {"metadata": {"labels": {"app": "other"}}})
        await api.client.delete(POD, "c", NS, grace_period_seconds=0)
        await settled(api)
        assert await addresses(api) == (["10.1.0.4"], [])
        await http("DELETE", f"{PODS}/d")
        await settled(api)
        (slice,) = await slices(api)
        assert slice["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
        held = await api.client.get(ENDPOINTS, "web", NS)
        assert "subsets" not in held
        assert TRIGGER_TIME not in held["metadata"].get("annotations", {}), "nobody became ready or not"


async def test_the_selector_and_the_ports_of_a_service_change() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        await api.client.create(POD, pod("a", http=8080))
        await http.patch(f"{PODS}/a/status", status("10.1.0.1"))
        await settled(api)
        path = f"/api/v1/namespaces/{NS}/services/web"
        await http.patch(path, {"spec": {"ports": [{"port": 80, "targetPort": 7070}]}})
        await settled(api)
        assert [slice["ports"][0]["port"] for slice in await slices(api)] == [7070]
        await http.patch(path, {"spec": {"selector": {"app": "none"}}, "metadata": {"labels": {"run": "it"}}})
        await settled(api)
        assert await addresses(api) == ([], [])
        assert [slice["metadata"]["labels"]["run"] for slice in await slices(api)] == ["it"]
        before = [slice["metadata"]["name"] for slice in await slices(api)]
        await http.patch(path, {"spec": {"selector": None}})
        await settled(api)
        assert [slice["metadata"]["name"] for slice in await slices(api)] == before, "left as they were"
        assert await has(api, ENDPOINTS, "web")


async def test_endpoints_edited_by_hand_stay_until_a_pod_changes_and_come_again_when_deleted() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        await api.client.create(POD, pod("a", http=8080))
        await http.patch(f"{PODS}/a/status", status("10.1.0.1"))
        await settled(api)
        by_hand = {"subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 1}]}]}
        await http.patch(ENDPOINTS_PATH, by_hand)
        await http.patch(f"{PODS}/a", {"metadata": {"annotations": {"note": "no endpoint shows it"}}})
        await settled(api)
        held = await http("GET", ENDPOINTS_PATH)
        assert held["subsets"][0]["addresses"] == [{"ip": "192.0.2.1"}]
        await http.patch(f"{PODS}/a/status", status("10.1.0.1", ready=False))
        await settled(api)
        assert await addresses(api) == ([], ["10.1.0.1"])
        await http("DELETE", ENDPOINTS_PATH)
        await settled(api)
        assert await addresses(api) == ([], ["10.1.0.1"])
        held = await http("GET", ENDPOINTS_PATH)
        assert "annotations" not in held["metadata"]
        (slice,) = await slices(api)
        await http("DELETE", f"{SLICES}/{slice['metadata']['name']}")
        await eventually(lambda: slices(api))
        assert await addresses(api) == ([], ["10.1.0.1"])


async def test_mirrored_slices_follow_hand_made_endpoints_and_go_with_the_service() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service(selector=None))
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}]
        await http("POST", f"/api/v1/namespaces/{NS}/endpoints", made(ENDPOINTS, "web", subsets=subsets))
        await eventually(lambda: slices(api))
        (slice,) = await slices(api)
        assert slice["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
        await http.patch(ENDPOINTS_PATH, {"subsets": [{**subsets[0], "addresses": [{"ip": "192.0.2.2"}]}]})
        await settled(api)
        (changed,) = await slices(api)
        assert changed["metadata"]["name"] == slice["metadata"]["name"]
        assert changed["endpoints"][0]["addresses"] == ["192.0.2.2"]
        await http("DELETE", f"/api/v1/namespaces/{NS}/services/web")
        await settled(api)
        assert not await has(api, ENDPOINTS, "web")
        assert await slices(api) == []


async def test_hand_made_endpoints_without_a_service_are_left_alone() -> None:
    async with served() as (api, http):
        await http("POST", f"/api/v1/namespaces/{NS}/endpoints", made(ENDPOINTS, "web"))
        await settled(api)
        assert await has(api, ENDPOINTS, "web")
        assert await slices(api) == []


async def test_what_a_service_led_to_goes_with_it() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        await eventually(lambda: slices(api))
        await http("DELETE", f"/api/v1/namespaces/{NS}/services/web")
        await settled(api)
        assert not await has(api, ENDPOINTS, "web")
        assert await slices(api) == []


def owned(name: str, *owners: JsonObject) -> JsonObject:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    return made(CONFIG_MAP, name, metadata={"ownerReferences": references})


@pytest.mark.parametrize(("propagation", "left"), [("Background", []), ("Foreground", []), ("Orphan", ["b", "c"])])
async def test_deletions_cascade(propagation: str, left: list[str]) -> None:
    async with served() as (api, http):
        first = await api.client.create(CONFIG_MAP, owned("a"))
        second = await api.client.create(CONFIG_MAP, owned("b", first))
        await api.client.create(CONFIG_MAP, owned("c", second))
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        await http("DELETE", f"/api/v1/namespaces/{NS}/configmaps/a", options)
        await settled(api)
        names = [item["metadata"]["name"] for item in (await api.client.list(CONFIG_MAP, NS)).items]
        assert [name for name in names if name != "kube-root-ca.crt"] == left


async def test_an_owner_that_never_was_takes_its_dependent_along() -> None:
    async with served() as (api, _):
        ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
        await api.client.create(CONFIG_MAP, owned("a", ghost))
        await settled(api)
        assert not await has(api, CONFIG_MAP, "a")


async def test_a_namespace_waits_for_finalizers_and_says_so() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        await api.client.create(CONFIG_MAP, made(CONFIG_MAP, "held", metadata={"finalizers": ["example.com/held"]}))
        await settled(api)
        await http("DELETE", f"/api/v1/namespaces/{NS}")
        await settled(api)
        held = await http("GET", f"/api/v1/namespaces/{NS}")
        assert held["status"]["phase"] == "Terminating"
        told = {c["type"]: (c["status"], c["message"]) for c in held["status"]["conditions"]}
        assert told["NamespaceContentRemaining"] == (
            "True",
            "Some resources are remaining: configmaps. has 1 resource instances",
        )
        assert told["NamespaceFinalizersRemaining"] == (
            "True",
            "Some content in the namespace has finalizers remaining: example.com/held in 1 resource instances",
        )
        for kind in (SERVICE, ENDPOINTS, ENDPOINT_SLICE, SERVICE_ACCOUNT):
            assert (await api.client.list(kind, NS)).items == []
        await http.patch(f"/api/v1/namespaces/{NS}/configmaps/held", {"metadata": {"finalizers": None}})
        await settled(api)
        assert not await has(api, NAMESPACE, NS)


async def test_default_kubernetes_comes_again() -> None:
    async with served() as (api, http):
        for kind, path in (
            (SERVICE, "/api/v1/namespaces/default/services/kubernetes"),
            (ENDPOINTS, "/api/v1/namespaces/default/endpoints/kubernetes"),
            (ENDPOINT_SLICE, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"),
        ):
            before = (await http("GET", path))["metadata"]["uid"]
            await http("DELETE", path)
            await settled(api)
            after = await http("GET", path)
            assert after["metadata"]["uid"] != before, kind.kind
        restored = await api.client.get(SERVICE, "kubernetes", "default")
        assert restored["spec"]["clusterIP"] == "10.152.183.1"


async def test_endpoints_of_a_pod_without_a_node_are_refused_as_upstream() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service())
        lost = pod("a", http=8080)
        del lost["spec"]["nodeName"]
        await api.client.create(POD, lost)
        await http.patch(f"{PODS}/a/status", status("10.1.0.1"))
        await asyncio.sleep(0.2)  # the refused write is tried again, there is nothing to wait for
        assert "subsets" not in await http("GET", ENDPOINTS_PATH)
        assert [slice["endpoints"] for slice in await slices(api)] == [None]


async def test_no_event_and_no_write_without_a_cause() -> None:
    async with served() as (api, http):
        await api.client.create(SERVICE, service(type="LoadBalancer"))
        await api.client.create(POD, pod("a", http=8080))
        await http.patch(f"{PODS}/a/status", status("10.1.0.1"))
        revision = await settled(api)
        await asyncio.sleep(0.3)
        assert (await api.client.list(NAMESPACE)).resource_version == revision
        assert (await api.client.list(EVENT, NS)).items == []

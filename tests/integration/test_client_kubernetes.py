"""The official Python client, `kubernetes`: models, dynamic client, watches, streams, exceptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as k8s
from kubernetes import config, dynamic, stream, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import exceptions as dynamic_errors

from emulator import Cluster
from tests.support.clients import cluster_and_kubeconfig, collected, config_map, deployment, pod, waited

Run = Callable[[Callable[[k8s.ApiClient], None]], Any]

__all__ = ["collected"]  # a fixture that is always used


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[Cluster, str]]:
    async with cluster_and_kubeconfig(tmp_path) as found:
        yield found


@pytest.fixture
def run(cluster: tuple[Cluster, str]) -> Run:
    """Runs a synchronous use of the client beside the cluster."""

    def use(work: Callable[[k8s.ApiClient], None]) -> None:
        with config.new_client_from_config(cluster[1]) as api:
            work(api)

    return lambda work: asyncio.to_thread(use, work)


async def test_objects_live_and_die(run: Run) -> None:
    def work(api: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(api)
        made = core.create_namespaced_config_map("default", k8s.V1ConfigMap(metadata={"name": "a"}, data={"k": "1"}))
        assert made.metadata.uid
        assert core.read_namespaced_config_map("a", "default").data == {"k": "1"}
        for name in "bcd":
            core.create_namespaced_config_map("default", config_map(name, k=name))
        listed = core.list_namespaced_config_map("default", label_selector="app in (web)")
        assert [item.metadata.name for item in listed.items] == ["b", "c", "d"]
        only = core.list_config_map_for_all_namespaces(field_selector="metadata.name=c,metadata.namespace!=kube-system")
        assert [item.metadata.name for item in only.items] == ["c"]
        first = core.list_namespaced_config_map("default", label_selector="app=web", limit=2)
        assert (len(first.items), bool(first.metadata._continue)) == (2, True)
        rest = core.list_namespaced_config_map("default", label_selector="app=web", _continue=first.metadata._continue)
        assert [item.metadata.name for item in rest.items] == ["d"]
        held = core.read_namespaced_config_map("a", "default")
        stale = held.metadata.resource_version
        held.data["k"] = "2"
        core.replace_namespaced_config_map("a", "default", held)
        held.metadata.resource_version = stale
        with pytest.raises(ApiException) as error:
            core.replace_namespaced_config_map("a", "default", held)
        assert (error.value.status, error.value.reason) == (409, "Conflict")
        assert json.loads(error.value.body)["reason"] == "Conflict"
        core.delete_collection_namespaced_config_map("default", label_selector="app=web")
        assert not core.list_namespaced_config_map("default", label_selector="app=web").items
        core.delete_namespaced_config_map("a", "default", body=k8s.V1DeleteOptions(grace_period_seconds=0))
        with pytest.raises(ApiException) as error:
            core.read_namespaced_config_map("a", "default")
        assert error.value.status == 404

    await run(work)


async def test_patches_of_every_kind_and_apply(run: Run) -> None:
    def work(api: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(api)
        core.create_namespaced_config_map("default", config_map("a", k="1", gone="soon"))

        def patch(body: Any, type: str, **options: Any) -> dict[str, str]:
            options["_content_type"] = type
            found: dict[str, str] = core.patch_namespaced_config_map("a", "default", body, **options).data
            return found

        patch([{"op": "replace", "path": "/data/k", "value": "2"}], "application/json-patch+json")
        patch({"data": {"gone": None}}, "application/merge-patch+json")
        assert patch({"data": {"s": "3"}}, "application/strategic-merge-patch+json") == {"k": "2", "s": "3"}
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"s": "mine"}}
        apply = "application/apply-patch+yaml"
        with pytest.raises(ApiException) as error:
            patch(wanted, apply, field_manager="one")
        assert error.value.status == 409
        assert ".data.s" in json.loads(error.value.body)["message"]
        assert patch(wanted, apply, field_manager="one", force=True)["s"] == "mine"
        owners = core.read_namespaced_config_map("a", "default").metadata.managed_fields
        assert ("one", "Apply") in {(owner.manager, owner.operation) for owner in owners}

    await run(work)


async def test_a_deployment_scales_and_goes(run: Run) -> None:
    def work(api: k8s.ApiClient) -> None:
        apps, core = k8s.AppsV1Api(api), k8s.CoreV1Api(api)
        utils.create_from_dict(api, deployment())
        waited(lambda: apps.read_namespaced_deployment_status("web", "default").status.ready_replicas == 2)
        apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
        assert apps.read_namespaced_deployment_scale("web", "default").spec.replicas == 3
        waited(lambda: apps.read_namespaced_deployment("web", "default").status.available_replicas == 3)
        assert apps.list_deployment_for_all_namespaces().items[0].spec.template.spec.containers[0].name == "web"
        replace = {"status": {"conditions": [{"type": "Mine", "status": "True"}]}}
        told = apps.patch_namespaced_deployment_status("web", "default", replace).status
        assert "Mine" in {condition.type for condition in told.conditions}
        apps.delete_namespaced_deployment("web", "default", propagation_policy="Foreground")
        waited(lambda: not core.list_namespaced_pod("default", label_selector="app=web").items)
        waited(lambda: not apps.list_namespaced_replica_set("default").items)

    await run(work)


async def test_watches_resume_and_tell_when_they_cannot(run: Run) -> None:
    def work(api: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(api)
        version = core.list_namespaced_config_map("default").metadata.resource_version
        core.create_namespaced_config_map("default", config_map("a", k="1"))
        core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}})
        core.delete_namespaced_config_map("a", "default")
        seen = []
        watcher = watch.Watch()
        for event in watcher.stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=version,
            label_selector="app=web",
            allow_watch_bookmarks=True,
            timeout_seconds=20,
        ):
            seen.append((event["type"], event["object"].data["k"]))
            if len(seen) == 3:
                watcher.stop()
        assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
        began = watch.Watch().stream(
            core.list_namespaced_config_map, "default", send_initial_events=True, allow_watch_bookmarks=True,
            resource_version_match="NotOlderThan", resource_version="", timeout_seconds=2,
        )  # fmt: skip
        types = [event["type"] for event in began]
        assert types[-1] == "BOOKMARK"
        assert set(types[:-1]) == {"ADDED"}

    await run(work)


async def test_a_watch_from_a_forgotten_version_ends_with_410(run: Run, cluster: tuple[Cluster, str]) -> None:
    store = cluster[0].registry._store
    await store.compact(await store.revision())

    def work(api: k8s.ApiClient) -> None:
        list_maps = k8s.CoreV1Api(api).list_namespaced_config_map
        with pytest.raises(ApiException) as error:
            next(watch.Watch().stream(list_maps, "default", resource_version="1", timeout_seconds=5))
        assert (error.value.status, error.value.reason.split(":")[0]) == (410, "Expired")

    await run(work)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its streams leave sockets behind
async def test_pods_are_talked_to(run: Run) -> None:
    def work(api: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(api)
        core.create_namespaced_pod("default", pod())

        def is_ready() -> bool:
            conditions = core.read_namespaced_pod_status("shell", "default").status.conditions or []
            return any(each.type == "Ready" and each.status == "True" for each in conditions)

        waited(is_ready)
        said = core.read_namespaced_pod_log("shell", "default", tail_lines=50)
        assert said.startswith("echo stands behind TCP 8080")
        connect = core.connect_get_namespaced_pod_exec
        options = {"stdout": True, "stderr": True, "stdin": False, "tty": False}
        assert stream.stream(connect, "shell", "default", command=["echo", "hello"], **options) == "hello\n"
        command = ["sh", "-c", "read line; echo got $line; echo bad >&2; exit 3"]
        live = stream.stream(
            connect, "shell", "default", command=command, **{**options, "stdin": True}, _preload_content=False
        )
        live.write_stdin("a line\n")
        live.run_forever(timeout=20)
        assert live.read_stdout() == "got a line\n"
        assert live.read_stderr() == "bad\n"
        assert live.returncode == 3
        live.close()
        forward = stream.portforward(core.connect_get_namespaced_pod_portforward, "shell", "default", ports="8080")
        sock = forward.socket(8080)
        sock.setblocking(True)
        sock.sendall(b"GET /hostname HTTP/1.1\r\nHost: shell\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):
            answer += data
        sock.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"shell")
        with pytest.raises(ApiException) as error:
            core.read_namespaced_pod_log("shell", "default", container="other")
        assert error.value.status == 400
        core.delete_namespaced_pod("shell", "default", grace_period_seconds=0)

    await run(work)


async def test_errors_are_the_clients_own(run: Run, cluster: tuple[Cluster, str]) -> None:
    def work(api: k8s.ApiClient) -> None:
        core = k8s.CoreV1Api(api)
        with pytest.raises(ApiException) as error:
            core.create_namespaced_service("default", {"metadata": {"name": "Bad_Name"}, "spec": {"ports": []}})
        assert (error.value.status, error.value.reason) == (422, "Unprocessable Entity")
        causes = json.loads(error.value.body)["details"]["causes"]
        assert {cause["field"] for cause in causes} >= {"metadata.name", "spec.ports"}
        core.create_namespaced_config_map("default", config_map("a"))
        with pytest.raises(ApiException) as error:
            core.create_namespaced_config_map("default", config_map("a"))
        assert json.loads(error.value.body)["reason"] == "AlreadyExists"
        with pytest.raises(utils.FailToCreateError) as failed:
            utils.create_from_dict(api, config_map("a"))
        assert failed.value.api_exceptions[0].status == 409
        settings = k8s.Configuration()
        settings.host, settings.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
        with k8s.ApiClient(settings) as nobody:
            with pytest.raises(ApiException) as error:
                k8s.CoreV1Api(nobody).list_namespace()
            assert error.value.status == 401
        assert k8s.VersionApi(api).get_code().minor == "36"
        review = k8s.AuthorizationV1Api(api).create_self_subject_access_review(
            {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
        )
        assert review.status.allowed

    await run(work)


async def test_the_dynamic_client_reads_all_of_discovery(run: Run, tmp_path: Path) -> None:
    def work(api: k8s.ApiClient) -> None:
        found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "cache"))
        maps = found.resources.get(api_version="v1", kind="ConfigMap")
        maps.create(body=config_map("a", k="1"), namespace="default")
        applied = maps.server_side_apply(
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "y"}},
            name="a", namespace="default", field_manager="dynamic",
        )  # fmt: skip
        assert applied.data.to_dict() == {"k": "1", "x": "y"}
        assert [item.metadata.name for item in maps.get(label_selector="app=web").items] == ["a"]
        deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
        deployments.create(body=deployment(), namespace="default")
        scale = {"spec": {"replicas": 1}}
        done = deployments.scale.patch(
            body=scale, name="web", namespace="default", content_type="application/merge-patch+json"
        )
        assert done.spec.replicas == 1
        for event in maps.watch(namespace="default", name="a", timeout=5):
            assert event["object"].metadata.name == "a"
            break
        maps.delete(name="a", namespace="default")
        with pytest.raises(dynamic_errors.NotFoundError):
            maps.get(name="a", namespace="default")
        maps.create(body=config_map("twice"), namespace="default")
        with pytest.raises(dynamic_errors.ConflictError):
            maps.create(body=config_map("twice"), namespace="default")
        with pytest.raises(dynamic_errors.ResourceNotFoundError):
            found.resources.get(api_version="v1", kind="Nonsense")

    await run(work)

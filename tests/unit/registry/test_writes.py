"""The pipeline's generic work: names, versions, identity, dry run, namespaces."""

from __future__ import annotations

import asyncio
import copy

import pytest

from emulator.api.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound
from emulator.api.kinds import CONFIG_MAP, ENDPOINTS, NAMESPACE, NODE, POD, PRIORITY_CLASS, RESOURCE_QUOTA, SERVICE
from emulator.registry.metadata import NAME_ALPHABET
from emulator.registry.options import DeleteOptions, WriteOptions
from tests.unit.registry.support import changed, config_map, make_registry, pod, service

DRY = WriteOptions(dry_run=True)


async def test_a_create_gets_identity_and_a_version() -> None:
    registry = make_registry()
    sent = config_map("a", k="v")
    before = copy.deepcopy(sent)
    made = (await registry.create(CONFIG_MAP, sent, "default")).object
    metadata = made["metadata"]
    assert sent == before
    assert metadata["namespace"] == "default"
    assert metadata["creationTimestamp"].startswith("2026-01-02T03:04:")
    assert len(metadata["uid"]) == 36
    assert metadata["uid"][14] == "4"
    assert int(metadata["resourceVersion"]) > 0
    assert await registry.get(CONFIG_MAP, "a", "default") is made


async def test_what_the_server_owns_is_not_taken_from_the_client() -> None:
    registry = make_registry()
    sent = config_map("a", x="1")
    sent["metadata"] |= {
        "uid": "mine",
        "generation": 9,
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "managedFields": [],
        "selfLink": "/x",
        "labels": {},
    }
    made = (await registry.create(CONFIG_MAP, sent, "default")).object["metadata"]
    assert made["uid"] != "mine"
    assert set(made) == {"name", "namespace", "uid", "creationTimestamp", "resourceVersion", "managedFields"}
    assert [entry["manager"] for entry in made["managedFields"]] == ["unknown"]


async def test_a_name_is_made_up_and_made_up_again_when_taken() -> None:
    registry = make_registry()
    names = set()
    for _ in range(50):
        made = (await registry.create(CONFIG_MAP, {"metadata": {"generateName": "cm-"}}, "default")).object
        names.add(made["metadata"]["name"])
        assert made["metadata"]["generateName"] == "cm-"
    assert len(names) == 50
    assert all(name.startswith("cm-") and set(name[3:]) <= set(NAME_ALPHABET) and len(name) == 8 for name in names)
    long = {"metadata": {"generateName": "x" * 70}}
    assert len((await registry.create(CONFIG_MAP, long, "default")).object["metadata"]["name"]) == 63


async def test_a_name_without_luck_is_given_up() -> None:
    registry = make_registry()
    registry._commits.rng = lambda stop: 0
    await registry.create(CONFIG_MAP, {"metadata": {"generateName": "cm-"}}, "default")
    with pytest.raises(AlreadyExists, match='configmaps "cm-bbbbb" already exists'):
        await registry.create(CONFIG_MAP, {"metadata": {"generateName": "cm-"}}, "default")


async def test_a_second_create_is_refused() -> None:
    registry = make_registry()
    await registry.create(SERVICE, service("webapp"), "default")
    with pytest.raises(AlreadyExists) as raised:
        await registry.create(SERVICE, service("webapp"), "default")
    assert raised.value.details == {"name": "webapp", "kind": "services"}


async def test_a_version_on_create_is_refused() -> None:
    registry = make_registry()
    with pytest.raises(ApiError, match="resourceVersion should not be set on objects to be created") as raised:
        await registry.create(CONFIG_MAP, {"metadata": {"name": "a", "resourceVersion": "5"}}, "default")
    assert raised.value.code == 500
    await registry.create(CONFIG_MAP, {"metadata": {"name": "a", "resourceVersion": "0"}}, "default")


async def test_a_bad_name_is_invalid() -> None:
    with pytest.raises(Invalid) as raised:
        await make_registry().create(CONFIG_MAP, config_map("Bad Name"), "default")
    assert raised.value.message.startswith('ConfigMap "Bad Name" is invalid: metadata.name: Invalid value: "Bad Name":')


async def test_a_write_that_changes_nothing_is_none() -> None:
    registry = make_registry()
    made = (await registry.create(SERVICE, service("webapp"), "default")).object
    for sent in (made, service("webapp"), changed(made, status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})):
        assert (await registry.update(SERVICE, "webapp", "default", sent)).object is made


async def test_a_stale_version_conflicts_and_none_overwrites() -> None:
    registry = make_registry()
    first = (await registry.create(CONFIG_MAP, config_map("a", k="1"), "default")).object
    await registry.update(CONFIG_MAP, "a", "default", config_map("a", k="2"))
    with pytest.raises(Conflict) as raised:
        await registry.update(CONFIG_MAP, "a", "default", first)
    assert raised.value.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )


async def test_identity_is_restored_and_another_uid_conflicts() -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, config_map("a", k="1"), "default")).object
    sent = config_map("a", k="2")
    sent["metadata"]["creationTimestamp"] = None
    kept = (await registry.update(CONFIG_MAP, "a", "default", sent)).object["metadata"]
    assert (kept["uid"], kept["creationTimestamp"]) == (made["metadata"]["uid"], made["metadata"]["creationTimestamp"])
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other, UID in object meta: "):
        await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a"), uid="other"))


async def test_a_patch_of_what_identifies_is_a_mistake_like_others() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a", k="1"), "default")
    patch = {"metadata": {"uid": "other", "creationTimestamp": "2001-01-01T00:00:00Z"}}
    with pytest.raises(Invalid) as raised:
        await registry.patch(CONFIG_MAP, "a", "default", patch, "merge")
    assert [str(error) for error in raised.value.errors] == [
        'metadata.uid: Invalid value: "other": field is immutable',
        'metadata.creationTimestamp: Invalid value: "2001-01-01T00:00:00Z": field is immutable',
    ]


async def test_the_version_zero_means_any_and_a_word_is_none() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, config_map("a", k="1"), "default")
    await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a", k="2"), resourceVersion="0"))
    with pytest.raises(ApiError) as raised:
        await registry.update(CONFIG_MAP, "a", "default", changed(config_map("a", k="3"), resourceVersion="x"))
    assert (raised.value.code, raised.value.message) == (500, 'strconv.ParseUint: parsing "x": invalid syntax')


async def test_what_cannot_be_allocated_hides_other_mistakes() -> None:
    registry = make_registry()
    wrong = service("A_b", clusterIP="192.0.2.1", sessionAffinity="x")
    with pytest.raises(Invalid) as raised:
        await registry.create(SERVICE, wrong, "default")
    assert [error.field for error in raised.value.errors] == ["spec.clusterIPs"]
    with pytest.raises(NotFound):
        await registry.create(SERVICE, wrong, "nowhere")


async def test_what_an_invalid_service_was_given_is_free_again() -> None:
    registry = make_registry()
    with pytest.raises(Invalid):
        await registry.create(SERVICE, service("a", clusterIP="10.152.183.99", sessionAffinity="x"), "default")
    await registry.create(SERVICE, service("b", clusterIP="10.152.183.99"), "default")
    ports = [{"name": "a", "port": 1, "nodePort": 30123}, {"name": "b", "port": 2, "nodePort": 30123}]
    patch = {"spec": {"type": "NodePort", "ports": ports}}
    with pytest.raises(ApiError, match=r"duplicate nodePort: \{TCP 30123\}") as raised:
        await registry.patch(SERVICE, "b", "default", patch, "merge")
    assert (raised.value.code, raised.value.reason) == (500, "")
    free = service("c", type="NodePort", ports=[{"port": 1, "nodePort": 30123}])
    await registry.create(SERVICE, free, "default")


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (config_map("b"), "the name of the object (b) does not match the name on the URL (a)"),
        ({"metadata": {}}, "the name of the object (a based on URL) was undeterminable: name must be provided"),
        (
            {"metadata": {"name": "a", "namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ],
)
async def test_body_and_url_must_agree(sent: dict[str, object], text: str) -> None:
    with pytest.raises(BadRequest) as raised:
        await make_registry().update(CONFIG_MAP, "a", "default", sent)
    assert raised.value.message == text


async def test_a_put_creates_where_the_kind_allows_it() -> None:
    registry = make_registry()
    written = await registry.update(SERVICE, "fresh", "default", service("fresh"))
    assert written.created
    with pytest.raises(NotFound, match='configmaps "fresh" not found'):
        await registry.update(CONFIG_MAP, "fresh", "default", config_map("fresh"))
    with pytest.raises(NotFound):
        await registry.update(SERVICE, "other", "default", service("other"), subresource="status")


async def test_the_status_has_its_own_way_in() -> None:
    registry = make_registry()
    status = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    sent = {**service("webapp", type="LoadBalancer"), "status": status}
    made = (await registry.create(SERVICE, sent, "default")).object
    assert made["status"] == {"loadBalancer": {}}
    sent = changed(made, spec={**made["spec"], "selector": {"x": "y"}}, status=status)
    told = (await registry.update(SERVICE, "webapp", "default", sent, subresource="status")).object
    assert told["spec"] == made["spec"]
    assert told["status"]["loadBalancer"]["ingress"][0]["ip"] == "1.2.3.4"
    kept = (await registry.update(SERVICE, "webapp", "default", {**service("webapp", type="LoadBalancer")})).object
    assert kept["status"] == told["status"]


async def test_the_generation_counts_changes_of_the_spec() -> None:
    registry = make_registry()
    made = (await registry.create(POD, pod("p"), "default")).object
    assert made["metadata"]["generation"] == 1
    labelled = (await registry.update(POD, "p", "default", changed(made, labels={"a": "b"}))).object
    assert labelled["metadata"]["generation"] == 1
    spec = {**made["spec"], "activeDeadlineSeconds": 60}
    limited = (await registry.update(POD, "p", "default", changed(labelled, spec=spec))).object
    assert limited["metadata"]["generation"] == 2
    with pytest.raises(Invalid, match="pod updates may not change fields"):
        await registry.update(POD, "p", "default", changed(limited, spec={**spec, "nodeName": "n"}))
    bound = changed(limited, spec={**limited["spec"], "nodeName": "n"})
    bound = (await registry.update(POD, "p", "default", bound, subresource="binding")).object
    assert (bound["spec"]["nodeName"], bound["metadata"]["generation"]) == ("n", 2)
    sent = changed(bound, status={**bound["status"], "phase": "Running"})
    running = (await registry.update(POD, "p", "default", sent, subresource="status")).object
    assert running["metadata"]["generation"] == 2


async def test_a_dry_run_answers_and_stores_nothing() -> None:
    registry = make_registry()
    before = await registry._store.revision() if registry._started else None
    shown = (await registry.create(SERVICE, service("webapp", type="NodePort"), "default", options=DRY)).object
    assert shown["spec"]["clusterIP"] == "10.152.183.0"
    assert shown["spec"]["ports"][0]["nodePort"] == 32768
    assert before is None
    with pytest.raises(NotFound):
        await registry.get(SERVICE, "webapp", "default")
    made = (await registry.create(SERVICE, service("webapp"), "default")).object
    with pytest.raises(AlreadyExists):
        await registry.create(SERVICE, service("webapp"), "default", options=DRY)
    shown = (await registry.update(SERVICE, "webapp", "default", changed(made, labels={"a": "b"}), options=DRY)).object
    assert shown["metadata"]["labels"] == {"a": "b"}
    gone = await registry.delete(SERVICE, "webapp", "default", options=DeleteOptions(dry_run=True))
    assert gone.gone
    assert await registry.get(SERVICE, "webapp", "default") is made


async def test_a_namespace_must_exist() -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await make_registry().create(CONFIG_MAP, config_map("a"), "nowhere")


async def test_a_terminating_namespace_takes_nothing_new() -> None:
    registry = make_registry()
    await registry.create(NAMESPACE, {"metadata": {"name": "x"}})
    made = (await registry.create(CONFIG_MAP, config_map("old"), "x")).object
    going = await registry.delete(NAMESPACE, "x")
    assert (going.gone, going.object["status"]["phase"]) == (False, "Terminating")
    with pytest.raises(Forbidden) as raised:
        await registry.create(CONFIG_MAP, config_map("a"), "x")
    assert raised.value.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace x because it is being terminated'
    )
    assert raised.value.details is not None
    assert raised.value.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace x is being terminated",
            "field": "metadata.namespace",
        }
    ]
    await registry.update(CONFIG_MAP, "old", "x", changed(made, labels={"a": "b"}))
    assert (await registry.delete(CONFIG_MAP, "old", "x")).gone


async def test_a_finalized_namespace_is_gone() -> None:
    registry = make_registry()
    await registry.create(NAMESPACE, {"metadata": {"name": "x"}})
    going = (await registry.delete(NAMESPACE, "x")).object
    assert going["spec"]["finalizers"] == ["kubernetes"]
    assert not (await registry.delete(NAMESPACE, "x")).gone
    await registry.update(NAMESPACE, "x", "", changed(going, spec={"finalizers": []}), subresource="finalize")
    with pytest.raises(NotFound):
        await registry.get(NAMESPACE, "x")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
async def test_the_systems_namespaces_are_there_and_stay(name: str) -> None:
    registry = make_registry()
    assert (await registry.get(NAMESPACE, name))["status"]["phase"] == "Active"
    with pytest.raises(Forbidden) as raised:
        await registry.delete(NAMESPACE, name)
    assert raised.value.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_finalizers_hold_an_object_until_the_last_is_gone() -> None:
    registry = make_registry()
    made = (await registry.create(CONFIG_MAP, changed(config_map("a"), finalizers=["x.io/y"]), "default")).object
    assert made["metadata"]["finalizers"] == ["x.io/y"]
    going = await registry.delete(CONFIG_MAP, "a", "default")
    assert not going.gone
    more = changed(going.object, finalizers=["x.io/y", "x.io/z"])
    with pytest.raises(Invalid, match=r'no new finalizers can be added .* found new finalizers \[\]string\{"x.io/z"\}'):
        await registry.update(CONFIG_MAP, "a", "default", more)
    await registry.update(CONFIG_MAP, "a", "default", changed(going.object, finalizers=[]))
    with pytest.raises(NotFound):
        await registry.get(CONFIG_MAP, "a", "default")


async def test_an_update_cannot_bring_the_dead_back() -> None:
    registry = make_registry()
    await registry.create(CONFIG_MAP, changed(config_map("a"), finalizers=["x.io/y"]), "default")
    going = (await registry.delete(CONFIG_MAP, "a", "default")).object
    sent = copy.deepcopy(going)
    del sent["metadata"]["deletionTimestamp"]
    assert (await registry.update(CONFIG_MAP, "a", "default", sent)).object is going


async def test_pods_go_gracefully_once_they_run() -> None:
    registry = make_registry()
    await registry.create(POD, pod("waiting"), "default")
    gone = await registry.delete(POD, "waiting", "default")
    assert (gone.gone, gone.returns_object) == (True, True)
    assert gone.object["metadata"]["deletionGracePeriodSeconds"] == 0
    await registry.create(POD, pod("bound", nodeName="node-1"), "default")
    going = await registry.delete(POD, "bound", "default")
    assert not going.gone
    assert going.object["metadata"]["deletionGracePeriodSeconds"] == 30
    assert going.object["metadata"]["generation"] == 2
    forced = await registry.delete(POD, "bound", "default", options=DeleteOptions(grace_period_seconds=0))
    assert forced.gone


async def test_a_service_takes_its_endpoints_and_frees_what_it_held() -> None:
    registry = make_registry()
    sent = service("webapp", type="NodePort", clusterIP="10.152.183.44", ports=[{"port": 80, "nodePort": 30430}])
    await registry.create(SERVICE, sent, "default")
    await registry.create(ENDPOINTS, {"metadata": {"name": "webapp"}}, "default")
    with pytest.raises(Invalid, match="provided IP is already allocated"):
        await registry.create(SERVICE, changed(sent, metadata={"name": "other"}), "default")
    await registry.delete(SERVICE, "webapp", "default")
    assert (await registry.list(ENDPOINTS)).items == []
    await registry.create(SERVICE, sent, "default")


async def test_a_restarted_registry_knows_what_is_held() -> None:
    first = make_registry()
    sent = service("webapp", type="NodePort", clusterIP="10.152.183.44", ports=[{"port": 80, "nodePort": 30430}])
    await first.create(SERVICE, sent, "default")
    second = make_registry(first._store)
    with pytest.raises(Invalid, match="provided IP is already allocated"):
        await second.create(SERVICE, service("other", clusterIP="10.152.183.44"), "default")
    with pytest.raises(Invalid, match="provided port is already allocated"):
        await second.create(SERVICE, service("o", type="NodePort", ports=[{"port": 1, "nodePort": 30430}]), "default")


async def test_a_collection_is_deleted_by_selector() -> None:
    registry = make_registry()
    for number in range(4):
        await registry.create(CONFIG_MAP, changed(config_map(f"c{number}"), labels={"n": str(number % 2)}), "default")
    gone = await registry.delete_collection(CONFIG_MAP, "default", label_selector="n=1")
    assert [item["metadata"]["name"] for item in gone.items] == ["c1", "c3"]
    left = await registry.list(CONFIG_MAP, "default")
    assert [item["metadata"]["name"] for item in left.items] == ["c0", "c2"]


async def test_a_uid_precondition_is_kept() -> None:
    registry = make_registry()
    await registry.create(SERVICE, service("webapp"), "default")
    with pytest.raises(Conflict, match='fulfilled on Service "webapp": the UID in the precondition'):
        await registry.delete(SERVICE, "webapp", "default", options=DeleteOptions(uid="other"))


async def test_what_is_not_there_cannot_be_deleted() -> None:
    with pytest.raises(NotFound, match='services "x" not found'):
        await make_registry().delete(SERVICE, "x", "default")


async def test_cluster_scoped_kinds_have_no_namespace() -> None:
    registry = make_registry()
    made = (await registry.create(NODE, {"metadata": {"name": "node-1", "namespace": "default"}})).object
    assert "namespace" not in made["metadata"]
    assert await registry.get(NODE, "node-1", "ignored") is made


async def test_a_cancelled_write_leaves_nothing_taken() -> None:
    registry = make_registry()
    await registry.start()

    async def busy() -> None:
        while True:
            await registry.create(
                SERVICE, {"metadata": {"generateName": "s-"}, "spec": {"ports": [{"port": 1}]}}, "default"
            )
            await registry.delete_collection(SERVICE, "default")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await busy()
    services = (await registry.list(SERVICE)).items
    assert len(registry._commits.allocators.addresses) == len(services)


async def test_writers_that_never_wait_still_let_others_run() -> None:
    registry = make_registry()
    seen = 0

    async def other() -> None:
        nonlocal seen
        while True:
            seen += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(other())
        for number in range(200):
            await registry.create(CONFIG_MAP, config_map(f"c{number}"), "default")
        running.cancel()
    assert seen > 3


async def test_system_priority_classes_stay_and_one_class_is_the_default() -> None:
    registry = make_registry()
    with pytest.raises(Forbidden, match="this is a system priority class and cannot be deleted"):
        await registry.delete(PRIORITY_CLASS, "system-node-critical")
    first = {"metadata": {"name": "first"}, "value": 1, "globalDefault": True}
    await registry.create(PRIORITY_CLASS, first)
    with pytest.raises(Forbidden) as raised:
        await registry.create(PRIORITY_CLASS, {**first, "metadata": {"name": "second"}})
    assert raised.value.message == (
        'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass first is already marked as default. '
        "Only one default can exist"
    )


async def test_quotas_know_what_they_count() -> None:
    registry = make_registry()
    hard = {"foo": "1", "pods": "1", "count/pods": "1", "requests.example.com/gpu": "1", "hugepages-2Mi": "0"}
    with pytest.raises(Invalid) as raised:
        await registry.create(RESOURCE_QUOTA, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "default")
    assert [str(error) for error in raised.value.errors] == [
        'spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified',
        'spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota',
        'spec.hard[hugepages-2Mi]: Invalid value: "hugepages-2Mi": must be a standard resource for quota',
    ]


async def test_a_pods_status_says_nothing_of_its_owners() -> None:
    registry = make_registry()
    made = (await registry.create(POD, pod("p"), "default")).object
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}
    patch = {"metadata": {"ownerReferences": [owner], "labels": {"a": "b"}}, "status": {"phase": "Running"}}
    shown = (await registry.patch(POD, "p", "default", patch, "merge", subresource="status")).object
    assert "ownerReferences" not in shown["metadata"]
    assert (shown["metadata"]["labels"], shown["status"]["phase"]) == ({"a": "b"}, "Running")
    assert shown["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_collection_is_deleted_as_far_as_the_limit_goes() -> None:
    registry = make_registry()
    for name in ("a", "b", "c"):
        await registry.create(CONFIG_MAP, config_map(name), "default")
    gone = await registry.delete_collection(CONFIG_MAP, "default", limit=2)
    assert [item["metadata"]["name"] for item in gone.items] == ["a", "b"]
    left = await registry.list(CONFIG_MAP, "default")
    assert [item["metadata"]["name"] for item in left.items] == ["c"]


async def test_a_node_has_one_range_of_a_family() -> None:
    registry = make_registry()
    await registry.create(NODE, {"metadata": {"name": "a"}, "spec": {"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}})
    with pytest.raises(Invalid, match="may specify no more than one CIDR for each IP family"):
        await registry.create(NODE, {"metadata": {"name": "b"}, "spec": {"podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]}})

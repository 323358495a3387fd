from __future__ import annotations

import base64
from typing import Any

import pytest

from emulator.node.envvars import UnresolvedVariable, environment, expand, service_variables, skipped_keys


def service(name: str, address: str | None, *ports: tuple[str, int, str], namespace: str = "default") -> dict[str, Any]:
    listed = [{"port": number, **({"name": n} if n else {}), "protocol": protocol} for n, number, protocol in ports]
    spec: dict[str, Any] = {"ports": listed}
    if address is not None:
        spec["clusterIP"] = address
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", **spec},
        "status": {"podIP": "10.1.0.3", "podIPs": [{"ip": "10.1.0.3"}], "hostIP": "10.0.0.1"},
    }


KUBERNETES = service("kubernetes", "10.152.183.1", ("https", 443, "TCP"))
WEBAPP = service("webapp", "10.152.183.44", ("", 8080, "TCP"))


def test_one_unnamed_port_gives_seven_variables() -> None:
    assert service_variables("default", [WEBAPP]) == {
        "WEBAPP_SERVICE_HOST": "10.152.183.44",
        "WEBAPP_SERVICE_PORT": "8080",
        "WEBAPP_PORT": "tcp://10.152.183.44:8080",
        "WEBAPP_PORT_8080_TCP": "tcp://10.152.183.44:8080",
        "WEBAPP_PORT_8080_TCP_PROTO": "tcp",
        "WEBAPP_PORT_8080_TCP_PORT": "8080",
        "WEBAPP_PORT_8080_TCP_ADDR": "10.152.183.44",
    }


@pytest.mark.parametrize("address", [None, "", "None"])
def test_a_service_without_cluster_ip_gives_nothing(address: str | None) -> None:
    assert service_variables("default", [service("cache", address, ("", 1, "TCP"))]) == {}


def test_ipv6_is_bracketed_in_urls_only() -> None:
    variables = service_variables("default", [service("six", "fd00::44", ("", 80, "TCP"))])
    assert variables["SIX_PORT"] == "tcp://[fd00::44]:80"
    assert variables["SIX_PORT_80_TCP_ADDR"] == variables["SIX_SERVICE_HOST"] == "fd00::44"


def test_another_namespace_sees_only_the_kubernetes_service() -> None:
    assert {name.split("_")[0] for name in service_variables("other", [KUBERNETES, WEBAPP])} == {"KUBERNETES"}


def test_links_off_leaves_only_the_kubernetes_service_of_default() -> None:
    own = service("kubernetes", "10.152.183.9", ("", 1, "TCP"), namespace="other")
    assert service_variables("other", [KUBERNETES, own], True)["KUBERNETES_SERVICE_HOST"] == "10.152.183.9"
    assert service_variables("other", [own, KUBERNETES], True)["KUBERNETES_SERVICE_HOST"] == "10.152.183.9"
    assert service_variables("other", [KUBERNETES, own], False)["KUBERNETES_SERVICE_HOST"] == "10.152.183.1"


def test_the_later_name_wins_a_collision() -> None:
    first, second = service("foo", "10.0.0.1", ("", 1, "TCP")), service("foo-service", "10.0.0.2", ("", 2, "TCP"))
    for services in ([first, second], [second, first]):
        variables = service_variables("default", services)
        assert variables["FOO_SERVICE_PORT"] == "tcp://10.0.0.2:2"
        assert variables["FOO_SERVICE_HOST"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "a"),
        ("$(A)$(B)", "a$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$(A$$", "$(A$"),
        ("$()", "$()"),
        ("$(A$(A)", "$(A$(A)"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "a"}.get) == expected


def test_a_value_sees_env_from_then_earlier_entries_then_services() -> None:
    container = {
        "name": "c",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}],
        "env": [
            {"name": "EARLY", "value": "$(LATE) $(P_MODE) $(WEBAPP_SERVICE_HOST)"},
            {"name": "LATE", "value": "late"},
            {"name": "AGAIN", "value": "$(LATE)"},
            {"name": "WEBAPP_SERVICE_HOST", "value": "mine"},
        ],
    }
    settings = {"settings": {"metadata": {"name": "settings"}, "data": {"MODE": "fast"}}}
    variables = environment(pod(), container, [WEBAPP], config_maps=settings)
    assert variables["EARLY"] == "$(LATE) fast 10.152.183.44"
    assert variables["AGAIN"] == "late"
    assert variables["WEBAPP_SERVICE_HOST"] == "mine"
    assert variables["WEBAPP_SERVICE_PORT"] == "8080"


def test_values_from_the_pod_a_secret_and_resources() -> None:
    container = {
        "name": "c",
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "n", "key": "k", "optional": True}}},
        ],
    }
    secrets = {"s": {"metadata": {"name": "s"}, "data": {"k": base64.b64encode(b"hush").decode()}}}
    assert environment(pod(), container, [], secrets=secrets) == {
        "NAME": "p",
        "LABEL": "web",
        "IP": "10.1.0.3",
        "SECRET": "hush",
        "CPU": "2",
        "MEM": "64",
    }


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"configMapKeyRef": {"name": "m", "key": "no"}}, "couldn't find key no in ConfigMap default/m"),
        ({"secretKeyRef": {"name": "no", "key": "k"}}, 'secret "no" not found'),
        ({"fieldRef": {"fieldPath": "spec.containers"}}, "unsupported fieldPath: spec.containers"),
    ],
)
def test_what_is_missing_is_named_in_the_kubelets_words(entry: dict[str, Any], message: str) -> None:
    maps = {"m": {"metadata": {"name": "m"}, "data": {}}}
    with pytest.raises(UnresolvedVariable, match=message):
        environment(pod(), {"env": [{"name": "X", "valueFrom": entry}]}, [], config_maps=maps)


def test_keys_that_are_no_variable_names_are_skipped() -> None:
    container = {"envFrom": [{"configMapRef": {"name": "m"}}]}
    maps = {"m": {"metadata": {"name": "m"}, "data": {"GOOD": "1", "a=b": "2"}}}
    assert environment(pod(), container, [], config_maps=maps) == {"GOOD": "1"}
    assert skipped_keys(container, maps) == ["a=b"]

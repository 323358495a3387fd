from __future__ import annotations

import pytest

from emulator.api.kinds import ENDPOINT_SLICE
from emulator.client.index import Change
from emulator.node.backends import BadBackend, declared_ports, parse_target, target_of
from emulator.node.quantities import QuantityError, divided
from emulator.node.restarts import is_restarted, next_backoff
from emulator.node.serving import ServingPods


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("localhost:3000", "localhost", 3000), ("[::1]:80", "::1", 80), ("10.0.0.9", "10.0.0.9", 0), ("[::1]", "::1", 0)],
)
def test_targets(text: str, host: str, port: int) -> None:
    target = parse_target("a", text)
    assert (target.host, target.port) == (host, port)
    assert target.for_port(8080) == (host, port or 8080)


@pytest.mark.parametrize("text", ["localhost:", ":80", "a:0", "a:65536", "::1:80", "a b:1", "a:x", "[::1"])
def test_bad_targets_are_named(text: str) -> None:
    with pytest.raises(BadBackend, match="is not HOST:PORT"):
        parse_target("kubemu.dev/backend", text)


def test_a_containers_own_annotation_comes_first() -> None:
    annotations = {"kubemu.dev/backend": "a:1", "kubemu.dev/backend.web": "b:2"}
    pod = {"metadata": {"name": "p", "annotations": annotations}}
    assert str(target_of(pod, "web")) == "b:2"
    assert str(target_of(pod, "other")) == "a:1"
    assert target_of({"metadata": {"name": "p"}}, "web") is None


def test_ports_once_each_by_protocol() -> None:
    ports = [
        {"containerPort": 53, "protocol": "UDP"},
        {"containerPort": 53},
        {"containerPort": 53},
        {"containerPort": 9, "protocol": "SCTP"},
    ]
    assert [(port.protocol, port.port) for port in declared_ports({"ports": ports})] == [("UDP", 53), ("TCP", 53)]


def test_backoff_doubles_up_to_five_minutes_and_a_long_run_resets_it() -> None:
    seconds, seen = None, []
    for _ in range(8):
        seconds = next_backoff(seconds, 1.0)
        seen.append(seconds)
    assert seen == [0, 10, 20, 40, 80, 160, 300, 300]
    assert next_backoff(300.0, 600.0) == 0
    assert [is_restarted(policy, 0) for policy in ("Always", "OnFailure", "Never")] == [True, False, False]
    assert [is_restarted(policy, 1) for policy in ("Always", "OnFailure", "Never")] == [True, True, False]


def test_serving_pods_follow_the_slices() -> None:
    def slice(ready: bool, terminating: bool = False) -> dict[str, object]:
        conditions = {"ready": ready, "terminating": terminating}
        endpoints = [{"conditions": conditions, "targetRef": {"uid": "u"}}]
        return {"metadata": {"name": "s", "namespace": "n"}, "endpoints": endpoints}

    serving, up, down = ServingPods(), slice(True), slice(False, True)
    assert serving.apply(Change("ADDED", ENDPOINT_SLICE, up, None)) == set()
    assert "u" in serving
    assert serving.apply(Change("MODIFIED", ENDPOINT_SLICE, down, up)) == {"u"}
    assert "u" not in serving
    assert serving.apply(Change("DELETED", ENDPOINT_SLICE, down, down)) == set()


def test_quantities() -> None:
    assert divided("1500m", "1") == 2
    assert divided("1Gi", "1Mi") == 1024
    assert divided("1e3", "1") == divided("1k", "1") == 1000
    for text in ("", "x", "1e999999", "1 Gi"):
        with pytest.raises(QuantityError):
            divided(text, "1")

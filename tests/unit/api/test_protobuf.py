"""Objects from their protobuf form: messages that JSON writes inline, zeros that mean something, kinds without resource."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import BadRequest
from emulator.api.protobuf import MAGIC, decode


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes((value & 0x7F | 0x80,)), value >> 7
    return out + bytes((value,))


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a message; texts and messages with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def message(*fields: tuple[int, Any]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)


def enveloped(api_version: str, kind: str, body: bytes) -> bytes:
    return MAGIC + message((1, message((1, api_version), (2, kind))), (2, body))


METADATA = message((1, "x"), (2, ""), (8, message((1, 0))))


def test_a_deployment() -> None:
    secret = message((1, message((1, "keys"))), (2, "password"))  # the name is inline in JSON
    variable = message((1, "P"), (2, ""), (3, message((4, secret))))
    volume = message((1, "tmp"), (2, message((2, b""))))  # so is what kind of volume it is
    probe = message((1, message((3, message((1, message((1, 0), (2, 8080))), (2, ""))))), (2, 0))
    container = message((1, "c"), (2, "nginx"), (7, variable), (8, b""), (10, probe), (16, 0))
    pod = message((1, volume), (2, container), (4, 0), (14, message((3, 0))))
    template = message((1, message((11, message((1, "a"), (2, "b"))))), (2, pod))
    spec = message((1, 0), (2, message((1, message((1, "a"), (2, "b"))))), (3, template), (4, b""), (5, 0), (7, 0))
    found = decode(enveloped("apps/v1", "Deployment", message((1, METADATA), (2, spec), (3, b""))))
    assert found == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                    "containers": [
                        {
                            "name": "c",
                            "image": "nginx",
                            "env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}}],
                            "resources": {},
                            "livenessProbe": {"tcpSocket": {"port": 8080}},
                        }
                    ],
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": {"runAsNonRoot": False},
                },
            },
            "strategy": {},
        },
        "status": {},
    }


def test_kinds_that_are_no_resources() -> None:
    scale = decode(enveloped("autoscaling/v1", "Scale", message((1, METADATA), (2, message((1, 3))))))
    assert (scale["spec"], scale["metadata"]) == ({"replicas": 3}, {"name": "x"})
    options = decode(enveloped("apps/v1", "DeleteOptions", message((1, 0), (4, "Background"))))
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Background")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (enveloped("v1", "Nothing", b""), 'no protobuf form of kind "Nothing" is known for version "v1"'),
        (enveloped("nowhere/v1", "Thing", b""), 'no protobuf form of kind "Thing"'),
        (enveloped("batch/v1", "Job", message((99, 1))), "Job has no field number 99"),
        (enveloped("batch/v1", "Job", b"\x0a\x7f"), "unexpected EOF in protobuf body"),
        (enveloped("batch/v1", "Job", message((1, 5))), "bytes were expected"),
    ],
)
def test_what_is_refused(raw: bytes, wanted: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode(raw)
    assert wanted in str(caught.value)

"""Security contexts: the mistakes of a pod's own and of a container's."""

from __future__ import annotations

import pytest

from emulator.api.meta import JsonObject
from emulator.registry.kinds.pod_security import pod_security_errors, security_errors

RANGE = "must be between 0 and 2147483647, inclusive"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        ({"securityContext": {"runAsUser": 0, "fsGroup": 5, "supplementalGroups": [1]}}, []),
        ({"securityContext": {"runAsUser": -5}}, [f"s.runAsUser: Invalid value: -5: {RANGE}"]),
        (
            {"securityContext": {"fsGroup": -1, "supplementalGroups": [1, -1]}},
            [f"s.fsGroup: Invalid value: -1: {RANGE}", f"s.supplementalGroups[1]: Invalid value: -1: {RANGE}"],
        ),
        (
            {"shareProcessNamespace": True, "hostPID": True},
            ["s.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"],
        ),
        (
            {"securityContext": {"fsGroupChangePolicy": "x"}},
            ['s.fsGroupChangePolicy: Unsupported value: "x": supported values: "Always", "OnRootMismatch"'],
        ),
        (
            {"securityContext": {"sysctls": [{"name": "a"}, {"name": "a"}, {"name": ""}]}},
            ['s.sysctls[1].name: Duplicate value: "a"', "s.sysctls[2].name: Required value"],
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
            ["s.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
        ),
    ],
)
def test_of_a_pod(spec: JsonObject, wanted: list[str]) -> None:
    assert [str(error) for error in pod_security_errors("s", spec)] == wanted


def test_of_a_container() -> None:
    errors = security_errors("s", {"runAsGroup": -1, "procMount": "x", "seccompProfile": {"type": "y"}})
    assert [str(error) for error in errors] == [
        f"s.runAsGroup: Invalid value: -1: {RANGE}",
        's.procMount: Unsupported value: "x": supported values: "Default", "Unmasked"',
        's.seccompProfile.type: Unsupported value: "y": supported values: "Localhost", "RuntimeDefault", "Unconfined"',
    ]

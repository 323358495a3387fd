"""APIs that every request to is answered with a warning. Source: k8s.io/api, APILifecycleDeprecated."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.api.kinds import (
    COMPONENT_STATUS,
    DAEMON_SET_V1BETA1,
    DEPLOYMENT_V1BETA1,
    ENDPOINTS,
    EXTENSIONS_INGRESS,
    INGRESS_V1BETA1,
    Kind,
)


def _removed(kind: Kind, deprecated: str, removed: str) -> str:
    """For an API that a real server of today has no more; removed: the version that dropped it."""
    return (
        f"{kind.api_version} {kind.kind} is deprecated in {deprecated}+, unavailable in {removed}+; "
        f"use {kind.stored.api_version} {kind.stored.kind}"
    )


_WARNINGS: Mapping[Kind, str] = {
    COMPONENT_STATUS: "v1 ComponentStatus is deprecated in v1.19+",
    ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    INGRESS_V1BETA1: _removed(INGRESS_V1BETA1, "v1.19", "v1.22"),
    EXTENSIONS_INGRESS: _removed(EXTENSIONS_INGRESS, "v1.14", "v1.22"),
    DEPLOYMENT_V1BETA1: _removed(DEPLOYMENT_V1BETA1, "v1.8", "v1.16"),
    DAEMON_SET_V1BETA1: _removed(DAEMON_SET_V1BETA1, "v1.8", "v1.16"),
}


def deprecation_warnings(kind: Kind) -> list[str]:
    """What to warn of on any request for this kind in this version."""
    text = _WARNINGS.get(kind)
    return [text] if text else []

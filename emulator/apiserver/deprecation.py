"""APIs that every request to is answered with a warning. Source: k8s.io/api, APILifecycleDeprecated."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.api.kinds import ENDPOINTS, Kind

_WARNINGS: Mapping[str, str] = {
    f"{ENDPOINTS.api_version}/{ENDPOINTS.plural}": (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    ),
}


def deprecation_warnings(kind: Kind) -> list[str]:
    """What to warn of on any request for this kind in this version."""
    text = _WARNINGS.get(f"{kind.api_version}/{kind.plural}")
    return [text] if text else []

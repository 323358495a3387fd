"""Which add-ons of a running cluster are switched off: a ConfigMap says so, which `kubemu disable` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.api.meta import ObjectKey

ADDON_NAMES = ("dns", "ingress")
ADDONS = ObjectKey("kube-system", "kubemu-addons")


def is_on(config_map: Mapping[str, Any] | None, addon: str) -> bool:
    """What the ConfigMap does not name is on, and everything is without one."""
    return ((config_map or {}).get("data") or {}).get(addon) != "false"

"""Which requests go to a canary: by header, then by cookie, then by weight."""

from __future__ import annotations

from collections.abc import Callable

from emulator.ingress.model import Canary, Request
from emulator.ingress.variables import cookies


def takes(rule: Canary, request: Request, rng: Callable[[int], int]) -> tuple[bool, str]:
    """Whether the canary gets this request, and why."""
    if rule.header:
        value = request.headers.get(rule.header.lower())
        if value is not None:
            decided = _by_header(rule, value)
            if decided is not None:
                return decided, f"header {rule.header}: {value}"
    if rule.cookie:
        value = cookies(request).get(rule.cookie)
        if value in ("always", "never"):
            return value == "always", f"cookie {rule.cookie}={value}"
    if rule.weight <= 0:
        return False, "no header or cookie asks for it, and its weight is 0"
    drawn = rng(rule.weight_total)
    return drawn < rule.weight, f"weight {rule.weight} of {rule.weight_total}, drawn {drawn + 1}"


def _by_header(rule: Canary, value: str) -> bool | None:
    """None: the header does not decide."""
    if rule.header_value:
        return True if value == rule.header_value else None
    if rule.is_pattern_broken:
        return False
    if rule.header_pattern is not None:
        return True if rule.header_pattern.search(value) else None
    return {"always": True, "never": False}.get(value)

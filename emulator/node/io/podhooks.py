"""Lifecycle hooks of process-backed containers: programs and requests after a start, before a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from emulator.io.network import Network
from emulator.node.io.inside import output_of
from emulator.node.io.prober import ProbedContainer, attempt
from emulator.node.io.process import ProcessBackend
from emulator.node.probes import ProbeSpec

MAX_OUTPUT_BYTES = 4096


async def run_hook(
    hook: Mapping[str, Any], backend: ProcessBackend, manifest: dict[str, Any], address: str, network: Network
) -> str:
    """Run one handler of `lifecycle`; what went wrong, "" when it succeeded. Its caller gives it its time."""
    if command := (hook.get("exec") or {}).get("command"):
        ended, output = await output_of(backend, [str(word) for word in command], MAX_OUTPUT_BYTES)
        return "" if ended.exit_code == 0 else ended.problem or f"exit status {ended.exit_code}: {output}".strip()
    if "httpGet" in hook:
        spec = ProbeSpec("liveness", {"httpGet": hook["httpGet"]}, timeout_seconds=30.0)
        result = await attempt(spec, ProbedContainer(manifest, address, network, None, _no_program))
        return "" if result.success else result.output
    if "sleep" in hook:
        await asyncio.sleep(float((hook["sleep"] or {}).get("seconds") or 0))
    return ""


async def _no_program(command: list[str], timeout_seconds: float) -> Any:
    raise AssertionError("a request needs no program")

"""Runs probes: one timer for each, a task only while one is under way."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emulator.io.network import Network
from emulator.io.tasks import TaskOwner
from emulator.node import grpchealth
from emulator.node.backends import Target
from emulator.node.io.external import connect
from emulator.node.probes import ProbeSpec, ProbeState, needs_program, port_number

log = logging.getLogger(__name__)

MAX_STATUS_LINE_BYTES = 64 * 1024
USER_AGENT = "kube-probe/1.36"
CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    success: bool
    output: str = ""


@dataclass(frozen=True, slots=True)
class ProbedContainer:
    """Where the probes of a container go: to the pod's address, or to the process of the host behind it."""

    manifest: dict[str, Any]
    address: str
    network: Network
    target: Target | None = None
    run_program: Callable[[list[str], float], Awaitable[Result]] | None = None

    @property
    def simulated(self) -> bool:
        return self.target is None and self.run_program is None

    def endpoint(self, port: int, host: str = "") -> tuple[str, int]:
        if host:
            return host, port
        declared = any(entry.get("containerPort") == port for entry in self.manifest.get("ports") or ())
        return self.target.for_port(port) if self.target and declared else (self.address, port)


async def attempt(spec: ProbeSpec, container: ProbedContainer) -> Result:
    """One try of a probe, ended by its timeout. A probe that needs a program inside the container passes."""
    if needs_program(spec):
        if container.run_program is None or spec.action != "exec":
            return Result(True)
        command = [str(word) for word in (spec.handler["exec"] or {}).get("command") or ()]
        return await container.run_program(command, spec.timeout_seconds)
    action = spec.handler[spec.action] or {}
    if spec.action == "grpc" and not container.simulated:
        return await _grpc(spec, container, action)
    port = port_number(action.get("port"), container.manifest)
    if port is None:
        return Result(False, f"couldn't find port: {action.get('port')!r}")
    host = str(action.get("host") or "") if spec.action in ("httpGet", "tcpSocket") else ""
    shown = f"{host or container.address}:{port}"
    encrypted = str(action.get("scheme") or "HTTP").upper() == "HTTPS"
    speaks_http = spec.action == "httpGet" and not (encrypted and container.simulated)
    url = f"{'https' if encrypted else 'http'}://{shown}{_path(action)}"
    prefix = f'Get "{url}": ' if spec.action == "httpGet" else ""
    try:
        async with asyncio.timeout(spec.timeout_seconds):
            address = container.endpoint(port, host)
            sock = await connect(container.network, *address, timeout_seconds=spec.timeout_seconds)
            if not speaks_http:
                sock.close()
                return Result(True)
            context = _unverified() if encrypted else None
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname="" if encrypted else None, limit=MAX_STATUS_LINE_BYTES
            )
            try:
                writer.write(_request(action, shown))
                code = _status_code(await reader.readline())
            finally:
                writer.transport.abort()
    except TimeoutError:
        if spec.action == "httpGet":
            return Result(False, prefix + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        return Result(False, f"dial tcp {shown}: i/o timeout")
    except ConnectionRefusedError:
        return Result(False, f"{prefix}dial tcp {shown}: connect: connection refused")
    except (OSError, ValueError) as error:
        return Result(False, f"{prefix}{error}")
    return Result(200 <= code < 400, f"HTTP probe failed with statuscode: {code}")


async def _grpc(spec: ProbeSpec, container: ProbedContainer, action: dict[str, Any]) -> Result:
    """Ask the health service of a server; its refusals in the kubelet's words."""
    shown = f"{container.address}:{action['port']}"
    late = f'timeout: failed to connect service "{shown}" within {spec.timeout_seconds:g}s: context deadline exceeded'
    answer = grpchealth.Answer()
    try:
        async with asyncio.timeout(spec.timeout_seconds):
            address = container.endpoint(int(action["port"]))
            sock = await connect(container.network, *address, timeout_seconds=spec.timeout_seconds)
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                writer.write(grpchealth.request(shown, str(action.get("service") or ""), USER_AGENT))
                while not answer.done and (chunk := await reader.read(CHUNK_BYTES)):
                    answer.feed(chunk)
                    if answer.send:
                        writer.write(answer.send)
            finally:
                writer.transport.abort()
    except (TimeoutError, ConnectionRefusedError):
        return Result(False, late)
    except (OSError, ValueError) as error:
        return Result(False, str(error))
    return Result(answer.healthy, answer.problem)


def _path(action: dict[str, Any]) -> str:
    path = str(action.get("path") or "/")
    return path if path.startswith("/") else f"/{path}"


def _request(action: dict[str, Any], host: str) -> bytes:
    headers = {"Host": host, "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or ():
        name = next((held for held in headers if held.lower() == str(header["name"]).lower()), str(header["name"]))
        headers[name] = str(header.get("value") or "")
    lines = [f"GET {_path(action)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _status_code(line: bytes) -> int:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise ValueError("EOF" if not line else f"malformed HTTP response {line[:80]!r}")
    return int(parts[1])


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the kubelet does not verify either
    return context


class ProbeRun:
    """One probe of one running container, from its start to its end."""

    def __init__(
        self,
        spec: ProbeSpec,
        owner: TaskOwner,
        attempt: Callable[[ProbeSpec], Awaitable[Result]],
        told: Callable[[ProbeRun, Result, bool], None],
    ) -> None:
        self.state = ProbeState(spec)
        self._owner = owner
        self._attempt = attempt
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + spec.initial_delay_seconds
        self._timer = self._loop.call_at(self._due, self._fire)
        self._stopped = False

    @property
    def spec(self) -> ProbeSpec:
        return self.state.spec

    def stop(self) -> None:
        self._stopped = True
        self._timer.cancel()

    def _fire(self) -> None:
        if not self._stopped and self._owner.start(self._run(), name=f"{self.spec.type} probe") is None:
            self._again()  # too many at once: this round is left out

    async def _run(self) -> None:
        result = await self._attempt(self.spec)
        if not self._stopped:
            self._told(self, result, self.state.record(result.success))
        self._again()

    def _again(self) -> None:
        if not self._stopped:
            self._due = max(self._due + self.spec.period_seconds, self._loop.time())
            self._timer = self._loop.call_at(self._due, self._fire)

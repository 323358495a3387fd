"""Replays recorded API scenarios against a server and tells where its answers differ from the recorded ones.

A scenario is JSON: requests in order, and the answers real Kubernetes gave. It runs in an empty namespace of its own.
Values no two servers share (uids, revisions, times, allocated addresses, random suffixes) become placeholders in order
of first appearance, so that their identity is still compared. Standard data only; nothing here knows any input.

    python -m tests.conformance.api_replay FILE.json [ID]     starts a server of its own and prints each difference
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AGE = re.compile(r"<invalid>|\d+[ywdhms](?:\d+[dhms])?")
NODE_PORT = re.compile(r":(3[0-2]\d{3})/")
UID_KEYS = ("uid", "controller-uid", "batch.kubernetes.io/controller-uid")
HASH_KEYS = ("pod-template-hash", "controller-revision-hash", "hash")
POLL_SECONDS = 0.05
GONE_SECONDS = 30.0


@dataclass
class Placeholders:
    """Stand-ins for values that differ between servers; the same value always gets the same one."""

    kept: frozenset[str] = frozenset()
    shown: dict[tuple[str, str], str] = field(default_factory=dict)

    def of(self, kind: str, value: object) -> str:
        key = (kind, str(value))
        if key not in self.shown:
            count = sum(1 for known, _ in self.shown if known == kind)
            self.shown[key] = f"<{kind}{count + 1}>"
        return self.shown[key]

    def unless_kept(self, kind: str, value: Any) -> Any:
        return value if str(value) in self.kept else self.of(kind, value)


class Normaliser:
    """Turns an answer into its comparable form; remembers names over the steps of one scenario."""

    def __init__(self, scenario: Json, namespace: str) -> None:
        self.namespace = namespace
        self.names = Placeholders(frozenset(str(value) for value in scenario.get("keep", ())))
        self.keeps_managed_fields = bool(scenario.get("managedFields"))
        self.drops = [tuple(path.split(".")) for path in scenario.get("drop", ())]
        self.generated: dict[str, str] = {}

    def __call__(self, node: Any, path: tuple[str, ...] = ()) -> Any:
        if isinstance(node, dict):
            return self._object(node, path)
        if isinstance(node, list):
            return [self(item, (*path, "*")) for item in node]
        return self.text(node) if isinstance(node, str) else node

    def text(self, text: str) -> str:
        text = text.replace(self.namespace, "<ns>")
        for name, shown in self.generated.items():
            text = text.replace(name, shown)
        for (kind, value), shown in self.names.shown.items():
            if kind in ("uid", "ip", "hash"):
                text = text.replace(value, shown)
        return TIME.sub("<time>", text)

    def _object(self, node: Json, path: tuple[str, ...]) -> Json:
        metadata = node.get("metadata")
        if isinstance(metadata, dict):
            self._learn_generated(metadata)
        if node.get("kind") == "Table":
            return self._table(node, path)
        if {"addressType", "addresses", "notReadyAddresses"} & node.keys():
            node = _sorted_endpoints(node)
        found: Json = {}
        for key, value in node.items():
            below = (*path, key)
            if (key == "managedFields" and not self.keeps_managed_fields) or self._dropped(below):
                continue
            found[self.text(key)] = self._value(key, value, below)
        return found

    def _dropped(self, path: tuple[str, ...]) -> bool:
        joined = ".".join(path)
        return any(joined == ".".join(drop) or joined.endswith("." + ".".join(drop)) for drop in self.drops)

    def _learn_generated(self, metadata: Json) -> None:
        prefix, name = str(metadata.get("generateName") or ""), str(metadata.get("name") or "")
        if prefix and name.startswith(prefix) and name != prefix and name not in self.generated:
            self.generated[name] = self.text(prefix) + self.names.of("rand", name[len(prefix) :])

    def _value(self, key: str, value: Any, path: tuple[str, ...]) -> Any:
        names = self.names
        is_text = isinstance(value, str)
        if key in UID_KEYS and is_text:
            return names.of("uid", value) if UID.fullmatch(value) else value
        if key == "resourceVersion" and value not in ("", None):
            return "<rv>"
        if key in ("clusterIP", "loadBalancerIP") and value not in ("", "None", None):
            return names.unless_kept("ip", value)
        if key == "clusterIPs" and isinstance(value, list):
            return [item if item == "None" else names.unless_kept("ip", item) for item in value]
        if key in ("nodePort", "healthCheckNodePort") and value:
            return names.unless_kept("nodeport", value)
        if key == "continue" and value:
            return "<continue>"
        if key == "message" and is_text:
            return self.text(value.split("\n")[0])
        if key in HASH_KEYS and is_text:
            return names.of("hash", value)
        if is_text and TIME.fullmatch(value):
            return "<time>"
        return self(value, path)

    def _table(self, node: Json, path: tuple[str, ...]) -> Json:
        columns = [
            {key: column.get(key) for key in ("name", "type", "format", "priority")}
            for column in node.get("columnDefinitions") or ()
        ]
        rows = []
        for row in node.get("rows") or ():
            object = self(row["object"], (*path, "rows")) if row.get("object") else None
            shown: Json = {"cells": [self._cell(cell) for cell in row["cells"]], "object": object}
            if row.get("conditions"):
                shown["conditions"] = row["conditions"]
            rows.append(shown)
        return {"kind": "Table", "apiVersion": node.get("apiVersion"), "columnDefinitions": columns, "rows": rows}

    def _cell(self, cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        text = self.text(cell)
        if AGE.fullmatch(text):
            return "<age>"
        return NODE_PORT.sub(lambda match: f":{self.names.unless_kept('nodeport', match[1])}/", text)


def _sorted_endpoints(node: Json) -> Json:
    """An EndpointSlice or a subset with the lists sorted whose order means nothing."""

    def rank(item: Json) -> str:
        return json.dumps([item.get("addresses"), item.get("name"), item.get("port")])

    return {
        key: sorted(value, key=rank) if key in ("endpoints", "ports") and isinstance(value, list) else value
        for key, value in node.items()
    }


@dataclass
class Target:
    """Where to send requests; `session` already carries credentials."""

    session: aiohttp.ClientSession
    url: str

    async def send(self, step: Json) -> tuple[int, str, str, Any]:
        """(status, media type, Warning header, body)."""
        async with self.session.request(step["do"], self.url + step["path"], **_request(step)) as response:
            raw = await response.read()
            warnings = response.headers.getall("Warning", [])
            is_json = response.content_type == "application/json" and raw
            body = json.loads(raw) if is_json else raw.decode(errors="replace")
            return response.status, response.content_type, warnings[-1] if warnings else "", body


def _request(step: Json) -> Json:
    headers = {"Accept": TABLE if step.get("table") else "application/json"}
    if step["do"] == "PATCH":
        headers["Content-Type"] = PATCH_TYPES[step["type"]]
    elif "body" in step:
        headers["Content-Type"] = "application/json"
    headers |= step.get("headers", {})
    body = step.get("body")
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    return {"headers": headers, "data": data, "skip_auto_headers": ["Content-Type"]}


async def replay(target: Target, scenario: Json, namespace: str) -> AsyncIterator[tuple[int, Any]]:
    """Run the scenario; (number, comparable answer) of each step whose answer can be compared."""
    values = {"ns": namespace}
    normalise = Normaliser(scenario, namespace)
    await target.send({"do": "POST", "path": "/api/v1/namespaces", "body": {"metadata": {"name": namespace}}})
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    await _until(target, {"path": account, "field": "metadata.name", "value": "default", "timeout": 5})
    try:
        for number, written in enumerate(scenario["steps"]):
            step = _filled(written, values)
            match step["do"]:
                case "WAIT":
                    yield number, {"reached": await _until(target, step)}
                case "SLEEP":
                    await asyncio.sleep(step["seconds"])
                case "WATCH":
                    yield number, {"events": [normalise(event) for event in await _watched(target, step, values)]}
                case _:
                    status, type, warning, body = await target.send(step)
                    values |= {name: picked(body, path) for name, path in (step.get("save") or {}).items()}
                    if not step.get("quiet"):
                        answer = {"status": status, "type": type, "body": normalise(body)}
                        yield number, answer | ({"warning": normalise.text(warning)} if warning else {})
    finally:
        for path in [*scenario.get("cleanup", ()), "/api/v1/namespaces/${ns}"]:
            await target.send({"do": "DELETE", "path": _filled(path, values)})
        await _until(target, {"path": f"/api/v1/namespaces/{namespace}", "gone": True, "timeout": GONE_SECONDS})


def _filled(node: Any, values: Json) -> Any:
    if isinstance(node, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), node)
    if isinstance(node, list):
        return [_filled(item, values) for item in node]
    if isinstance(node, dict):
        return {_filled(key, values): _filled(value, values) for key, value in node.items()}
    return node


def picked(body: Any, path: str) -> Any:
    """The value at a dotted path; None where the path ends early."""
    for part in path.split("."):
        if isinstance(body, list):
            body = body[int(part)] if int(part) < len(body) else None
        else:
            body = body.get(part) if isinstance(body, dict) else None
    return body


async def _until(target: Target, step: Json) -> bool:
    try:
        async with asyncio.timeout(step.get("timeout", 15)):
            while True:
                status, _, _, body = await target.send({"do": "GET", "path": step["path"]})
                if (
                    status == 404
                    if step.get("gone")
                    else status == 200 and picked(body, step["field"]) == step["value"]
                ):
                    return True
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False


async def _watched(target: Target, step: Json, values: Json) -> list[Any]:
    """The events that come while the step's inner requests are sent."""
    events: list[Any] = []
    wanted = step.get("events", sys.maxsize)

    async def during() -> None:
        for inner in step.get("during", ()):
            await target.send(_filled(inner, values))

    async def read(response: aiohttp.ClientResponse) -> None:
        async for line in response.content:
            if line.strip():
                events.append(json.loads(line))
            if len(events) >= wanted:
                return

    try:
        async with asyncio.timeout(step.get("timeout", 5)):
            async with target.session.get(
                target.url + step["path"], headers=_request({**step, "do": "GET"})["headers"]
            ) as response:
                if response.status != 200:
                    return [{"status": response.status, "body": await response.json()}]
                async with asyncio.TaskGroup() as group:
                    group.create_task(during())
                    await read(response)
    except TimeoutError:
        pass
    return events


def differences(wanted: Any, got: Any, path: str = "$") -> Iterator[str]:
    """One line for each place where two answers differ."""
    numbers = isinstance(wanted, int | float) and isinstance(got, int | float)
    if type(wanted) is not type(got) and not numbers:
        yield f"{path}: want {_short(wanted)}, got {_short(got)}"
    elif isinstance(wanted, dict):
        for key in sorted(wanted.keys() | got.keys()):
            if key not in got:
                yield f"{path}.{key}: missing, want {_short(wanted[key])}"
            elif key not in wanted:
                yield f"{path}.{key}: not expected, got {_short(got[key])}"
            else:
                yield from differences(wanted[key], got[key], f"{path}.{key}")
    elif isinstance(wanted, list):
        if len(wanted) != len(got):
            yield f"{path}: want {len(wanted)} items, got {len(got)}: {_short(got)}"
        for number, pair in enumerate(zip(wanted, got, strict=False)):
            yield from differences(*pair, f"{path}[{number}]")
    elif wanted != got:
        yield f"{path}: want {_short(wanted)}, got {_short(got)}"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 160 else f"{text[:157]}..."


async def compare(target: Target, scenario: Json, namespace: str) -> dict[int, list[str]]:
    """The differences of each step that has any; steps two recordings did not agree on are left out."""
    wanted = {entry["step"]: entry["answer"] for entry in scenario["answers"]}
    found: dict[int, list[str]] = {}
    async for number, answer in replay(target, scenario, namespace):
        if number in wanted and (lines := list(differences(wanted[number], answer))):
            found[number] = lines
    return found


def scenarios(file: Path) -> list[Json]:
    """The scenarios of a file of recordings."""
    found: list[Json] = json.loads(file.read_text())["scenarios"]
    return found


async def main(file: str, only: str = "") -> int:
    """Print every difference between the recordings of `file` and a server started for it."""
    from tests.support.api import api_server, recorded_config

    failed = 0
    async with api_server(recorded_config()) as api, api.session() as session:
        for number, scenario in enumerate(scenarios(Path(file))):
            if only not in scenario["id"]:
                continue
            found = await compare(Target(session, api.url), scenario, f"r{number}")
            failed += len(found)
            print(f"{'FAIL' if found else 'ok  '} {scenario['id']}: {len(found)} of {len(scenario['answers'])} differ")
            for step, lines in found.items():
                asked = scenario["steps"][step]
                print(
                    "\n".join(
                        [f"     step {step}: {asked['do']} {asked['path']}", *(f"       {line}" for line in lines)]
                    )
                )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:3])))

"""Problems of Ingresses and ConfigMaps as Warning Events, each told once for as long as it lasts. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from emulator.api.kinds import CONFIG_MAP, EVENT, INGRESS, Kind
from emulator.api.meta import JsonObject, format_time
from emulator.ingress.model import Problem

COMPONENT = "nginx-ingress-controller"
KINDS = {"Ingress": INGRESS, "ConfigMap": CONFIG_MAP}


def kind_of(problem: Problem) -> Kind:
    """The kind of the object that the problem is about."""
    return KINDS[problem.kind]


class Told:
    """What was told already. A problem that went away and came back is told again."""

    def __init__(self) -> None:
        self._told: frozenset[Problem] = frozenset()

    def news(self, problems: Iterable[Problem]) -> list[Problem]:
        """Those of the present problems that nobody was told of, each once."""
        present = tuple(dict.fromkeys(problems))
        new = [problem for problem in present if problem not in self._told]
        self._told = frozenset(present)
        return new


def problem_event(problem: Problem, about: JsonObject, at: datetime, suffix: str) -> JsonObject:
    """The Event about an object; suffix makes its name unique."""
    metadata, kind = about["metadata"], kind_of(problem)
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{metadata['name']}.{suffix}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": "Warning",
        "reason": problem.reason,
        "message": problem.message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": format_time(at),
        "lastTimestamp": format_time(at),
        "count": 1,
    }

"""Tables of the access control kinds that have columns of their own: bindings.

Source: pkg/printers/internalversion/printers.go (printRoleBinding, printClusterRoleBinding).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from emulator.api.meta import JsonObject
from emulator.apiserver.cells import AGE, NAME, Column, age, name_of

ROLE_BINDING = (
    NAME,
    Column("Role", "What it allows."),
    AGE,
    Column("Users", "The users it allows that.", wide=True),
    Column("Groups", "The groups it allows that.", wide=True),
    Column("ServiceAccounts", "The ServiceAccounts it allows that.", wide=True),
)


def role_binding_cells(binding: JsonObject, at: datetime) -> list[Any]:
    role = binding.get("roleRef") or {}
    return [
        name_of(binding),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age(binding, at),
        _subjects(binding, "User"),
        _subjects(binding, "Group"),
        _subjects(binding, "ServiceAccount"),
    ]


def _subjects(binding: JsonObject, kind: str) -> str:
    found = (subject for subject in binding.get("subjects") or () if subject.get("kind") == kind)
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in found)
    return ", ".join(str(subject.get("name", "")) for subject in found)

"""CustomResourceDefinition: stored so that clients may list and keep them; the resources they define are not served.

Source: staging/src/k8s.io/apiextensions-apiserver pkg/apis/apiextensions/{v1/defaults.go,validation/validation.go}.
"""

from __future__ import annotations

from emulator.api.errors import FieldError, invalid, required
from emulator.api.kinds import CUSTOM_RESOURCE_DEFINITION
from emulator.api.meta import JsonObject
from emulator.registry.strategy import Context, Strategy

NOT_SERVED = "CustomResourceDefinition objects are stored but the resources they define are not served"


def default(definition: JsonObject, context: Context) -> None:
    names = (definition.get("spec") or {}).get("names")
    if isinstance(names, dict) and names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    if isinstance(definition.get("spec"), dict):
        definition["spec"].setdefault("conversion", {"strategy": "None"})


def validate(definition: JsonObject, context: Context) -> list[FieldError]:
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    errors = [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if not spec.get("group"):
        errors.append(required("spec.group"))
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if not errors and definition["metadata"].get("name") != expected:
        errors.append(
            invalid("metadata.name", definition["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
        )
    if sum(bool(version.get("storage")) for version in spec.get("versions") or ()) != 1:
        errors.append(invalid("spec.versions", None, "must have exactly one version marked as storage version"))
    return errors


def warnings(definition: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    return [NOT_SERVED] if old is None else []


STRATEGIES = (
    Strategy(CUSTOM_RESOURCE_DEFINITION, default=default, validate=validate, warnings=warnings, has_generation=True),
)

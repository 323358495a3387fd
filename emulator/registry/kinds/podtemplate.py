"""PodTemplate: a pod template as an object. Source: pkg/registry/core/podtemplate/strategy.go."""

from __future__ import annotations

from emulator.api.errors import FieldError
from emulator.api.kinds import POD_TEMPLATE
from emulator.api.meta import JsonObject
from emulator.registry.kinds.pod_defaults import default_pod_template
from emulator.registry.kinds.pod_validation import validate_pod_template
from emulator.registry.kinds.pod_warnings import spec_warnings
from emulator.registry.kinds.shaping import part
from emulator.registry.strategy import Context, Strategy


def default(template: JsonObject, context: Context) -> None:
    default_pod_template(part(template, "template"))


def validate(template: JsonObject, context: Context) -> list[FieldError]:
    return validate_pod_template(template["template"], "template")


def warnings(template: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    return spec_warnings(template["template"].get("spec") or {}, "template.spec")


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        POD_TEMPLATE,
        default=default,
        validate=validate,
        warnings=warnings,
        create_on_update=True,
        has_generation=True,
        returns_deleted_object=True,
    ),
)

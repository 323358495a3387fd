"""Ingress and IngressClass: defaults, the class an Ingress gets when it names none, checks of the transition, warnings.

Source: pkg/apis/networking/v1/defaults.go, pkg/registry/networking/{ingress,ingressclass}/strategy.go,
plugin/pkg/admission/network/defaultingressclass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator.api.errors import FieldError, invalid
from emulator.api.kinds import INGRESS, INGRESS_CLASS
from emulator.api.meta import JsonObject, annotations_of
from emulator.registry.kinds import fields
from emulator.registry.kinds.defaultclass import default_class
from emulator.registry.kinds.ingress_validation import (
    IngressRules,
    allowances,
    class_errors,
    load_balancer_errors,
    spec_errors,
)
from emulator.registry.kinds.shaping import drop_empty, nullable, part, written
from emulator.registry.strategy import Context, Strategy

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


def default_ingress(ingress: JsonObject, context: Context) -> None:
    spec = part(ingress, "spec")
    drop_empty(spec, "rules", "tls")
    if spec.get("defaultBackend") is not None:
        _shape_backend(spec["defaultBackend"])
    for entry in spec.get("tls") or ():
        drop_empty(entry, "hosts", "secretName")
    for rule in spec.get("rules") or ():
        drop_empty(rule, "host")
        if rule.get("http") is not None:
            nullable(rule["http"], "paths")
            for path in rule["http"]["paths"] or ():
                drop_empty(path, "path")
                nullable(path, "pathType")
                _shape_backend(part(path, "backend"))
    balancer = part(part(ingress, "status"), "loadBalancer")
    drop_empty(balancer, "ingress")
    for point in balancer.get("ingress") or ():
        drop_empty(point, "ip", "hostname", "ports")


def _shape_backend(backend: JsonObject) -> None:
    if backend.get("service") is not None:
        written(backend["service"], "name")
        drop_empty(part(backend["service"], "port"), "name", "number")
    if backend.get("resource") is not None:
        nullable(backend["resource"], "apiGroup")
        written(backend["resource"], "kind", "name")


def prepare_ingress(ingress: JsonObject, context: Context) -> None:
    ingress["status"] = {"loadBalancer": {}}


def admit_ingress(ingress: JsonObject, stored: Mapping[str, Sequence[JsonObject]], context: Context) -> None:
    """An Ingress that names no class, in the field or the annotation, gets the default one if there is one."""
    if ingress["spec"].get("ingressClassName") is not None or CLASS_ANNOTATION in annotations_of(ingress):
        return
    name = default_class(stored[INGRESS_CLASS.resource], [DEFAULT_CLASS_ANNOTATION])
    if name is not None:
        ingress["spec"]["ingressClassName"] = name


def validate_ingress(ingress: JsonObject, context: Context) -> list[FieldError]:
    """On create; an update is checked by its transition alone, which knows what the stored object may keep."""
    if context.is_update:
        return []
    errors = spec_errors(ingress["spec"], "spec", IngressRules())
    annotation, named = annotations_of(ingress).get(CLASS_ANNOTATION), ingress["spec"].get("ingressClassName")
    if annotation is not None and named is not None and annotation != named:
        text = "must match `ingressClassName` when both are specified"
        errors.append(invalid(f"annotations.{CLASS_ANNOTATION}", annotation, text))
    return errors


def validate_ingress_update(ingress: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    if context.subresource == "status":
        before = _points(old)
        return load_balancer_errors(_points(ingress), "status.loadBalancer.ingress", [p.get("ip", "") for p in before])
    return spec_errors(ingress["spec"], "spec", allowances(old["spec"]))


def _points(ingress: JsonObject) -> list[JsonObject]:
    found: list[JsonObject] = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return found


def ingress_warnings(ingress: JsonObject, old: JsonObject | None, context: Context) -> list[str]:
    if context.subresource == "status":
        points = enumerate(_points(ingress))
        path = "status.loadBalancer.ingress"
        return [text for index, point in points for text in fields.ip_warnings(f"{path}[{index}].ip", _ip(point))]
    if old is None and CLASS_ANNOTATION in annotations_of(ingress) and ingress["spec"].get("ingressClassName") is None:
        return [f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return []


def _ip(point: Mapping[str, Any]) -> str:
    return str(point.get("ip") or "")


def default_ingress_class(ingress_class: JsonObject, context: Context) -> None:
    spec = part(ingress_class, "spec")
    drop_empty(spec, "controller")
    parameters = spec.get("parameters")
    if parameters is not None:
        written(parameters, "kind", "name")
        if parameters.get("scope") is None:
            parameters["scope"] = "Cluster"


def validate_ingress_class(ingress_class: JsonObject, context: Context) -> list[FieldError]:
    return [] if context.is_update else class_errors(ingress_class["spec"], "spec")


def validate_ingress_class_update(ingress_class: JsonObject, old: JsonObject, context: Context) -> list[FieldError]:
    spec, before = ingress_class["spec"], old["spec"]
    errors: list[FieldError] = []
    if (spec.get("controller") or "") != (before.get("controller") or ""):
        errors.append(invalid("spec.controller", spec.get("controller") or "", fields.IMMUTABLE))
    return errors + class_errors(spec, "spec")


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        INGRESS,
        default=default_ingress,
        prepare_create=prepare_ingress,
        admission_kinds=(INGRESS_CLASS,),
        admit_create=admit_ingress,
        validate=validate_ingress,
        validate_update=validate_ingress_update,
        warnings=ingress_warnings,
        has_generation=True,
    ),
    Strategy(
        INGRESS_CLASS,
        default=default_ingress_class,
        validate=validate_ingress_class,
        validate_update=validate_ingress_class_update,
        has_generation=True,
    ),
)

"""Which Ingresses are ours, and in which order they are read.

One without a class is ours too, as with upstream's --watch-ingress-without-class; with a default class in the API there
are none. Source: ingress-nginx internal/ingress/controller/store (GetIngressClass, sortIngressSlice).
"""

from __future__ import annotations

from collections.abc import Iterable

from emulator.api.meta import JsonObject, annotations_of, key_of

CONTROLLER = "k8s.io/ingress-nginx"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_CLASS_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
DEFAULT_CLASS, MICROK8S_CLASS = "nginx", "public"


def our_classes(classes: Iterable[JsonObject]) -> frozenset[str]:
    """The names of the IngressClasses that this controller serves."""
    return frozenset(entry["metadata"]["name"] for entry in classes if entry["spec"].get("controller") == CONTROLLER)


def is_ours(ingress: JsonObject, classes: frozenset[str]) -> bool:
    """By spec.ingressClassName; if that is not set, by the annotation of older manifests; ours when it names none."""
    named = ingress["spec"].get("ingressClassName")
    if named is not None:
        return named in classes
    annotation = annotations_of(ingress).get(CLASS_ANNOTATION) or DEFAULT_CLASS
    return annotation in (DEFAULT_CLASS, MICROK8S_CLASS) or annotation in classes


def names_a_class(ingress: JsonObject) -> bool:
    """False for an Ingress that was written for whoever takes it."""
    return ingress["spec"].get("ingressClassName") is not None or CLASS_ANNOTATION in annotations_of(ingress)


def oldest_first(ingresses: Iterable[JsonObject]) -> list[JsonObject]:
    """By age; of those made in the same second the greater name comes first, as upstream has it."""
    by_name = sorted(ingresses, key=lambda ingress: str(key_of(ingress)), reverse=True)
    return sorted(by_name, key=lambda ingress: str(ingress["metadata"].get("creationTimestamp") or ""))


def ingress_class(name: str, *, is_default: bool = False) -> JsonObject:
    """An IngressClass of this controller."""
    metadata: JsonObject = {"name": name}
    if is_default:
        metadata["annotations"] = {DEFAULT_CLASS_ANNOTATION: "true"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": metadata,
        "spec": {"controller": CONTROLLER},
    }


def built_in_classes(*, with_default: bool = True) -> tuple[JsonObject, ...]:
    """`nginx`, which new Ingresses without a class get, and `public`, which MicroK8s' add-on has."""
    return ingress_class(DEFAULT_CLASS, is_default=with_default), ingress_class(MICROK8S_CLASS)

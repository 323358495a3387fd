"""Kinds -> the operations the API takes, as data: what both versions of OpenAPI write down, each in its own way.

Source: k8s.io/apiserver pkg/endpoints/installer.go (operation ids, parameters, actions).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.api.kinds import Kind, Subresource
from emulator.apiserver.openapi.schemas import DELETE_OPTIONS, PATCH, STATUS, full_name, list_name, schema_name

WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
DELETE = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)
LIST = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
METHODS = {"create": "post", "deletecollection": "delete", "update": "put", "list": "get"}
ACTIONS = {"create": "post", "update": "put"}
WORDS = {"get": "read", "update": "replace"}


@dataclass(frozen=True, slots=True)
class Operation:
    """body, answer: full names of schemas, "" for none; actor: the group, version and kind it is about."""

    path: str
    method: str
    action: str
    id: str
    actor: Kind
    answer: str
    body: str = ""
    query: tuple[tuple[str, str], ...] = ()
    status: int = 200


def base_path(group: str, version: str) -> str:
    """`api/v1` or `apis/apps/v1`."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def operations(kind: Kind) -> Iterator[Operation]:
    """Every operation on a kind, collection first."""
    root = f"/{base_path(kind.group, kind.version)}"
    place = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    subject = ("Namespaced" if kind.namespaced else "") + kind.kind
    for verb in ("list", "create", "deletecollection"):
        if verb in kind.verbs:
            yield _operation(kind, verb, place, subject)
    for verb in ("get", "update", "patch", "delete"):
        if verb in kind.verbs:
            yield _operation(kind, verb, f"{place}/{{name}}", subject)
    for sub in kind.subresources:
        for verb in ("get", "create", "update", "patch", "delete"):
            if verb in sub.verbs:
                yield _on_subresource(kind, sub, verb, f"{place}/{{name}}/{sub.name}", subject)
    if kind.namespaced and "list" in kind.verbs:
        everywhere = f"{root}/{kind.plural}"
        name = f"list{_camel(kind)}{kind.kind}ForAllNamespaces"
        yield Operation(everywhere, "get", "list", name, kind, list_name(kind), query=LIST)


def parameters_of(path: str) -> list[str]:
    """The names in braces of a path."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _operation(kind: Kind, verb: str, path: str, subject: str) -> Operation:
    own, method, action = schema_name(kind), METHODS.get(verb, verb), ACTIONS.get(verb, verb)
    collection = verb == "deletecollection"
    name = f"{'delete' if collection else WORDS.get(verb, verb)}{_camel(kind)}{'Collection' * collection}{subject}"
    match verb:
        case "list":
            return Operation(path, method, action, name, kind, list_name(kind), query=LIST)
        case "create":
            return Operation(path, method, action, name, kind, own, own, WRITE, 201)
        case "update":
            return Operation(path, method, action, name, kind, own, own, WRITE)
        case "patch":
            return Operation(path, method, action, name, kind, own, PATCH, (*WRITE, ("force", "boolean")))
        case "delete" | "deletecollection":
            status, options = full_name(STATUS), full_name(DELETE_OPTIONS)
            query = DELETE + LIST if collection else DELETE
            return Operation(path, method, action, name, kind, status, options, query)
    return Operation(path, method, action, name, kind, own)


def _on_subresource(kind: Kind, sub: Subresource, verb: str, path: str, subject: str) -> Operation:
    actor = Kind(sub.group, sub.version, sub.kind, sub.name) if sub.kind else kind
    try:
        own = schema_name(actor)
    except KeyError:
        own = ""  # streams: what they carry is no object
    name = f"{WORDS.get(verb, verb)}{_camel(kind)}{subject}{sub.name.capitalize()}"
    body = PATCH if verb == "patch" else own if verb in ("create", "update") else ""
    query = (*WRITE, ("force", "boolean")) if verb == "patch" else WRITE if body else ()
    status = 201 if verb == "create" and own else 200
    method, action = METHODS.get(verb, verb), ACTIONS.get(verb, verb) if own else "connect"
    return Operation(path, method, action, name, actor, own, body, query, status)


def _camel(kind: Kind) -> str:
    """`AppsV1`, `RbacAuthorizationV1`, `CoreV1`."""
    group = kind.group.removesuffix(".k8s.io") or "core"
    return "".join(part.capitalize() for part in group.split(".")) + kind.version.capitalize()

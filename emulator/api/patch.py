"""The three patch types; each gives a new document and leaves its inputs as they are.

Source: RFC 6902, RFC 7386, k8s.io/apimachinery pkg/util/strategicpatch (directives, texts).
"""

from __future__ import annotations

from typing import Any

from emulator.api.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge
from emulator.api.fields import Field, Message, Table, message_of, table_of
from emulator.api.kinds import Kind
from emulator.api.meta import JsonObject

REJECTED = "the server rejected our request due to an error in our request"
MAX_OPERATIONS = 10_000  # kube-apiserver's limit for a JSON patch
DIRECTIVE, RETAIN = "$patch", "$retainKeys"
GO_OBJECT = "map[string]interface {}"
OPERATION_FIELDS = ("op", "path", "from", "value")
ORDER, DELETE_PRIMITIVE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def json_patch(document: JsonObject, operations: Any) -> JsonObject:
    """RFC 6902. Raises BadRequest for what is no patch, Invalid for one that cannot be applied."""
    asked = check_operations(operations)
    for operation in asked:
        _check_operation(operation)
    result: Any = _copy(document)
    try:
        for operation in asked:
            result = _operate(result, operation)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise Invalid(REJECTED, details={}) from error
    if not isinstance(result, dict):
        raise Invalid(REJECTED, details={})
    return result


def check_operations(operations: Any) -> list[Any]:
    """The operations of a JSON patch; null is none. Raises BadRequest, RequestEntityTooLarge."""
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise BadRequest(f"error decoding patch: {_cannot(operations, '[]handlers.jsonPatchOp')}")
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise RequestEntityTooLarge(f"Request entity too large: {text}")
    return operations


def unknown_in_operations(operations: Any) -> list[str]:
    """Fields that no operation has, as strict errors."""
    return [
        f'unknown field "[{index}].{name}"'
        for index, operation in enumerate(operations if isinstance(operations, list) else ())
        for name in (operation if isinstance(operation, dict) else ())
        if name not in OPERATION_FIELDS
    ]


def _check_operation(operation: Any) -> None:
    if not isinstance(operation, dict):
        raise BadRequest(f"error decoding patch: {_cannot(operation, 'handlers.jsonPatchOp')}")
    for name in ("op", "path", "from"):
        value = operation.get(name)
        if value is not None and not isinstance(value, str):
            field = f"Go struct field jsonPatchOp.{name} of type string"
            raise BadRequest(f"error decoding patch: json: cannot unmarshal {_json_type(value)} into {field}")


def _cannot(value: Any, type: str) -> str:
    return f"json: cannot unmarshal {_json_type(value)} into Go value of type {type}"


def _json_type(value: Any) -> str:
    """How Go's decoder calls the type of a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _operate(document: Any, operation: Any) -> Any:
    op, path = operation["op"], _pointer(operation["path"])
    if op == "add":
        return _add(document, path, _copy(operation.get("value")))
    if op == "remove":
        return _remove(document, path)
    if op == "replace":
        _find(document, path)
        return _add(_remove(document, path), path, _copy(operation.get("value")))
    if op == "move":
        source = _pointer(operation["from"])
        if path[: len(source)] == source and path != source:
            raise ValueError("moved into itself")
        value = _find(document, source)
        return _add(_remove(document, source), path, value)
    if op == "copy":
        return _add(document, path, _copy(_find(document, _pointer(operation["from"]))))
    if op == "test":
        if not _same(_find(document, path), operation.get("value")):
            raise ValueError("test failed")
        return document
    raise ValueError(f"unknown operation {op}")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise ValueError(f"{text} is no pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(items: list[Any], part: str, *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    digits = part.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{part} is no index")
    size = len(items) + (1 if end else 0)
    number = int(part)
    if not -size <= number < size:
        raise IndexError(part)
    return number + size if number < 0 else number  # upstream's library counts negative ones from the end


def _find(node: Any, path: list[str]) -> Any:
    for part in path:
        node = node[_index(node, part, end=False)] if isinstance(node, list) else node[part]
    return node


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise TypeError("no container")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _find(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1], end=False)]
    else:
        del parent[path[-1]]
    return document


def merge_patch(document: JsonObject, patch: Any) -> JsonObject:
    """RFC 7386. Raises BadRequest when the patch is no object."""
    if patch is None:
        raise BadRequest("Invalid JSON Patch")
    if not isinstance(patch, dict):
        raise BadRequest(f"error decoding patch: {_cannot(patch, GO_OBJECT)}")
    merged: JsonObject = _merge(_copy(document), patch)
    return merged


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return _copy(patch)
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merge(out.get(key), value)
    return out


def strategic_merge_patch(kind: Kind, document: JsonObject, patch: Any) -> JsonObject:
    """Lists merge by the keys of the field tables; directives as kubectl sends them.

    Raises BadRequest, and ApiError for what upstream takes for its own mistake.
    """
    if patch is None:
        return document
    if not isinstance(patch, dict):
        raise BadRequest(_cannot(patch, GO_OBJECT))
    return _Strategic(table_of(kind)).map(_copy(document), patch, message_of(kind))


class _Strategic:
    def __init__(self, types: Table) -> None:
        self._types = types

    def map(self, target: JsonObject, patch: JsonObject, message: Message | None) -> JsonObject:
        """`target` (ours to change) with `patch` merged in."""
        directive = patch.get(DIRECTIVE)
        if directive == "replace":
            return {key: _copy(value) for key, value in patch.items() if key != DIRECTIVE}
        if directive == "delete":
            return {}
        if directive is not None and directive != "merge":
            raise _unknown_directive(patch)
        if RETAIN in patch:
            self._retain(target, patch)
        for key, value in patch.items():
            if key in (DIRECTIVE, RETAIN) or key.startswith((ORDER, DELETE_PRIMITIVE)):
                continue
            if value is None:
                target.pop(key, None)
                continue
            field = message.fields.get(key) if message else None
            target[key] = self._value(target.get(key), value, field, patch.get(ORDER + key))
        for key, value in patch.items():
            if key.startswith(DELETE_PRIMITIVE):
                name = key.removeprefix(DELETE_PRIMITIVE)
                held = target.get(name)
                if isinstance(held, list) and isinstance(value, list):  # of other types upstream takes no notice
                    target[name] = [item for item in held if item not in value]
            elif key.startswith(ORDER) and key.removeprefix(ORDER) not in patch:
                name = key.removeprefix(ORDER)
                if isinstance(target.get(name), list):
                    field = message.fields.get(name) if message else None
                    target[name] = _ordered(target[name], target[name], value, field.merge_key if field else None)
        return target

    def _retain(self, target: JsonObject, patch: JsonObject) -> None:
        kept = patch[RETAIN]
        if not isinstance(kept, list):
            raise BadRequest("invalid patch format of retainKeys")
        missing = [
            key for key in patch if key not in (RETAIN, DIRECTIVE) and not key.startswith("$") and key not in kept
        ]
        if missing and any(patch[key] is not None for key in missing):
            raise BadRequest("invalid patch format of retainKeys")
        for key in list(target):
            if key not in kept:
                del target[key]

    def _value(self, target: Any, value: Any, field: Field | None, order: Any) -> Any:
        if isinstance(value, dict):
            inner = self._types.messages.get(field.type) if field is not None and field.shape != "map" else None
            return self.map(target if isinstance(target, dict) else {}, value, inner)
        if isinstance(value, list):
            if field is None or field.merge_key is None or not isinstance(target, list):
                return self._fresh(value, field)
            return self._list(target, value, field, order)
        return value

    def _fresh(self, value: list[Any], field: Field | None) -> list[Any]:
        """A list that replaces: directives in it mean nothing any more."""
        inner = self._types.messages.get(field.type) if field is not None else None
        out = []
        for item in value:
            if isinstance(item, dict):
                if item.get(DIRECTIVE) in ("delete", "replace") and len(item) <= 2:
                    continue
                out.append(self.map({}, item, inner))
            else:
                out.append(item)
        return out

    def _list(self, target: list[Any], patch: list[Any], field: Field, order: Any) -> list[Any]:
        if field.merge_key == "":
            merged = [*target, *(item for item in patch if item not in target)]
            return _ordered(merged, target, order or patch, "")
        key = field.merge_key or ""
        inner = self._types.messages.get(field.type)
        if any(isinstance(item, dict) and item.get(DIRECTIVE) == "replace" for item in patch):
            return self._fresh([item for item in patch if DIRECTIVE not in item], field)
        result = list(target)
        for item in patch:
            if isinstance(item, dict) and item.get(DIRECTIVE) not in (None, "delete"):
                raise _unknown_directive(item)
            if not isinstance(item, dict) or key not in item:
                raise _internal(f"map: {_go_map(item)} does not contain declared merge key: {key}")
            at = next(
                (i for i, held in enumerate(result) if isinstance(held, dict) and held.get(key) == item[key]), None
            )
            if item.get(DIRECTIVE) == "delete":
                result = [held for held in result if not (isinstance(held, dict) and held.get(key) == item[key])]
            elif at is None:
                result.append(self.map({}, item, inner))
            else:
                result[at] = self.map(result[at], item, inner)
        _check_order(patch, order, key)
        # A patch that names no order is one: what it names comes first, unless the server had something before that.
        return _ordered(result, target, order or [item for item in patch if DIRECTIVE not in item], key)


def _check_order(patch: list[Any], order: Any, key: str) -> None:
    """What a patch brings stands in the order that comes with it, in that order. Raises ApiError."""
    if not isinstance(order, list):
        return
    wanted = iter([item.get(key) if isinstance(item, dict) else None for item in order])
    if not all(any(item[key] == other for other in wanted) for item in patch if DIRECTIVE not in item):
        text = f"The order in patch list:\n{_go_list(patch)}\n doesn't match {ORDER.removesuffix('/')} list:\n"
        raise _internal(f"{text}{_go_list(order)}\n")


def _ordered(merged: list[Any], server: list[Any], order: Any, key: str | None) -> list[Any]:
    """`merged` in the order the client wants; items it does not name keep their place among their neighbours.

    Source: strategicpatch.go, normalizeElementOrder: server-only items go before the first wanted item that follows
    them on the server.
    """
    if not isinstance(order, list):
        raise BadRequest("invalid patch format of setElementOrder list")

    def identity(item: Any) -> Any:
        found = item.get(key) if key and isinstance(item, dict) else item
        return str(found) if isinstance(found, dict | list) else found

    wanted = [identity(item) for item in order]
    rank = {value: place for place, value in enumerate(wanted)}
    named = sorted((item for item in merged if identity(item) in rank), key=lambda item: rank[identity(item)])
    others = [item for item in merged if identity(item) not in rank]
    places = {identity(item): place for place, item in enumerate(server)}
    result: list[Any] = []
    while named and others:
        ours, theirs = places.get(identity(named[0])), places.get(identity(others[0]))
        if ours is None or theirs is None or ours < theirs:
            result.append(named.pop(0))
        else:
            result.append(others.pop(0))
    return [*result, *named, *others]


def _unknown_directive(patch: JsonObject) -> ApiError:
    if patch[DIRECTIVE] == "merge":
        return _internal("merging lists cannot yet be specified in the patch")
    return _internal(f"unknown patch type: {patch[DIRECTIVE]} in map: {_go_map(patch)}")


def _internal(text: str) -> ApiError:
    return ApiError(text, code=500, reason="")


def _go_map(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_map(value[key])}" for key in sorted(value)) + "]"
    return str(value)


def _go_list(items: list[Any]) -> str:
    return "[" + " ".join(_go_map(item) for item in items) + "]"


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value

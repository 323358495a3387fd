"""The three patch types: what they do, and the words and codes of what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge
from emulator.api.kinds import SERVICE
from emulator.api.meta import JsonObject
from emulator.api.patch import json_patch, merge_patch, strategic_merge_patch, unknown_in_operations

DOCUMENT = {"a": {"b": [1, 2, 3], "c~d/e": "x"}}


def service(**spec: Any) -> JsonObject:
    return {"metadata": {"name": "a", "finalizers": ["x/a", "x/b"]}, "spec": spec}


def two_ports() -> JsonObject:
    return service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ({"op": "add", "path": "/a/b/-", "value": 4}, {"b": [1, 2, 3, 4], "c~d/e": "x"}),
        ({"op": "add", "path": "/a/b/1", "value": 4}, {"b": [1, 4, 2, 3], "c~d/e": "x"}),
        ({"op": "add", "path": "/a/b/-1", "value": 4}, {"b": [1, 2, 3, 4], "c~d/e": "x"}),
        ({"op": "remove", "path": "/a/b/-1"}, {"b": [1, 2], "c~d/e": "x"}),
        ({"op": "remove", "path": "/a/c~0d~1e"}, {"b": [1, 2, 3]}),
        ({"op": "replace", "path": "/a/b", "value": []}, {"b": [], "c~d/e": "x"}),
        ({"op": "move", "from": "/a/b/0", "path": "/a/b/2"}, {"b": [2, 3, 1], "c~d/e": "x"}),
        ({"op": "copy", "from": "/a/b/0", "path": "/a/z"}, {"b": [1, 2, 3], "c~d/e": "x", "z": 1}),
        ({"op": "add", "path": "/a/z"}, {"b": [1, 2, 3], "c~d/e": "x", "z": None}),
        ({"op": "test", "path": "/a/b", "value": [1, 2, 3.0]}, {"b": [1, 2, 3], "c~d/e": "x"}),
    ],
)
def test_operations(operation: JsonObject, wanted: JsonObject) -> None:
    assert json_patch(DOCUMENT, [operation]) == {"a": wanted}
    assert DOCUMENT == {"a": {"b": [1, 2, 3], "c~d/e": "x"}}


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"op": "add"},
        {"op": "nope", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "remove", "path": "/a/b/3"},
        {"op": "remove", "path": "/a/b/-4"},
        {"op": "remove", "path": "/a/x"},
        {"op": "replace", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a/x", "path": "/a/y"},
        {"op": "move", "from": "/a", "path": "/a/b"},
        {"op": "test", "path": "/a/b", "value": [1, 2]},
        {"op": "test", "path": "/a/b/0", "value": True},
    ],
)
def test_an_operation_that_cannot_be_done_is_unprocessable_and_says_no_more(operation: JsonObject) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch(DOCUMENT, [operation])
    assert caught.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    ("operations", "why"),
    [
        ({}, "object into Go value of type []handlers.jsonPatchOp"),
        (5, "number into Go value of type []handlers.jsonPatchOp"),
        ([5], "number into Go value of type handlers.jsonPatchOp"),
        ([{"op": 5}], "number into Go struct field jsonPatchOp.op of type string"),
        ([{"op": "add", "path": []}], "array into Go struct field jsonPatchOp.path of type string"),
    ],
)
def test_what_is_no_json_patch(operations: Any, why: str) -> None:
    with pytest.raises(BadRequest) as caught:
        json_patch(DOCUMENT, operations)
    assert caught.value.message == f"error decoding patch: json: cannot unmarshal {why}"


def test_no_patch_and_too_much_of_one() -> None:
    assert json_patch(DOCUMENT, None) == DOCUMENT
    with pytest.raises(RequestEntityTooLarge, match="maximum operations in a JSON patch is 10000, got 10001"):
        json_patch(DOCUMENT, [{"op": "test", "path": "/a/b/0", "value": 1}] * 10_001)


def test_fields_that_no_operation_has() -> None:
    assert unknown_in_operations([{"op": "add", "path": "/a"}, {"op": "add", "x": 1}]) == ['unknown field "[1].x"']


def test_a_merge_patch_sets_and_takes_away() -> None:
    assert merge_patch(DOCUMENT, {"a": {"b": None, "n": {"m": None, "k": 1}}}) == {"a": {"c~d/e": "x", "n": {"k": 1}}}
    with pytest.raises(BadRequest, match=r"^Invalid JSON Patch$"):
        merge_patch(DOCUMENT, None)
    with pytest.raises(BadRequest) as caught:
        merge_patch(DOCUMENT, "x")
    wanted = "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"
    assert caught.value.message == wanted


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        ({"ports": [{"port": 81, "name": "c"}]}, ["a", "c"]),
        ({"ports": [{"port": 82, "name": "c"}]}, ["c", "a", "b"]),
        ({"ports": [{"port": 80, "$patch": "delete"}]}, ["b"]),
        ({"ports": [{"$patch": "replace"}, {"port": 9, "name": "z"}]}, ["z"]),
        ({"$setElementOrder/ports": [{"port": 81}, {"port": 80}]}, ["b", "a"]),
        (
            {"$setElementOrder/ports": [{"port": 82}, {"port": 80}], "ports": [{"port": 82, "name": "c"}]},
            ["c", "a", "b"],
        ),
    ],
)
def test_lists_merge_by_their_key(patch: JsonObject, names: list[str]) -> None:
    merged = strategic_merge_patch(SERVICE, two_ports(), {"spec": patch})
    assert sorted(port["name"] for port in merged["spec"]["ports"]) == sorted(names)
    if "$setElementOrder/ports" in patch:
        ports = [port["port"] for port in merged["spec"]["ports"]]
        wanted = [item["port"] for item in patch["$setElementOrder/ports"]]
        assert [port for port in ports if port in wanted] == wanted


def test_directives_of_maps_and_primitive_lists() -> None:
    object = service(type="NodePort", clusterIP="x")
    assert strategic_merge_patch(SERVICE, object, {"spec": {"$patch": "replace", "type": "y"}})["spec"] == {"type": "y"}
    assert strategic_merge_patch(SERVICE, object, {"spec": {"$patch": "delete"}})["spec"] == {}
    kept = strategic_merge_patch(SERVICE, object, {"spec": {"$retainKeys": ["type"], "type": "y"}})
    assert kept["spec"] == {"type": "y"}
    gone = strategic_merge_patch(SERVICE, object, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"]}})
    assert gone["metadata"]["finalizers"] == ["x/b"]
    more = strategic_merge_patch(SERVICE, object, {"metadata": {"finalizers": ["x/c"]}})
    assert sorted(more["metadata"]["finalizers"]) == ["x/a", "x/b", "x/c"]
    assert strategic_merge_patch(SERVICE, object, None) == object


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        ({"$patch": "x"}, 500, "unknown patch type: x in map: map[$patch:x]"),
        ({"ports": [{"$patch": "x", "port": 80}]}, 500, "unknown patch type: x in map: map[$patch:x port:80]"),
        ({"ports": [{"name": "x"}]}, 500, "map: map[name:x] does not contain declared merge key: port"),
        ({"$retainKeys": 5}, 400, "invalid patch format of retainKeys"),
        ({"$retainKeys": ["ports"], "type": "x"}, 400, "invalid patch format of retainKeys"),
        ({"$setElementOrder/ports": 5}, 400, "invalid patch format of setElementOrder list"),
        (
            {"$setElementOrder/ports": [{"port": 80}], "ports": [{"port": 82}]},
            500,
            "The order in patch list:\n[map[port:82]]\n doesn't match $setElementOrder list:\n[map[port:80]]\n",
        ),
    ],
)
def test_refused_directives(spec: JsonObject, code: int, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_merge_patch(SERVICE, two_ports(), {"spec": spec})
    assert (caught.value.code, caught.value.message) == (code, text)

"""Lists, tables and metadata-only shapes of the same objects."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from emulator.api.errors import BadRequest
from emulator.api.kinds import CONFIG_MAP, ENDPOINT_SLICE
from emulator.apiserver import shapes
from emulator.apiserver.negotiation import PLAIN, Form, NotAcceptable

AT = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)
OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "a",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "data": {"k": "v"},
}
METADATA = {"resourceVersion": "9"}
TABLE = Form(shape="Table")


def test_items_of_a_plain_list_have_no_kind_of_their_own() -> None:
    before = copy.deepcopy(OBJECT)
    body = shapes.shape_list(CONFIG_MAP, [OBJECT], METADATA, PLAIN, include="Metadata", at=AT)
    assert (body["kind"], body["apiVersion"], body["metadata"]) == ("ConfigMapList", "v1", METADATA)
    assert body["items"] == [{"metadata": OBJECT["metadata"], "data": {"k": "v"}}]
    assert before == OBJECT


@pytest.mark.parametrize(
    ("include", "row_object"),
    [
        (
            "Metadata",
            {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": OBJECT["metadata"]},
        ),
        ("Object", OBJECT),
        ("None", None),
    ],
)
def test_a_table_carries_what_was_asked_for(include: str, row_object: Any) -> None:
    body = shapes.shape_list(CONFIG_MAP, [OBJECT], METADATA, TABLE, include=include, at=AT)
    assert (body["kind"], body["apiVersion"], body["metadata"]) == ("Table", "meta.k8s.io/v1", METADATA)
    assert body["rows"] == [{"cells": ["a", 1, "60s"], "object": row_object}]


def test_the_table_of_one_object_has_its_own_version() -> None:
    body = shapes.shape_object(CONFIG_MAP, OBJECT, TABLE, include="Metadata", at=AT)
    assert body["metadata"] == {"resourceVersion": "7"}


def test_later_tables_of_a_watch_name_no_columns() -> None:
    assert shapes.table(CONFIG_MAP, [], METADATA, include="None", at=AT, header=False)["columnDefinitions"] is None
    mark = shapes.bookmark_table(CONFIG_MAP, {"metadata": {"resourceVersion": "3"}}, "v1")
    assert mark["metadata"] == {"resourceVersion": "3"}


def test_metadata_only() -> None:
    form = Form(shape="PartialObjectMetadata")
    assert "data" not in shapes.shape_object(CONFIG_MAP, OBJECT, form, include="Metadata", at=AT)
    with pytest.raises(NotAcceptable):
        shapes.shape_list(CONFIG_MAP, [OBJECT], METADATA, form, include="Metadata", at=AT)
    form = Form(shape="PartialObjectMetadataList")
    listed = shapes.shape_list(CONFIG_MAP, [OBJECT], METADATA, form, include="Metadata", at=AT)
    assert listed["items"][0]["kind"] == "PartialObjectMetadata"
    with pytest.raises(NotAcceptable):
        shapes.shape_object(CONFIG_MAP, OBJECT, form, include="Metadata", at=AT)


def test_a_status_is_never_turned_into_a_table() -> None:
    status = {"kind": "Status", "metadata": {}}
    assert shapes.shape_object(CONFIG_MAP, status, TABLE, include="Metadata", at=AT) is status


def test_the_status_of_a_deletion_names_plural_group_and_uid() -> None:
    object = {"metadata": {"name": "web-x", "uid": "u"}}
    body = shapes.deleted_status(ENDPOINT_SLICE, object)
    assert body["details"] == {"name": "web-x", "group": "discovery.k8s.io", "kind": "endpointslices", "uid": "u"}
    assert "group" not in shapes.deleted_status(CONFIG_MAP, object)["details"]


def test_include_object_is_one_of_three() -> None:
    assert shapes.include_object("") == "Metadata"
    with pytest.raises(BadRequest, match="must be 'Metadata', 'Object', 'None', or empty"):
        shapes.include_object("All")


def test_list_metadata_leaves_out_what_is_not_there() -> None:
    assert shapes.list_metadata("5") == {"resourceVersion": "5"}
    assert shapes.list_metadata("5", "token", 0) == {
        "resourceVersion": "5",
        "continue": "token",
        "remainingItemCount": 0,
    }

"""Query parameters and DeleteOptions, right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.api.errors import ApiError, BadRequest, Invalid
from emulator.apiserver.parameters import (
    DeleteParameters,
    delete_parameters,
    flag,
    list_parameters,
    write_parameters,
)


def test_flags_are_on_unless_they_say_off() -> None:
    values = {"a": [""], "b": ["true"], "c": ["1"], "d": ["false"], "e": ["0"], "f": ["False"]}
    assert [flag(values, name) for name in "abcdefg"] == [True, True, True, False, False, False, False]


def test_list_parameters_are_read() -> None:
    query = {"labelSelector": ["a=b"], "limit": ["500"], "continue": ["x"], "timeoutSeconds": ["7"]}
    found = list_parameters(query, watch=False)
    assert (found.label_selector, found.limit, found.continue_token, found.timeout_seconds) == ("a=b", 500, "x", 7)
    assert found.send_initial_events is None


@pytest.mark.parametrize(
    ("query", "watch", "text"),
    [
        (
            {"sendInitialEvents": ["true"]},
            True,
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"resourceVersionMatch": ["NotOlderThan"]},
            True,
            (
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch "
                "unless sendInitialEvents is provided"
            ),
        ),
        (
            {"resourceVersionMatch": ["Exact"]},
            False,
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            {"resourceVersionMatch": ["Exact"], "resourceVersion": ["0"]},
            False,
            'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        ({"sendInitialEvents": ["1"]}, False, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    ],
)
def test_forbidden_combinations(query: dict[str, list[str]], watch: bool, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        list_parameters(query, watch=watch)
    assert caught.value.message == f'ListOptions.meta.k8s.io "" is invalid: {text}'
    assert caught.value.status()["details"]["kind"] == "ListOptions"


def test_every_forbidden_part_of_a_watch_is_told() -> None:
    query = {"sendInitialEvents": ["true"], "resourceVersionMatch": ["Exact"], "continue": ["x"]}
    with pytest.raises(Invalid) as caught:
        list_parameters(query, watch=True)
    assert [str(error) for error in caught.value.errors] == [
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"',
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
    ]


@pytest.mark.parametrize(
    ("query", "initial"),
    [
        ({}, True),
        ({"resourceVersion": ["0"]}, True),
        ({"resourceVersion": ["5"]}, None),
        ({"sendInitialEvents": ["false"], "resourceVersionMatch": ["NotOlderThan"]}, False),
    ],
)
def test_a_watch_from_nowhere_begins_with_what_there_is(query: dict[str, list[str]], initial: bool | None) -> None:
    assert list_parameters(query, watch=True).send_initial_events is initial


def test_choices_are_told_in_upstreams_order() -> None:
    with pytest.raises(Invalid, match='supported values: "Exact", "NotOlderThan", ""'):
        list_parameters({"resourceVersionMatch": ["x"], "resourceVersion": ["1"]}, watch=False)
    with pytest.raises(Invalid, match='supported values: "Foreground", "Background", "Orphan", "nil"'):
        delete_parameters({"propagationPolicy": ["x"]}, None)


def test_a_limit_that_is_no_number_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        list_parameters({"limit": ["many"]}, watch=False)


def test_write_parameters() -> None:
    found = write_parameters({"dryRun": ["All"], "fieldValidation": ["Strict"]}, "CreateOptions", user_agent="curl/8")
    assert (found.dry_run, found.field_validation, found.field_manager) == (True, "Strict", "curl")
    assert write_parameters({}, "CreateOptions").field_validation == "Warn"
    with pytest.raises(Invalid) as caught:
        write_parameters({"dryRun": ["Some"], "fieldValidation": ["Loud"]}, "PatchOptions")
    assert [error.field for error in caught.value.errors] == ["dryRun", "fieldValidation"]


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ({}, None, DeleteParameters()),
        ({"propagationPolicy": ["Orphan"]}, None, DeleteParameters(propagation="Orphan")),
        ({"gracePeriodSeconds": ["0"], "dryRun": ["All"]}, None, DeleteParameters(True, None, 0)),
        ({"orphanDependents": ["false"]}, None, DeleteParameters(propagation="Background")),
        ({"gracePeriodSeconds": ["9"]}, {"gracePeriodSeconds": 1}, DeleteParameters(grace_period_seconds=1)),
        ({}, {"preconditions": {"uid": "u", "resourceVersion": "3"}}, DeleteParameters(uid="u", resource_version="3")),
    ],
)
def test_delete_options_come_from_the_body_or_the_query(
    query: dict[str, list[str]], body: dict[str, Any] | None, expected: DeleteParameters
) -> None:
    assert delete_parameters(query, body) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"propagationPolicy": "Sideways"},
        {"dryRun": ["Some"]},
        {"gracePeriodSeconds": "1"},
        {"dryRun": "All"},
        {"orphanDependents": True, "propagationPolicy": "Orphan"},
    ],
)
def test_wrong_delete_options_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        delete_parameters({}, body)
    assert caught.value.code in (400, 422)

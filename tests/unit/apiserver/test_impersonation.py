"""Who a request is taken for when it asks to be somebody else."""

from __future__ import annotations

import pytest

from emulator.api.errors import ApiError
from emulator.apiserver.impersonation import impersonated
from emulator.apiserver.users import User

ADMIN = User("admin", groups=("system:masters",))


def test_nobody_else_is_asked_for() -> None:
    assert impersonated(ADMIN, [("Accept", "*/*")]) is ADMIN


@pytest.mark.parametrize(
    ("name", "groups", "wanted"),
    [
        ("bob", [], ("system:authenticated",)),
        ("bob", ["devs", "ops"], ("devs", "ops", "system:authenticated")),
        ("bob", ["system:authenticated"], ("system:authenticated",)),
        ("system:anonymous", [], ("system:unauthenticated",)),
        (
            "system:serviceaccount:ns:robot",
            [],
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
        ),
        ("system:serviceaccount:ns:robot", ["g"], ("g", "system:authenticated")),
    ],
)
def test_groups(name: str, groups: list[str], wanted: tuple[str, ...]) -> None:
    headers = [("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)]
    found = impersonated(ADMIN, headers)
    assert (found.name, found.groups) == (name, wanted)


def test_uid_and_extra() -> None:
    headers = [
        ("Impersonate-User", "bob"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2fScope", "a"),
        ("Impersonate-Extra-acme.com%2Fscope", "b"),
    ]
    info = impersonated(ADMIN, headers).info()
    assert (info["uid"], info["extra"]) == ("7", {"acme.com/scope": ["a", "b"]})


def test_groups_without_a_user_are_refused() -> None:
    with pytest.raises(ApiError, match=r"requested \[devs\] without impersonating a user") as caught:
        impersonated(ADMIN, [("Impersonate-Group", "devs")])
    assert caught.value.code == 500

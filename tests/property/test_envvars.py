"""Service variables and `$(NAME)` against what must hold for any Services and any text."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from emulator.node.envvars import environment, expand, service_variables

names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
ports = st.lists(
    st.tuples(st.integers(1, 65535), st.sampled_from(["TCP", "UDP", "SCTP"])), min_size=1, max_size=4, unique=True
)
addresses = st.sampled_from(["10.152.183.7", "fd00::7", "None", ""])


@st.composite
def services(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for name, namespace in draw(
        st.lists(st.tuples(names, st.sampled_from(["default", "other"])), unique=True, max_size=6)
    ):
        listed = [
            {"name": f"p{number}", "port": port, "protocol": protocol}
            for number, (port, protocol) in enumerate(draw(ports))
        ]
        spec = {"clusterIP": draw(addresses), "ports": listed}
        made.append({"metadata": {"name": name, "namespace": namespace}, "spec": spec})
    return made


@given(services())
def test_every_variable_is_a_shell_name_and_order_does_not_matter(given_services: list[dict[str, Any]]) -> None:
    variables = service_variables("default", given_services)
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in variables)
    assert service_variables("default", list(reversed(given_services))) == variables
    assert service_variables("default", [s for s in given_services if s["metadata"]["namespace"] == "default"]) == (
        variables
    )


@given(services(), st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), st.text(max_size=5)))
def test_declared_variables_always_win(given_services: list[dict[str, Any]], declared: dict[str, str]) -> None:
    container = {"env": [{"name": name, "value": value.replace("$", "")} for name, value in declared.items()]}
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {}}
    variables = environment(pod, container, given_services)
    for name, value in declared.items():
        assert variables[name] == value.replace("$", "")


@given(st.text(alphabet="$()AB x"))
def test_escaping_every_dollar_gives_the_text_back(text: str) -> None:
    assert expand(text.replace("$", "$$"), {"A": "a", "B": "b"}.get) == text


@given(st.text(alphabet="$()AB x"))
def test_expansion_agrees_with_reading_byte_by_byte(text: str) -> None:
    known = {"A": "a", "AB": "$(A)"}
    out, rest = [], text
    while rest:
        if rest.startswith("$$"):
            out.append("$")
            rest = rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _, rest = rest[2:].partition(")")
            out.append(known.get(name, f"$({name})"))
        else:
            out.append(rest[0])
            rest = rest[1:]
    assert expand(text, known.get) == "".join(out)

"""Label and field selectors: parsed once, matched often.

Source: k8s.io/apimachinery pkg/labels/selector.go, pkg/fields/selector.go (grammar and error texts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.api import names
from emulator.api.errors import BadRequest

_TOKEN = re.compile(r"\s*(?:(==|=|!=|!|,|\(|\)|<|>)|([^\s=!,()<>]+))")
_SYMBOLS = ("=", "==", "!=", "!", ",", "(", ")", "<", ">")


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """operator: `=`, `!=`, `in`, `notin`, `exists`, `!`, `gt`, `lt`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value in self.values
            case "!=" | "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not value.lstrip("-").isdigit():
            return False
        limit = int(self.values[0])
        return int(value) > limit if self.operator == "gt" else int(value) < limit


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; `nothing` matches no object."""

    requirements: tuple[LabelRequirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)


def matches_set(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether `labels` has every pair of a Service's selector."""
    return all(labels.get(key) == value for key, value in selector.items())


def label_selector_from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A metav1.LabelSelector; None matches nothing, an empty one everything."""
    if selector is None:
        return LabelSelector(nothing=True)
    found = [LabelRequirement(key, "=", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for expression in selector.get("matchExpressions") or ():
        operator = operators.get(expression.get("operator", ""))
        if operator is None:
            raise BadRequest(f'"{expression.get("operator")}" is not a valid label selector operator')
        found.append(LabelRequirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return LabelSelector(tuple(found))


def parse_label_selector(text: str) -> LabelSelector:
    """`a=b,c in (d,e),!f` parsed. Raises BadRequest in upstream's words."""
    try:
        return LabelSelector(tuple(_Parser(text).parse()))
    except _Problem as error:
        raise BadRequest(str(error)) from error


class _Problem(Exception):
    pass


class _Parser:
    def __init__(self, text: str) -> None:
        self._lexemes: list[str] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                break
            self._lexemes.append(match.group(1) or match.group(2))
            at = match.end()
        self._at = 0

    def parse(self) -> list[LabelRequirement]:
        found: list[LabelRequirement] = []
        while True:
            lexeme = self._peek()
            if lexeme == "":
                return found
            if lexeme == "!" or lexeme not in _SYMBOLS:
                try:
                    found.append(self._requirement())
                except _Problem as error:
                    raise _Problem(f"unable to parse requirement: {error}") from error
                following = self._next()
                if following == "":
                    return found
                if following != ",":
                    raise _Problem(f"found '{following}', expected: ',' or 'end of string'")
                if self._peek() == "" or (self._peek() in _SYMBOLS and self._peek() != "!"):
                    raise _Problem(f"found '{self._peek()}', expected: identifier after ','")
            else:
                raise _Problem(f"found '{lexeme}', expected: !, identifier, or 'end of string'")

    def _peek(self) -> str:
        return self._lexemes[self._at] if self._at < len(self._lexemes) else ""

    def _next(self) -> str:
        lexeme = self._peek()
        self._at += 1
        return lexeme

    def _requirement(self) -> LabelRequirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if key == "" or key in _SYMBOLS:
            raise _Problem(f"found '{key}', expected: identifier")
        self._check("key", key, names.qualified_name(key))
        if negated:
            return LabelRequirement(key, "!")
        if self._peek() in ("", ","):
            return LabelRequirement(key, "exists")
        operator = self._next()
        if operator in ("in", "notin"):
            return LabelRequirement(key, operator, self._values(key))
        if operator in ("=", "==", "!="):
            value = "" if self._peek() in ("", ",") else self._next()
            if value in _SYMBOLS:
                raise _Problem(f"found '{value}', expected: identifier")
            self._check_value(key, value)
            return LabelRequirement(key, "=" if operator != "!=" else "!=", (value,))
        if operator in ("<", ">"):
            value = self._next()
            if not value.lstrip("-").isdigit():
                raise _Problem(
                    f"values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return LabelRequirement(key, "gt" if operator == ">" else "lt", (value,))
        raise _Problem(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _values(self, key: str) -> tuple[str, ...]:
        opening = self._next()
        if opening != "(":
            raise _Problem(f"found '{opening}' expected: '('")
        values: list[str] = []
        pending = ""
        while True:
            lexeme = self._next()
            if lexeme == ")":
                values.append(pending)
                break
            if lexeme == ",":
                values.append(pending)
                pending = ""
            elif lexeme == "":
                raise _Problem("found '', expected: ',', ')' or identifier")
            else:
                pending = lexeme
        for value in values:
            self._check_value(key, value)
        return tuple(dict.fromkeys(values))

    def _check_value(self, key: str, value: str) -> None:
        for text in names.label_value(value):
            raise _Problem(f'values[0][{key}]: Invalid value: "{value}": {text}')

    def _check(self, field: str, value: str, wrong: Sequence[str]) -> None:
        for text in wrong:
            raise _Problem(f'{field}: Invalid value: "{value}": {text}')


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """requirements: (name, `=` or `!=`, value); all must hold."""

    requirements: tuple[tuple[str, str, str], ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        return all((values.get(name, "") == value) == (operator == "=") for name, operator, value in self.requirements)


def parse_field_selector(text: str) -> FieldSelector:
    """`spec.type=NodePort,metadata.name!=a` parsed; `\\,`, `\\=` and `\\\\` are escapes. Raises BadRequest."""
    found: list[tuple[str, str, str]] = []
    for term in re.split(r"(?<!\\),", text):
        if not term:
            continue
        match = re.match(r"((?:\\.|[^=!\\])*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        name, operator, value = match.groups()
        found.append((name, "!=" if operator == "!=" else "=", re.sub(r"\\([\\,=])", r"\1", value)))
    return FieldSelector(tuple(found))

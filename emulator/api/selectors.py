"""Label and field selectors: parsed once, matched often.

Source: k8s.io/apimachinery pkg/labels/selector.go, pkg/fields/selector.go (grammar and error texts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.api import names
from emulator.api.errors import BadRequest, go_value

_BLANK = " \t\r\n"  # no other white space separates
_TOKEN = re.compile(r"(==|!=|[=!,()<>])|([^ \t\r\n=!,()<>]+)")
_SYMBOLS = frozenset(("=", "==", "!=", "!", ",", "(", ")", "<", ">"))
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = 2**63
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}


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
        number, limit = _integer(value or ""), _integer(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == "gt" else number < limit


def _integer(text: str) -> int | None:
    """What Go's ParseInt reads as a number of 64 bits, None where it refuses."""
    if not _INTEGER.fullmatch(text) or len(text) > 99:
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


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


def _lexemes(text: str) -> list[str]:
    """Symbols and words; a NUL ends the text, as upstream's lexer has it."""
    found: list[str] = []
    text = text.partition("\0")[0]
    at = 0
    while at < len(text):
        if text[at] in _BLANK:
            at += 1
            continue
        match = _TOKEN.match(text, at)
        assert match is not None  # every other character is a symbol or part of a word
        found.append(match.group())
        at = match.end()
    return found


class _Parser:
    """Reads lexemes from left to right; "" is the end."""

    def __init__(self, text: str) -> None:
        self._lexemes = _lexemes(text)
        self._at = 0

    def parse(self) -> list[LabelRequirement]:
        found: list[LabelRequirement] = []
        while self._peek() != "":
            if not self._at_requirement():
                raise _Problem(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except _Problem as error:
                raise _Problem(f"unable to parse requirement: {error}") from error
            following = self._next()
            if following not in ("", ","):
                raise _Problem(f"found '{following}', expected: ',' or 'end of string'")
            if following == "," and not self._at_requirement():
                raise _Problem(f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _peek(self) -> str:
        return self._lexemes[self._at] if self._at < len(self._lexemes) else ""

    def _next(self) -> str:
        lexeme = self._peek()
        self._at += 1
        return lexeme

    def _at_requirement(self) -> bool:
        return self._peek() == "!" or _is_word(self._peek())

    def _requirement(self) -> LabelRequirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if not _is_word(key):
            raise _Problem(f"found '{key}', expected: identifier")
        wrong = names.qualified_name(key)
        if wrong:  # upstream's path to the key is nil
            raise _Problem(f"<nil>: Invalid value: {go_value(key)}: {'; '.join(wrong)}")
        if negated:
            return LabelRequirement(key, "!")
        if self._peek() in ("", ","):
            return LabelRequirement(key, "exists")
        sign = self._next()
        if sign not in _OPERATORS:
            raise _Problem(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        operator = _OPERATORS[sign]
        values = self._values() if operator in ("in", "notin") else {self._exact_value()}
        return _checked(LabelRequirement(key, operator, tuple(sorted(values))))

    def _exact_value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        value = self._next()
        if not _is_word(value):
            raise _Problem(f"found '{value}', expected: identifier")
        return value

    def _values(self) -> set[str]:
        """The set in parentheses; nothing between commas is the empty value."""
        opening = self._next()
        if opening != "(":
            raise _Problem(f"found '{opening}' expected: '('")
        if self._peek() not in (",", ")") and not _is_word(self._peek()):
            raise _Problem(f"found '{self._peek()}', expected: ',', ')' or identifier")
        values: set[str] = set()
        while True:
            if _is_word(self._peek()):
                values.add(self._next())
                if self._peek() not in (",", ")"):
                    raise _Problem(f"found '{self._peek()}', expected: ',' or ')'")
            elif self._peek() in (",", ")"):
                values.add("")
            else:
                raise _Problem(f"found '{self._peek()}', expected: ',', or identifier")
            if self._next() == ")":
                return values


def _is_word(lexeme: str) -> bool:
    return lexeme != "" and lexeme not in _SYMBOLS


def _checked(requirement: LabelRequirement) -> LabelRequirement:
    """The requirement. Raises _Problem with every mistake in its values."""
    wrong: list[str] = []
    if requirement.operator in ("gt", "lt"):
        wrong += [
            f"values[{index}]: Invalid value: {go_value(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
            for index, value in enumerate(requirement.values)
            if _integer(value) is None
        ]
    for index, value in enumerate(requirement.values):
        texts = names.label_value(value)
        if texts:
            wrong.append(f"values[{index}][{requirement.key}]: Invalid value: {go_value(value)}: {'; '.join(texts)}")
    if wrong:
        raise _Problem(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return requirement


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """requirements: (name, `=` or `!=`, value); all must hold."""

    requirements: tuple[tuple[str, str, str], ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        return all((values.get(name, "") == value) == (operator == "=") for name, operator, value in self.requirements)


def parse_field_selector(text: str) -> FieldSelector:
    """`spec.type=NodePort,metadata.name!=a` parsed; `\\,`, `\\=` and `\\\\` are escapes in values. Raises BadRequest.

    Terms are read in their alphabetical order, so that is the order of requirements and of complaints.
    """
    found: list[tuple[str, str, str]] = []
    for term in sorted(_terms(text)):
        match = re.match(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        name, operator, value = match.groups()
        found.append((name, "!=" if operator == "!=" else "=", _unescaped(value)))
    return FieldSelector(tuple(found))


def _terms(text: str) -> list[str]:
    """The parts between commas, without empty ones; after a backslash a comma is a character like others."""
    parts = re.findall(r"(?:\\.|\\$|[^,\\])+", text, re.DOTALL)
    return [part for part in parts if part]


def _unescaped(value: str) -> str:
    found: list[str] = []
    escaped = False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{char}")
            found.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            found.append(char)
    if escaped:
        raise BadRequest("invalid field selector: invalid escape sequence: \\")
    return "".join(found)
